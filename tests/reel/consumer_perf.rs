use crate::program::Reel;

const HEADER: &str = "start.time, end.time, data.consumed.in.MB, MB.sec, data.consumed.in.nMsg, \
                      nMsg.sec, rebalance.time.ms, fetch.time.ms, fetch.MB.sec, fetch.nMsg.sec";

fn filled() -> Reel {
    let reel = Reel::new();
    reel.run("topics --create --topic t --partitions 2", "");
    let input: String = (0..1000).map(|n| format!("k{n}\t{n:0100}\n")).collect();
    reel.run("console-producer --topic t --property parse.key=true", &input);
    reel
}

#[test]
fn consumer_perf_prints_kafkas_header_and_line() {
    let reel = filled();
    let said = reel.run("consumer-perf --topic t --messages 1000", "");
    let lines: Vec<&str> = said.lines().collect();
    let [header, line] = lines[..] else { panic!("{said}") };
    assert_eq!(header, HEADER);
    let fields: Vec<&str> = line.split(", ").collect();
    assert_eq!(fields.len(), 10, "{line}");
    for time in &fields[..2] {
        // 2024-01-31 23:59:59:999
        assert_eq!(time.len(), 23, "{line}");
        assert!(time.starts_with("20") && time[10..].replace(':', "").len() == 10, "{line}");
    }
    // 1000 records of 100 bytes, and keys of 2 to 4.
    assert_eq!((fields[2], fields[4]), ("0.0991", "1000"), "{line}");
    for rate in [3, 5, 8, 9] {
        assert!(fields[rate].parse::<f64>().unwrap() > 0.0, "{line}");
        assert_eq!(fields[rate].split_once('.').unwrap().1.len(), 4, "{line}");
    }
    for millis in [6, 7] {
        fields[millis].parse::<u64>().unwrap();
    }
    assert_eq!(reel.run("consumer-groups --list", ""), "", "nothing was committed");
    let said = reel.run("consumer-perf --topic t --messages 1000 --hide-header", "");
    assert_eq!(said.lines().count(), 1, "{said}");
}

#[test]
fn consumer_perf_reads_as_a_group_and_gives_up() {
    let reel = filled();
    let perf = "consumer-perf --topic t --hide-header --group g";
    let said = reel.run(&format!("{perf} --messages 600"), "");
    assert_eq!(said.split(", ").nth(4), Some("1000"), "two polls of 500: {said}");
    let ends: i64 = reel.ends("t").iter().sum();
    assert_eq!(ends, 1000);
    let described = reel.run("consumer-groups --describe --group g", "");
    assert_eq!(described.lines().count(), 4, "{described}");
    for row in described.lines().skip(2) {
        assert_eq!(row.split_whitespace().nth(5), Some("0"), "{described}");
    }
    let said = reel.run(&format!("{perf} --messages 1 --timeout 50"), "");
    let warning = "WARNING: Exiting before consuming the expected number of messages: timeout \
                   (50 ms) exceeded. You can use the --timeout option to increase the timeout.";
    assert_eq!(said.lines().next(), Some(warning));
    assert_eq!(said.lines().nth(1).unwrap().split(", ").nth(4), Some("0"), "{said}");
    let latest = "consumer-perf --topic t --messages 1 --timeout 50 --from-latest --hide-header";
    assert!(reel.run(latest, "").starts_with("WARNING"));
}

#[test]
fn consumer_perf_refuses_what_makes_no_sense() {
    let reel = filled();
    for (line, said) in [
        ("consumer-perf --messages 1", "--topic"),
        ("consumer-perf --topic t", "--messages"),
        ("consumer-perf --topic t --messages 0", "'0'"),
        ("consumer-perf --topic t --messages -1", "'-1'"),
        ("consumer-perf --topic nowhere --messages 1", "UNKNOWN_TOPIC_OR_PARTITION"),
        ("consumer-perf --topic t --messages 1 --consumer.config none", "cannot read none"),
        ("consumer-perf --topic t --messages 1 --reporting-interval 0", "'0'"),
    ] {
        let told = reel.fail(line, "");
        assert!(told.contains(said), "{line}: {told}");
    }
}
