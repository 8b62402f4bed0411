//! Consumers whose polls are awaited.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_core::Stream;

use crate::awaiting::*;
use crate::homes::*;
use logreel::testing::MockClock;
use logreel::{
    Broker, Consumer, ErrorKind, Housekeeping, OffsetReset, Producer, ProducerRecord, Records,
};

fn numbers(records: &Records) -> Vec<String> {
    records.to_vec().iter().map(|record| text(&record.value).unwrap()).collect()
}

fn send(producer: &Producer, value: impl ToString) {
    producer.send(ProducerRecord::to("t").value(value.to_string())).wait().unwrap();
}

fn assigned(broker: &Broker) -> Consumer {
    let consumer = reader(broker);
    consumer.assign([("t", 0)]).unwrap();
    consumer
}

fn is_send<T: Send + Unpin>(value: T) -> T {
    value
}

#[test]
fn what_is_there_is_ready_and_what_comes_wakes() {
    for home in homes() {
        let broker = home.open();
        let producer = broker.producer().build().unwrap();
        let consumer = assigned(&broker);
        send(&producer, 0);
        assert_eq!(numbers(&block_on(is_send(consumer.next_batch())).unwrap()), ["0"]);

        let woken = Woken::new();
        let mut next = consumer.next_batch();
        assert!(woken.poll(&mut next).is_pending());
        assert_eq!(woken.count(), 0);
        send(&producer, 1);
        woken.wait_for(1);
        let Poll::Ready(Ok(records)) = woken.poll(&mut next) else { panic!("it was woken") };
        assert_eq!(numbers(&records), ["1"]);

        send(&producer, 2);
        send(&producer, 3);
        let record = block_on(is_send(consumer.recv())).unwrap();
        assert_eq!((record.offset, text(&record.value).as_deref()), (2, Some("2")));
        assert_eq!(consumer.position(&("t", 0).into()).unwrap(), 3);
    }
}

/// A future that waits is not woken for nothing, and one that is gone not at all.
#[test]
fn a_pending_future_costs_nothing() {
    for home in homes() {
        let broker = home.open();
        let producer = broker.producer().build().unwrap();
        let consumer = assigned(&broker);
        consumer.poll(Duration::ZERO).unwrap();
        let (woken, gone) = (Woken::new(), Woken::new());
        let mut next = consumer.next_batch();
        assert!(woken.poll(&mut next).is_pending());
        let mut dropped = consumer.recv();
        assert!(gone.poll(&mut dropped).is_pending());
        drop(dropped);
        std::thread::sleep(Duration::from_millis(30));
        assert_eq!(woken.count(), 0);
        for value in 0..10 {
            send(&producer, value);
        }
        assert_eq!(woken.count(), 1, "once until it is polled again");
        assert!(woken.poll(&mut next).is_ready());
        assert_eq!(gone.count(), 0);
    }
}

#[test]
fn the_newest_waker_counts() {
    let broker = Broker::in_memory();
    let consumer = assigned(&broker);
    consumer.poll(Duration::ZERO).unwrap();
    let (first, second) = (Woken::new(), Woken::new());
    let mut next = consumer.recv();
    assert!(first.poll(&mut next).is_pending());
    assert!(second.poll(&mut next).is_pending());
    send(&broker.producer().build().unwrap(), 1);
    assert_eq!((first.count(), second.count()), (0, 1));
}

/// The first of two futures that is ready; the other is dropped.
async fn race<A: Future + Unpin, B: Future + Unpin>(mut a: A, mut b: B) -> Option<A::Output> {
    std::future::poll_fn(move |context| {
        if let Poll::Ready(output) = Pin::new(&mut a).poll(context) {
            return Poll::Ready(Some(output));
        }
        Pin::new(&mut b).poll(context).map(|_| None)
    })
    .await
}

/// Is ready when it is polled for the second time.
struct Soon(bool);

