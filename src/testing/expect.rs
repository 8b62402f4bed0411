//! What a test expects to find in a topic.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use crate::broker::Broker;
use crate::consumer::Record;
use crate::error::{ErrorCode, Result};
use crate::types::IsolationLevel;
use crate::wait::Waiter;

/// How many of the last records of each partition a failure shows.
const TAIL: usize = 10;
/// How much of a key or value it shows.
const SHOWN_BYTES: usize = 60;

type Test = Arc<dyn Fn(&Record) -> bool + Send + Sync>;

/// What a test expects to find in a topic; made by
/// [`TopicProbe::expect`](super::TopicProbe::expect).
///
/// Records that fit everything that is said are counted, as a consumer with `read_committed` sees
/// them. An expectation waits on the log itself, up to the time it is [given](Self::within), by the
/// broker's clock. If it fails it shows the ends of the partitions, and how far groups are.
///
/// ```
/// use std::time::Duration;
/// use logreel::{Broker, ProducerRecord};
/// let broker = Broker::in_memory();
/// let service = std::thread::spawn({
///     let broker = broker.clone();
///     move || {
///         let bill = ProducerRecord::to("bills").key("o-1").value("5 EUR");
///         broker.producer().build()?.send(bill).wait()
///     }
/// });
/// let bills = broker.testing().topic("bills");
/// bills.expect().key("o-1").within(Duration::from_secs(10)).once();
/// bills.expect().value("5 USD").never();
/// assert!(service.join().is_ok_and(|sent| sent.is_ok()));
/// ```
#[derive(Clone)]
#[must_use = "an expectation is checked by `once`, `times`, `never` or `in_order`"]
pub struct Expect {
    broker: Broker,
    topic: Arc<str>,
    tests: Vec<Test>,
    said: Vec<String>,
    within: Duration,
    isolation: IsolationLevel,
}

impl Expect {
    pub(super) fn new(broker: Broker, topic: Arc<str>) -> Self {
        let (tests, said) = (Vec::new(), Vec::new());
        let isolation = IsolationLevel::ReadCommitted;
        Self { broker, topic, tests, said, within: Duration::ZERO, isolation }
    }

    fn and(mut self, said: String, test: impl Fn(&Record) -> bool + Send + Sync + 'static) -> Self {
        self.tests.push(Arc::new(test));
        self.said.push(said);
        self
    }

    /// Records with this key.
    pub fn key(self, key: impl AsRef<[u8]>) -> Self {
        let key = key.as_ref().to_vec();
        self.and(format!("key {}", shown(Some(&key))), move |record| {
            record.key.as_deref() == Some(&key[..])
        })
    }

    /// Records with this value.
    pub fn value(self, value: impl AsRef<[u8]>) -> Self {
        let value = value.as_ref().to_vec();
        self.and(format!("value {}", shown(Some(&value))), move |record| {
            record.value.as_deref() == Some(&value[..])
        })
    }

    /// Records with this header, among others.
    pub fn header(self, key: impl Into<String>, value: impl AsRef<[u8]>) -> Self {
        let (key, value) = (key.into(), value.as_ref().to_vec());
        self.and(format!("header {key}={}", shown(Some(&value))), move |record| {
            let is_it = |header: &crate::record::Header| {
                *header.key() == *key && header.value() == Some(&value[..])
            };
            record.headers.iter().any(is_it)
        })
    }

    /// Records in this partition.
    pub fn partition(self, partition: i32) -> Self {
        self.and(format!("partition {partition}"), move |record| record.partition == partition)
    }

    /// Records that a test of your own takes.
    pub fn matching(self, test: impl Fn(&Record) -> bool + Send + Sync + 'static) -> Self {
        self.and("a test".to_owned(), test)
    }

    /// Records of transactions that are open or were aborted, too.
    pub fn uncommitted(mut self) -> Self {
        self.isolation = IsolationLevel::ReadUncommitted;
        self
    }

