//! What a stand-in for Kafka promises and Kafka has no need to: nothing is shared, nothing is left
//! behind, and whatever is dropped, nothing hangs.

use std::any::Any;
use std::process::Command;
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use crate::groups::{Diary, poll, settings};
use crate::homes::*;
use logreel::testing::OpKind;
use logreel::{Broker, Consumer, ErrorCode, NewTopic, ProducerRecord};

#[test]
fn t121_two_brokers_share_nothing() {
    for (home, other) in homes().into_iter().zip(homes()) {
        let (mine, others) = (home.open(), other.open());
        home.ok(mine.create_topic(NewTopic::new("t").partitions(2)));
        assert!(others.topic("t").is_err(), "{home}");
        home.ok(others.create_topic("t"));
        assert_eq!(mine.topic("t").unwrap().partition_count(), 2, "{home}");
        // A fault of one, and a producer of the same transactional id in each.
        let fault = others.testing().faults().on(OpKind::Produce).fail(ErrorCode::InvalidRecord);
        let mut producer = home.ok(mine.producer().build_transactional("p"));
        let transaction = home.ok(producer.begin());
        home.ok(transaction.send(value("v")).wait());
        home.ok(others.producer().build_transactional("p"));
        home.ok(transaction.commit());
        assert_eq!(fault.hits(), 0, "{home}");
        assert_eq!(partition(&others, "t", 0).log_end_offset(), 0, "{home}");
        // A member and a commit of the same group.
        let consumer = settings(&mine, "a").build().unwrap();
        consumer.subscribe(["t"]).unwrap();
        assert_eq!(drain(&consumer).len(), 1, "{home}");
        home.ok(consumer.commit());
        assert!(home.ok(others.groups()).is_empty(), "{home}");
        assert!(home.ok(others.committed_offsets("g")).is_empty(), "{home}");
        // And a clock of its own, if any.
        let before = other.now();
        if home.is_mock() {
            home.pass(LONG);
            assert_eq!(other.now(), before, "{home}");
        }
        home.ok(mine.close());
        home.ok(others.topics());
    }
}

/// Threads and descriptors of this process, where the system tells.
fn left_behind() -> Option<[usize; 2]> {
    let count = |of| Some(std::fs::read_dir(format!("/proc/self/{of}")).ok()?.count());
    Some([count("task")?, count("fd")?])
}

/// Everything that may start a thread: a batch that lingers, and what is due later.
fn comes_and_goes(broker: Broker, settle: impl FnOnce()) {
    broker.create_topic("t").unwrap();
    let producer = broker.producer().linger(ms(1)).build().unwrap();
    producer.send(value("v")).forget();
    let consumer = earliest(&broker).group_id("g").build().unwrap();
    consumer.subscribe(["t"]).unwrap();
    assert_eq!(consumer.poll(LONG).unwrap().len(), 1);
    drop(consumer.commit_async());
    settle();
}

/// The test itself, in a process of its own: others beside it have threads and files.
#[test]
fn t121_a_thousand_brokers_in_memory_leave_no_thread_and_no_file() {
    const ALONE: &str = "LOGREEL_ALONE";
    if std::env::var_os(ALONE).is_none() {
        // The homes that it is about.
        homes().iter().take(2).for_each(|home| drop(home.open()));
        let name = "fakes::t121_a_thousand_brokers_in_memory_leave_no_thread_and_no_file";
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", name, "--nocapture"])
            .env(ALONE, "yes")
            .env_remove(SEEN)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(said.contains("1 passed"), "{said}{}", String::from_utf8_lossy(&output.stderr));
        return;
    }
    comes_and_goes(Broker::in_memory(), || ());
    let before = left_behind();
    for _ in 0..500 {
        for home in homes().into_iter().take(2) {
            comes_and_goes(home.open(), || home.pass(ms(u64::from(home.is_mock()))));
        }
    }
    eventually("threads and files are gone", || left_behind() == before);
}

/// Whatever a program holds.
type Things = Vec<Box<dyn Any + Send>>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Everything is written and committed.
    Quiet,
    /// Batches linger, commits and deliveries are under way, a transaction is open.
    Busy,
    /// The same, and nothing can be written.
    Failing,
    /// The same as busy, and the broker is closed already.
    Closed,
}

