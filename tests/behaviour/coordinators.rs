//! The groups' state when a part of it cannot be read or written.

use std::path::Path;

use crate::homes::*;
use logreel::testing::{Fault, FaultKind, FaultOp, SimStorage};
use logreel::{Broker, ErrorCode, NewTopic, OffsetReset, Offsets};

/// `my-group` belongs into partition 12 of 50.
const HOME: i32 = 12;
const ELSEWHERE: i32 = 3;

fn commit(broker: &Broker, group: &str, offset: i64) {
    if broker.topic("t").is_err() {
        broker.create_topic("t").unwrap();
    }
    let consumer = broker.consumer().group_id(group).build().unwrap();
    let offsets: Offsets = [(("t", 0), offset)].into_iter().collect();
    consumer.commit_offsets(&offsets).unwrap();
}

fn file(dir: &Path, partition: i32) -> std::path::PathBuf {
    dir.join(format!("__consumer_offsets-{partition}/{:020}.log", 0))
}

/// A directory as another broker leaves it, with `my-group` where its hash does not lead, and
/// `other` at home.
fn foreign() -> (tempfile::TempDir, Vec<u8>) {
    let ours = memory_dir();
    let broker = Broker::builder().dir(ours.path()).offsets_topic_partitions(50).open().unwrap();
    commit(&broker, "my-group", 5);
    commit(&broker, "my-group", 6);
    let bytes = std::fs::read(file(ours.path(), HOME)).unwrap();
    commit(&broker, "other", 7);
    broker.close().unwrap();
    let dir = memory_dir();
    for partition in 0..50 {
        let bytes = std::fs::read(file(ours.path(), partition)).unwrap_or_default();
        if partition != HOME && !bytes.is_empty() {
            std::fs::create_dir(file(dir.path(), partition).parent().unwrap()).unwrap();
            std::fs::write(file(dir.path(), partition), bytes).unwrap();
        }
    }
    std::fs::create_dir(file(dir.path(), ELSEWHERE).parent().unwrap()).unwrap();
    std::fs::write(file(dir.path(), ELSEWHERE), &bytes).unwrap();
    let points = format!("0\n1\n__consumer_offsets {ELSEWHERE} 2\n");
    std::fs::write(dir.path().join("recovery-point-offset-checkpoint"), points).unwrap();
    (dir, bytes)
}

fn committed(broker: &Broker, group: &str) -> Result<Option<i64>, Option<ErrorCode>> {
    match broker.committed_offsets(group) {
        Ok(offsets) => Ok(offsets.get(&("t", 0).into()).map(|position| position.offset())),
        Err(error) => Err(error.code()),
    }
}

/// A group that lay in a damaged partition other than the one its hash leads to was empty, or what
/// stood before the damage.
#[test]
fn a_group_in_a_damaged_partition_elsewhere_is_empty() {
    let (dir, bytes) = foreign();
    let unavailable = Err(Some(ErrorCode::CoordinatorNotAvailable));
    // Damaged nowhere, in its first commit, and in its last.
    for position in [None, Some(65), Some(bytes.len() - 3)] {
        let copy = memory_dir();
        copy_dir(dir.path(), copy.path());
        let mut changed = bytes.clone();
        if let Some(position) = position {
            changed[position] ^= 1;
            std::fs::write(file(copy.path(), ELSEWHERE), &changed).unwrap();
        }
        let broker = Broker::open(copy.path()).unwrap();
        assert_eq!(broker.recovery_report().adopted, ["__consumer_offsets"]);
        assert_eq!(committed(&broker, "other"), Ok(Some(7)), "a group at home is sound");
        if position.is_none() {
            assert_eq!(committed(&broker, "my-group"), Ok(Some(6)));
            assert_eq!(broker.groups().unwrap(), ["my-group", "other"]);
            continue;
        }
        assert_eq!(broker.recovery_report().damaged().count(), 1);
        assert_eq!(committed(&broker, "my-group"), unavailable);
        let code = broker.groups().unwrap_err().code();
        assert_eq!(code, Some(ErrorCode::CoordinatorNotAvailable), "not all of them are known");
        let consumer = broker.consumer().group_id("my-group").build().unwrap();
        consumer.subscribe(["t"]).unwrap();
        let error = consumer.poll(SECOND).unwrap_err();
        assert_eq!(error.code(), Some(ErrorCode::CoordinatorNotAvailable), "{error}");
    }
}

