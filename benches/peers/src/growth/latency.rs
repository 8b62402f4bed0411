//! How long an append takes while nothing else happens, while the log is compacted, and while
//! retention deletes segments.

use std::time::{Duration, Instant};

use logreel::{Acks, Broker, NewTopic, ProducerRecord};

use super::plot::{Curve, Plot};
use crate::work::Scale;
use crate::work::payload::{Payload, mix};
use crate::work::subject::TOPIC;

/// Appends a second: an application's pace, with time left for everything else.
const PACE: u64 = 10_000;

/// Of how many keys the compacted log holds the last value.
const KEYS: u64 = 10_000;

const PERMILLES: [(usize, &str); 5] =
    [(500, "50 %"), (900, "90 %"), (990, "99 %"), (999, "99.9 %"), (1000, "longest")];

/// What goes on beside the appends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Beside {
    Nothing,
    Compaction,
    /// Every thousandth append begins a segment: what retention needs, and costs by itself.
    Rolling,
    Retention,
}

pub fn disturbed(scale: Scale) -> Vec<Plot> {
    let curves = [
        (Beside::Nothing, "quiet"),
        (Beside::Compaction, "during compaction"),
        (Beside::Rolling, "a new segment every MiB"),
        (Beside::Retention, "the same during retention"),
    ];
    let curves = curves.into_iter().map(|(beside, name)| {
        let values = latencies(scale, beside);
        let at = |permille: usize| values[(values.len() * permille / 1000).min(values.len() - 1)];
        let values = PERMILLES.iter().map(|(permille, _)| at(*permille)).collect();
        Curve { name: name.to_owned(), values }
    });
    let title = format!("Latency of an append, acks=1, 1 KiB, {PACE} a second");
    vec![Plot {
        file: "latency.svg",
        title,
        x: "share of the appends",
        y: "microseconds at most",
        places: PERMILLES.iter().map(|(_, name)| (*name).to_owned()).collect(),
        curves: curves.collect(),
        log: true,
    }]
}

/// A topic that has as much to do as it can.
fn topic(beside: Beside) -> NewTopic {
    let topic = NewTopic::new(TOPIC);
    match beside {
        Beside::Nothing => topic,
        Beside::Compaction => topic
            .set("cleanup.policy", "compact")
            .set("segment.bytes", "4194304")
            .set("min.cleanable.dirty.ratio", "0.01"),
        Beside::Rolling => topic.set("segment.bytes", "1048576"),
        Beside::Retention => {
            topic.set("segment.bytes", "1048576").set("retention.bytes", "2097152")
        }
    }
}

/// How long each append took, in microseconds, in ascending order.
fn latencies(scale: Scale, beside: Beside) -> Vec<f64> {
    let dir = tempfile::tempdir().unwrap();
    let broker = Broker::builder()
        .dir(dir.path())
        .set("log.initial.task.delay.ms", "0")
        .set("log.cleaner.backoff.ms", "10")
        .set("log.retention.check.interval.ms", "20")
        .open()
        .unwrap();
    broker.create_topic(topic(beside)).unwrap();
    let producer = broker.producer().acks(Acks::Leader).build().unwrap();
    let payload = Payload::new(1024);
    let count = if scale == Scale::Test { 5_000 } else { 100_000 };
    let gap = Duration::from_nanos(1_000_000_000 / PACE);
    let mut latencies = Vec::with_capacity(count);
    let began = Instant::now();
    for i in 0..count {
        let due = gap * u32::try_from(i).unwrap();
        while began.elapsed() < due {
            std::thread::sleep(Duration::from_micros(20));
        }
        let key = (mix(i as u64) % KEYS).to_be_bytes();
        let record = ProducerRecord::to(TOPIC).key(&key[..]).value(payload.value(i));
        let sent = Instant::now();
        producer.send(record).wait().unwrap();
        latencies.push(sent.elapsed().as_secs_f64() * 1e6);
    }
    check(&broker, beside);
    assert_eq!(
        broker.topic(TOPIC).unwrap().partition(0).unwrap().log_end_offset(),
        i64::try_from(count).unwrap()
    );
    latencies.sort_by(f64::total_cmp);
    latencies
}

/// It went on: otherwise nothing was measured. The upkeep works beside the appends, so its last
/// turn is waited for.
fn check(broker: &Broker, beside: Beside) {
    let ends = Instant::now() + Duration::from_secs(30);
    let went_on = || {
        let metrics = broker.metrics();
        match beside {
            Beside::Nothing => true,
            Beside::Rolling => metrics.rolls > 0,
            Beside::Compaction => metrics.cleaner_records_left < metrics.cleaner_records_read,
            Beside::Retention => metrics.segments_deleted > 0,
        }
    };
    while !went_on() {
        assert!(Instant::now() < ends, "no {beside:?} went on beside the appends");
        std::thread::sleep(Duration::from_millis(10));
    }
    let metrics = broker.metrics();
    match beside {
        Beside::Nothing => {}
        Beside::Rolling => eprintln!("{} segments were begun", metrics.rolls),
        Beside::Compaction => eprintln!("compaction read {} MiB", metrics.cleaner_bytes_read >> 20),
        Beside::Retention => eprintln!("retention deleted {} segments", metrics.segments_deleted),
    }
}
