//! Channels in memory, and logs used as a bus.

use std::path::Path;
use std::time::Instant;

use tokio::runtime::{Builder, Runtime};
use tokio::sync::broadcast;

use crate::logs::kafko;
use crate::logs::yaque::join;
use crate::work::bus::{CAPACITY, age, middle, paced};
use crate::work::measure::{Survives, Workload};
use crate::work::payload::{Payload, Sum};

/// Runs a receiver beside a sender and answers what the receiver came to.
fn beside<T: Send>(receive: impl FnOnce() -> T + Send, send: impl FnOnce()) -> T {
    std::thread::scope(|scope| {
        let receiver = scope.spawn(receive);
        send();
        receiver.join().unwrap()
    })
}

/// The median age of messages when they arrive: `receive` blocks until there is one.
fn paced_through(
    count: usize,
    mut receive: impl FnMut() -> [u8; 8] + Send,
    send: impl FnMut([u8; 8]),
) -> f64 {
    let began = Instant::now();
    let receiver = || (0..count).map(|_| age(began, &receive())).collect::<Vec<f64>>();
    middle(&beside(receiver, || paced(began, count, send)))
}

pub const FLUME: &str = "flume";
pub const BROADCAST: &str = "tokio broadcast";
pub const STD: &str = "std mpsc";
pub const CROSSBEAM: &str = "crossbeam";

/// One message every 100 us, the receiver parked in a blocking receive.
pub fn latency(work: Workload, count: usize) -> Workload {
    work.peer(FLUME, Survives::Nothing, move || {
        let (sender, receiver) = flume::bounded(CAPACITY);
        let receive = move || receiver.recv().unwrap();
        paced_through(count, receive, |message| sender.send(message).unwrap())
    })
    .peer(BROADCAST, Survives::Nothing, move || {
        let (sender, mut receiver) = broadcast::channel(CAPACITY);
        let receive = || receiver.blocking_recv().unwrap();
        paced_through(count, receive, |message| {
            sender.send(message).unwrap();
        })
    })
    .peer(STD, Survives::Nothing, move || {
        let (sender, receiver) = std::sync::mpsc::sync_channel(CAPACITY);
        let receive = move || receiver.recv().unwrap();
        paced_through(count, receive, |message| sender.send(message).unwrap())
    })
    .peer(CROSSBEAM, Survives::Nothing, move || {
        let (sender, receiver) = crossbeam_channel::bounded(CAPACITY);
        let receive = move || receiver.recv().unwrap();
        paced_through(count, receive, |message| sender.send(message).unwrap())
    })
    .peer("kafko", Survives::Process, move || {
        let dir = tempfile::tempdir().unwrap();
        let bus = KafkoBus::new(dir.path());
        let mut consumer = bus.consumer();
        let receive = || {
            let record = bus.log.runtime.block_on(consumer.next_record()).unwrap();
            *record.value().first_chunk().unwrap()
        };
        paced_through(count, receive, |message| bus.send(&[0; 8], &message))
    })
}

/// kafko with a task for the partition, and both ends on threads of their own.
struct KafkoBus {
    log: kafko::Broker<2>,
}

impl KafkoBus {
    fn new(dir: &Path) -> Self {
        Self { log: kafko::Broker::new(dir) }
    }

    fn consumer(&self) -> ::kafko::Consumer {
        self.log.runtime.block_on(self.log.broker.consumer_for(kafko::TOPIC)).unwrap()
    }

    fn send(&self, key: &[u8; 8], value: &[u8]) {
        let (key, value) =
            (bytes::Bytes::copy_from_slice(key), bytes::Bytes::copy_from_slice(value));
        self.log.runtime.block_on(self.log.producer.send(Some(key), value)).unwrap();
    }
}

/// A message that owns what it holds.
type Message = ([u8; 8], Vec<u8>);

fn message(payload: &Payload, i: usize) -> Message {
    (payload.key(i), payload.value(i).to_vec())
}

/// Sends all records through `send`, while `receive` adds up to the sum one or more of them.
/// Records a second.
fn flat_out(
    count: usize,
    mut receive: impl FnMut(&mut Sum) + Send,
    mut send: impl FnMut(&Payload, usize),
) -> f64 {
    let payload = Payload::new(100);
    let expected = payload.sum(count);
    let began = Instant::now();
    let receiver = || {
        let mut sum = Sum::default();
        while sum.count < count {
            receive(&mut sum);
        }
        (began.elapsed(), sum)
    };
    let (took, sum) = beside(receiver, || (0..count).for_each(|i| send(&payload, i)));
    assert_eq!(sum, expected);
    count as f64 / took.as_secs_f64()
}

fn add(sum: &mut Sum, (key, value): Message) {
    sum.add(&key, &value);
}

/// As fast as it goes.
pub fn rate(work: Workload, count: usize, of_logs: usize) -> Workload {
    work.peer(BROADCAST, Survives::Nothing, move || broadcast_rate(count))
        .peer(CROSSBEAM, Survives::Nothing, move || {
            let (sender, receiver) = crossbeam_channel::bounded::<Message>(CAPACITY);
            let receive = |sum: &mut Sum| add(sum, receiver.recv().unwrap());
            flat_out(count, receive, |payload, i| sender.send(message(payload, i)).unwrap())
        })
        .peer(FLUME, Survives::Nothing, move || {
            let (sender, receiver) = flume::bounded::<Message>(CAPACITY);
            let receive = |sum: &mut Sum| add(sum, receiver.recv().unwrap());
            flat_out(count, receive, |payload, i| sender.send(message(payload, i)).unwrap())
        })
        .peer("yaque", Survives::Process, move || yaque_rate(of_logs))
        .peer("kafko", Survives::Process, move || {
            let dir = tempfile::tempdir().unwrap();
            let bus = KafkoBus::new(dir.path());
            let mut consumer = bus.consumer();
            let receive = |sum: &mut Sum| {
                let record = bus.log.runtime.block_on(consumer.next_record()).unwrap();
                sum.add(record.key().unwrap(), record.value());
            };
            flat_out(of_logs, receive, |payload, i| bus.send(&payload.key(i), payload.value(i)))
        })
}

/// A receiver that falls behind loses messages, so the sender waits when the channel is full: it is
/// told how far the receiver is.
fn broadcast_rate(count: usize) -> f64 {
    use std::sync::atomic::{AtomicUsize, Ordering};
    let (sender, mut receiver) = broadcast::channel::<Message>(CAPACITY);
    let received = AtomicUsize::new(0);
    let receive = |sum: &mut Sum| {
        add(sum, receiver.blocking_recv().unwrap());
        received.store(sum.count, Ordering::Release);
    };
    flat_out(count, receive, |payload, i| {
        while i - received.load(Ordering::Acquire) >= CAPACITY {
            std::thread::yield_now();
        }
        sender.send(message(payload, i)).unwrap();
    })
}

fn yaque_rate(count: usize) -> f64 {
    let dir = tempfile::tempdir().unwrap();
    let (mut sender, mut receiver) = yaque::channel(dir.path()).unwrap();
    let runtime: Runtime = Builder::new_current_thread().enable_time().build().unwrap();
    let receive = |sum: &mut Sum| {
        let messages = runtime.block_on(receiver.recv_batch_up_to(100)).unwrap();
        for message in messages.iter() {
            let (key, value) = message.split_at(8);
            sum.add(key, value);
        }
        messages.commit().unwrap();
    };
    let mut buffer = Vec::new();
    flat_out(count, receive, |payload, i| {
        join(&mut buffer, &payload.key(i), payload.value(i));
        sender.try_send(&buffer).unwrap();
    })
}
