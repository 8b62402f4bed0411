//! The user's part in a rebalance.

use std::fmt;

use crate::coordinator::GroupMetadata;
use crate::error::Result;
use crate::types::{OffsetAndMetadata, OffsetSpec, Offsets, TopicPartition};

/// What a listener may answer: any error at all.
pub type ListenerResult = std::result::Result<(), Box<dyn std::error::Error + Send + Sync>>;

/// Is told when partitions come and go (Kafka: `ConsumerRebalanceListener`).
///
/// Called only inside calls of the consumer it was given to ([`poll`](crate::Consumer::poll),
/// [`unsubscribe`](crate::Consumer::unsubscribe), [`close`](crate::Consumer::close)), on the thread
/// that makes them, with no lock held. A consumer that is dropped calls nothing. Other members wait
/// for `on_revoked`: until it has returned nobody else is given those partitions. What a listener
/// may do goes through its context; polling or subscribing from inside fails with `IllegalState`.
///
/// An error or a panic does not stop the rebalance. It comes out of the call as
/// [`ErrorKind::UserCode`](crate::ErrorKind::UserCode) when the rebalance is done.
///
/// ```
/// use std::sync::mpsc;
/// use std::time::Duration;
/// use logreel::consumer::{ListenerResult, RebalanceContext, RebalanceListener};
/// use logreel::{Broker, NewTopic, TopicPartition};
///
/// struct Tell(mpsc::Sender<String>);
///
/// impl RebalanceListener for Tell {
///     fn on_assigned(
///         &mut self,
///         _: &RebalanceContext<'_>,
///         partitions: &[TopicPartition],
///     ) -> ListenerResult {
///         Ok(self.0.send(format!("got {}", partitions.len()))?)
///     }
///
///     fn on_revoked(
///         &mut self,
///         context: &RebalanceContext<'_>,
///         partitions: &[TopicPartition],
///     ) -> ListenerResult {
///         context.commit()?; // the next owner begins where this one ended
///         Ok(self.0.send(format!("gave {}", partitions.len()))?)
///     }
/// }
///
/// let broker = Broker::in_memory();
/// broker.create_topic(NewTopic::new("orders").partitions(4))?;
/// let (tell, told) = mpsc::channel();
/// let first = broker.consumer().group_id("billing").build()?;
/// first.subscribe_with(["orders"], Tell(tell))?;
/// first.poll(Duration::ZERO)?;
///
/// let second = broker.consumer().group_id("billing").build()?;
/// second.subscribe(["orders"])?;
/// second.poll(Duration::ZERO)?; // asks to join
/// first.poll(Duration::ZERO)?; // gives everything back, and gets its share
/// second.poll(Duration::ZERO)?;
/// assert_eq!(second.assignment().len(), 2);
/// assert_eq!(told.try_iter().collect::<Vec<_>>(), ["got 4", "gave 4", "got 2"]);
/// # Ok::<(), logreel::Error>(())
/// ```
pub trait RebalanceListener: Send {
    /// These partitions were added. Called at the end of every rebalance that the member sees the
    /// end of, also with none. Seeking
    /// here decides where they are read from.
    ///
    /// # Errors
    ///
    /// Yours; they come out of the call that the rebalance happens in.
    fn on_assigned(
        &mut self,
        context: &RebalanceContext<'_>,
        partitions: &[TopicPartition],
    ) -> ListenerResult {
        let _ = (context, partitions);
        Ok(())
    }

    /// These partitions are about to go to somebody else: the time to end what was begun with them
    /// and to commit. With an eager assignor these are all there are; never none.
    ///
    /// # Errors
    ///
    /// As [`on_assigned`](Self::on_assigned).
    fn on_revoked(
        &mut self,
        context: &RebalanceContext<'_>,
        partitions: &[TopicPartition],
    ) -> ListenerResult {
        let _ = (context, partitions);
        Ok(())
    }

