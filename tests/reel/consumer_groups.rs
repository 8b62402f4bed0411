use std::io::{BufRead, BufReader, Write};

use crate::program::Reel;

const HEADER: &str = "GROUP           TOPIC           PARTITION  CURRENT-OFFSET  LOG-END-OFFSET  \
                      LAG             CONSUMER-ID     HOST            CLIENT-ID";
const RESET_HEADER: &str = "GROUP           TOPIC           PARTITION  NEW-OFFSET";

/// Ten records in one topic, two in another; group `g` has read four, `h` all of the other.
fn filled() -> Reel {
    let reel = Reel::new();
    for (topic, count) in [("t", 10), ("u", 2)] {
        reel.run(&format!("topics --create --topic {topic}"), "");
        let input: String = (0..count).map(|n| format!("{n}\n")).collect();
        reel.run(&format!("console-producer --topic {topic}"), &input);
    }
    let consume = "console-consumer --from-beginning";
    reel.run(&format!("{consume} --topic t --group g --max-messages 4"), "");
    reel.run(&format!("{consume} --topic u --group h --max-messages 2"), "");
    reel
}

fn row(fields: [&str; 6]) -> String {
    let [group, topic, partition, current, end, lag] = fields;
    format!(
        "{group:15} {topic:15} {partition:10} {current:15} {end:15} {lag:15} {:15} {:15} -",
        "-", "-"
    )
}

/// What a reset prints for partition 0 of `t`.
fn reset(reel: &Reel, line: &str) -> String {
    let said = reel.run(&format!("consumer-groups --reset-offsets {line}"), "");
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines[..2], ["", RESET_HEADER], "{line}: {said}");
    let start = format!("{:15} {:15} {:10} ", "g", "t", "0");
    lines[2].strip_prefix(&start).unwrap_or_else(|| panic!("{line}: {said}")).to_owned()
}

fn current(reel: &Reel, group: &str) -> String {
    let said = reel.run(&format!("consumer-groups --describe --group {group}"), "");
    said.lines().nth(2).unwrap().split_whitespace().nth(3).unwrap().to_owned()
}

#[test]
fn groups_are_listed_and_described() {
    let reel = filled();
    assert_eq!(reel.run("consumer-groups --list", ""), "g\nh\n");
    let g = row(["g", "t", "0", "4", "10", "6"]);
    let h = row(["h", "u", "0", "2", "2", "0"]);
    let described = reel.run("consumer-groups --describe --group g", "");
    assert_eq!(described, format!("\n{HEADER}\n{g}\n"));
    let all = reel.run("consumer-groups --describe --all-groups", "");
    assert_eq!(all, format!("\n{HEADER}\n{g}\n\n{HEADER}\n{h}\n"));
    let some = reel.finish("consumer-groups --describe --group h --group nobody", "");
    assert_eq!(some.status.code(), Some(1));
    assert_eq!(String::from_utf8(some.stdout).unwrap(), format!("\n{HEADER}\n{h}\n"));
    let told = String::from_utf8(some.stderr).unwrap();
    assert_eq!(
        told,
        "\nConsumer group 'h' has no active members.\n\
         reel: Consumer group 'nobody' does not exist.\n"
    );
}

