//! Every kind of code of the user's that runs inside a call, and everything that it may do there:
//! panic, call whatever there is, close the broker, drop the last handle. Nothing hangs, and
//! afterwards the broker works, or is closed as if nothing had happened.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test that fails may panic"
)]

mod acts;
mod codes;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use logreel::testing::MockClock;
use logreel::{Broker, BrokerBuilder, ErrorKind, OffsetReset, ProducerRecord, Storage};

use acts::{Act, Stage};
use codes::Code;

const SECOND: Duration = Duration::from_secs(1);
/// Nothing here takes as long as this, unless it hangs.
const PATIENCE: Duration = Duration::from_secs(20);

/// Where a broker lives, and whether it has threads.
#[derive(Clone)]
pub(crate) struct Home {
    storage: Storage,
    pub(crate) clock: Option<MockClock>,
}

impl Home {
    fn new(threads: bool) -> Self {
        let clock = (!threads).then(|| MockClock::at_millis(1_700_000_000_000));
        Self { storage: Storage::memory(), clock }
    }

    fn builder(&self) -> BrokerBuilder {
        let builder = Broker::builder().storage(self.storage.clone());
        match &self.clock {
            Some(clock) => builder.clock(clock),
            None => builder,
        }
    }

    /// Opens the directory again, as soon as the thread that closes it is through.
    fn reopen(&self) -> Broker {
        let since = Instant::now();
        loop {
            match self.builder().open() {
                Ok(broker) => return broker,
                Err(error) if error.kind() == ErrorKind::DirectoryLocked => {
                    assert!(since.elapsed() < PATIENCE / 2, "still open: {error}");
                    thread::sleep(Duration::from_millis(1));
                }
                Err(error) => panic!("{error}"),
            }
        }
    }
}

/// What a program does next: it makes, sends, reads and commits, and nobody waits but for the
/// broker's own thread.
fn works(broker: &Broker, home: &Home) {
    let producer = broker.producer().linger(Duration::from_millis(1)).build().unwrap();
    let (told, hear) = mpsc::channel();
    producer.send(ProducerRecord::to("after").value("x")).on_complete(move |outcome| {
        told.send(outcome.unwrap().offset()).unwrap();
    });
    if let Some(clock) = &home.clock {
        clock.advance(SECOND);
    }
    assert_eq!(hear.recv_timeout(PATIENCE / 2), Ok(Some(0)), "the background thread is gone");
    let consumer = broker.consumer().group_id("after").auto_offset_reset(OffsetReset::Earliest);
    let consumer = consumer.build().unwrap();
    consumer.subscribe(["after"]).unwrap();
    assert_eq!(consumer.poll(5 * SECOND).unwrap().len(), 1);
    consumer.commit().unwrap();
    consumer.close().unwrap();
}

/// One kind of code does one thing, once.
fn case(code: Code, act: Act, threads: bool) {
    let home = Home::new(threads);
    let broker = home.builder().topic("t").topic("other").topic("victim").open().unwrap();
    let stage = Stage::new(&broker, act);
    let kept = (act != Act::DropHandles).then(|| broker.clone());
    // A panic comes out of the call where it is said to.
    let _ = catch_unwind(AssertUnwindSafe(|| (code.run)(broker, &stage, &home)));
    stage.wait(PATIENCE / 2);
    stage.clear();
    let is_closed = code.closes || act == Act::Close;
    match kept {
        Some(broker) if !is_closed => works(&broker, &home),
        Some(broker) => {
            let error = broker.topics().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
            let sent = broker
                .producer()
                .build()
                .and_then(|producer| producer.send(ProducerRecord::to("t").value("x")).wait());
            assert_eq!(sent.unwrap_err().kind(), ErrorKind::Closed);
        }
        None => {}
    }
    if is_closed || act == Act::DropHandles {
        let again = home.reopen();
        assert!(again.recovery_report().clean, "closed as if nothing had happened");
        works(&again, &home);
    }
}

/// Every act of one kind of code, each in a thread that is not waited for longer than [`PATIENCE`].
fn cases(code: Code) -> Result<usize, String> {
    let mut done = 0;
    for act in acts::ALL {
        for threads in [true, false] {
            let what = format!("{} that does {act:?}, threads: {threads}", code.name);
            let (ended, wait) = mpsc::channel();
            let thread = thread::spawn(move || {
                case(code, act, threads);
                let _ = ended.send(());
            });
            if wait.recv_timeout(PATIENCE) == Err(mpsc::RecvTimeoutError::Timeout) {
                return Err(format!("{what}: it hangs"));
            }
            thread.join().map_err(|_| what)?;
            done += 1;
        }
    }
    Ok(done)
}

#[test]
fn whatever_users_code_does_nothing_hangs_and_all_goes_on() {
    // Events that threads without a subscriber meet for the first time while one is made may pass
    // it by: it comes when all have been met.
    let (alone, beside): (Vec<_>, Vec<_>) =
        codes::all().into_iter().partition(|code| code.name == "a subscriber of events");
    let running: Vec<_> =
        beside.into_iter().map(|code| thread::spawn(move || cases(code))).collect();
    let mut done: Vec<_> = running.into_iter().map(|thread| thread.join().unwrap()).collect();
    assert_eq!(alone.len(), 1);
    done.extend(alone.into_iter().map(cases));
    let failed: Vec<&String> = done.iter().filter_map(|done| done.as_ref().err()).collect();
    assert!(failed.is_empty(), "{failed:#?}");
    let sum: usize = done.iter().flatten().sum();
    println!("{sum} cases: {} kinds of code, {} acts", done.len(), acts::ALL.len());
    assert!(sum > 200);
}
