//! Whether a producer snapshot tells the state of the producers at its offset.

use super::aborts::Knowledge;
use crate::log::producers::{ProducerSnapshotEntry, ProducerStates};

/// What is false in a snapshot. Producers may be missing: those that had expired.
pub(super) fn lies(
    snapshot: &[ProducerSnapshotEntry],
    states: &ProducerStates,
    known: Knowledge,
) -> Vec<String> {
    if known == Knowledge::Gaps {
        // What it tells of may have been compacted away.
        return Vec::new();
    }
    let truth = ProducerSnapshotEntry::read_all(&states.encode()).unwrap_or_default();
    snapshot.iter().filter_map(|said| lie(said, &truth, known)).collect()
}

/// The entries of the truth ascend by producer.
fn lie(
    said: &ProducerSnapshotEntry,
    truth: &[ProducerSnapshotEntry],
    known: Knowledge,
) -> Option<String> {
    let id = said.producer_id;
    let at = truth.binary_search_by_key(&id, |entry| entry.producer_id).ok();
    let Some(real) = at.and_then(|at| truth.get(at)) else {
        return (known == Knowledge::All)
            .then(|| format!("the log has nothing of producer {id} before this offset"));
    };
    // One that wrote its last batch before the log begins.
    if known == Knowledge::Since && real.last_offset.is_none() {
        return None;
    }
    let mut wrong = Vec::new();
    if said.epoch != real.epoch {
        wrong.push(format!("its epoch is {}, not {}", real.epoch, said.epoch));
    }
    // One that had expired and came back with a marker has no last batch.
    if said.last_offset.is_some() {
        if (said.last_offset, said.offset_delta) != (real.last_offset, real.offset_delta) {
            let (real, said) = (shown(real.last_offset), shown(said.last_offset));
            wrong.push(format!("its last batch ends at {real}, not {said}"));
        }
        if said.last_sequence != real.last_sequence {
            let (real, said) = (shown(real.last_sequence), shown(said.last_sequence));
            wrong.push(format!("its last sequence is {real}, not {said}"));
        }
    }
    if said.last_timestamp != real.last_timestamp {
        let (real, said) = (shown(real.last_timestamp), shown(said.last_timestamp));
        wrong.push(format!("its last timestamp is {real}, not {said}"));
    }
    if known == Knowledge::All && said.txn_first_offset != real.txn_first_offset {
        let (real, said) = (shown(real.txn_first_offset), shown(said.txn_first_offset));
        wrong.push(format!("its open transaction begins at {real}, not {said}"));
    }
    (!wrong.is_empty()).then(|| format!("of producer {id}: {}", wrong.join(", ")))
}

fn shown(number: Option<impl ToString>) -> String {
    number.map_or_else(|| "none".to_owned(), |number| number.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{BatchBuilder, BatchHeader};

    fn states() -> ProducerStates {
        let mut builder = BatchBuilder::new().producer(7, 2, 40);
        builder.append(Some(5), None, Some(b"a"), &[]).unwrap();
        builder.append(Some(6), None, Some(b"b"), &[]).unwrap();
        let mut sealed = builder.seal().unwrap();
        sealed.assign(10, 0);
        let bytes = sealed.into_bytes();
        let mut states = ProducerStates::default();
        states.append(&BatchHeader::parse(&bytes).unwrap());
        states
    }

    #[test]
    fn every_field_of_a_snapshot_counts() {
        let states = states();
        let [truth] = ProducerSnapshotEntry::read_all(&states.encode()).unwrap()[..] else {
            panic!("one producer")
        };
        let says = |said: ProducerSnapshotEntry, known| lies(&[said], &states, known);
        assert_eq!(says(truth, Knowledge::All), [""; 0]);
        assert_eq!(lies(&[], &states, Knowledge::All), [""; 0], "it may have expired");
        let false_ones = [
            ProducerSnapshotEntry { producer_id: 8, ..truth },
            ProducerSnapshotEntry { epoch: 3, ..truth },
            ProducerSnapshotEntry { last_sequence: Some(42), ..truth },
            ProducerSnapshotEntry { last_offset: Some(12), ..truth },
            ProducerSnapshotEntry { offset_delta: 0, ..truth },
            ProducerSnapshotEntry { last_timestamp: Some(7), ..truth },
            ProducerSnapshotEntry { txn_first_offset: Some(3), ..truth },
        ];
        for said in false_ones {
            assert_eq!(says(said, Knowledge::All).len(), 1, "{said:?}");
            assert_eq!(says(said, Knowledge::Gaps), [""; 0]);
        }
        assert_eq!(says(false_ones[0], Knowledge::Since), [""; 0], "its batches are gone");
        assert_eq!(says(false_ones[3], Knowledge::Since).len(), 1);
    }
}
