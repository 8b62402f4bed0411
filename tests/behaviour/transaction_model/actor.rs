//! A producer on a thread of its own, so that its transaction can stay open between steps.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use logreel::consumer::GroupMetadata;
use logreel::{Broker, ProducerRecord, Result};

/// What a producer is asked to do.
pub enum Ask {
    Begin,
    /// A record with this key, to this partition.
    Send(i32, String),
    /// Position `n` of a group.
    Offsets(&'static str, i64),
    Commit,
    Abort,
}

/// The offset of a record that was sent.
pub type Answer = Result<Option<i64>>;

/// A producer and its thread. Dropped, it leaves its transaction open, as a process that dies does.
pub struct Actor {
    asks: Option<Sender<Ask>>,
    answers: Receiver<Answer>,
    thread: Option<JoinHandle<()>>,
}

impl Actor {
    pub fn new(broker: &Broker, id: &'static str) -> Self {
        let (asks, asked) = channel();
        let (answer, answers) = channel();
        let broker = broker.clone();
        let thread = std::thread::spawn(move || act(&broker, id, &asked, &answer));
        let actor = Self { asks: Some(asks), answers, thread: Some(thread) };
        actor.answers.recv().unwrap().unwrap();
        actor
    }

    pub fn ask(&self, ask: Ask) -> Answer {
        self.asks.as_ref().unwrap().send(ask).unwrap();
        self.answers.recv().unwrap()
    }
}

impl Drop for Actor {
    fn drop(&mut self) {
        drop(self.asks.take());
        let ended = self.thread.take().unwrap().join();
        if !std::thread::panicking() {
            ended.unwrap();
        }
    }
}

fn act(broker: &Broker, id: &'static str, asked: &Receiver<Ask>, answer: &Sender<Answer>) {
    let tell = |told: Answer| answer.send(told).unwrap();
    let mut producer = match broker.producer().build_transactional(id) {
        Ok(producer) => producer,
        Err(error) => return tell(Err(error)),
    };
    tell(Ok(None));
    while let Ok(ask) = asked.recv() {
        assert!(matches!(ask, Ask::Begin), "nothing else is possible");
        let transaction = match producer.begin() {
            Ok(transaction) => transaction,
            Err(error) => {
                tell(Err(error));
                continue;
            }
        };
        tell(Ok(None));
        loop {
            match asked.recv() {
                Ok(Ask::Begin) => panic!("it has begun"),
                Ok(Ask::Send(partition, key)) => {
                    let record = ProducerRecord::to("t").partition(partition).key(key).value("v");
                    tell(transaction.send(record).wait().map(|placed| placed.offset()));
                }
                Ok(Ask::Offsets(group, n)) => {
                    let group = GroupMetadata::without_members(group);
                    let at = [(("t", 0), n)].into_iter().collect();
                    tell(transaction.send_offsets(&at, &group).map(|()| None));
                }
                Ok(Ask::Commit) => break tell(transaction.commit().map(|()| None)),
                Ok(Ask::Abort) => break tell(transaction.abort().map(|()| None)),
                Err(_) => return std::mem::forget(transaction),
            }
        }
    }
}
