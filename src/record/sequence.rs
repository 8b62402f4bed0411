//! Sequence numbers of idempotent producers (KIP-98): 0 to `i32::MAX`, then 0 again.

/// The sequence number `by` records after `sequence`. Past `i32::MAX` it starts at 0 again and is
/// never negative. Meant for numbers that are not negative; others do not panic.
///
/// ```
/// use logreel::record::increment_sequence;
/// assert_eq!(increment_sequence(7, 1), 8);
/// assert_eq!(increment_sequence(i32::MAX, 1), 0);
/// ```
#[must_use]
#[inline]
pub fn increment_sequence(sequence: i32, by: i32) -> i32 {
    sequence.wrapping_add(by) & i32::MAX
}

/// The sequence number `by` records before `sequence`. Below 0 it goes on at `i32::MAX`. Meant for
/// numbers that are not negative; others do not panic.
///
/// ```
/// use logreel::record::decrement_sequence;
/// assert_eq!(decrement_sequence(8, 1), 7);
/// assert_eq!(decrement_sequence(0, 1), i32::MAX);
/// ```
#[must_use]
#[inline]
pub fn decrement_sequence(sequence: i32, by: i32) -> i32 {
    sequence.wrapping_sub(by) & i32::MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The formulas as Kafka states them; ours mask the sign bit instead.
    fn by_the_book(s: i32, i: i32) -> (i32, i32) {
        let up = if s > i32::MAX - i { i - (i32::MAX - s) - 1 } else { s + i };
        let down = if s < i { i32::MAX - (i - s) + 1 } else { s - i };
        (up, down)
    }

    #[test]
    fn sequences_wrap_to_zero_and_back() {
        let edges = [0, 1, 2, 1000, i32::MAX / 2, i32::MAX - 2, i32::MAX - 1, i32::MAX];
        for s in edges {
            for i in edges {
                let ours = (increment_sequence(s, i), decrement_sequence(s, i));
                assert_eq!(ours, by_the_book(s, i), "{s} {i}");
                assert_eq!(decrement_sequence(ours.0, i), s);
            }
        }
    }
}
