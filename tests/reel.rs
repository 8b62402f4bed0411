//! The example program `reel`, run as a user runs it.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "helpers of tests")]

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use logreel::{Broker, Partition};
use tempfile::TempDir;

/// The program lies beside this test's own directory; a plain `cargo test` builds both.
fn program() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let built = test.parent().and_then(Path::parent).unwrap().join("examples/reel");
    assert!(built.exists(), "run `cargo build --example reel` first, or a plain `cargo test`");
    built
}

struct Reel {
    home: TempDir,
}

impl Reel {
    fn new() -> Self {
        Self { home: tempfile::tempdir().unwrap() }
    }

    fn dir(&self) -> PathBuf {
        self.home.path().join("data")
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.home.path().join(name), text).unwrap();
    }

    /// The end of each partition.
    fn ends(&self, topic: &str) -> Vec<i64> {
        let broker = Broker::open_read_only(self.dir()).unwrap();
        let partitions = broker.topic(topic).unwrap().partitions();
        partitions.iter().map(Partition::log_end_offset).collect()
    }

    /// The values of a topic, partition by partition.
    fn values(&self, topic: &str) -> Vec<String> {
        let line = format!("console-consumer --topic {topic} --from-beginning --timeout-ms 300");
        self.run(&line, "").lines().map(str::to_owned).collect()
    }

    fn start(&self, line: &str) -> Child {
        let mut words = line.split(' ');
        let mut command = Command::new(program());
        command.arg(words.next().unwrap());
        if !line.starts_with("dump-log") && !line.contains("--in-memory") {
            command.arg("--dir").arg(self.dir());
        }
        command
            .args(words)
            .current_dir(self.home.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }

    fn finish(&self, line: &str, input: &str) -> Output {
        let mut child = self.start(line);
        // A command that refuses its flags may be gone before it reads.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        child.wait_with_output().unwrap()
    }

    /// Runs a command that must succeed and answers what it printed.
    fn run(&self, line: &str, input: &str) -> String {
        let output = self.finish(line, input);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{line}: {said}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs a command that must fail, with code 1 and one line, and answers the line.
    fn fail(&self, line: &str, input: &str) -> String {
        let output = self.finish(line, input);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{line}: {said}");
        assert_eq!(said.lines().count(), 1, "{line}: {said}");
        said
    }
}

#[test]
fn what_goes_in_comes_out() {
    let reel = Reel::new();
    let created = reel.run("topics --create --topic orders --config segment.bytes=1048576", "");
    assert_eq!(created, "Created topic orders.\n");
    assert_eq!(reel.run("topics --list", ""), "orders\n");

    let keyed = "--property parse.key=true --property key.separator=: --property null.marker=NIL";
    let produce = format!("console-producer --topic orders --print-metadata {keyed}");
    let placed = reel.run(&produce, "a:1\nb:2\r\nc:NIL\n");
    assert_eq!(placed, "orders-0@0\norders-0@1\norders-0@2\n");
    let headed = "--sync --property parse.headers=true --compression-codec zstd";
    reel.run(&format!("console-producer --topic orders {headed}"), "x:1,x:2\tlast");

    let print = "--property print.key=true --property print.offset=true \
                 --property print.headers=true";
    let consume = "console-consumer --topic orders --from-beginning --max-messages 4";
    assert_eq!(
        reel.run(&format!("{consume} {print}"), ""),
        "Offset:0\tNO_HEADERS\ta\t1\nOffset:1\tNO_HEADERS\tb\t2\n\
         Offset:2\tNO_HEADERS\tc\tnull\nOffset:3\tx:1,x:2\tnull\tlast\n"
    );

    let described = reel.run("topics --describe --topic orders", "");
    let lines: Vec<&str> = described.lines().collect();
    let [topic, partition] = lines[..] else { panic!("{described}") };
    let fields: Vec<&str> = topic.split('\t').collect();
    assert_eq!(fields[0], "Topic: orders");
    assert_eq!(
        fields[2..],
        ["PartitionCount: 1", "ReplicationFactor: 1", "Configs: segment.bytes=1048576"]
    );
    let wanted = "\tTopic: orders\tPartition: 0\tLeader: 0\tReplicas: 0\tIsr: 0";
    assert_eq!(partition, wanted);

    let dumped =
        reel.run("dump-log --files data/orders-0/00000000000000000000.log --print-data-log", "");
    assert!(dumped.contains("baseOffset: 0 lastOffset: "), "{dumped}");
    assert!(dumped.contains("compresscodec: zstd"), "{dumped}");
    assert!(!dumped.contains("isvalid: false") && !dumped.contains("invalid bytes"), "{dumped}");
    let records: Vec<&str> = dumped.lines().filter(|line| line.starts_with("| ")).collect();
    assert_eq!(records.len(), 4, "{dumped}");
    assert!(records[1].ends_with("headerKeys: [] key: b payload: 2"), "{}", records[1]);
    assert!(records[2].contains("keySize: 1 valueSize: -1"), "{}", records[2]);
    assert!(records[3].ends_with("headerKeys: [x,x] payload: last"), "{}", records[3]);
}

#[test]
fn a_group_commits_what_was_printed() {
    let reel = Reel::new();
    reel.run("topics --create --topic t --partitions 2", "");
    let input: String = (0..100).map(|n| format!("k{n}\tv{n}\n")).collect();
    reel.run("console-producer --topic t --property parse.key=true", &input);

    let consume = "console-consumer --topic t --group g --from-beginning";
    let first = reel.run(&format!("{consume} --max-messages 40"), "");
    let rest = reel.run(&format!("{consume} --timeout-ms 500"), "");
    assert_eq!((first.lines().count(), rest.lines().count()), (40, 60));
    let mut all: Vec<&str> = first.lines().chain(rest.lines()).collect();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), 100);
    assert_eq!(reel.run(&format!("{consume} --timeout-ms 200"), ""), "");
}

