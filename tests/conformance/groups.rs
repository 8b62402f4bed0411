//! Members of a group for the tests, and what their listeners were told.

use std::sync::{Arc, Mutex};
use std::thread::{self, ThreadId};
use std::time::Duration;

use crate::homes::*;
use logreel::consumer::{ConsumerBuilder, ListenerResult, RebalanceContext, RebalanceListener};
use logreel::{Broker, Consumer, TopicPartition};

/// What a listener was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    pub who: &'static str,
    pub what: &'static str,
    pub partitions: Vec<TopicPartition>,
    pub thread: ThreadId,
}

/// What listeners were told, in order.
#[derive(Clone, Default)]
pub struct Diary(Arc<Mutex<Vec<Told>>>);

impl Diary {
    pub fn listener(&self, who: &'static str) -> Diarist {
        Diarist { who, diary: self.clone(), act: None }
    }

    /// A listener that also does something.
    pub fn acting(
        &self,
        who: &'static str,
        act: impl FnMut(&RebalanceContext<'_>, &'static str) -> ListenerResult + Send + 'static,
    ) -> Diarist {
        Diarist { act: Some(Box::new(act)), ..self.listener(who) }
    }

    pub fn take(&self) -> Vec<Told> {
        std::mem::take(&mut self.0.lock().unwrap())
    }

    /// As text: `a revoked 0 1`.
    pub fn lines(&self) -> Vec<String> {
        let line = |told: Told| {
            let numbers = told.partitions.iter().map(|tp| format!(" {}", tp.partition()));
            format!("{} {}{}", told.who, told.what, numbers.collect::<String>())
        };
        self.take().into_iter().map(line).collect()
    }
}

type Act = Box<dyn FnMut(&RebalanceContext<'_>, &'static str) -> ListenerResult + Send>;

pub struct Diarist {
    who: &'static str,
    diary: Diary,
    act: Option<Act>,
}

impl Diarist {
    fn note(
        &mut self,
        context: &RebalanceContext<'_>,
        what: &'static str,
        partitions: &[TopicPartition],
    ) -> ListenerResult {
        let partitions = partitions.to_vec();
        let told = Told { who: self.who, what, partitions, thread: thread::current().id() };
        self.diary.0.lock().unwrap().push(told);
        match &mut self.act {
            Some(act) => act(context, what),
            None => Ok(()),
        }
    }
}

impl RebalanceListener for Diarist {
    fn on_assigned(&mut self, c: &RebalanceContext<'_>, p: &[TopicPartition]) -> ListenerResult {
        self.note(c, "assigned", p)
    }

    fn on_revoked(&mut self, c: &RebalanceContext<'_>, p: &[TopicPartition]) -> ListenerResult {
        self.note(c, "revoked", p)
    }

    fn on_lost(&mut self, c: &RebalanceContext<'_>, p: &[TopicPartition]) -> ListenerResult {
        self.note(c, "lost", p)
    }
}

/// Settings of a member of `g` whose id begins with its name, so that members sort by name.
pub fn settings(broker: &Broker, name: &str) -> ConsumerBuilder {
    earliest(broker).group_id("g").client_id(name)
}

/// A member of `g` that subscribes to `t`.
pub fn member(broker: &Broker, name: &str) -> Consumer {
    let consumer = settings(broker, name).build().unwrap();
    consumer.subscribe(["t"]).unwrap();
    consumer
}

pub fn poll(consumer: &Consumer) -> usize {
    consumer.poll(Duration::ZERO).unwrap().len()
}

/// Everybody polls until nothing moves any more.
pub fn settle(members: &[&Consumer]) {
    let moves =
        || -> Vec<_> { members.iter().map(|m| (m.assignment(), m.group_metadata())).collect() };
    let mut before = moves();
    for _ in 0..10 {
        for _ in 0..2 {
            for member in members {
                poll(member);
            }
        }
        let after = moves();
        if after == before {
            return;
        }
        before = after;
    }
    panic!("the group does not settle: {before:?}");
}

/// The partitions of `t` that a member has.
pub fn has(consumer: &Consumer) -> Vec<i32> {
    let assignment = consumer.assignment();
    assignment.iter().filter(|tp| tp.topic() == "t").map(TopicPartition::partition).collect()
}

pub fn generation(consumer: &Consumer) -> i32 {
    consumer.group_metadata().unwrap().generation().unwrap()
}

pub fn committed(broker: &Broker, number: i32) -> Option<i64> {
    let offsets = broker.committed_offsets("g").unwrap();
    offsets.iter().find(|(tp, _)| **tp == t(number)).map(|(_, position)| position.offset())
}
