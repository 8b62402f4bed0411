//! What a client asks a broker for.

use std::fmt;
use std::sync::Arc;

use crate::types::TopicPartition;

/// A kind of request, under Kafka's names. There are no others: what a client of this crate never
/// asks for (a heartbeat, the metadata of a cluster) cannot fail.
///
/// What happens on the disk is failed in the storage: see
/// [`SimStorage`](crate::testing::SimStorage).
///
/// ```
/// use logreel::testing::OpKind;
/// assert_eq!(OpKind::Commit.to_string(), "OffsetCommit");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(not(feature = "testing"), allow(unreachable_pub, reason = "public with `testing`"))]
#[non_exhaustive]
pub enum OpKind {
    /// A producer's batch is appended to a partition.
    Produce,
    /// A consumer reads from a partition.
    Fetch,
    /// A consumer looks an offset up by a time or a meaning: for `auto.offset.reset`, for a seek,
    /// for `offsets_for_times`.
    ListOffsets,
    /// A consumer commits. One for all partitions of a commit.
    Commit,
    /// A consumer asks what its group has committed for a partition.
    FetchOffsets,
    /// A member joins its group, or joins again in a rebalance.
    JoinGroup,
    /// A member is given its share of the partitions.
    SyncGroup,
    /// A member leaves its group by closing or unsubscribing.
    LeaveGroup,
    /// A producer asks for its id, or takes a transactional id over.
    InitProducer,
    /// A partition joins a transaction.
    AddPartitionsToTxn,
    /// Positions of a group are committed in a transaction.
    TxnOffsetCommit,
    /// A transaction is committed or aborted by its producer.
    EndTxn,
    /// A topic is created.
    CreateTopics,
    /// Partitions are added to a topic.
    CreatePartitions,
    /// A topic is deleted.
    DeleteTopics,
}

impl fmt::Display for OpKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Produce => "Produce",
            Self::Fetch => "Fetch",
            Self::ListOffsets => "ListOffsets",
            Self::Commit => "OffsetCommit",
            Self::FetchOffsets => "OffsetFetch",
            Self::JoinGroup => "JoinGroup",
            Self::SyncGroup => "SyncGroup",
            Self::LeaveGroup => "LeaveGroup",
            Self::InitProducer => "InitProducerId",
            Self::AddPartitionsToTxn => "AddPartitionsToTxn",
            Self::TxnOffsetCommit => "TxnOffsetCommit",
            Self::EndTxn => "EndTxn",
            Self::CreateTopics => "CreateTopics",
            Self::CreatePartitions => "CreatePartitions",
            Self::DeleteTopics => "DeleteTopics",
        })
    }
}

/// One request of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(
    not(feature = "testing"),
    allow(dead_code, unreachable_pub, reason = "read by the faults of `testing`")
)]
pub struct Operation {
    kind: OpKind,
    topic: Option<Arc<str>>,
    partitions: Vec<TopicPartition>,
    group: Option<Arc<str>>,
    transactional_id: Option<Arc<str>>,
    client_id: Option<Arc<str>>,
}

impl Operation {
    pub(crate) fn new(kind: OpKind) -> Self {
        Self {
            kind,
            topic: None,
            partitions: Vec::new(),
            group: None,
            transactional_id: None,
            client_id: None,
        }
    }

    pub(crate) fn on(mut self, tp: &TopicPartition) -> Self {
        self.partitions.push(tp.clone());
        self
    }

    pub(crate) fn on_all<'a>(self, tps: impl IntoIterator<Item = &'a TopicPartition>) -> Self {
        tps.into_iter().fold(self, Self::on)
    }

    pub(crate) fn about(mut self, topic: &str) -> Self {
        self.topic = Some(topic.into());
        self
    }

    pub(crate) fn of_group(mut self, group: &str) -> Self {
        self.group = Some(group.into());
        self
    }

    pub(crate) fn of_transaction(mut self, id: &str) -> Self {
        self.transactional_id = Some(id.into());
        self
    }

    pub(crate) fn by(mut self, client_id: &Arc<str>) -> Self {
        self.client_id = Some(Arc::clone(client_id));
        self
    }
}

#[cfg(feature = "testing")]
impl Operation {
    /// What is asked for.
    #[must_use]
    pub fn kind(&self) -> OpKind {
        self.kind
    }

    /// The topic, if it is about one as a whole.
    #[must_use]
    pub fn topic(&self) -> Option<&str> {
        self.topic.as_deref()
    }

    /// The partitions it is about.
    #[must_use]
    pub fn partitions(&self) -> &[TopicPartition] {
        &self.partitions
    }

    /// The group that asks, or whose positions it is about.
    #[must_use]
    pub fn group(&self) -> Option<&str> {
        self.group.as_deref()
    }

    /// The `transactional.id` of the producer that asks.
    #[must_use]
    pub fn transactional_id(&self) -> Option<&str> {
        self.transactional_id.as_deref()
    }

    /// The `client.id` of the consumer that asks.
    #[must_use]
    pub fn client_id(&self) -> Option<&str> {
        self.client_id.as_deref()
    }
}

/// Everything that is known of it, in one line.
///
/// ```
/// use logreel::testing::OpKind;
/// use logreel::{Broker, ProducerRecord};
/// let broker = Broker::in_memory();
/// broker.testing().record_history();
/// broker.producer().build()?.send(ProducerRecord::to("t").partition(0).value("v")).wait()?;
/// let operations: Vec<String> =
///     broker.testing().history().iter().map(|entry| entry.operation().to_string()).collect();
/// assert_eq!(operations, ["CreateTopics t", "InitProducerId", "Produce t-0"]);
/// # Ok::<(), logreel::Error>(())
/// ```
impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.kind)?;
        self.topic.iter().try_for_each(|topic| write!(f, " {topic}"))?;
        self.partitions.iter().try_for_each(|tp| write!(f, " {tp}"))?;
        let who = [
            ("group", &self.group),
            ("transactional.id", &self.transactional_id),
            ("client.id", &self.client_id),
        ];
        who.into_iter().try_for_each(|(name, value)| match value {
            Some(value) => write!(f, " {name}={value}"),
            None => Ok(()),
        })
    }
}
