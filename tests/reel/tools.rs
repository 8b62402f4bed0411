use std::io::{BufRead, BufReader, Write};

use crate::program::Reel;

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

/// What is between the log's end and the file's in a topic with `preallocate`.
#[test]
fn a_dump_tells_zeros_from_bytes_that_are_no_batch() {
    let reel = Reel::new();
    reel.run("topics --create --topic t --config preallocate=true", "");
    reel.run("console-producer --topic t", "a\nb\n");
    let file = "data/t-0/00000000000000000000.log";
    let path = reel.dir().join("t-0/00000000000000000000.log");
    let closed = reel.run(&format!("dump-log --files {file}"), "");
    assert!(closed.contains("baseOffset: 0") && !closed.contains("Found"), "{closed}");
    let mut bytes = std::fs::read(&path).unwrap();
    for zeros in [1, 60, 61, 100_000] {
        let mut longer = bytes.clone();
        longer.resize(bytes.len() + zeros, 0);
        std::fs::write(&path, longer).unwrap();
        let dumped = reel.run(&format!("dump-log --files {file}"), "");
        let wanted = format!("Found {zeros} zero bytes, written ahead, at the end of {file}\n");
        assert_eq!(dumped, format!("{closed}{wanted}"));
    }
    bytes.resize(bytes.len() + 70_000, 0);
    bytes.push(1);
    std::fs::write(&path, bytes).unwrap();
    let dumped = reel.run(&format!("dump-log --files {file}"), "");
    assert!(dumped.contains("Found 70001 invalid bytes at the end of"), "{dumped}");

    // More than anybody writes ahead, or reads: they take no room on the disk.
    let huge = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    let whole = std::fs::metadata(&path).unwrap().len() - 70_001;
    huge.set_len(whole).unwrap();
    huge.set_len(whole + (1 << 40)).unwrap();
    let dumped = reel.run(&format!("dump-log --files {file}"), "");
    assert!(dumped.contains(&format!("Found {} invalid bytes", 1u64 << 40)), "{dumped}");
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
    // A test takes them as they are, and writes the same.
    let broker = logreel::Broker::in_memory();
    let topic = broker.testing().topic("t");
    assert_eq!(topic.load_json(line.as_bytes()).unwrap(), 1);
    topic.expect().value("hello").once();
    let mut written = Vec::new();
    topic.write_json(&mut written).unwrap();
    assert_eq!(serde_json::from_slice::<serde_json::Value>(&written).unwrap(), value);
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