#[test]
fn records_are_json_if_asked_for() {
    let reel = Reel::new();
    reel.run("topics --create --topic t", "");
    let produce = "console-producer --topic t --property parse.headers=true \
                   --property null.marker=NIL";
    reel.run(produce, "h:NIL\thello");
    let line = reel.run(
        "console-consumer --topic t --partition 0 --offset earliest --max-messages 1 --output json",
        "",
    );
    let value: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(value["topic"], "t");
    assert_eq!((&value["partition"], &value["offset"]), (&0.into(), &0.into()));
    assert_eq!(value["timestamp_type"], "CreateTime");
    assert_eq!((&value["key"], &value["value"]), (&serde_json::Value::Null, &"aGVsbG8=".into()));
    assert_eq!(value["headers"], serde_json::json!([["h", null]]));
}

#[test]
fn a_second_process_watches_the_first() {
    let reel = Reel::new();
    reel.run("topics --create --topic t", "");
    let mut producer = reel.start("console-producer --topic t --print-metadata");
    let mut input = producer.stdin.take().unwrap();
    let mut delivered = BufReader::new(producer.stdout.take().unwrap());
    let mut consumer = reel.start("console-consumer --topic t --from-beginning --max-messages 3");
    let mut shown = BufReader::new(consumer.stdout.take().unwrap());
    for n in 0..3 {
        writeln!(input, "m{n}").unwrap();
        let mut line = String::new();
        delivered.read_line(&mut line).unwrap();
        assert_eq!(line, format!("t-0@{n}\n"));
        line.clear();
        shown.read_line(&mut line).unwrap();
        assert_eq!(line, format!("m{n}\n"), "while the producer has the directory open");
    }
    let refused = reel.fail("topics --create --topic u", "");
    assert!(refused.contains(&format!("process {} ", producer.id())), "{refused}");
    drop(input);
    assert!(producer.wait().unwrap().success() && consumer.wait().unwrap().success());
}

#[test]
fn bad_input_gets_one_line_and_code_one() {
    let reel = Reel::new();
    assert!(reel.fail("topics --list", "").contains("is not a log directory"));
    reel.run("topics --create --topic t", "");
    let cases = [
        ("topics", "--create"),
        ("topics --frob", "--frob"),
        ("topics --create --topic t", "TOPIC_ALREADY_EXISTS"),
        ("topics --create --topic ../x", "INVALID_TOPIC_EXCEPTION"),
        ("topics --create --topic u --partitions many", "many"),
        ("topics --create --topic u --partitions -1", "INVALID_PARTITIONS"),
        ("topics --create --topic u --replication-factor 3", "INVALID_REPLICATION_FACTOR"),
        ("topics --create --topic u --config no.such=1", "no.such"),
        ("topics --describe --topic nowhere", "UNKNOWN_TOPIC_OR_PARTITION"),
        ("topics --alter --topic t --partitions 1", "INVALID_PARTITIONS"),
        ("topics --delete --topic nowhere", "UNKNOWN_TOPIC_OR_PARTITION"),
        ("console-producer --topic nowhere", "UNKNOWN_TOPIC_OR_PARTITION"),
        ("console-producer --topic t --property parse.key=true", "no key separator on line 1"),
        ("console-producer --topic t --producer-property acks=9", "acks"),
        ("console-producer --topic t --request-required-acks 7", "acks"),
        ("console-producer --topic t --timeout -5", "-5"),
        ("console-producer --topic t --batch-size x", "x"),
        ("console-producer --topic t --reader-config none", "cannot read none"),
        ("console-producer --topic t --producer.config none", "cannot read none"),
        ("console-producer --topic t --property parse.key=maybe", "true or false"),
        ("console-producer --topic t --property key.separator=", "key.separator is empty"),
        ("console-producer --topic t --property null.marker=:", "headers.key.separator"),
        ("console-producer --topic t --property headers.delimiter=,", "may not be equal"),
        ("console-consumer --topic nowhere", "UNKNOWN_TOPIC_OR_PARTITION"),
        ("console-consumer --topic t --partition 9", "no partition 9"),
        ("console-consumer --topic t --partition 0 --offset -5", "-5"),
        ("console-consumer --topic t --max-messages x", "x"),
        ("dump-log --files nothing.log", "nothing.log"),
        ("dump-log --files data/00000000000000000000.log", "cannot read"),
    ];
    for (line, said) in cases {
        let told = reel.fail(line, "no separator");
        assert!(told.contains(said), "{line}: {told}");
    }
}

