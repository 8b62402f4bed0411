use crate::program::Reel;

const CREATED: &str = "Topic \"t\" does not exist. Will create topic with 1 partition(s) and \
                       replication factor = 1";

/// The latency lines, the average and the percentiles.
fn told(said: &str) -> (Vec<(u64, f64)>, f64, Vec<u64>) {
    let lines: Vec<&str> = said.lines().collect();
    let [reports @ .., average, percentiles] = &lines[..] else { panic!("{said}") };
    let report = |line: &&str| {
        let (number, latency) = line.split_once('\t').unwrap_or_else(|| panic!("{said}"));
        assert_eq!(latency.split_once('.').unwrap().1.len(), 3, "{said}");
        (number.parse().unwrap(), latency.parse().unwrap())
    };
    let reports = reports.iter().map(report).collect();
    let average = average.strip_prefix("Avg latency: ").and_then(|rest| rest.strip_suffix(" us"));
    let average = average.unwrap_or_else(|| panic!("{said}"));
    assert_eq!(average.split_once('.').unwrap().1.len(), 4, "{said}");
    let percentiles = percentiles.strip_prefix("Percentiles: ").unwrap_or_else(|| panic!("{said}"));
    let names = ["50th = ", "99th = ", "99.9th = "];
    let percentiles = percentiles.split(", ").zip(names);
    let percentiles = percentiles.map(|(text, name)| {
        let number = text.strip_prefix(name).unwrap_or_else(|| panic!("{said}"));
        number.parse().unwrap()
    });
    (reports, average.parse().unwrap(), percentiles.collect())
}

#[test]
fn end_to_end_latency_prints_kafkas_lines_in_microseconds() {
    let reel = Reel::new();
    reel.run("topics --create --topic other", "");
    let measure = "end-to-end-latency --topic t --messages 2001 --acks 1 --record-size 50";
    let said = reel.run(measure, "");
    let said = said.strip_prefix(&format!("{CREATED}\n")).unwrap();
    let (reports, average, percentiles) = told(said);
    let numbers: Vec<u64> = reports.iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers, [0, 1000, 2000]);
    assert!(reports.iter().all(|(_, latency)| *latency > 0.0), "{said}");
    assert_eq!(percentiles.len(), 3, "{said}");
    assert!(percentiles.is_sorted(), "{said}");
    // Not milliseconds: no process takes one of them for the middle one of small records.
    assert!(average > 0.5 && percentiles[0] > 0, "{said}");
    assert_eq!(reel.ends("t"), [2001]);
    let values = reel.values("t");
    assert!(values.iter().all(|value| value.len() == 50));
    assert_eq!(values.len(), 2001);
}

#[test]
fn end_to_end_latency_measures_behind_what_is_there_and_over_all_partitions() {
    let reel = Reel::new();
    reel.run("topics --create --topic t --partitions 3", "");
    reel.run("console-producer --topic t", "a\nb\nc\n");
    let flags = "--topic t --num-records 30 --record-size 10";
    let said = reel.run(&format!("end-to-end-latency {flags} --producer-acks all"), "");
    assert_eq!(told(&said).0.len(), 1, "{said}");
    assert_eq!(reel.ends("t").iter().sum::<i64>(), 33);
    let said = reel.run(&format!("end-to-end-latency {flags} --acks 1 --in-memory"), "");
    assert!(said.starts_with(CREATED), "{said}");
    assert_eq!(reel.ends("t").iter().sum::<i64>(), 33);
}

#[test]
fn end_to_end_latency_refuses_what_makes_no_sense() {
    let reel = Reel::new();
    reel.run("topics --create --topic t", "");
    let measure = "end-to-end-latency --topic t";
    for (flags, said) in [
        ("--messages 1 --acks 0 --record-size 1", "'0'"),
        ("--messages 0 --acks 1 --record-size 1", "'0'"),
        ("--messages -1 --acks 1 --record-size 1", "'-1'"),
        ("--messages 1 --acks 1 --record-size 0", "'0'"),
        ("--messages 1 --acks 1", "--record-size"),
        ("--messages 1 --record-size 1", "--acks"),
    ] {
        let told = reel.fail(&format!("{measure} {flags}"), "");
        assert!(told.contains(said), "{flags}: {told}");
    }
}