/// What a group is while its members are there, seen from a second process.
#[test]
fn members_are_watched_beside_their_process() {
    let reel = filled();
    let broker = logreel::Broker::open(reel.dir()).unwrap();
    let group = broker.group("g");
    let settings = group.member().client_id("rider").group_instance_id("r-1");
    let member = settings.enable_auto_commit(false).build().unwrap();
    member.subscribe(["t", "u"]).unwrap();
    member.poll(std::time::Duration::ZERO).unwrap();
    let id = group.members().unwrap()[0].member_id.clone();

    let said = reel.run("consumer-groups --describe --group g", "");
    let rows: Vec<Vec<&str>> = said.lines().map(|l| l.split_whitespace().collect()).collect();
    assert_eq!(rows[2], ["g", "t", "0", "4", "10", "6", &id, "/127.0.0.1", "rider"], "{said}");
    assert_eq!(rows[3], ["g", "u", "0", "-", "2", "-", &id, "/127.0.0.1", "rider"], "{said}");

    let said = reel.run("consumer-groups --describe --group g --members", "");
    let line = |fields: [&str; 6]| {
        let [name, member, instance, host, client, count] = fields;
        let width = id.len();
        format!("{name:15} {member:width$} {instance:17} {host:15} {client:15} {count:15} \n")
    };
    let header = ["GROUP", "CONSUMER-ID", "GROUP-INSTANCE-ID", "HOST", "CLIENT-ID", "#PARTITIONS"];
    let row = ["g", &id, "r-1", "/127.0.0.1", "rider", "2"];
    assert_eq!(said, format!("\n{}{}", line(header), line(row)));
    let said = reel.run("consumer-groups --describe --group g --state", "");
    let line = format!("{:15} {:25} {:20} {:20} 1", "g", "-", "range", "Stable");
    assert_eq!(said.lines().nth(2), Some(line.as_str()), "{said}");
    let listed = reel.run("consumer-groups --list --state", "");
    let shown = [["GROUP", "STATE"], ["g", "Stable"], ["h", "Empty"]];
    let shown = shown.map(|[name, state]| format!("{name:25} {state:20}\n"));
    assert_eq!(listed, shown.concat());
}

#[test]
fn groups_are_watched_beside_a_writer() {
    let reel = filled();
    let mut producer = reel.start("console-producer --topic t --print-metadata");
    let mut input = producer.stdin.take().unwrap();
    let mut delivered = BufReader::new(producer.stdout.take().unwrap());
    writeln!(input, "more").unwrap();
    delivered.read_line(&mut String::new()).unwrap();
    let described = reel.run("consumer-groups --describe --group g", "");
    assert!(described.ends_with(&format!("{}\n", row(["g", "t", "0", "4", "11", "7"]))));
    assert_eq!(reel.run("get-offsets --topic t", ""), "t:0:11\n");
    assert_eq!(reset(&reel, "--group g --topic t --to-latest --dry-run"), "11");
    let refused = reel.fail("consumer-groups --delete --group g", "");
    assert!(refused.contains(&format!("process {} ", producer.id())), "{refused}");
    drop(input);
    assert!(producer.wait().unwrap().success());
}

#[test]
fn offsets_are_reset_in_every_way() {
    let reel = filled();
    for (way, expected) in [
        ("--to-earliest", "0"),
        ("--to-latest", "10"),
        ("--to-offset 7", "7"),
        ("--shift-by -3", "1"),
        ("--shift-by 3", "7"),
        ("--to-current", "4"),
        ("--to-datetime 2001-02-03T04:05:06.789", "0"),
        ("--to-datetime 2001-02-03T04:05:06.789Z", "0"),
        ("--to-datetime 9999-12-31T23:59:59.999-23:59", "10"),
        ("--by-duration PT0S", "10"),
        ("--by-duration P1DT1H", "0"),
    ] {
        let way = format!("--group g --topic t {way}");
        assert_eq!(reset(&reel, &format!("{way} --dry-run")), expected);
        assert_eq!(current(&reel, "g"), "4", "a dry run changes nothing");
        assert_eq!(reset(&reel, &format!("{way} --execute")), expected);
        assert_eq!(current(&reel, "g"), expected);
        reset(&reel, "--group g --topic t --to-offset 4 --execute");
    }
    assert_eq!(reset(&reel, "--all-groups --topic t:0 --to-earliest --execute"), "0");
    assert_eq!(current(&reel, "h"), "0", "a topic it had not read: the first of two");
    assert_eq!(reset(&reel, "--group g --all-topics --shift-by 2 --execute"), "2");
    // A consumer takes it up.
    let consume = "console-consumer --topic t --group g --max-messages 1";
    assert_eq!(reel.run(consume, ""), "2\n");
}