    /// These partitions are somebody else's already: the member did not poll in time, or was
    /// fenced. Commits fail. By default the same as [`on_revoked`](Self::on_revoked).
    ///
    /// # Errors
    ///
    /// As [`on_assigned`](Self::on_assigned).
    fn on_lost(
        &mut self,
        context: &RebalanceContext<'_>,
        partitions: &[TopicPartition],
    ) -> ListenerResult {
        self.on_revoked(context, partitions)
    }
}

/// What a listener can reach of its consumer.
pub(super) trait Rebalancing {
    fn commit(&self) -> Result<()>;
    fn commit_offsets(&self, offsets: &Offsets) -> Result<()>;
    fn committed(&self, tp: &TopicPartition) -> Result<Option<OffsetAndMetadata>>;
    fn position(&self, tp: &TopicPartition) -> Result<i64>;
    fn seek(&self, tp: TopicPartition, to: OffsetSpec) -> Result<()>;
    fn pause(&self, tp: TopicPartition) -> Result<()>;
    fn assignment(&self) -> Vec<TopicPartition>;
    fn group_metadata(&self) -> Option<GroupMetadata>;
}

/// What a [`RebalanceListener`] may do with its consumer.
#[derive(Clone, Copy)]
pub struct RebalanceContext<'a> {
    consumer: &'a dyn Rebalancing,
}

impl<'a> RebalanceContext<'a> {
    pub(super) fn new(consumer: &'a dyn Rebalancing) -> Self {
        Self { consumer }
    }

    /// Commits the positions, as [`Consumer::commit`](crate::Consumer::commit) does. Inside
    /// `on_revoked` the generation that ends still counts.
    ///
    /// # Errors
    ///
    /// As [`Consumer::commit`](crate::Consumer::commit).
    pub fn commit(&self) -> Result<()> {
        self.consumer.commit()
    }

    /// Commits these positions, as
    /// [`Consumer::commit_offsets`](crate::Consumer::commit_offsets) does.
    ///
    /// # Errors
    ///
    /// As [`Consumer::commit_offsets`](crate::Consumer::commit_offsets).
    pub fn commit_offsets(&self, offsets: &Offsets) -> Result<()> {
        self.consumer.commit_offsets(offsets)
    }

    /// What the group has committed for a partition.
    ///
    /// # Errors
    ///
    /// As [`Consumer::committed`](crate::Consumer::committed).
    pub fn committed(&self, tp: impl Into<TopicPartition>) -> Result<Option<OffsetAndMetadata>> {
        self.consumer.committed(&tp.into())
    }

    /// Where reading stands, as [`Consumer::position`](crate::Consumer::position) says.
    ///
    /// # Errors
    ///
    /// As [`Consumer::position`](crate::Consumer::position).
    pub fn position(&self, tp: impl Into<TopicPartition>) -> Result<i64> {
        self.consumer.position(&tp.into())
    }

    /// Goes on at another place, as [`Consumer::seek`](crate::Consumer::seek) does.
    ///
    /// # Errors
    ///
    /// As [`Consumer::seek`](crate::Consumer::seek).
    pub fn seek(&self, tp: impl Into<TopicPartition>, to: impl Into<OffsetSpec>) -> Result<()> {
        self.consumer.seek(tp.into(), to.into())
    }

    /// Rests a partition, as [`Consumer::pause`](crate::Consumer::pause) does.
    ///
    /// # Errors
    ///
    /// As [`Consumer::pause`](crate::Consumer::pause).
    pub fn pause(&self, tp: impl Into<TopicPartition>) -> Result<()> {
        self.consumer.pause(tp.into())
    }

    /// The partitions that the consumer has now, those that are being taken included.
    #[must_use]
    pub fn assignment(&self) -> Vec<TopicPartition> {
        self.consumer.assignment()
    }

    /// The group, generation and member of the consumer.
    #[must_use]
    pub fn group_metadata(&self) -> Option<GroupMetadata> {
        self.consumer.group_metadata()
    }
}

impl fmt::Debug for RebalanceContext<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RebalanceContext({:?})", self.group_metadata())
    }
}
