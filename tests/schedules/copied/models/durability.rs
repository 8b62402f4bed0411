//! What is acknowledged with `acks=all` has been synced, by a sync that began after its write.

use std::time::Duration;

use logreel::testing::SimStorage;
use logreel::{Broker, NewTopic, OffsetReset, ProducerRecord};
use shuttle::thread;

/// Where the trace says that the batch at `offset` was written, and whether a file and its name
/// were synced afterwards: what a power cut now would leave.
pub(crate) fn assert_durable(sim: &SimStorage, topic: &str, offset: i64, places: Places) {
    let log = sim.op_log();
    let (base, start, end) = places.of(offset);
    let file = format!("{topic}-0/{base:020}.log");
    let write = log.iter().position(|op| {
        let Some(rest) = op.strip_prefix(&format!("write {file} at ")) else { return false };
        let (at, size) = rest.split_once(", ").unwrap();
        let at: u64 = at.parse().unwrap();
        let size: u64 = size.strip_suffix(" bytes").unwrap().parse().unwrap();
        at <= start && end <= at + size
    });
    let write = write.unwrap_or_else(|| panic!("offset {offset} was not written: {log:#?}"));
    let synced = |what: &str, since: usize| log.iter().skip(since).any(|op| op == what);
    assert!(synced(&format!("sync {file}"), write), "offset {offset} was not synced: {log:#?}");
    let made = format!("create {base:020}.log in {topic}-0");
    let made = log.iter().position(|op| *op == made).unwrap();
    assert!(
        synced(&format!("sync directory {topic}-0"), made),
        "the name of the file of offset {offset} was not synced: {log:#?}"
    );
}

/// How batches of one record lie in segments: their size, and how many a segment has.
#[derive(Clone, Copy)]
pub(crate) struct Places {
    pub(crate) size: u64,
    pub(crate) in_a_segment: i64,
}

impl Places {
    /// All in one segment.
    pub(crate) fn in_one(size: u64) -> Self {
        Self { size, in_a_segment: i64::MAX }
    }

    /// The base of the segment, and where the batch begins and ends in it.
    fn of(self, offset: i64) -> (i64, u64, u64) {
        let nth = offset % self.in_a_segment;
        let start = u64::try_from(nth).unwrap() * self.size;
        (offset - nth, start, start + self.size)
    }
}

/// The size of a batch of one record with a value of one byte.
pub(crate) fn batch_size() -> u64 {
    let broker = Broker::builder().seed(1).topic("t").open().unwrap();
    let log = broker.topic("t").unwrap().partition(0).unwrap();
    log.append([(None, Some("x"))]).unwrap();
    log.size()
}

/// Threads send so many records each, and look at the disk after every acknowledgement.
fn sends(count: [i32; 3], topic: NewTopic, places: Places) {
    let sim = SimStorage::new();
    let broker = Broker::builder().storage(sim.storage()).seed(1).topic(topic).open().unwrap();
    let threads = count.map(|count| {
        let producer = broker.producer().build().unwrap();
        let sim = sim.clone();
        thread::spawn(move || {
            for _ in 0..count {
                let sent = producer.send(ProducerRecord::to("t").value("x"));
                let offset = sent.wait().unwrap().offset().unwrap();
                assert_durable(&sim, "t", offset, places);
            }
        })
    });
    for thread in threads {
        thread.join().unwrap();
    }
}

/// Three senders share syncs.
pub(crate) fn group_commit() {
    sends([1, 1, 1], NewTopic::new("t"), Places::in_one(batch_size()));
}

/// The same where every second batch begins a segment, whose name must be durable, too.
pub(crate) fn group_commit_over_rolls() {
    let size = batch_size();
    let topic = NewTopic::new("t").set("segment.bytes", (2 * size).to_string());
    sends([2, 1, 1], topic, Places { size, in_a_segment: 2 });
}

/// A commit points at nothing that a power cut may take away.
pub(crate) fn commits_beside_sends() {
    let size = batch_size();
    let sim = SimStorage::new();
    let broker = Broker::builder().storage(sim.storage()).seed(1);
    let broker = broker.offsets_topic_partitions(1).topic("t").open().unwrap();
    let log = broker.topic("t").unwrap().partition(0).unwrap();
    let writer = thread::spawn(move || {
        for _ in 0..2 {
            log.append([(None, Some("x"))]).unwrap();
        }
    });
    let consumer = broker.consumer().group_id("g").enable_auto_commit(false);
    let consumer = consumer.auto_offset_reset(OffsetReset::Earliest).build().unwrap();
    consumer.assign([("t", 0)]).unwrap();
    let mut read = 0;
    while read < 2 {
        read += consumer.poll(Duration::MAX).unwrap().len();
        consumer.commit().unwrap();
        let last = i64::try_from(read).unwrap() - 1;
        assert_durable(&sim, "t", last, Places::in_one(size));
    }
    writer.join().unwrap();
}