#[test]
fn a_reset_says_what_it_does_not_do() {
    let reel = filled();
    let reset = "consumer-groups --reset-offsets --group g --topic t";
    let output = reel.finish(&format!("{reset} --to-offset 11"), "");
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(
        told,
        "WARN: No action will be performed as the --execute option is missing.\n\
         WARN: New offset (11) is higher than latest offset for topic partition t-0. Value will be \
         set to 10.\n"
    );
    let output = reel.finish(&format!("{reset} --shift-by -5 --dry-run"), "");
    let told = String::from_utf8(output.stderr).unwrap();
    let lower = "WARN: New offset (-1) is lower than earliest offset for topic partition t-0.";
    assert!(told.starts_with(lower), "{told}");
    assert_eq!(current(&reel, "g"), "4");
}

#[test]
fn plans_go_through_files() {
    let reel = filled();
    let export = "consumer-groups --reset-offsets --to-current --export --all-topics";
    let one = reel.run(&format!("{export} --group g"), "");
    assert_eq!(one, "t,0,4\n");
    let all = reel.run(&format!("{export} --all-groups"), "");
    assert_eq!(all, "g,t,0,4\nh,u,0,2\n");
    let to_latest = "consumer-groups --reset-offsets --all-groups --all-topics --to-latest";
    for (file, text, groups) in
        [("one", &one, "--group g"), ("all", &all, "--all-groups"), ("of all", &all, "--group g")]
    {
        let file = file.replace(' ', "-");
        reel.write(&file, text);
        reel.run(&format!("{to_latest} --execute"), "");
        assert_eq!((current(&reel, "g"), current(&reel, "h")), ("10".into(), "2".into()));
        let line = format!("{groups} --from-file {file} --execute");
        reel.run(&format!("consumer-groups --reset-offsets {line}"), "");
        assert_eq!((current(&reel, "g"), current(&reel, "h")), ("4".into(), "2".into()), "{line}");
    }
}

#[test]
fn groups_and_offsets_are_deleted() {
    let reel = filled();
    reel.run("consumer-groups --reset-offsets --group g --topic u --to-latest --execute", "");
    let deleted = reel.run("consumer-groups --delete-offsets --group g --topic t", "");
    let header = "TOPIC           PARTITION  STATUS         ";
    let status = "t               0          Successful     ";
    let said = "Request succeeded for deleting offsets from group g.\n";
    assert_eq!(deleted, format!("{said}\n{header}\n{status}\n"));
    let described = reel.run("consumer-groups --describe --group g", "");
    assert_eq!(described, format!("\n{HEADER}\n{}\n", row(["g", "u", "0", "2", "2", "0"])));

    // A group that nobody ever joined goes with its last offset.
    reel.run("consumer-groups --reset-offsets --group s --topic t --to-latest --execute", "");
    let deleted = reel.run("consumer-groups --delete-offsets --group s --topic t --topic u", "");
    assert_eq!(deleted.matches("Successful").count(), 2, "{deleted}");

    let partly = reel.finish("consumer-groups --delete-offsets --group g --topic u:0,9", "");
    assert_eq!(partly.status.code(), Some(1));
    let said = String::from_utf8(partly.stdout).unwrap();
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines[2], "u               0          Successful     ", "{said}");
    assert!(lines[3].starts_with("u               9          Error: "), "{said}");

    let deleted = reel.run("consumer-groups --delete --group h", "");
    assert_eq!(deleted, "Deletion of requested consumer groups ('h') was successful.\n");
    assert_eq!(reel.run("consumer-groups --list", ""), "g\n");
    let told = reel.fail("consumer-groups --delete --group h", "");
    let whole = "reel: Group 'h' could not be deleted due to: GROUP_ID_NOT_FOUND: ";
    assert!(told.starts_with(whole), "{told}");
}

