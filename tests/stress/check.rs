//! What must be true of the log, given what the senders were told.

use std::collections::BTreeMap;

use logreel::{Broker, TopicPartition};

use crate::senders::{Id, Ledger};

/// How much was looked at.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Checked {
    pub(crate) results: u64,
    pub(crate) succeeded: u64,
    pub(crate) failed: u64,
    pub(crate) read: u64,
}

impl Checked {
    pub(crate) fn add(&mut self, other: &Self) {
        self.results += other.results;
        self.succeeded += other.succeeded;
        self.failed += other.failed;
        self.read += other.read;
    }
}

/// Every record of the topic with the places where it stands.
fn read(broker: &Broker, partitions: i32) -> BTreeMap<Id, Vec<(i32, i64)>> {
    let mut found: BTreeMap<Id, Vec<(i32, i64)>> = BTreeMap::new();
    for number in 0..partitions {
        let partition = broker.partition(&TopicPartition::new("t", number)).unwrap();
        let mut at = partition.log_start_offset();
        let mut newest: BTreeMap<(u64, u64), u64> = BTreeMap::new();
        while at < partition.high_watermark() {
            let records = partition.read(at, 1 << 20).unwrap();
            for record in &records {
                at = record.offset() + 1;
                let id = Id::parse(record.value().unwrap());
                assert_eq!(record.key(), Some(id.key().as_bytes()));
                found.entry(id).or_default().push((number, record.offset()));
                let before = newest.insert((id.thread, id.key), id.number);
                assert!(before.is_none_or(|before| before < id.number), "{id:?} after {before:?}");
            }
        }
    }
    found
}

/// Every record has one result, and stands in the log once if that was a success, else at most
/// once, in the order of its key.
pub(crate) fn check(broker: &Broker, ledger: &Ledger, partitions: i32) -> Checked {
    let found = read(broker, partitions);
    let told = ledger.0.lock().unwrap();
    let mut checked = Checked { read: found.len() as u64, ..Checked::default() };
    for (id, results) in told.iter() {
        checked.results += 1;
        assert_eq!(results.len(), 1, "{id:?}: {results:?}");
        let places = found.get(id).map_or(&[][..], |places| places);
        assert!(places.len() <= 1, "{id:?} stands at {places:?}");
        match &results[0] {
            // With acks=0 success means nothing.
            Ok(metadata) if id.acks == 0 => {
                checked.succeeded += 1;
                assert_eq!(metadata.offset(), None);
            }
            Ok(metadata) => {
                checked.succeeded += 1;
                let place = (metadata.partition(), metadata.offset().unwrap());
                assert_eq!(places, [place], "{id:?}");
            }
            Err(_) => checked.failed += 1,
        }
    }
    assert!(found.keys().all(|id| told.contains_key(id)), "a record that nobody sent");
    checked
}

/// After the process died, what `acks=1` and `acks=all` promised is there.
pub(crate) fn check_survivors(broker: &Broker, ledger: &Ledger, partitions: i32) {
    let found = read(broker, partitions);
    for (id, results) in ledger.0.lock().unwrap().iter() {
        if let Ok(metadata) = &results[0]
            && id.acks > 0
        {
            let place = (metadata.partition(), metadata.offset().unwrap());
            assert_eq!(found.get(id).map(Vec::as_slice), Some(&[place][..]), "{id:?}");
        }
    }
}