    /// How long to wait. Default: not at all.
    pub fn within(mut self, time: Duration) -> Self {
        self.within = time;
        self
    }

    /// Exactly one such record is there, or comes in time.
    ///
    /// # Panics
    ///
    /// If there is none, or more than one.
    #[track_caller]
    pub fn once(self) {
        self.times(1);
    }

    /// Exactly so many are there, or come in time; whether more come later is not waited for.
    ///
    /// # Panics
    ///
    /// If there are fewer or more.
    #[track_caller]
    pub fn times(self, count: usize) {
        let found = self.wait(|found| found.len() >= count);
        let is_right = found.as_ref().is_ok_and(|found| found.len() == count);
        assert!(is_right, "{}", self.failure(&format!("{count} records"), &found));
    }

    /// No such record is there, and none comes in the time that is given.
    ///
    /// # Panics
    ///
    /// If there is one.
    #[track_caller]
    pub fn never(self) {
        let found = self.wait(|found| !found.is_empty());
        let is_right = found.as_ref().is_ok_and(Vec::is_empty);
        assert!(is_right, "{}", self.failure("no record", &found));
    }

    /// Records with these values are there, or come in time, in this order, all in one partition;
    /// others may lie between them.
    ///
    /// ```
    /// use logreel::{Broker, ProducerRecord};
    /// let broker = Broker::in_memory();
    /// let steps = ["placed", "paid", "shipped"];
    /// let records = steps.map(|step| ProducerRecord::to("t").key("o-1").value(step));
    /// broker.producer().build()?.send_batch(records).wait()?;
    /// broker.testing().topic("t").expect().key("o-1").in_order(["placed", "shipped"]);
    /// # Ok::<(), logreel::Error>(())
    /// ```
    ///
    /// # Panics
    ///
    /// If they are not.
    #[track_caller]
    pub fn in_order<V: AsRef<[u8]>>(self, values: impl IntoIterator<Item = V>) {
        let values: Vec<Vec<u8>> = values.into_iter().map(|v| v.as_ref().to_vec()).collect();
        let found = self.wait(|found| are_in_order(found, &values));
        let is_right = found.as_ref().is_ok_and(|found| are_in_order(found, &values));
        let wanted: Vec<String> = values.iter().map(|value| shown(Some(value))).collect();
        let wanted = format!("in one partition the values {}", wanted.join(", "));
        assert!(is_right, "{}", self.failure(&wanted, &found));
    }

    /// The records that fit, once there are enough or the time is over.
    fn wait(&self, enough: impl Fn(&[Record]) -> bool) -> Result<Vec<Record>> {
        let broker = self.broker.handle();
        let deadline = broker.deadline(self.within);
        loop {
            let waiter = Waiter::new();
            broker.topics_changed.add(&waiter);
            let logs = broker.topic(&self.topic).map(|topic| topic.logs());
            let logs = logs.iter().flat_map(|logs| logs.iter());
            logs.clone().for_each(|log| log.readers.add(&waiter));
            let now = broker.context.clock.monotonic();
            let found = self.find();
            let is_over = deadline.is_some_and(|deadline| now >= deadline);
            let is_done = is_over || !matches!(&found, Ok(found) if !enough(found));
            if !is_done {
                // What lingers is written by whoever waits.
                broker.run_awaited();
                let next = broker.next_awaited().filter(|_| !broker.config.has_threads());
                let until = [deadline, next].into_iter().flatten().min();
                waiter.park(&broker.context.clock, until);
            }
            logs.for_each(|log| log.readers.remove(&waiter));
            broker.topics_changed.remove(&waiter);
            if is_done {
                return found;
            }
        }
    }

