use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use crate::program::Reel;

/// What stands where the pattern has a `#`; all of it must be numbers.
fn numbers<'a>(line: &'a str, pattern: &str) -> Vec<&'a str> {
    let mut literals = pattern.split('#');
    let mut rest = line.strip_prefix(literals.next().unwrap()).unwrap();
    let mut found = Vec::new();
    for literal in literals {
        let at = if literal.is_empty() { Some(rest.len()) } else { rest.find(literal) };
        let (number, after) = rest.split_at(at.unwrap_or_else(|| panic!("{literal}: {line}")));
        assert!(number.parse::<f64>().is_ok_and(f64::is_finite), "{number}: {line}");
        found.push(number);
        rest = &after[literal.len()..];
    }
    assert_eq!(rest, "", "{line}");
    found
}

fn decimals(numbers: &[&str]) -> Vec<usize> {
    let after_point = |number: &&str| number.split_once('.').map_or(0, |(_, after)| after.len());
    numbers.iter().map(after_point).collect()
}

const PERF_WINDOW: &str = "# records sent, # records/sec (# MB/sec), # ms avg latency, \
                           # ms max latency.";
const PERF_END: &str = "# records sent, # records/sec (# MB/sec), # ms avg latency, \
                        # ms max latency, # ms 50th, # ms 95th, # ms 99th, # ms 99.9th.";
const PERF_STEADY: &str = "# steady state records sent, # records/sec (# MB/sec), \
                           # ms avg latency, # ms max latency, # ms 50th, # ms 95th, # ms 99th, \
                           # ms 99.9th.";

#[test]
fn producer_perf_sends_what_it_says() {
    let reel = Reel::new();
    reel.run("topics --create --topic t --partitions 3", "");
    let perf = "producer-perf --topic t --num-records 5000 --record-size 100 --throughput -1";
    for (flags, total) in [
        ("", 5000),
        (
            "--threads 3 --producer-props acks=1 linger.ms=5 --producer-props batch.size=4096",
            10_000,
        ),
        ("--command-property acks=0", 15_000),
    ] {
        let said = reel.run(format!("{perf} {flags}").trim_end(), "");
        let found = numbers(said.strip_suffix('\n').unwrap(), PERF_END);
        assert_eq!(decimals(&found), [0, 6, 2, 2, 2, 0, 0, 0, 0], "{said}");
        assert_eq!(found[0], "5000");
        let values: Vec<f64> = found.iter().map(|number| number.parse().unwrap()).collect();
        let mb = values[1] * 100.0 / 1024.0 / 1024.0;
        assert!((mb - values[2]).abs() < 0.006, "{said}");
        assert!(values[3] <= values[4], "{said}");
        assert!(values[5..].is_sorted() && values[8] <= values[4] + 0.01, "{said}");
        assert_eq!(reel.ends("t").iter().sum::<i64>(), total, "{flags}");
    }
    let values = reel.values("t");
    let is_random = |value: &String| value.bytes().all(|letter| letter.is_ascii_uppercase());
    assert!(values.iter().all(|value| value.len() == 100 && is_random(value)));
    let letters: BTreeSet<u8> = values.iter().flat_map(|value| value.bytes()).collect();
    assert_eq!(letters.len(), 26);
    // Every run of one thread sends the same again.
    assert!(values.iter().collect::<BTreeSet<_>>().len() >= 5000);
}

#[test]
fn producer_perf_sends_payloads_of_a_file_or_numbers() {
    let reel = Reel::new();
    for topic in ["file", "numbers"] {
        reel.run(&format!("topics --create --topic {topic}"), "");
    }
    reel.write("payloads", "\tone\ttwo\nlines\t\tthree\t");
    let perf = "producer-perf --topic file --num-records 200 --throughput -1";
    let said = reel.run(&format!("{perf} --payload-file payloads --payload-delimiter \\t"), "");
    let lines: Vec<&str> = said.lines().collect();
    assert!(lines[0].starts_with("Reading payloads from: /"), "{said}");
    assert!(lines[0].ends_with("/payloads"), "{said}");
    assert_eq!(lines[1], "Number of messages read: 4");
    assert_eq!(numbers(lines[2], PERF_END)[0], "200");
    assert_eq!(reel.ends("file"), [200]);
    let values: BTreeSet<String> = reel.values("file").into_iter().collect();
    // The payload with a newline is two lines.
    assert_eq!(values.iter().collect::<Vec<_>>(), ["", "lines", "one", "three", "two"]);

    let perf = "producer-perf --topic numbers --num-records 12 --throughput -1";
    reel.run(&format!("{perf} --payload-monotonic"), "");
    assert_eq!(reel.values("numbers"), (0..12).map(|n| n.to_string()).collect::<Vec<_>>());
}

