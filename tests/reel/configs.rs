//! `reel configs`, and what `reel topics` changes.

use logreel::Broker;

use crate::program::Reel;

#[test]
fn settings_are_shown_changed_and_taken_back() {
    let reel = Reel::new();
    reel.run("topics --create --topic t --config retention.ms=1000", "");
    let described = reel.run("configs --entity-type topics --entity-name t --describe", "");
    let head = "Dynamic configs for topic t are:\n";
    let line = "  retention.ms=1000 sensitive=false \
                synonyms={DYNAMIC_TOPIC_CONFIG:retention.ms=1000}\n";
    assert_eq!(described, format!("{head}{line}"));
    assert_eq!(reel.run("configs --topic t --describe", ""), described);

    let alter = "configs --entity-type topics --entity-name t --alter";
    let done = reel.run(
        &format!(
            "{alter} --add-config cleanup.policy=[compact,delete],segment.ms=7 \
             --delete-config retention.ms"
        ),
        "",
    );
    assert_eq!(done, "Completed updating config for topic t.\n");
    let described = reel.run("configs --topic t --describe", "");
    let lines: Vec<&str> = described.lines().collect();
    assert_eq!(lines.len(), 3);
    assert!(lines[1].starts_with("  cleanup.policy=compact,delete sensitive=false "));
    assert!(lines[2].starts_with("  segment.ms=7 sensitive=false "));

    let all = reel.run("configs --topic t --describe --all", "");
    let lines: Vec<&str> = all.lines().collect();
    assert_eq!(lines[0], "All configs for topic t are:");
    let default = "  retention.ms=604800000 sensitive=false \
                   synonyms={DEFAULT_CONFIG:retention.ms=604800000}";
    assert!(lines.contains(&default) && lines.len() > 30, "{all}");

    reel.run("topics --create --topic u", "");
    let described = reel.run("configs --entity-type topics --describe", "");
    assert!(described.ends_with("Dynamic configs for topic u are:\n"), "{described}");
}

#[test]
fn bad_settings_get_one_line_and_change_nothing() {
    let reel = Reel::new();
    reel.run("topics --create --topic t --config retention.ms=1000", "");
    let before = reel.run("configs --topic t --describe", "");
    let cases = [
        ("--topic t", "--describe"),
        ("--topic t --alter", "--add-config"),
        ("--describe", "--entity-type"),
        ("--entity-type brokers --describe", "brokers"),
        ("--entity-type topics --alter --add-config flush.ms=1", "--entity-name"),
        ("--topic nowhere --describe", "UNKNOWN_TOPIC_OR_PARTITION"),
        ("--topic nowhere --alter --add-config flush.ms=1", "UNKNOWN_TOPIC_OR_PARTITION"),
        ("--topic t --alter --add-config flush.ms=1,no.such=1", "no.such"),
        ("--topic t --alter --add-config flush.ms", "key=value"),
        ("--topic t --alter --add-config flush.ms=soon", "INVALID_CONFIG"),
        ("--topic t --alter --add-config cleanup.policy=compact,delete", "delete"),
        ("--topic t --alter --add-config cleanup.policy=[compact,shred]", "shred"),
        ("--topic t --alter --delete-config flush.ms", "flush.ms"),
        ("--topic t --alter --add-config retention.ms=1 --delete-config retention.ms", "twice"),
        ("--topic t --describe --add-config flush.ms=1", "--add-config"),
    ];
    for (flags, said) in cases {
        let told = reel.fail(&format!("configs {flags}"), "");
        assert!(told.contains(said), "{flags}: {told}");
    }
    assert_eq!(reel.run("configs --topic t --describe", ""), before);
}

#[test]
fn settings_are_shown_beside_the_owner_and_changed_by_nobody_else() {
    let reel = Reel::new();
    let broker = Broker::open(reel.dir()).unwrap();
    broker.create_topic("t").unwrap();
    assert_eq!(reel.run("configs --topic t --describe", ""), "Dynamic configs for topic t are:\n");
    reel.fail("configs --topic t --alter --add-config flush.ms=1", "");
}

#[test]
fn topics_of_a_kafka_broker_are_configured() {
    let reel = Reel::new();
    reel.unpack("01-plain");
    let kept = reel.run("configs --topic plain --describe", "");
    assert!(kept.contains("  retention.ms=-1 ") && kept.contains("  retention.bytes=-1 "));
    let ends = reel.ends("plain");
    reel.run("configs --topic plain --alter --add-config segment.bytes=1048576", "");
    let now = reel.run("configs --topic plain --describe", "");
    assert!(now.contains("  segment.bytes=1048576 ") && now.contains("  retention.ms=-1 "));
    assert_eq!(reel.ends("plain"), ends);
}

#[test]
fn partitions_are_added_and_topics_deleted() {
    let reel = Reel::new();
    reel.run("topics --create --topic t --partitions 2", "");
    assert_eq!(reel.run("topics --alter --topic t --partitions 3", ""), "");
    assert_eq!(reel.ends("t"), [0, 0, 0]);
    reel.fail("topics --alter --topic u --partitions 3", "");
    reel.run("topics --alter --topic u --partitions 3 --if-exists", "");
    let less = reel.fail("topics --alter --topic t --partitions 1 --if-exists", "");
    assert!(less.contains("INVALID_PARTITIONS"), "{less}");
    reel.run("topics --delete --topic t", "");
    assert!(!reel.dir().join("t-0").exists());
    assert_eq!(reel.run("topics --list", ""), "");
    reel.fail("topics --delete --topic t", "");
    reel.run("topics --delete --topic t --if-exists", "");
    assert_eq!(reel.run("topics --describe --topic t --if-exists", ""), "");
    let told = reel.fail("topics --create --topic t --if-exists", "");
    assert!(told.contains("--if-exists"), "{told}");
}
