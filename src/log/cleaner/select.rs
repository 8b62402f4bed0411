//! Whether a log is to be cleaned, and what of it (Kafka: `LogCleanerManager`).

use crate::log::config::TopicConfig;

/// A segment as far as the choice depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) base_offset: i64,
    pub(super) size: u64,
    /// The time of its newest record.
    pub(super) newest: i64,
    /// The largest timestamp of its first batch, if it has any.
    pub(super) first: Option<i64>,
}

/// A log as far as the choice depends on it.
#[derive(Debug)]
pub(super) struct State<'a> {
    /// Its sealed segments.
    pub(super) sealed: &'a [Candidate],
    pub(super) active_base: i64,
    /// Where the last cleaning ended.
    pub(super) first_dirty: i64,
    pub(super) last_stable: i64,
}

/// The part of a log that can be cleaned.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Cleanable {
    /// Where the dirty part begins.
    pub(crate) first_dirty: i64,
    /// Where it ends: the base offset of a segment that must stay as it is.
    pub(crate) end: i64,
    /// How much of what can be cleaned is dirty.
    pub(crate) ratio: f64,
    /// Whether it is to be cleaned now.
    pub(crate) is_due: bool,
    /// When it will have to be at the latest as far as that is known now, in milliseconds since
    /// 1970.
    pub(crate) next: Option<i64>,
}

/// Looks at a log.
pub(super) fn select(state: &State<'_>, config: &TopicConfig, now_millis: i64) -> Cleanable {
    let containing =
        |offset: i64| state.sealed.partition_point(|s| s.base_offset <= offset).saturating_sub(1);
    let dirty = state.sealed.get(containing(state.first_dirty)..).unwrap_or_default();
    let dirty = if state.first_dirty >= state.active_base { &[][..] } else { dirty };

    // Records are left alone for `min.compaction.lag.ms` (KIP-58).
    let lag = config.min_compaction_lag_ms;
    let young = dirty.iter().find(|s| lag > 0 && s.newest > now_millis.saturating_sub(lag));
    let limit = [Some(state.last_stable), young.map(|s| s.base_offset)];
    let limit = limit.into_iter().flatten().fold(state.active_base, i64::min);
    // Whole segments only: one that is open beyond the limit stays.
    let end = if limit >= state.active_base {
        state.active_base
    } else {
        state.sealed.get(containing(limit)).map_or(state.active_base, |s| s.base_offset)
    };

    let size = |segments: &[Candidate]| segments.iter().map(|s| s.size).sum::<u64>();
    let clean: u64 = size(
        state
            .sealed
            .get(..state.sealed.partition_point(|s| s.base_offset < state.first_dirty))
            .unwrap_or_default(),
    );
    let cleanable =
        size(dirty.get(..dirty.partition_point(|s| s.base_offset < end)).unwrap_or_default());
    let ratio = ratio(cleanable, clean);

    // And are cleaned at the latest after `max.compaction.lag.ms` (KIP-354).
    let oldest = dirty.iter().filter_map(|s| s.first).filter(|first| *first > 0).min();
    let latest = oldest
        .filter(|_| config.max_compaction_lag_ms < i64::MAX)
        .map(|oldest| oldest.saturating_add(config.max_compaction_lag_ms).saturating_add(1));
    let is_late = cleanable > 0 && latest.is_some_and(|latest| now_millis >= latest);
    let grown = young.map(|s| s.newest.saturating_add(lag));
    Cleanable {
        first_dirty: state.first_dirty,
        end,
        ratio,
        is_due: ratio > config.min_cleanable_dirty_ratio || is_late,
        next: [latest, grown].into_iter().flatten().filter(|at| *at > now_millis).min(),
    }
}

#[expect(clippy::cast_precision_loss, reason = "a ratio of byte counts needs no last digit")]
fn ratio(cleanable: u64, clean: u64) -> f64 {
    if cleanable == 0 {
        return 0.0;
    }
    cleanable as f64 / (clean as f64 + cleanable as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_000_000;

    fn config(overrides: &[(&str, &str)]) -> TopicConfig {
        let own = |(k, v): &(&str, &str)| ((*k).to_owned(), (*v).to_owned());
        TopicConfig::new(overrides.iter().map(own).collect()).unwrap()
    }

    /// Four sealed segments of 100 bytes with ten offsets and ten milliseconds each, then the
    /// active one.
    fn look(first_dirty: i64, last_stable: i64, overrides: &[(&str, &str)], now: i64) -> Cleanable {
        let sealed: Vec<Candidate> = (0..4)
            .map(|i| Candidate {
                base_offset: i * 10,
                size: 100,
                newest: NOW + i * 10 + 9,
                first: Some(NOW + i * 10),
            })
            .collect();
        let state = State { sealed: &sealed, active_base: 40, first_dirty, last_stable };
        select(&state, &config(overrides), now)
    }

    #[test]
    fn the_dirty_ratio_decides_and_must_be_passed() {
        let found = look(0, 45, &[], NOW);
        assert_eq!((found.end, found.is_due), (40, true));
        assert!((found.ratio - 1.0).abs() < f64::EPSILON);
        let half = look(20, 45, &[], NOW);
        assert!((half.ratio - 0.5).abs() < f64::EPSILON);
        assert!(!half.is_due, "0.5 is not above 0.5");
        assert!(look(10, 45, &[], NOW).is_due);
        assert!(look(20, 45, &[("min.cleanable.dirty.ratio", "0.49")], NOW).is_due);
        let nothing = look(40, 45, &[("min.cleanable.dirty.ratio", "0")], NOW);
        assert!(!nothing.is_due, "nothing is dirty");
    }

    #[test]
    fn an_open_transaction_and_young_records_end_it() {
        assert_eq!(look(0, 25, &[], NOW).end, 20);
        assert_eq!(look(0, 20, &[], NOW).end, 20);
        assert_eq!(look(0, 5, &[], NOW).end, 0);
        let lag = [("min.compaction.lag.ms", "100")];
        let found = look(0, 45, &lag, NOW + 120);
        assert_eq!((found.end, found.next), (20, Some(NOW + 129)));
        assert_eq!(look(0, 45, &lag, NOW + 129).end, 30);
        assert_eq!(look(0, 45, &lag, NOW + 1000).end, 40);
    }

    #[test]
    fn what_has_been_dirty_for_long_is_cleaned_whatever_the_ratio() {
        let lag = [("max.compaction.lag.ms", "500"), ("min.cleanable.dirty.ratio", "1")];
        let soon = look(30, 45, &lag, NOW + 530);
        assert_eq!((soon.is_due, soon.next), (false, Some(NOW + 531)));
        assert!(look(30, 45, &lag, NOW + 531).is_due);
        assert!(!look(40, 45, &lag, NOW + 5000).is_due, "nothing is dirty");
    }
}
