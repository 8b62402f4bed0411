//! Which partition a record goes to.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use parking_lot::Mutex;

use super::record::ProducerRecord;
use crate::error::{Error, ErrorKind, Result};

/// Chooses partitions in place of Kafka's default: the hash of the key, or without a key one
/// partition for about a batch and then another.
///
/// A partition that a record names itself is never asked for. If the partitioner panics or answers
/// a partition that does not exist, that record fails with [`ErrorKind::UserCode`] and no other.
///
/// ```
/// use logreel::producer::{Partitioner, TopicPartitions};
/// use logreel::{Broker, NewTopic, ProducerRecord};
///
/// /// Important records go to partition 0, all others elsewhere.
/// struct Lanes;
///
/// impl Partitioner for Lanes {
///     fn partition(&self, record: &ProducerRecord<'_>, topic: &TopicPartitions<'_>) -> i32 {
///         let important = record.key_bytes() == Some(b"important");
///         if important { 0 } else { topic.count() - 1 }
///     }
/// }
///
/// let broker = Broker::in_memory();
/// broker.create_topic(NewTopic::new("jobs").partitions(2))?;
/// let producer = broker.producer().partitioner(Lanes).build()?;
/// let placed = producer.send(ProducerRecord::to("jobs").key("important").value("now")).wait()?;
/// assert_eq!(placed.partition(), 0);
/// # Ok::<(), logreel::Error>(())
/// ```
pub trait Partitioner: Send + Sync {
    /// The partition of a record, from 0 to `topic.count() - 1`. Called on the thread that sends,
    /// with no lock held.
    fn partition(&self, record: &ProducerRecord<'_>, topic: &TopicPartitions<'_>) -> i32;
}

/// The partitions a record can go to.
///
/// ```
/// use logreel::ProducerRecord;
/// use logreel::producer::{Partitioner, TopicPartitions};
/// struct FirstThatWorks;
/// impl Partitioner for FirstThatWorks {
///     fn partition(&self, _: &ProducerRecord<'_>, topic: &TopicPartitions<'_>) -> i32 {
///         (0..topic.count()).find(|number| topic.is_available(*number)).unwrap_or(0)
///     }
/// }
/// ```
#[derive(Clone, Copy)]
pub struct TopicPartitions<'a> {
    count: i32,
    is_available: &'a dyn Fn(i32) -> bool,
}

impl<'a> TopicPartitions<'a> {
    pub(super) fn new(count: i32, is_available: &'a dyn Fn(i32) -> bool) -> Self {
        Self { count, is_available }
    }

    /// How many partitions the topic has.
    #[must_use]
    pub fn count(&self) -> i32 {
        self.count
    }

    /// Whether a partition takes records: not after its storage failed or was found damaged.
    #[must_use]
    pub fn is_available(&self, partition: i32) -> bool {
        (0..self.count).contains(&partition) && (self.is_available)(partition)
    }
}

impl std::fmt::Debug for TopicPartitions<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} partitions", self.count)
    }
}

/// Every record goes to the next partition that takes records, whatever its key. Kafka's
/// `RoundRobinPartitioner`.
///
/// ```
/// use logreel::producer::RoundRobin;
/// use logreel::{Broker, NewTopic, ProducerRecord};
/// let broker = Broker::in_memory();
/// broker.create_topic(NewTopic::new("t").partitions(3))?;
/// let producer = broker.producer().partitioner(RoundRobin::default()).build()?;
/// for expected in [0, 1, 2, 0] {
///     let placed = producer.send(ProducerRecord::to("t").key("k").value("v")).wait()?;
///     assert_eq!(placed.partition(), expected);
/// }
/// # Ok::<(), logreel::Error>(())
/// ```
#[derive(Debug, Default)]
pub struct RoundRobin {
    /// By topic. A leaf lock.
    next: Mutex<BTreeMap<String, u32>>,
}

impl RoundRobin {
    fn count_up(&self, topic: &str) -> u32 {
        let mut counters = self.next.lock();
        match counters.get_mut(topic) {
            Some(next) => {
                let number = *next;
                *next = next.wrapping_add(1);
                number
            }
            None => {
                counters.insert(topic.to_owned(), 1);
                0
            }
        }
    }
}

impl Partitioner for RoundRobin {
    fn partition(&self, record: &ProducerRecord<'_>, topic: &TopicPartitions<'_>) -> i32 {
        let number = i64::from(self.count_up(record.topic()) & i32::MAX.cast_unsigned());
        let among = |count: i64| number.checked_rem(count).unwrap_or(0);
        let chosen = i32::try_from(among(topic.count().into())).unwrap_or(0);
        if topic.is_available(chosen) {
            return chosen;
        }
        let available: Vec<i32> = (0..topic.count()).filter(|p| topic.is_available(*p)).collect();
        let index = usize::try_from(among(i64::try_from(available.len()).unwrap_or(0)));
        index.ok().and_then(|index| available.get(index)).copied().unwrap_or(chosen)
    }
}

/// A partitioner of the user's, which may do anything.
#[derive(Clone)]
pub(super) struct CustomPartitioner(Arc<dyn Partitioner>);

impl CustomPartitioner {
    pub(super) fn new(partitioner: impl Partitioner + 'static) -> Self {
        Self(Arc::new(partitioner))
    }

    /// Its answer, if it is one.
    pub(super) fn choose(
        &self,
        record: &ProducerRecord<'_>,
        topic: &TopicPartitions<'_>,
    ) -> Result<i32> {
        let call = AssertUnwindSafe(|| self.0.partition(record, topic));
        let nonsense = |what: String| Err(Error::new(ErrorKind::UserCode, what));
        match catch_unwind(call) {
            Ok(partition) if (0..topic.count()).contains(&partition) => Ok(partition),
            Ok(partition) => nonsense(format!(
                "the partitioner chose partition {partition}, topic {} has {}",
                record.topic(),
                topic.count()
            )),
            Err(_) => {
                nonsense(format!("the partitioner panicked on a record for {}", record.topic()))
            }
        }
    }
}

impl std::fmt::Debug for CustomPartitioner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CustomPartitioner")
    }
}
