//! The topics a producer has sent to, each with the queues of its partitions.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};
use std::sync::{Arc, OnceLock};

use arc_swap::{ArcSwap, Guard};
use parking_lot::Mutex;

use super::client::Client;
use super::queue::PartitionQueue;
use super::sticky::Sticky;
use crate::broker::TopicState;
use crate::error::Result;
use crate::faults::persist;
use crate::types::TopicId;

/// How many topics are found without a map: comparing names of more would take as long.
const FIRST_MAX: usize = 8;

/// A topic as this producer knows it.
pub(super) struct TopicQueues {
    id: TopicId,
    name: Arc<str>,
    /// It was deleted, or another one has taken its place.
    is_past: AtomicBool,
    pub(super) partitions: Vec<Arc<PartitionQueue>>,
    pub(super) sticky: Sticky,
}

impl TopicQueues {
    fn new(state: &TopicState, partitions: Vec<Arc<PartitionQueue>>) -> Self {
        Self {
            id: state.id,
            name: Arc::clone(&state.name),
            is_past: AtomicBool::new(false),
            partitions,
            sticky: Sticky::default(),
        }
    }

    fn pass(&self) {
        self.is_past.store(true, Ordering::Release);
    }

    fn is_past(&self) -> bool {
        self.is_past.load(Ordering::Acquire)
    }

    pub(super) fn count(&self) -> i32 {
        i32::try_from(self.partitions.len()).unwrap_or(i32::MAX)
    }

    /// The queue of a partition, if there is one.
    pub(super) fn queue(&self, partition: i32) -> Option<&Arc<PartitionQueue>> {
        usize::try_from(partition).ok().and_then(|index| self.partitions.get(index))
    }
}

/// Topics by their names.
pub(super) type Known = BTreeMap<Arc<str>, Arc<TopicQueues>>;

/// The topics a producer has sent to.
pub(super) struct Topics {
    client: Arc<Client>,
    /// Read by every record that is sent, on many threads at once; changed as a whole.
    known: ArcSwap<Known>,
    /// The first of them, of all times: each stays until the producer goes, so that a record finds
    /// its topic with loads alone.
    first: [OnceLock<Arc<TopicQueues>>; FIRST_MAX],
    /// Held by who changes it.
    changing: Mutex<()>,
    /// The broker's topics when `known` was last checked against them.
    seen_version: AtomicU64,
    closed: AtomicBool,
}

/// A topic, and what it took the place of.
pub(super) struct Found {
    pub(super) topic: Result<Arc<TopicQueues>>,
    /// Topics that were deleted: what was sent to them must fail now, not never.
    pub(super) gone: Vec<Arc<TopicQueues>>,
}

impl Topics {
    pub(super) fn new(client: Arc<Client>) -> Self {
        let version = client.broker.topics_version.load(Ordering::Acquire);
        Self {
            client,
            known: ArcSwap::default(),
            first: Default::default(),
            changing: Mutex::default(),
            seen_version: AtomicU64::new(version),
            closed: AtomicBool::new(false),
        }
    }

    /// What is known, if no topic came, grew or went since.
    #[inline]
    pub(super) fn current(&self) -> Option<Guard<Arc<Known>>> {
        self.are_current().then(|| self.known.load())
    }

    /// Whether no topic came, grew or went since all that is known was current.
    #[inline]
    fn are_current(&self) -> bool {
        let version = self.client.broker.topics_version.load(Ordering::Acquire);
        self.seen_version.load(Ordering::Acquire) == version
    }

    /// Whether a topic that was found is still what its name stands for.
    #[inline]
    pub(super) fn holds(&self, topic: &TopicQueues) -> bool {
        self.are_current() && !topic.is_past()
    }

    /// A topic that is known, if it is one of the first, and no topic came, grew or went since.
    #[inline]
    pub(super) fn first(&self, name: &str) -> Option<&Arc<TopicQueues>> {
        if !self.are_current() {
            return None;
        }
        let known = self.first.iter().map_while(OnceLock::get);
        known.into_iter().find(|topic| *topic.name == *name && !topic.is_past())
    }