#[test]
fn groups_that_kafka_wrote_are_administered() {
    let reel = Reel::new();
    reel.unpack("15-log-dir");
    assert_eq!(reel.run("consumer-groups --list", ""), "whole-dir-group\n");
    let described = reel.run("consumer-groups --describe --all-groups", "");
    let shown = row(["whole-dir-group", "notes", "1", "70", "120", "50"]);
    assert_eq!(described, format!("\n{HEADER}\n{shown}\n"));
    assert_eq!(reel.run("get-offsets --topic notes", ""), "notes:0:0\nnotes:1:120\n");
    let earliest = reel.run("get-offsets --topic notes --partitions 1,0 --time -2", "");
    assert_eq!(earliest, "notes:1:61\nnotes:0:0\n");
    let newest = reel.run("get-offsets --topic notes --time -3", "");
    assert_eq!(newest, "notes:0:\nnotes:1:119\n");
    let future = reel.run("get-offsets --topic notes --time 99999999999999", "");
    assert_eq!(future, "notes:0:\nnotes:1:\n");

    let all = "consumer-groups --reset-offsets --all-groups --all-topics --to-current --export";
    assert_eq!(reel.run(all, ""), "whole-dir-group,notes,1,70\n");
    let reset = "consumer-groups --reset-offsets --group whole-dir-group --export";
    let below = reel.run(&format!("{reset} --topic notes:1 --to-offset 3 --execute"), "");
    assert_eq!(below, "notes,1,61\n", "records before that are deleted");
    assert_eq!(current(&reel, "whole-dir-group"), "61");
    reel.run("consumer-groups --delete --group whole-dir-group", "");
    assert_eq!(reel.run("consumer-groups --list", ""), "");

    let reel = Reel::new();
    reel.unpack("12-consumer-offsets");
    let listed = reel.run("consumer-groups --list", "");
    let names: Vec<&str> = listed.lines().collect();
    assert_eq!(names[..5], ["audit", "billing", "etl-txn", "new-proto", "partly"], "{listed}");
    let members = reel.run("consumer-groups --describe --group audit --members", "");
    let shown: Vec<&str> = members.lines().last().unwrap().split_whitespace().collect();
    let id = "static-1-3846f9f9-d743-4cf5-b077-1917ba72d895";
    assert_eq!(shown, ["audit", id, "static-1", "/127.0.0.1", "audit-client", "2"]);
    let told = reel.run("consumer-groups --describe --group partly", "");
    let rows = [["mixed", "11"], ["sensors", "34"]];
    let rows = rows.map(|[topic, offset]| row(["partly", topic, "0", offset, "-", "-"]) + "\n");
    assert_eq!(told, format!("\n{HEADER}\n{}", rows.concat()), "its topics are not there");
}

#[test]
fn bad_input_gets_one_line_and_code_one() {
    let reel = filled();
    reel.write("broken", "t,0\n");
    reel.write("plain", "t,0,1\n");
    let reset = "consumer-groups --reset-offsets --group g";
    let cases = [
        ("consumer-groups", "--list"),
        ("consumer-groups --list --describe", "cannot be used with"),
        ("consumer-groups --describe", "--group"),
        ("consumer-groups --list --members", "--describe"),
        ("consumer-groups --delete --group g --state", "--describe or --list"),
        ("consumer-groups --describe --group g --state --members", "cannot be used with"),
        ("consumer-groups --delete", "--group"),
        ("consumer-groups --delete --group g --execute", "--reset-offsets"),
        ("consumer-groups --delete-offsets --group g", "--topic"),
        ("consumer-groups --delete-offsets --group g --topic no", "UNKNOWN_TOPIC_OR_PARTITION"),
        ("consumer-groups --delete-offsets --group no --topic t", "GROUP_ID_NOT_FOUND"),
        ("consumer-groups --describe --group no", "does not exist"),
        (&format!("{reset} --topic t"), "--to-earliest"),
        (&format!("{reset} --to-earliest"), "--all-topics, --topic"),
        (&format!("{reset} --topic t --to-earliest --to-latest"), "cannot be used with"),
        (&format!("{reset} --topic t --to-latest --execute --dry-run"), "cannot be used with"),
        (&format!("{reset} --topic t --to-offset x"), "'x'"),
        (&format!("{reset} --topic t:x --to-latest"), "'t:x'"),
        (&format!("{reset} --topic t:4 --to-latest --dry-run"), "UNKNOWN_TOPIC_OR_PARTITION"),
        (&format!("{reset} --topic u --shift-by 1 --dry-run"), "committed nothing"),
        (&format!("{reset} --topic t --by-duration 1d"), "PnDTnHnMnS"),
        (&format!("{reset} --from-file nothing --dry-run"), "cannot read nothing"),
        (&format!("{reset} --from-file broken --dry-run"), "line 1 "),
        ("consumer-groups --reset-offsets --all-groups --from-file plain", "which of the groups"),
        (&format!("{reset} --group h --from-file plain --dry-run"), "which of the groups"),
        ("get-offsets --topic nowhere", "UNKNOWN_TOPIC_OR_PARTITION"),
        ("get-offsets --topic t --partitions 5", "UNKNOWN_TOPIC_OR_PARTITION"),
        ("get-offsets --topic t --partitions a", "'a'"),
        ("get-offsets --topic t --time -4", "'-4'"),
    ];
    for (line, said) in cases {
        let told = reel.fail(line, "");
        assert!(told.contains(said), "{line}: {told}");
    }
    for time in [
        "2024-02-30T00:00:00.000",
        "2023-02-29T00:00:00.000",
        "2024-13-01T00:00:00.000",
        "2024-01-01T24:00:00.000",
        "2024-01-01T00:60:00.000",
        "2024-01-01T00:00:00",
        "2024-01-01T00:00:00.00",
        "2024-01-01",
        "2024-1-01T00:00:00.000",
        "2024-01-01T00:00:00.000+1:00",
        "2024-01-01T00:00:00.000+0200",
        "2024-01-01T00:00:00.000+24:00",
        "2024-01-01T00:00:00.000ZZ",
        "2024-01-01T00:00:00.000\u{20ac}",
        "\u{20ac}024-01-01T00:00:00.000+0\u{20ac}",
    ] {
        let told = reel.fail(&format!("{reset} --topic t --to-datetime {time}"), "");
        assert!(told.contains("YYYY-MM-DDTHH:mm:SS.sss"), "{time}: {told}");
    }
    assert_eq!(current(&reel, "g"), "4");
}