/// The same in a directory of ours whose offsets topic grew: the groups stay where they were.
#[test]
fn a_group_in_a_damaged_partition_of_a_topic_that_grew_is_empty() {
    for position in [65, 65 + 100] {
        let dir = memory_dir();
        let open = || Broker::builder().dir(dir.path()).offsets_topic_partitions(2).open().unwrap();
        let broker = open();
        for group in ["a", "b", "my-group"] {
            commit(&broker, group, 5);
        }
        broker.create_partitions("__consumer_offsets", 50).unwrap();
        assert_eq!(committed(&broker, "my-group"), Ok(Some(5)));
        broker.close().unwrap();
        std::fs::remove_file(dir.path().join(".kafka_cleanshutdown")).unwrap();
        // `my-group` and one of the others lie in partition 0, the third in partition 1.
        let path = file(dir.path(), 0);
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[position] ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        let broker = open();
        assert_eq!(broker.recovery_report().damaged().count(), 1);
        let unavailable = Err(Some(ErrorCode::CoordinatorNotAvailable));
        assert_eq!(committed(&broker, "my-group"), unavailable, "damage at {position}");
    }
}

/// In a directory of ours a group lies where its hash leads, and damage elsewhere concerns it not.
#[test]
fn damage_in_one_offsets_partition_leaves_the_groups_of_the_others() {
    let dir = memory_dir();
    let open = || Broker::builder().dir(dir.path()).offsets_topic_partitions(50).open().unwrap();
    let broker = open();
    commit(&broker, "my-group", 5);
    commit(&broker, "other", 7);
    broker.close().unwrap();
    std::fs::remove_file(dir.path().join(".kafka_cleanshutdown")).unwrap();
    let path = file(dir.path(), HOME);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[65] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    let broker = open();
    assert_eq!(committed(&broker, "my-group"), Err(Some(ErrorCode::CoordinatorNotAvailable)));
    assert_eq!(committed(&broker, "other"), Ok(Some(7)));
    assert_eq!(committed(&broker, "new"), Ok(None));
    commit(&broker, "new", 1);

    // A topic's commits may lie in the damage: its deletion is finished when that is known.
    let error = broker.delete_topic("t").unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::CoordinatorNotAvailable), "{error}");
    assert!(broker.topic("t").is_err());
    let error = broker.create_topic("t").unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::TopicAlreadyExists), "{error}");
    assert!(error.to_string().contains("next open"), "{error}");
    broker.close().unwrap();
    bytes[65] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    let broker = open();
    assert!(broker.topic("t").is_err());
    for group in ["my-group", "other", "new"] {
        assert_eq!(committed(&broker, group), Ok(None), "{group}");
    }
    broker.create_topic("t").unwrap();
}

/// A join whose sync failed left its member behind: the next join was told of a second member
/// instead of the storage that had failed.
#[test]
fn a_join_whose_sync_failed_leaves_a_member() {
    let sim = SimStorage::new();
    let broker = Broker::builder().storage(sim.storage()).topic("t").open().unwrap();
    broker.groups().unwrap();
    let member = || {
        let consumer = broker.consumer().group_id("g").auto_offset_reset(OffsetReset::Earliest);
        let consumer = consumer.build().unwrap();
        consumer.subscribe(["t"]).unwrap();
        consumer
    };
    sim.fail(Fault { op: FaultOp::Sync, nth: 0, sticky: false, kind: FaultKind::Eio });
    let first = member();
    let failed = first.poll(SECOND).unwrap_err();
    assert_eq!(failed.code(), Some(ErrorCode::KafkaStorageError), "{failed}");
    let error = first.poll(SECOND).unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::KafkaStorageError), "it stays so: {error}");
    drop(first);
    let error = member().poll(SECOND).unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::KafkaStorageError), "{error}");
}

/// Deleting a topic went on with the groups' commits, but did not wait for the disk to have that.
#[test]
fn a_deleted_topics_commits_are_durably_gone() {
    let sim = SimStorage::new();
    let broker = Broker::builder().storage(sim.storage()).open().unwrap();
    broker.create_topic(NewTopic::new("t").partitions(2)).unwrap();
    commit(&broker, "g", 3);
    commit(&broker, "h", 4);
    broker.delete_topic("t").unwrap();
    let offsets = broker.topic("__consumer_offsets").unwrap().partition(0).unwrap();
    assert_eq!(offsets.recovery_point(), offsets.log_end_offset());
    for state in sim.power_cut_states(sim.op_count(), 100, 0) {
        let broker = Broker::builder().storage(state.storage()).open().unwrap();
        assert!(broker.groups().unwrap().is_empty());
    }
}
