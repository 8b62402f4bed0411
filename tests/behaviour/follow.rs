//! Reading a directory that somebody else writes.

use std::sync::Arc;
use std::time::Duration;

use crate::homes::*;
use logreel::{Broker, NewTopic, Storage};

#[test]
fn a_reader_follows_a_live_directory() {
    let home = disk();
    let owner = home.open();
    let topic = NewTopic::new("t").set("segment.bytes", "300");
    let log = owner.create_topic(topic).unwrap().partition(0).unwrap();
    for i in 0..10 {
        log.append([(None, Some(i.to_string().as_str()))]).unwrap();
    }
    let watcher = Broker::open_read_only(home.dir().unwrap()).unwrap();
    let consumer = reader(&watcher);
    consumer.assign([("t", 0), ("later", 0)]).unwrap();
    assert_eq!(drain(&consumer).len(), 10);
    for i in 10..30 {
        log.append([(None, Some(i.to_string().as_str()))]).unwrap();
        let records = consumer.poll(10 * SECOND).unwrap();
        assert_eq!(records.iter().next().unwrap().offset(), i, "seen as it comes, over rolls");
    }
    // A topic made meanwhile.
    let later = owner.create_topic("later").unwrap().partition(0).unwrap();
    later.append([(None, Some("x"))]).unwrap();
    let records = consumer.poll(10 * SECOND).unwrap();
    assert_eq!(records.partitions(), [("later", 0).into()]);
}

#[test]
fn half_a_batch_is_not_yet_written_for_as_long_as_it_takes() {
    let home = disk();
    let owner = home.open();
    let log = owner.create_topic("t").unwrap().partition(0).unwrap();
    for _ in 0..3 {
        log.append([(None, Some("x"))]).unwrap();
    }
    let live = home.dir().unwrap();
    let copy = tempfile::tempdir().unwrap();
    copy_dir(live, copy.path());
    let file = copy.path().join("t-0/00000000000000000000.log");
    let bytes = std::fs::read(&file).unwrap();
    let batch = bytes.len() / 3;
    for cut in 0..=bytes.len() {
        std::fs::write(&file, &bytes[..cut]).unwrap();
        let watcher = Broker::open_read_only(copy.path()).unwrap();
        assert_eq!(read_all(&watcher, "t", 0).len(), cut / batch, "cut at {cut}");
    }
    std::fs::write(&file, &bytes[..batch + 5]).unwrap();
    let watcher = Broker::open_read_only(copy.path()).unwrap();
    let consumer = reader(&watcher);
    consumer.assign([("t", 0)]).unwrap();
    assert_eq!(consumer.poll(Duration::ZERO).unwrap().len(), 1);
    assert!(consumer.poll(Duration::from_millis(300)).unwrap().is_empty());
    std::fs::write(&file, &bytes).unwrap();
    assert_eq!(drain(&consumer).len(), 2, "completed");
}

/// A reader went on in the middle of a batch, for ever, when the writer had cut its tail after a
/// crash and written more than was there before.
#[test]
fn a_file_that_was_cut_and_grew_again_is_recognised() {
    let home = disk();
    let owner = home.open();
    let log = owner.create_topic("t").unwrap().partition(0).unwrap();
    for value in ["a", "b", "lost"] {
        log.append([(None, Some(value))]).unwrap();
    }
    let path = home.dir().unwrap().join("t-0/00000000000000000000.log");
    let watched = tempfile::tempdir().unwrap();
    copy_dir(home.dir().unwrap(), watched.path());
    let copy = watched.path().join("t-0/00000000000000000000.log");
    let watcher = Broker::open_read_only(watched.path()).unwrap();
    let consumer = reader(&watcher);
    consumer.assign([("t", 0)]).unwrap();
    assert_eq!(drain(&consumer).len(), 3);

    let bytes = std::fs::read(&path).unwrap();
    drop((log, owner));
    let other = disk();
    let owner = other.open();
    let log = owner.create_topic("t").unwrap().partition(0).unwrap();
    let first_two = bytes.len() - 72;
    log.append([(None, Some("a"))]).unwrap();
    log.append([(None, Some("b"))]).unwrap();
    for value in ["instead", "of", "it"] {
        log.append([(None, Some(value))]).unwrap();
    }
    let other = std::fs::read(other.dir().unwrap().join("t-0/00000000000000000000.log")).unwrap();
    let grown = [&bytes[..first_two], &other[first_two..]].concat();
    assert!(grown.len() > bytes.len());
    std::fs::write(&copy, grown).unwrap();
    let more = drain(&consumer);
    assert_eq!(more.iter().map(|r| r.offset).collect::<Vec<_>>(), [3, 4]);
    let all = read_all(&watcher, "t", 0);
    let values: Vec<String> = all.iter().map(|r| text(&r.value).unwrap()).collect();
    assert_eq!(values, ["a", "b", "instead", "of", "it"]);
}

/// Two readers that looked for new partitions at once both took them in.
#[test]
fn two_readers_take_in_the_same_partitions() {
    let home = disk();
    let owner = home.open();
    owner.create_topic("t").unwrap();
    let place = Arc::new(Place::default());
    let refreshing = Arc::clone(&place);
    let files = Storage::disk(home.dir().unwrap());
    let storage = Storage::observed(files, move |op, path| {
        if op == "list" && path.ends_with("/t-1") {
            refreshing.visit();
        }
        Ok(())
    });
    let watcher = Broker::builder().storage(storage).open_read_only().unwrap();
    assert_eq!(watcher.topic("t").unwrap().partition_count(), 1);
    owner.create_partitions("t", 3).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| watcher.topic("t").unwrap());
        }
    });
    assert!(!place.was_shared());
    assert_eq!(watcher.topic("t").unwrap().partition_count(), 3);
}