impl Future for Soon {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if std::mem::replace(&mut self.0, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

#[test]
fn a_future_that_loses_a_race_loses_nothing() {
    for home in homes() {
        let broker = home.open();
        let producer = broker.producer().build().unwrap();
        broker.create_topic("t").unwrap();
        let consumer = assigned(&broker);
        let (mut got, mut lost, mut sent) = (Vec::new(), 0, 0);
        while got.len() < 100 {
            if sent < 100 && lost % 2 == 0 {
                send(&producer, sent);
                sent += 1;
            }
            let winner = match lost % 3 {
                0 => block_on(race(consumer.recv(), Soon(false)))
                    .map(|one| vec![text(&one.unwrap().value).unwrap()]),
                _ => block_on(race(consumer.next_batch(), Soon(lost % 3 == 1)))
                    .map(|some| numbers(&some.unwrap())),
            };
            match winner {
                Some(values) => got.extend(values),
                None => lost += 1,
            }
            if sent == got.len() {
                assert!(block_on(race(consumer.recv(), Soon(false))).is_none());
            }
        }
        assert_eq!(got, (0..100).map(|n| n.to_string()).collect::<Vec<_>>());
    }
}

#[test]
fn two_futures_share_what_comes() {
    for home in homes() {
        let broker = home.open();
        let producer = broker.producer().build().unwrap();
        let consumer = assigned(&broker);
        let mut got = Vec::new();
        for round in 0..20 {
            let (one, two) = (Woken::new(), Woken::new());
            let (mut first, mut second) = (consumer.recv(), consumer.recv());
            assert!(one.poll(&mut first).is_pending());
            assert!(two.poll(&mut second).is_pending());
            send(&producer, 2 * round);
            one.wait_for(1);
            two.wait_for(1);
            let Poll::Ready(record) = one.poll(&mut first) else { panic!("the first is woken") };
            got.push(record.unwrap().offset);
            assert!(two.poll(&mut second).is_pending());
            send(&producer, 2 * round + 1);
            two.wait_for(2);
            let Poll::Ready(record) = two.poll(&mut second) else { panic!("the second is woken") };
            got.push(record.unwrap().offset);
        }
        assert_eq!(got, (0..40).collect::<Vec<i64>>());
    }
}

#[test]
fn a_wake_up_ends_a_future_once() {
    for home in homes() {
        let broker = home.open();
        let consumer = assigned(&broker);
        consumer.poll(Duration::ZERO).unwrap();
        let woken = Woken::new();
        let mut next = consumer.recv();
        assert!(woken.poll(&mut next).is_pending());
        consumer.wakeup();
        assert_eq!(woken.count(), 1);
        let Poll::Ready(Err(error)) = woken.poll(&mut next) else { panic!("it was ended") };
        assert_eq!(error.kind(), ErrorKind::Wakeup);
        let mut after = consumer.recv();
        assert!(woken.poll(&mut after).is_pending());
    }
}

#[test]
fn the_end_of_the_broker_ends_a_future() {
    for home in homes() {
        let broker = home.open();
        let consumer = assigned(&broker);
        consumer.poll(Duration::ZERO).unwrap();
        let woken = Woken::new();
        let mut next = consumer.next_batch();
        assert!(woken.poll(&mut next).is_pending());
        broker.close().unwrap();
        woken.wait_for(1);
        let Poll::Ready(Err(error)) = woken.poll(&mut next) else { panic!("it was ended") };
        assert_eq!(error.kind(), ErrorKind::Closed);
    }
}

/// A task that owns its consumer ends with it, and lets the directory go.
#[test]
fn a_dropped_task_lets_go_of_everything() {
    let home = disk();
    let broker = home.open();
    let consumer = assigned(&broker);
    drop(broker);
    let mut task = Box::pin(async move { consumer.recv().await.map(|record| record.offset) });
    let woken = Woken::new();
    assert!(woken.poll(&mut task).is_pending());
    drop(task);
    assert!(home.open().recovery_report().clean);
}

#[test]
fn a_topic_that_appears_wakes() {
    for home in homes() {
        let broker = home.open();
        let builder = broker.consumer().auto_offset_reset(OffsetReset::Earliest);
        let consumer = builder.allow_auto_create_topics(false).build().unwrap();
        consumer.assign([("t", 0)]).unwrap();
        let woken = Woken::new();
        let mut next = consumer.recv();
        assert!(woken.poll(&mut next).is_pending());
        broker.create_topic("t").unwrap();
        assert_eq!(woken.count(), 1);
        assert!(woken.poll(&mut next).is_pending());
        send(&broker.producer().build().unwrap(), 1);
        assert!(woken.poll(&mut next).is_ready());
    }
}

#[test]
fn a_seek_and_the_end_of_a_rest_wake() {
    let broker = Broker::in_memory();
    let consumer = assigned(&broker);
    send(&broker.producer().build().unwrap(), 1);
    assert_eq!(block_on(consumer.recv()).unwrap().offset, 0);
    let woken = Woken::new();
    let mut next = consumer.recv();
    assert!(woken.poll(&mut next).is_pending());
    consumer.pause([("t", 0)]).unwrap();
    consumer.seek(("t", 0), 0).unwrap();
    woken.wait_for(1);
    assert!(woken.poll(&mut next).is_pending(), "it rests");
    let before = woken.count();
    consumer.resume([("t", 0)]).unwrap();
    assert!(woken.count() > before);
    assert!(woken.poll(&mut next).is_ready());
}

fn holding(broker: &Broker, wait: Duration) -> Consumer {
    let builder = broker.consumer().auto_offset_reset(OffsetReset::Earliest);
    let consumer = builder.fetch_min_bytes(1 << 20).fetch_max_wait(wait).build().unwrap();
    consumer.assign([("t", 0)]).unwrap();
    consumer
}

/// Records that `fetch.min.bytes` holds back come out after `fetch.max.wait.ms` by themselves.
#[test]
fn what_is_held_back_comes_in_time() {
    let wait = Duration::from_millis(80);
    for home in homes() {
        let broker = home.open();
        send(&broker.producer().build().unwrap(), 1);
        let consumer = holding(&broker, wait);
        let began = (std::time::Instant::now(), home.clock.as_ref().map(MockClock::wall_millis));
        let woken = Woken::new();
        let mut next = consumer.next_batch();
        if home.clock.is_none() {
            assert!(woken.poll(&mut next).is_pending());
            woken.wait_for(1);
            assert!(began.0.elapsed() >= wait);
        }
        assert_eq!(numbers(&block_on(next).unwrap()), ["1"]);
        if let (Some(clock), Some(then)) = (&home.clock, began.1) {
            assert_eq!(clock.wall_millis() - then, 80);
        }
    }
}

#[test]
fn a_clock_that_is_moved_wakes_who_waits_for_it() {
    let clock = MockClock::manual(NOW);
    let broker = Broker::builder().clock(&clock).open().unwrap();
    send(&broker.producer().build().unwrap(), 1);
    let consumer = holding(&broker, SECOND);
    let woken = Woken::new();
    let mut next = consumer.next_batch();
    assert!(woken.poll(&mut next).is_pending());
    clock.advance(SECOND / 2);
    assert_eq!(woken.count(), 0);
    clock.advance(SECOND / 2);
    assert_eq!(woken.count(), 1);
    assert!(woken.poll(&mut next).is_ready());

    // What lingers is written when the clock has come to it.
    let consumer = assigned(&broker);
    assert_eq!(block_on(consumer.recv()).unwrap().offset, 0);
    let mut next = consumer.recv();
    assert!(woken.poll(&mut next).is_pending());
    let producer = broker.producer().linger(SECOND).build().unwrap();
    producer.send(ProducerRecord::to("t").value("2")).forget();
    assert!(woken.poll(&mut next).is_pending());
    clock.advance(SECOND);
    assert_eq!(woken.count(), 2);
    assert!(woken.poll(&mut next).is_ready());
}

/// Without threads awaiting does what is due, and lets time pass where only that helps.
#[test]
fn without_threads_awaiting_does_what_is_due() {
    let clock = MockClock::at_millis(NOW);
    let brokers = [
        Broker::builder().housekeeping(Housekeeping::Manual).open().unwrap(),
        Broker::builder().clock(&clock).open().unwrap(),
    ];
    for broker in brokers {
        must_end(move || {
            let producer = broker.producer().linger(Duration::from_millis(150)).build().unwrap();
            let consumer = assigned(&broker);
            producer.send(ProducerRecord::to("t").value("1")).forget();
            assert_eq!(block_on(consumer.recv()).unwrap().offset, 0);
            let held = holding(&broker, Duration::from_millis(150));
            assert_eq!(block_on(held.next_batch()).unwrap().len(), 1);
        });
    }
    assert_eq!(clock.wall_millis() - NOW, 300);
}

/// Who reads a directory that another broker writes is told of what comes.
#[test]
fn a_follower_is_woken() {
    let home = disk();
    let writer = home.open();
    let producer = writer.producer().build().unwrap();
    send(&producer, 1);
    for manual in [false, true] {
        let builder = Broker::builder().dir(home.dir().unwrap());
        let builder = if manual { builder.housekeeping(Housekeeping::Manual) } else { builder };
        let consumer = assigned(&builder.open_read_only().unwrap());
        while !consumer.poll(Duration::ZERO).unwrap().is_empty() {}
        let before = consumer.position(&("t", 0).into()).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(Duration::from_millis(50));
                send(&producer, 2);
            });
            assert_eq!(block_on(consumer.recv()).unwrap().offset, before);
        });
    }
}