    fn find(&self) -> Result<Vec<Record>> {
        let topic = match self.broker.topic(&self.topic) {
            // It may come.
            Err(error) if error.code() == Some(ErrorCode::UnknownTopicOrPartition) => {
                return Ok(Vec::new());
            }
            topic => topic?,
        };
        let mut found = Vec::new();
        for partition in topic.partitions() {
            found.extend(partition.read_all(self.isolation)?);
        }
        found.retain(|record| self.tests.iter().all(|test| test(record)));
        Ok(found)
    }

    fn failure(&self, wanted: &str, found: &Result<Vec<Record>>) -> String {
        let what = if self.said.is_empty() { "any".to_owned() } else { self.said.join(", ") };
        let mut text = format!("topic {}: expected {wanted} ({what})", self.topic);
        if !self.within.is_zero() {
            let _ = write!(text, " within {:?}", self.within);
        }
        let _ = match found {
            Ok(found) => write!(text, ", found {}", found.len()),
            Err(error) => write!(text, ", but it cannot be read: {error}"),
        };
        self.show_logs(&mut text);
        self.show_groups(&mut text);
        text
    }

    fn show_logs(&self, text: &mut String) {
        let Ok(topic) = self.broker.topic(&self.topic) else {
            text.push_str("\nthe topic does not exist");
            return;
        };
        for partition in topic.partitions() {
            let (start, end) = (partition.log_start_offset(), partition.log_end_offset());
            let stable = partition.last_stable_offset();
            let number = partition.topic_partition().partition();
            let _ = write!(text, "\npartition {number}: {start}..{end}, last stable {stable}");
            let records = partition.read_all(IsolationLevel::ReadUncommitted).unwrap_or_default();
            for record in records.iter().skip(records.len().saturating_sub(TAIL)) {
                let (key, value) = (shown(record.key.as_deref()), shown(record.value.as_deref()));
                let _ = write!(text, "\n  {}: key {key}, value {value}", record.offset);
            }
        }
    }

    fn show_groups(&self, text: &mut String) {
        for name in self.broker.groups().unwrap_or_default() {
            let group = self.broker.group(&*name);
            let lags = group.lag().unwrap_or_default();
            let described = group.describe().ok();
            let members = described.iter().flat_map(|described| &described.members);
            let is_it = |tp: &crate::types::TopicPartition| tp.topic() == &*self.topic;
            let reads = |tps: &[crate::types::TopicPartition]| tps.iter().any(is_it);
            if !lags.iter().any(|lag| is_it(&lag.topic_partition))
                && !members.clone().any(|member| reads(&member.assignment))
            {
                continue;
            }
            let state = described.as_ref().map(|described| described.state.to_string());
            let _ = write!(text, "\ngroup {name}: {}", state.unwrap_or_default());
            for member in members {
                let _ = write!(text, "\n  {} has {:?}", member.member_id, member.assignment);
            }
            for lag in lags.iter().filter(|lag| is_it(&lag.topic_partition)) {
                let tp = &lag.topic_partition;
                let _ = write!(text, "\n  {tp}: committed {:?}, lag {:?}", lag.committed, lag.lag);
            }
        }
    }
}

fn are_in_order(found: &[Record], values: &[Vec<u8>]) -> bool {
    let mut partitions: Vec<i32> = found.iter().map(|record| record.partition).collect();
    partitions.dedup();
    values.is_empty()
        || partitions.iter().any(|partition| {
            let own = found.iter().filter(|record| record.partition == *partition);
            let mut own = own.map(|record| record.value.as_deref());
            values.iter().all(|value| own.any(|found| found == Some(&value[..])))
        })
}

/// Bytes as a person reads them, not all of them.
fn shown(bytes: Option<&[u8]>) -> String {
    let Some(bytes) = bytes else { return "null".to_owned() };
    let head = bytes.get(..SHOWN_BYTES).unwrap_or(bytes);
    let more = if head.len() < bytes.len() { ".." } else { "" };
    format!("\"{}\"{more}", head.escape_ascii())
}

impl std::fmt::Debug for Expect {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Expect(topic {}, {})", self.topic, self.said.join(", "))
    }
}