/// Ten records a second; the warmup takes half a second of the six.
#[test]
fn producer_perf_keeps_to_its_throughput_and_tells_how_it_goes() {
    let reel = Reel::new();
    let begun = Instant::now();
    let said = reel.run(
        "producer-perf --in-memory --partitions 2 --topic t --num-records 60 --record-size 1000 \
         --throughput 10.0 --warmup-records 5 --threads 2",
        "",
    );
    assert!(begun.elapsed() >= Duration::from_millis(5890), "{:?}", begun.elapsed());
    let lines: Vec<&str> = said.lines().collect();
    let [warmup, steady, window, end, steady_end] = lines[..] else { panic!("{said}") };
    assert_eq!(
        warmup,
        "Warmup first 5 records. Steady state results will print after the complete test summary."
    );
    assert_eq!(steady, "In steady state.");
    let window = numbers(window, PERF_WINDOW);
    assert_eq!(decimals(&window), [0, 1, 2, 1, 1], "{said}");
    assert!((1..=55).contains(&window[0].parse().unwrap()), "{said}");
    let end = numbers(end, PERF_END);
    assert_eq!(end[0], "60");
    assert!(end[1].parse::<f64>().unwrap() < 10.5, "{said}");
    assert_eq!(numbers(steady_end, PERF_STEADY)[0], "55");
    assert!(!reel.dir().exists());
}

#[test]
fn producer_perf_counts_only_what_was_delivered() {
    let reel = Reel::new();
    reel.run("topics --create --topic t", "");
    reel.write("payloads", &format!("short\n{}\n", "x".repeat(2000)));
    let perf = "producer-perf --topic t --num-records 50 --payload-file payloads --throughput -1 \
                --producer-props max.request.size=1000";
    let output = reel.finish(perf, "");
    let said = String::from_utf8(output.stdout).unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{told}");
    let sent: i64 = numbers(said.lines().last().unwrap(), PERF_END)[0].parse().unwrap();
    assert!((1..50).contains(&sent), "{said}");
    assert_eq!(reel.ends("t"), [sent]);
    let failed = format!("reel: {} of 50 records failed, the first: MESSAGE_TOO_LARGE", 50 - sent);
    assert!(told.starts_with(&failed), "{told}");
    assert_eq!(told.lines().count(), 1, "{told}");
}

#[test]
fn producer_perf_refuses_what_makes_no_sense() {
    let reel = Reel::new();
    reel.run("topics --create --topic t", "");
    reel.write("empty", "");
    let perf = "producer-perf --topic t --throughput -1 --num-records 9";
    let letters = format!("{perf} --record-size 10");
    let cases = [
        ("producer-perf --topic t --throughput -1 --record-size 9 --num-records 0", "'0'"),
        ("producer-perf --topic t --throughput -1 --record-size 9 --num-records -1", "'-1'"),
        ("producer-perf --topic t --throughput 0 --record-size 9 --num-records 1", "'0'"),
        ("producer-perf --topic t --throughput fast --record-size 9 --num-records 1", "'fast'"),
        ("producer-perf --topic t --record-size 9 --num-records 1", "--throughput"),
        (
            "producer-perf --in-memory --topic ../x --throughput 9 --num-records 1 --record-size 9",
            "INVALID_TOPIC",
        ),
        (perf, "--record-size"),
        (&format!("{perf} --record-size 0"), "'0'"),
        (&format!("{perf} --payload-file nothing"), "cannot read nothing"),
        (&format!("{perf} --payload-file empty"), "empty holds no payload"),
        (&format!("{perf} --payload-monotonic --record-size 9"), "cannot be used with"),
        (&format!("{letters} --in-memory --dir data"), "cannot be used with"),
        (&format!("{letters} --partitions 2"), "cannot be used with"),
        (&format!("{letters} --producer-props acks=1 no.such=1"), "no.such"),
        (&format!("{letters} --producer-props acks"), "'acks'"),
        (&format!("{letters} --producer.config nothing"), "cannot read nothing"),
        (&format!("{letters} --warmup-records 9"), "--warmup-records"),
        (&format!("{letters} --threads 0"), "'0'"),
        (&letters.replace("--topic t", "--topic nowhere"), "UNKNOWN_TOPIC_OR_PARTITION"),
    ];
    for (line, said) in cases {
        let told = reel.fail(line, "");
        assert!(told.contains(said), "{line}: {told}");
    }
    assert_eq!(reel.ends("t"), [0]);
}
