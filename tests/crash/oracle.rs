//! What must be true of every state.

use std::time::Duration;

use logreel::testing::SimStorage;
use logreel::{ErrorCode, OffsetReset};

use crate::explore::Oracle;
use crate::workloads::{open, value};

/// An acknowledgement, as it stands in the trace.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Mark {
    Created,
    /// A deletion begins: from here on the topic may be there or not.
    Deleting,
    Deleted,
    /// So many records are written: a kill must not lose them.
    Written(usize),
    /// So many records are synced: a power cut must not lose them.
    Durable(usize),
    Committed(usize),
}

impl Mark {
    pub(crate) fn encode(self) -> u64 {
        match self {
            Self::Created => 1 << 32,
            Self::Deleted => 2 << 32,
            Self::Written(n) => 3 << 32 | n as u64,
            Self::Durable(n) => 4 << 32 | n as u64,
            Self::Committed(n) => 5 << 32 | n as u64,
            Self::Deleting => 6 << 32,
        }
    }
}

/// What has been acknowledged at a cut.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Promise {
    /// Whether the topic must be there. Before and while it is deleted it may be.
    created: bool,
    written: usize,
    pub(crate) durable: usize,
    committed: usize,
}

impl Promise {
    pub(crate) fn at(sim: &SimStorage, cut: usize) -> Self {
        let mut promise = Self::default();
        for mark in sim.marks_before(cut) {
            let n = usize::try_from(mark & 0xffff_ffff).unwrap();
            match mark >> 32 {
                1 => promise.created = true,
                2 | 6 => promise = Self::default(),
                3 => promise.written = n,
                4 => (promise.durable, promise.written) = (n, promise.written.max(n)),
                _ => promise.committed = n,
            }
        }
        promise
    }
}

fn read(broker: &logreel::Broker) -> Vec<String> {
    let consumer = broker.consumer().auto_offset_reset(OffsetReset::Earliest).build().unwrap();
    consumer.assign([("t", 0)]).unwrap();
    let mut values = Vec::new();
    loop {
        let records = consumer.poll(Duration::ZERO).unwrap();
        if records.is_empty() {
            return values;
        }
        for record in &records {
            assert_eq!(record.offset(), values.len() as i64);
            values.push(String::from_utf8(record.value().unwrap().to_vec()).unwrap());
        }
    }
}

/// The values in the log of a state.
pub(crate) fn reopened(state: &SimStorage) -> Vec<String> {
    let broker = open(state);
    if broker.topic("t").is_err() {
        return Vec::new();
    }
    read(&broker)
}

/// The log is a prefix of "value 0", "value 1" and so on.
pub(crate) struct InOrder;

impl Oracle for InOrder {
    type Promise = Promise;

    fn promise(&self, trace: &SimStorage, cut: usize) -> Promise {
        Promise::at(trace, cut)
    }

    fn killed(&self, promise: Promise) -> Promise {
        Promise { durable: promise.written, ..promise }
    }

    fn check(&self, what: &str, state: &SimStorage, promise: &Promise) -> (SimStorage, usize) {
        check(what, state, promise)
    }
}

/// Opens a state and checks it. The storage comes back, with the length of the recovery's trace.
fn check(what: &str, state: &SimStorage, promise: &Promise) -> (SimStorage, usize) {
    let recovering = state.kill_state(state.op_count());
    let broker = open(&recovering);
    let recovered = recovering.op_count();
    let damaged = broker.recovery_report().damaged().count();
    assert_eq!(damaged, 0, "{what}: {:?}", broker.recovery_report());
    let topic = match broker.topic("t") {
        Ok(topic) => topic,
        Err(error) => {
            assert_eq!(error.code(), Some(ErrorCode::UnknownTopicOrPartition));
            assert!(!promise.created, "{what}: the topic is gone");
            return (recovering, recovered);
        }
    };
    let config = topic.config();
    assert_eq!(config.get("segment.bytes"), Some("400"), "{what}: its configuration is gone");
    let values = read(&broker);
    let expected: Vec<String> = (0..values.len()).map(value).collect();
    assert_eq!(values, expected, "{what}: not a prefix of what was appended");
    assert!(
        values.len() >= promise.durable,
        "{what}: {} records are left, {} were acknowledged",
        values.len(),
        promise.durable
    );
    if promise.committed > 0 {
        let offsets = broker.committed_offsets("g").unwrap();
        let committed = offsets.get(&("t", 0).into()).map_or(0, |position| position.offset());
        assert!(committed >= promise.committed as i64, "{what}: a commit is lost");
        assert!(committed <= values.len() as i64, "{what}: a commit outlived its records");
    }
    // A second open changes nothing, and appends go on where the log ends.
    let again = recovering.kill_state(recovering.op_count());
    let second = open(&again);
    assert_eq!(read(&second), values, "{what}: the second open reads something else");
    drop(topic);
    let log = broker.topic("t").unwrap().partition(0).unwrap();
    let placed = log.append([(None, Some("next"))]).unwrap();
    assert_eq!(placed.base_offset, values.len() as i64, "{what}");
    (recovering, recovered)
}