#[test]
fn nobody_has_to_listen() {
    let reel = Reel::new();
    reel.run("topics --create --topic t --partitions 200", "");
    let input: String = (0..20_000).map(|n| format!("{n}\n")).collect();
    reel.run("console-producer --topic t", &input);
    for line in ["topics --describe", "console-consumer --topic t --from-beginning"] {
        let mut child = reel.start(line);
        let mut first = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
        assert!(!first.is_empty());
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success() && !said.contains("panicked"), "{line}: {said}");
    }
}

#[test]
fn flags_win_over_properties_and_those_over_files() {
    let reel = Reel::new();
    reel.run("topics --create --topic t", "");
    reel.write("producer", "# Kafka's form\nacks = 9\nbatch.size: 1000\\\n  00\n\n!\nlinger.ms 0");
    let produce = "console-producer --topic t --print-metadata --producer.config producer";
    assert!(reel.fail(produce, "").contains("acks = 9"));
    let sent = format!("{produce} --command-property acks=1 --timeout 60000");
    assert_eq!(reel.run(&sent, "1\n2\n3\n"), "t-0@0\nt-0@1\nt-0@2\n");
    let flags = "--producer-property acks=1 --request-required-acks 0 --batch-size 100 \
                 --max-partition-memory-bytes 0 --producer-property compression.type=zstd \
                 --compression-codec";
    assert_eq!(reel.run(&format!("{produce} {flags}"), "4\n5\n"), "t-0@-\nt-0@-\n");

    let dumped = reel.run("dump-log --files data/t-0/00000000000000000000.log", "");
    let batches: Vec<&str> = dumped.lines().filter(|line| line.starts_with("baseOffset")).collect();
    assert_eq!(batches.len(), 3, "{dumped}");
    assert!(batches[0].contains("count: 3 ") && batches[0].contains("compresscodec: none"));
    assert!(batches[1].contains("count: 1 ") && batches[1].contains("compresscodec: gzip"));
}

/// The producer was closed while another thread still called back, so the last lines were lost.
#[test]
fn every_delivered_line_is_told() {
    let reel = Reel::new();
    reel.run("topics --create --topic t", "");
    let placed: String = (0..2000).map(|offset| format!("t-0@{offset}\n")).collect();
    let produce = "console-producer --topic t --print-metadata";
    assert_eq!(reel.run(produce, &"line\n".repeat(2000)), placed);
}

#[test]
fn lines_are_read_as_kafka_reads_them() {
    let reel = Reel::new();
    reel.run("topics --create --topic t", "");
    // A bar between key and value, and what is empty is null.
    reel.write("reader", "parse.key=TRUE\nkey.separator=\\u007c\nnull.marker=\n");
    reel.run("console-producer --topic t --reader-config reader", "a|1\nb|\n|3\n");
    let headers = "console-producer --topic t --reader-property parse.headers=true";
    reel.run(headers, "h:1,,,\tlast separators\n");
    let lenient = format!("{headers} --property ignore.error=true");
    reel.run(&lenient, "h:1,g\tno value\nno delimiter\n");
    let failed = reel.fail(&format!("{headers} --property null.marker=N"), "N:1\tx");
    assert!(failed.contains("a header key on line 1 is the null marker"), "{failed}");
    assert!(reel.fail(headers, "h:1,,g:2\tx").contains("no header key separator on line 1"));

    let consume = "console-consumer --topic t --from-beginning --max-messages 6 \
                   --property print.key=true --property print.headers=true";
    assert_eq!(
        reel.run(consume, ""),
        "NO_HEADERS\ta\t1\nNO_HEADERS\tb\tnull\nNO_HEADERS\tnull\t3\n\
         h:1\tnull\tlast separators\nh:1,g:null\tnull\tno value\n\
         NO_HEADERS\tnull\tno delimiter\n"
    );
}

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
