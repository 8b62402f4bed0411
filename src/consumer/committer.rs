//! Committing without waiting, and from other threads.

use std::sync::Arc;

use super::commit_handle::CommitHandle;
use super::commits::Commits;
use super::handle::Consumer;
use super::identity::Who;
use super::records::Placed;
use crate::coordinator::GroupMetadata;
use crate::error::Result;
use crate::types::Offsets;

impl Consumer {
    /// Has the positions committed that polls have reached, without waiting for a sync; see
    /// [`commit_offsets_async`](Self::commit_offsets_async).
    pub fn commit_async(&self) -> CommitHandle {
        self.commits.report();
        let (who, offsets) = self.state.lock().positions_to_commit(&self.broker);
        self.commits.commit_later_as(who, offsets)
    }

    /// Has these positions committed without waiting for a sync: by a thread of the broker, by who
    /// waits for the handle, or by the next commit or close. In memory it is done at once; without
    /// threads it waits for the next of these or for [`run_due`](crate::Broker::run_due). Commits
    /// of one consumer are made in the order in which they were asked for, and many that wait share
    /// one sync. None becomes durable before the records below it. None is tried again, because a
    /// later one may have been made meanwhile.
    ///
    /// The commit counts as that of the member that the consumer is now, and dropping the handle
    /// changes nothing. Errors are those of [`commit_offsets`](Self::commit_offsets), through the
    /// handle.
    ///
    /// ```
    /// use logreel::Broker;
    /// let broker = Broker::in_memory();
    /// broker.create_topic("jobs")?;
    /// let consumer = broker.consumer().group_id("workers").build()?;
    /// let done = [(("jobs", 0), 7)].into_iter().collect();
    /// let commit = consumer.commit_offsets_async(&done);
    /// assert!(commit.try_get().is_some(), "in memory it is done at once");
    /// commit.wait()?;
    /// # Ok::<(), logreel::Error>(())
    /// ```
    pub fn commit_offsets_async(&self, offsets: &Offsets) -> CommitHandle {
        self.commits.report();
        self.commits.commit_later(offsets.clone())
    }

    /// A handle for committing from worker threads while this one polls. What they commit, and in
    /// which order, is theirs to see to: a partition's commit says that everything below it is
    /// done.
    ///
    /// ```
    /// use std::time::Duration;
    /// use logreel::{Broker, OffsetReset, ProducerRecord};
    /// let broker = Broker::in_memory();
    /// let jobs = (0..100).map(|n| ProducerRecord::to("jobs").value(n.to_string()));
    /// broker.producer().build()?.send_batch(jobs).wait()?;
    /// let consumer = broker
    ///     .consumer()
    ///     .group_id("workers")
    ///     .auto_offset_reset(OffsetReset::Earliest)
    ///     .enable_auto_commit(false)
    ///     .build()?;
    /// consumer.subscribe(["jobs"])?;
    /// let (hand_out, jobs) = std::sync::mpsc::sync_channel::<logreel::Records>(2);
    /// let committer = consumer.committer();
    /// let worker = std::thread::spawn(move || {
    ///     for batch in jobs {
    ///         for job in &batch {
    ///             // ... do it ...
    /// #             let _ = job;
    ///         }
    ///         committer.commit_offsets(&batch.next_offsets())?;
    ///     }
    ///     Ok::<(), logreel::Error>(())
    /// });
    /// let batch = consumer.poll(Duration::from_secs(1))?;
    /// hand_out.send(batch).unwrap();
    /// drop(hand_out);
    /// worker.join().unwrap()?;
    /// assert_eq!(consumer.committed(&("jobs", 0).into())?.map(|c| c.offset()), Some(100));
    /// # Ok::<(), logreel::Error>(())
    /// ```
    #[must_use]
    pub fn committer(&self) -> Committer {
        Committer { commits: Arc::clone(&self.commits), bound: None }
    }
}

/// Commits for a consumer from other threads, as the member that the consumer is at that moment;
/// made by [`Consumer::committer`]. Cheap to clone. It keeps neither the consumer nor the broker:
/// once the consumer is gone, every commit answers `Closed`.
#[derive(Clone, Debug)]
pub struct Committer {
    commits: Arc<Commits>,
    /// Commits only as this member, in its generation.
    bound: Option<Who>,
}

impl Committer {
    /// The same for one generation of the group only. Once a rebalance has ended it, commits are
    /// refused with `ILLEGAL_GENERATION`, so that a worker that is late does not undo what the next
    /// owner of a partition has committed. Without this a commit counts as that of the member at
    /// the moment it is made, in whatever generation, as in Kafka.
    ///
    /// ```
    /// use std::time::Duration;
    /// use logreel::{Broker, ErrorCode};
    /// let broker = Broker::in_memory();
    /// let consumer = broker.consumer().group_id("g").build()?;
    /// consumer.subscribe(["jobs"])?;
    /// consumer.poll(Duration::ZERO)?;
    /// let group = consumer.group_metadata().expect("it has joined");
    /// let committer = consumer.committer().in_generation(&group);
    /// let done = [(("jobs", 0), 0)].into_iter().collect();
    /// committer.commit_offsets(&done)?;
    ///
    /// let another = broker.group("g").join(["jobs"])?;
    /// another.poll(Duration::ZERO)?;
    /// consumer.poll(Duration::ZERO)?; // a new generation begins
    /// another.poll(Duration::ZERO)?;
    /// let refused = committer.commit_offsets(&done).unwrap_err();
    /// assert_eq!(refused.code(), Some(ErrorCode::IllegalGeneration));
    /// # Ok::<(), logreel::Error>(())
    /// ```
    #[must_use]
    pub fn in_generation(&self, group: &GroupMetadata) -> Self {
        let who = group.member.clone().map_or(Who::Outsider, Who::Member);
        Self { commits: Arc::clone(&self.commits), bound: Some(who) }
    }

    /// Commits these positions: for each partition the offset of the *next* record to read. Durable
    /// on return, and after every commit of the consumer that was asked for before. Blocks for the
    /// syncs that takes.
    ///
    /// # Errors
    ///
    /// As [`Consumer::commit_offsets`]; `Closed` once the consumer is gone.
    pub fn commit_offsets(&self, offsets: &Offsets) -> Result<()> {
        self.commits.check()?;
        match self.bound.clone() {
            Some(who) => self.commits.commit_now_as(who, offsets),
            None => self.commits.commit_now(offsets),
        }
    }

    /// Commits that a record and all before it in its partition were processed; see
    /// [`Consumer::commit_record`].
    ///
    /// # Errors
    ///
    /// As [`commit_offsets`](Self::commit_offsets).
    pub fn commit_record(&self, record: &impl Placed) -> Result<()> {
        self.commit_offsets(&[record.next_position()].into_iter().collect())
    }

    /// The same as [`commit_offsets`](Self::commit_offsets) without waiting; see
    /// [`Consumer::commit_offsets_async`]. Callbacks still run inside
    /// calls of the consumer.
    pub fn commit_offsets_async(&self, offsets: &Offsets) -> CommitHandle {
        match self.bound.clone() {
            Some(who) => self.commits.commit_later_as(who, offsets.clone()),
            None => self.commits.commit_later(offsets.clone()),
        }
    }
}
