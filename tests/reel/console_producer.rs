use crate::program::Reel;

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

/// The ids of the producers whose batches a topic holds.
fn producer_ids(reel: &Reel) -> Vec<String> {
    let dumped = reel.run("dump-log --files data/t-0/00000000000000000000.log", "");
    let after =
        |line: &str| line.split("producerId: ").nth(1)?.split(' ').next().map(str::to_owned);
    dumped.lines().filter_map(after).collect()
}

#[test]
fn retries_and_their_waits_are_set_by_flags() {
    let reel = Reel::new();
    reel.run("topics --create --topic t", "");
    let produce = "console-producer --topic t --print-metadata";
    // Without retries a producer is not idempotent: its batches carry no id.
    reel.run(&format!("{produce} --message-send-max-retries 0 --retry-backoff-ms 0"), "1\n");
    reel.run(&format!("{produce} --message-send-max-retries 3 --retry-backoff-ms 20"), "2\n");
    let ids = producer_ids(&reel);
    assert_eq!(ids.len(), 2, "{ids:?}");
    assert!(ids[0] == "-1" && ids[1] != "-1", "{ids:?}");

    let idempotent = "--producer-property enable.idempotence=true --message-send-max-retries 0";
    assert!(reel.fail(&format!("{produce} {idempotent}"), "").contains("enable.idempotence"));
    for (flag, key) in
        [("--message-send-max-retries", "retries"), ("--retry-backoff-ms", "retry.backoff.ms")]
    {
        let told = reel.fail(&format!("{produce} {flag} 2147483648"), "");
        assert!(told.contains(&format!("{key} = 2147483648")), "{told}");
        assert!(reel.fail(&format!("{produce} {flag} -1"), "").contains("-1"));
        // The flag wins over the property.
        let both = format!("{produce} --producer-property {key}=x {flag} 9");
        assert!(reel.run(&both, "more\n").starts_with("t-0@"));
    }
}

#[test]
fn memory_and_blocking_are_limited_by_flags() {
    let reel = Reel::new();
    reel.run("topics --create --topic t", "");
    let produce = "console-producer --topic t --print-metadata";
    let small = format!("{produce} --max-block-ms 50 --max-memory-bytes 1000");
    let told = reel.fail(&small, &format!("fits\n{}\n", "x".repeat(1000)));
    assert!(told.contains("MESSAGE_TOO_LARGE") && told.contains("buffer.memory = 1000"), "{told}");
    assert_eq!(reel.ends("t"), [1], "what came before is written");
    // Far more than fits at once passes through, all of it in order.
    let placed: String = (1..=2000).map(|offset| format!("t-0@{offset}\n")).collect();
    assert_eq!(reel.run(&format!("{small} --timeout 60000"), &"line\n".repeat(2000)), placed);
    for flag in ["--max-memory-bytes", "--max-block-ms"] {
        assert!(reel.fail(&format!("{produce} {flag} -1"), "").contains("-1"));
    }
    let told = reel.fail(&format!("{produce} --producer-property max.block.ms=soon"), "");
    assert!(told.contains("max.block.ms = soon"), "{told}");
}

/// A configuration written for a cluster is taken as it is.
#[test]
fn what_is_about_a_network_is_passed_over() {
    let reel = Reel::new();
    reel.run("topics --create --topic t", "");
    reel.write("cluster", "bootstrap.servers=a:9092,b:9092\nsecurity.protocol=SSL\nacks=1\n");
    let produce = "console-producer --topic t --print-metadata --producer.config cluster \
                   --producer-property client.id=me";
    let output = reel.finish(produce, "1\n");
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "t-0@0\n");
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
    let perf = "producer-perf --topic t --num-records 9 --record-size 9 --throughput -1 \
                --producer-props bootstrap.servers=x:9092 acks=1";
    let output = reel.finish(perf, "");
    assert!(output.status.success());
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.starts_with("9 records sent") && said.lines().count() == 1, "{said}");
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
    let told = reel.fail(&format!("{produce} --producer-property bootstrap.server=x:9092"), "");
    assert!(told.contains("bootstrap.server"), "{told}");
}