    /// The queues of a topic. Topics that came, grew or were made anew since are looked up again;
    /// one that is missing is made if the broker may do that.
    pub(super) fn find(&self, name: &str) -> Found {
        let version = self.client.broker.topics_version.load(Ordering::Acquire);
        if let Some(known) = self.current().as_ref().and_then(|known| known.get(name)) {
            return Found { topic: Ok(Arc::clone(known)), gone: Vec::new() };
        }
        let mut gone = self.refresh();
        let topic = loop {
            let broker = &self.client.broker;
            match persist(&broker.context.clock, || broker.topic_or_create(name)) {
                Err(error) => break Err(error),
                // Else it was deleted, and perhaps made anew, after that look.
                Ok(state) => {
                    if let Some(topic) = self.take_in(&state, &mut gone) {
                        break Ok(topic);
                    }
                }
            }
        };
        let known = self.known.load();
        // The version is taken when all that is known is current.
        if known.values().all(|topic| self.is_current(topic)) {
            self.seen_version.store(version, Ordering::Release);
        }
        Found { topic, gone }
    }

    /// Lets go of topics that are not there any more, or are other topics of the same name, and
    /// takes in partitions that were added to the others.
    fn refresh(&self) -> Vec<Arc<TopicQueues>> {
        let mut gone = Vec::new();
        let mut there = Vec::new();
        let changing = self.changing.lock();
        let mut known = Known::clone(&self.known.load());
        known.retain(|name, topic| {
            let state = self.client.broker.topic(name).filter(|state| state.id == topic.id);
            match &state {
                Some(state) => there.push(Arc::clone(state)),
                None => gone.push(Arc::clone(topic)),
            }
            state.is_some()
        });
        // Before anybody can find what comes after them current.
        gone.iter().for_each(|topic| topic.pass());
        self.known.store(Arc::new(known));
        drop(changing);
        // Who holds one still looks again.
        gone.iter().flat_map(|topic| &topic.partitions).for_each(|q| q.accumulator.close());
        for state in there {
            self.take_in(&state, &mut gone);
        }
        gone
    }

    /// The queues of a topic as it is now; `None` if it is another one by now. There is never more
    /// than one queue for a log: two would number their batches alike.
    fn take_in(
        &self,
        state: &TopicState,
        gone: &mut Vec<Arc<TopicQueues>>,
    ) -> Option<Arc<TopicQueues>> {
        let _changing = self.changing.lock();
        let mut known = Known::clone(&self.known.load());
        let is_there = self.client.broker.topic(&state.name).is_some_and(|now| now.id == state.id);
        if !is_there {
            return None;
        }
        let logs = state.logs();
        let same = known.get(&state.name).filter(|topic| topic.id == state.id).cloned();
        if let Some(topic) = same.as_ref().filter(|topic| topic.partitions.len() >= logs.len()) {
            return Some(Arc::clone(topic));
        }
        let mut partitions = same.map_or(Vec::new(), |topic| topic.partitions.clone());
        for log in logs.iter().skip(partitions.len()) {
            let queue = PartitionQueue::new(Arc::clone(log), Arc::clone(&self.client));
            if self.closed.load(Ordering::Acquire) {
                queue.accumulator.close();
            }
            partitions.push(queue);
        }
        let new = Arc::new(TopicQueues::new(state, partitions));
        let old = known.insert(Arc::clone(&state.name), Arc::clone(&new));
        old.iter().for_each(|old| old.pass());
        self.known.store(Arc::new(known));
        fence(Ordering::SeqCst);
        if self.closed.load(Ordering::Acquire) {
            // Who closed the producer meanwhile may not have seen them.
            new.partitions.iter().for_each(|queue| queue.accumulator.close());
        }
        if let Some(old) = old.filter(|old| old.id != new.id) {
            old.partitions.iter().for_each(|queue| queue.accumulator.close());
            gone.push(old);
        }
        if let Some(free) = self.first.iter().find(|first| first.get().is_none()) {
            let _ = free.set(Arc::clone(&new));
        }
        Some(new)
    }

    fn is_current(&self, known: &TopicQueues) -> bool {
        known.partitions.first().is_some_and(|queue| {
            self.client.broker.topic(queue.log.tp.topic()).is_some_and(|topic| {
                topic.id == known.id && topic.logs().len() == known.partitions.len()
            })
        })
    }

    pub(super) fn all_queues(&self) -> Vec<Arc<PartitionQueue>> {
        let known = self.known.load();
        known.values().flat_map(|topic| topic.partitions.iter().cloned()).collect()
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Takes no more records. Says whether this was the first call.
    pub(super) fn close(&self) -> bool {
        let first = !self.closed.swap(true, Ordering::AcqRel);
        fence(Ordering::SeqCst);
        for queue in self.all_queues() {
            queue.accumulator.close();
        }
        first
    }
}