#[test]
fn a_stream_gives_one_record_after_the_other() {
    for home in homes() {
        let broker = home.open();
        let producer = broker.producer().build().unwrap();
        let consumer = assigned(&broker);
        for value in 0..3 {
            send(&producer, value);
        }
        let mut stream = is_send(consumer.stream());
        let woken = Woken::new();
        let waker = Waker::from(Arc::clone(&woken));
        let mut next = || Pin::new(&mut stream).poll_next(&mut Context::from_waker(&waker));
        for offset in 0..3 {
            let Poll::Ready(Some(Ok(record))) = next() else { panic!("it is there") };
            assert_eq!(record.offset, offset);
        }
        assert!(next().is_pending());
        send(&producer, 3);
        assert_eq!(woken.count(), 1);
        assert!(matches!(next(), Poll::Ready(Some(Ok(_)))));
        consumer.wakeup();
        assert!(matches!(next(), Poll::Ready(Some(Err(_)))));
        assert!(matches!(next(), Poll::Ready(None)), "an error is the last item");
    }
}

#[test]
fn a_consumer_that_wants_nothing_says_so() {
    let consumer = Broker::in_memory().consumer().build().unwrap();
    let error = block_on(consumer.recv()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::IllegalState);
}

/// Tasks on threads of their own: each record is seen once, whoever awaits it.
#[test]
fn many_threads_await_one_consumer() {
    for home in [disk(), Home { files: Files::Memory(logreel::Storage::memory()), ..disk() }] {
        let broker = home.open();
        broker.create_topic("t").unwrap();
        let consumer = assigned(&broker);
        let total = 2000;
        let mut all: Vec<i64> = std::thread::scope(|scope| {
            let read = || {
                let mut mine = Vec::new();
                loop {
                    match block_on(consumer.recv()) {
                        Ok(record) => mine.push(record.offset),
                        Err(error) => {
                            assert_eq!(error.kind(), ErrorKind::Wakeup);
                            return mine;
                        }
                    }
                    if mine.last() == Some(&(total - 1)) {
                        // The others wait for records that will not come; each ends one more.
                        return mine;
                    }
                }
            };
            let readers: Vec<_> = (0..4).map(|_| scope.spawn(read)).collect();
            let producer = broker.producer().build().unwrap();
            for value in 0..total {
                send(&producer, value);
            }
            while !readers.iter().all(|reader| reader.is_finished()) {
                if consumer.position(&("t", 0).into()).unwrap() == total {
                    consumer.wakeup();
                }
                std::thread::yield_now();
            }
            readers.into_iter().flat_map(|reader| reader.join().unwrap()).collect()
        });
        all.sort_unstable();
        assert_eq!(all, (0..total).collect::<Vec<i64>>());
    }
}

