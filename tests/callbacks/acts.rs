//! What the user's code does.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use logreel::{Broker, Consumer, Offsets, Producer, ProducerRecord};

use crate::SECOND;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    Nothing,
    Panic,
    Send,
    SendAndWait,
    Flush,
    Poll,
    Commit,
    CommitLater,
    Unsubscribe,
    CreateTopic,
    DeleteAnotherTopic,
    DeleteThisTopic,
    Append,
    RunDue,
    Close,
    /// The last that there are, but for that of a call that is under way.
    DropHandles,
}

pub(crate) const ALL: [Act; 16] = [
    Act::Nothing,
    Act::Panic,
    Act::Send,
    Act::SendAndWait,
    Act::Flush,
    Act::Poll,
    Act::Commit,
    Act::CommitLater,
    Act::Unsubscribe,
    Act::CreateTopic,
    Act::DeleteAnotherTopic,
    Act::DeleteThisTopic,
    Act::Append,
    Act::RunDue,
    Act::Close,
    Act::DropHandles,
];

/// What the user's code can reach.
struct Handles {
    broker: Broker,
    producer: Producer,
    consumer: Arc<Consumer>,
}

pub(crate) struct Stage {
    act: Act,
    handles: Mutex<Option<Handles>>,
    begun: AtomicBool,
    done: AtomicUsize,
}

impl Stage {
    pub(crate) fn new(broker: &Broker, act: Act) -> Arc<Self> {
        let consumer = broker.consumer().group_id("inner").build().unwrap();
        let handles = Handles {
            broker: broker.clone(),
            producer: broker.producer().linger(3600 * SECOND).build().unwrap(),
            consumer: Arc::new(consumer),
        };
        let handles = Mutex::new(Some(handles));
        Arc::new(Self { act, handles, begun: AtomicBool::new(false), done: AtomicUsize::new(0) })
    }

    /// Has the code call this consumer.
    pub(crate) fn use_consumer(&self, consumer: &Arc<Consumer>) {
        if let Some(handles) = &mut *self.handles.lock().unwrap() {
            handles.consumer = Arc::clone(consumer);
        }
    }

    /// Has the code call this producer.
    pub(crate) fn use_producer(&self, producer: &Producer) {
        if let Some(handles) = &mut *self.handles.lock().unwrap() {
            handles.producer = producer.clone();
        }
    }

    /// The user's code: does it the first time that it is called. What the calls answer is not
    /// asked: that they answer is.
    pub(crate) fn act(&self) {
        if self.begun.swap(true, Ordering::SeqCst) {
            return;
        }
        struct Done<'a>(&'a AtomicUsize);
        impl Drop for Done<'_> {
            fn drop(&mut self) {
                self.0.fetch_add(1, Ordering::SeqCst);
            }
        }
        let _done = Done(&self.done);
        let mut handles = self.handles.lock().unwrap();
        let (broker, producer, consumer) = match &*handles {
            Some(it) => (it.broker.clone(), it.producer.clone(), Arc::clone(&it.consumer)),
            None => return,
        };
        if self.act == Act::DropHandles {
            let last = handles.take();
            drop(handles);
            drop((broker, producer, consumer));
            drop(last);
            return;
        }
        drop(handles);
        let record = |topic| ProducerRecord::to(topic).value("inside");
        let offsets: Offsets = [(("t", 0), 0)].into_iter().collect();
        match self.act {
            Act::Nothing | Act::DropHandles => {}
            Act::Panic => panic!("a panic, as this test wants it"),
            Act::Send => producer.send(record("other")).forget(),
            Act::SendAndWait => drop(producer.send(record("other")).wait_timeout(SECOND)),
            Act::Flush => drop(producer.flush(Duration::from_millis(10))),
            Act::Poll => drop(consumer.poll(Duration::from_millis(5))),
            Act::Commit => drop(consumer.commit_offsets(&offsets)),
            Act::CommitLater => drop(consumer.commit_offsets_async(&offsets)),
            Act::Unsubscribe => drop(consumer.unsubscribe()),
            Act::CreateTopic => drop(broker.create_topic("made")),
            Act::DeleteAnotherTopic => drop(broker.delete_topic("victim")),
            Act::DeleteThisTopic => drop(broker.delete_topic("t")),
            Act::Append => {
                let log = broker.topic("other").and_then(|topic| topic.partition(0));
                drop(log.and_then(|log| log.append([(None, Some("inside"))]).and(log.sync())));
            }
            Act::RunDue => drop(broker.run_due()),
            Act::Close => drop(broker.close()),
        }
    }

    /// Returns when the code has done it.
    pub(crate) fn wait(&self, patience: Duration) {
        let since = Instant::now();
        while self.done.load(Ordering::SeqCst) == 0 {
            assert!(since.elapsed() < patience, "it was never called, or never came back");
            std::thread::sleep(Duration::from_micros(100));
        }
    }

    /// Drops what the code could reach.
    pub(crate) fn clear(&self) {
        let handles = self.handles.lock().unwrap().take();
        drop(handles);
    }
}