/// One of everything; the members are in the middle of a rebalance unless it is quiet.
fn things(home: &Home, state: State) -> Things {
    let broker = home.open();
    broker.create_topic(NewTopic::new("t").partitions(2)).unwrap();
    put(&broker, 0, &numbered("v", 5));
    let quiet = state == State::Quiet;
    let member = |name: &str| -> Consumer {
        let consumer = settings(&broker, name).max_poll_records(2).build().unwrap();
        consumer.subscribe(["t"]).unwrap();
        consumer
    };
    let first = member("a");
    let records = first.poll(LONG).unwrap();
    let second = member("b");
    poll(&second);
    let mut transactional = broker.producer().build_transactional("p").unwrap();
    let transaction = transactional.begin().unwrap();
    transaction.send(value("open")).forget();
    if quiet {
        transaction.commit().unwrap();
    } else {
        std::mem::forget(transaction);
    }
    if state == State::Failing {
        let faults = broker.testing().faults().on(OpKind::Produce);
        faults.fail(ErrorCode::NotEnoughReplicas);
    }
    let linger = if quiet { Duration::ZERO } else { LONG };
    let producer = broker.producer().linger(linger).retry_backoff(LONG).build().unwrap();
    let sent = producer.send(value("sent"));
    let batch = producer.send_batch([value("a"), value("b").partition(1)]);
    let commit = first.commit_async();
    let topic = broker.topic("t").unwrap();
    let mut things: Things = vec![
        Box::new(topic.partition(0).unwrap()),
        Box::new(topic),
        Box::new(transactional),
        Box::new((sent, batch)),
        Box::new(producer.clone()),
        Box::new(producer),
        Box::new(commit),
        Box::new(first.committer()),
        Box::new(first.wakeup_handle()),
        Box::new(broker.group("g")),
        Box::new(broker.testing()),
        Box::new((first, records)),
        Box::new(second),
        Box::new(broker.clone()),
    ];
    if state == State::Closed {
        broker.close().unwrap();
    } else {
        things.push(Box::new(broker));
    }
    things
}

/// Runs the body, and fails where it hangs.
fn must_end(what: String, body: impl FnOnce() + Send + 'static) {
    let (ended, wait) = mpsc::channel();
    let name = thread::current().name().unwrap_or_default().to_owned();
    let thread = thread::Builder::new().name(name).spawn(move || {
        body();
        ended.send(()).unwrap();
    });
    let outcome = wait.recv_timeout(LONG);
    assert_ne!(outcome, Err(mpsc::RecvTimeoutError::Timeout), "{what}: it hangs");
    thread.unwrap().join().expect("it went well");
}

const STATES: [State; 4] = [State::Quiet, State::Busy, State::Failing, State::Closed];

#[test]
fn t126_dropping_everything_in_any_order_on_any_thread_does_not_hang() {
    let mut dice: u32 = 77;
    let mut roll = move |below: usize| {
        dice = dice.wrapping_mul(1_103_515_245).wrapping_add(12345);
        (dice >> 16) as usize % below
    };
    for state in STATES {
        for round in 0..9 {
            // Many orders in memory; each way to drop once more on disk, where it takes long.
            for home in homes().into_iter().filter(|home| round < 3 || home.dir().is_none()) {
                let rolls: Vec<usize> = (0..64).map(|_| roll(1 << 15)).collect();
                must_end(format!("{home}: {state:?}, round {round}"), move || {
                    let mut left = things(&home, state);
                    let mut threads = Vec::new();
                    for pair in rolls.chunks(2) {
                        if left.is_empty() {
                            break;
                        }
                        let thing = left.swap_remove(pair[0] % left.len());
                        // In the first rounds on this thread, then on others, in the end on all.
                        match round % 3 {
                            0 => drop(thing),
                            1 => thread::spawn(move || drop(thing)).join().unwrap(),
                            _ if pair[1] % 2 == 0 => drop(thing),
                            _ => threads.push(thread::spawn(move || drop(thing))),
                        }
                    }
                    assert!(left.is_empty());
                    threads.into_iter().for_each(|thread| thread.join().unwrap());
                    // Nothing holds the directory any more.
                    home.ok(home.open().close());
                });
            }
        }
    }
}

/// Drops what it holds when it is called.
fn dropper(things: Things) -> impl FnMut() + Send + 'static {
    let mut things = Some(things);
    move || drop(things.take())
}

#[test]
fn t126_dropping_everything_inside_a_callback_does_not_hang() {
    for state in STATES {
        for home in homes() {
            must_end(format!("{home}: {state:?}, in a delivery's callback"), move || {
                let things = things(&home, state);
                let other = Home::fresh_like(&home).open();
                let producer = other.producer().build().unwrap();
                let mut drops = dropper(things);
                producer.send(value("v")).on_complete(move |_| drops());
                producer.flush(LONG).unwrap();
                home.ok(home.open().close());
            });
        }
        // A closed broker calls nothing any more.
        for home in homes().into_iter().filter(|_| state != State::Closed) {
            must_end(format!("{home}: {state:?}, in its own callbacks"), move || {
                let things = Arc::new(Mutex::new(things(&home, state)));
                let broker = {
                    let things = things.lock().unwrap();
                    things.iter().find_map(|thing| thing.downcast_ref::<Broker>()).cloned().unwrap()
                };
                let held = Arc::clone(&things);
                let take = move || drop(std::mem::take(&mut *held.lock().unwrap()));
                let tell = take.clone();
                let producer = broker.producer().linger(ms(1)).max_block(ms(10)).build().unwrap();
                producer.send(ProducerRecord::to("t").value("v")).on_complete(move |_| tell());
                let listen = Diary::default().acting("l", move |_, _| {
                    take();
                    Ok(())
                });
                let listener = settings(&broker, "l").group_id("l").build().unwrap();
                drop(broker);
                // Whoever comes first drops them, in the middle of this or behind it.
                let _ = listener.subscribe_with(["t"], listen);
                let _ = listener.poll(Duration::ZERO);
                drop((producer, listener));
                drop(things);
                eventually("nothing holds the directory", || home.builder().open().is_ok());
            });
        }
    }
}