/// A waker is the user's code: it may call whatever the thread that wakes it has locked.
#[test]
fn a_waker_calls_back_into_who_woke_it() {
    // It sends to the partition, whose batches run under a token.
    for home in homes() {
        must_end(move || {
            let broker = home.open();
            let producer = broker.producer().build().unwrap();
            let consumer = assigned(&broker);
            consumer.poll(Duration::ZERO).unwrap();
            let mut next = consumer.next_batch();
            let answers = producer.clone();
            let waker = Runs::waker(move || send(&answers, "from the waker"));
            assert!(Pin::new(&mut next).poll(&mut Context::from_waker(&waker)).is_pending());
            send(&producer, 1);
            let mut values = numbers(&block_on(next).unwrap());
            values.extend(drain(&consumer).iter().map(|record| text(&record.value).unwrap()));
            assert_eq!(values, ["1", "from the waker"]);
        });
    }
}

#[test]
fn a_waker_calls_the_consumer_whose_poll_made_a_topic() {
    must_end(|| {
        let broker = Broker::in_memory();
        let maker = Arc::new(reader(&broker));
        maker.assign([("t", 0)]).unwrap();
        let waits = broker.consumer().allow_auto_create_topics(false).build().unwrap();
        waits.assign([("t", 0)]).unwrap();
        let mut next = pin!(waits.recv());
        let asked = Arc::clone(&maker);
        let (told, hear) = std::sync::mpsc::channel();
        let waker = Runs::waker(move || told.send(asked.assignment().len()).unwrap());
        assert!(next.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        maker.poll(Duration::ZERO).unwrap();
        assert_eq!(hear.try_recv(), Ok(1));
    });
}

#[test]
fn a_waker_makes_a_topic_while_another_is_deleted() {
    must_end(|| {
        let broker = Broker::in_memory();
        broker.create_topic("t").unwrap();
        let consumer = assigned(&broker);
        let mut next = pin!(consumer.recv());
        let makes = broker.clone();
        let (told, hear) = std::sync::mpsc::channel();
        let waker = Runs::waker(move || told.send(makes.create_topic("u").is_ok()).unwrap());
        assert!(next.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        broker.delete_topic("t").unwrap();
        assert_eq!(hear.try_recv(), Ok(true));
    });
}

#[test]
fn a_waker_commits_while_another_commit_is_written() {
    must_end(|| {
        let broker = Broker::in_memory();
        let consumer = Arc::new(broker.consumer().group_id("g").build().unwrap());
        consumer.assign([("t", 0)]).unwrap();
        consumer.poll(Duration::ZERO).unwrap();
        consumer.commit().unwrap();
        let offsets = reader(&broker);
        offsets.assign([("__consumer_offsets", 0)]).unwrap();
        drain(&offsets);
        let mut next = pin!(offsets.recv());
        let commits = Arc::clone(&consumer);
        let (told, hear) = std::sync::mpsc::channel();
        let waker = Runs::waker(move || told.send(commits.commit().is_ok()).unwrap());
        assert!(next.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        consumer.commit().unwrap();
        assert_eq!(hear.try_recv(), Ok(true));
    });
}
