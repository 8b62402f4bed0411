//! What a child process does.

use std::io::Write as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use logreel::{Acks, Broker, NewTopic, ProducerRecord, Storage};

fn report(line: &str) {
    // One write of a whole line: a kill cannot cut it.
    let _ = std::io::stdout().write_all(format!("{line}\n").as_bytes());
    let _ = std::io::stdout().flush();
}

/// Does nothing unless a test started this binary as its child.
#[test]
fn the_child() {
    let Ok(role) = std::env::var("LOGREEL_TEST_ROLE") else { return };
    let dir = std::env::var("LOGREEL_TEST_DIR").unwrap();
    let argument: usize = std::env::var("LOGREEL_TEST_ARGUMENT").unwrap().parse().unwrap();
    // The harness has printed the beginning of a line.
    report("");
    match role.as_str() {
        "kill-at" => {
            let operations = AtomicUsize::new(0);
            let hook = move |_: &str, _: &str| {
                if operations.fetch_add(1, Ordering::SeqCst) == argument {
                    let pid = nix::unistd::Pid::this();
                    let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL);
                }
                Ok(())
            };
            let storage = Storage::observed(Storage::disk(&dir), hook);
            let broker = Broker::builder().storage(storage).open().unwrap();
            write(&broker, 75);
            broker.close().unwrap();
            report("done");
        }
        "for-ever" => {
            let broker = Broker::open(&dir).unwrap();
            write(&broker, usize::MAX);
        }
        "hold" => match Broker::open(&dir) {
            Ok(broker) => {
                report("opened");
                std::thread::sleep(Duration::from_millis(argument as u64));
                drop(broker);
            }
            Err(error) => report(&format!("refused {:?} {error}", error.kind())),
        },
        "many-segments" => {
            let broker = Broker::open(&dir).unwrap();
            many_segments(&broker, i32::try_from(argument).unwrap());
            broker.close().unwrap();
            let broker = Broker::open(&dir).unwrap();
            many_segments(&broker, i32::try_from(argument).unwrap());
            report("done");
        }
        other => panic!("no such role: {other}"),
    }
}

/// Appends to two partitions at both levels that a kill must not undo, reporting each
/// acknowledgement.
fn write(broker: &Broker, rounds: usize) {
    let topic = NewTopic::new("t").partitions(2).set("segment.bytes", "2000");
    let topic = broker.create_topic(topic).or_else(|_| broker.topic("t")).unwrap();
    let acks = [Acks::Leader, Acks::All];
    let producers = acks.map(|acks| broker.producer().acks(acks).build().unwrap());
    let mut next: Vec<i64> = topic.partitions().iter().map(|p| p.log_end_offset()).collect();
    for round in 0..rounds {
        for (number, next) in (0..).zip(&mut next) {
            let value = format!("{number}:{next}");
            let record = ProducerRecord::to("t").partition(number).value(&value);
            let placed = producers[round % 2].send(record).wait().unwrap();
            assert_eq!(placed.offset(), Some(*next));
            report(&format!("ack {number} {next}"));
            *next += 1;
        }
    }
}

/// Appends to many partitions of several segments each, and reads all of them.
fn many_segments(broker: &Broker, partitions: i32) {
    let topic = NewTopic::new("t").partitions(partitions).set("segment.bytes", "200");
    let topic = broker.create_topic(topic).or_else(|_| broker.topic("t")).unwrap();
    for log in topic.partitions() {
        for _ in 0..6 {
            log.append([(None, Some("a value of some length"))]).unwrap();
        }
        log.sync().unwrap();
    }
    for log in topic.partitions() {
        let end = log.log_end_offset();
        assert_eq!(log.read(0, 1 << 20).unwrap().len() as i64, end);
    }
}
