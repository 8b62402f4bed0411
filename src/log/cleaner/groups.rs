//! Which segments become one.

/// What decides whether segments fit into one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) base_offset: i64,
    /// The offset that follows its last.
    pub(super) end: i64,
    pub(super) log: u64,
    pub(super) offset_index: usize,
    pub(super) time_index: usize,
}

/// Splits segments that follow each other into groups that fit into one segment, by the sizes they
/// have now: what is left of them will fit too. Answers how many segments each group has.
pub(super) fn group(sizes: &[Size], segment_bytes: u64, index_bytes: usize) -> Vec<usize> {
    let mut groups: Vec<usize> = Vec::new();
    let mut total: Option<Size> = None;
    for size in sizes {
        let joined = total.and_then(|total| join(&total, size, segment_bytes, index_bytes));
        match (joined, groups.last_mut()) {
            (Some(sum), Some(count)) => {
                *count += 1;
                total = Some(sum);
            }
            _ => {
                groups.push(1);
                total = Some(*size);
            }
        }
    }
    groups
}

fn join(total: &Size, next: &Size, segment_bytes: u64, index_bytes: usize) -> Option<Size> {
    let sum = Size {
        base_offset: total.base_offset,
        end: next.end,
        log: total.log + next.log,
        offset_index: total.offset_index + next.offset_index,
        time_index: total.time_index + next.time_index,
    };
    // Offsets in the indexes are 32 bits. A segment without a batch adds none.
    let is_near = next.log == 0 || next.end - 1 - total.base_offset <= i64::from(i32::MAX);
    let fits = sum.log <= segment_bytes
        && sum.offset_index <= index_bytes
        && sum.time_index <= index_bytes
        && is_near;
    fits.then_some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size(base_offset: i64, end: i64, log: u64) -> Size {
        Size { base_offset, end, log, offset_index: 8, time_index: 12 }
    }

    #[test]
    fn small_segments_become_one_up_to_the_size_of_a_segment() {
        let sizes = [size(0, 10, 40), size(10, 20, 40), size(20, 30, 21), size(30, 40, 79)];
        assert_eq!(group(&sizes, 100, 1000), [2, 2]);
        assert_eq!(group(&sizes, 101, 1000), [3, 1]);
        assert_eq!(group(&sizes, 1, 1000), [1, 1, 1, 1], "one that is too large stays alone");
        assert_eq!(group(&sizes, 1000, 23), [1, 1, 1, 1], "two time indexes have 24 bytes");
        assert_eq!(group(&sizes, 1000, 24), [2, 2]);
        assert!(group(&[], 100, 100).is_empty());
    }

    #[test]
    fn offsets_of_one_segment_fit_into_32_bits() {
        let far = i64::from(i32::MAX);
        assert_eq!(group(&[size(0, 1, 1), size(far, far + 1, 1)], 100, 100), [2]);
        assert_eq!(group(&[size(0, 1, 1), size(far, far + 2, 1)], 100, 100), [1, 1]);
        assert_eq!(group(&[size(0, 1, 1), size(far * 9, far * 9, 0)], 100, 100), [2]);
    }
}