/// Times are found to the millisecond, in any zone.
#[test]
fn times_are_read_in_utc_and_in_zones() {
    let reel = Reel::new();
    reel.run("topics --create --topic t", "");
    let broker = logreel::Broker::open(reel.dir()).unwrap();
    let log = broker.partition(&("t", 0).into()).unwrap();
    // 2000-02-29T12:00:00.000Z, and two after it.
    for later in [0, 1, 3_600_000] {
        let record = logreel::RawRecord::new(None, Some(b"x")).timestamp(951_825_600_000 + later);
        log.append([record]).unwrap();
    }
    drop((broker, log));
    for (time, expected) in [
        ("2000-02-29T12:00:00.000", "0"),
        ("2000-02-29T12:00:00.001", "1"),
        ("2000-02-29T12:00:00.002Z", "2"),
        ("2000-02-29T14:00:00.000+02:00", "0"),
        ("2000-02-29T14:00:00.001+02", "1"),
        ("2000-02-29T08:30:00.000-03:30", "0"),
        ("2000-02-29T13:00:00.000", "2"),
        ("2000-02-29T13:00:00.001", "3"),
        ("2000-03-01T00:00:00.000+23:00", "0"),
    ] {
        let line = format!("--group g --topic t --to-datetime {time} --dry-run");
        assert_eq!(reset(&reel, &line), expected, "{time}");
    }
}

/// Sessions begin anew at every open, so no run of a command lives to see the end of one.
#[test]
fn a_static_member_that_is_gone_is_removed_by_force() {
    let reel = filled();
    let broker = logreel::Broker::open(reel.dir()).unwrap();
    let member = broker.group("s").member().group_instance_id("i").build().unwrap();
    member.subscribe(["t"]).unwrap();
    member.poll(std::time::Duration::ZERO).unwrap();
    member.commit().unwrap();
    drop(member);
    broker.close().unwrap();
    let told = reel.fail("consumer-groups --delete --group s", "");
    assert!(told.contains("NON_EMPTY_GROUP") && told.contains("static"), "{told}");
    let deleted = reel.run("consumer-groups --delete --group s --force", "");
    assert_eq!(deleted, "Deletion of requested consumer groups ('s') was successful.\n");
}
