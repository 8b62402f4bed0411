use crate::homes::*;
use logreel::{Broker, ErrorKind};

#[test]
fn a_directory_is_held_once() {
    let home = disk();
    let broker = home.open();
    let error = home.builder().open().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DirectoryLocked);
    let text = error.to_string();
    assert!(text.contains("already open in this process"), "says who holds it: {text}");
    assert!(!text.contains('\n'));
    drop(broker);
    home.open();
}

#[test]
fn a_file_where_a_directory_should_be() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("data");
    std::fs::write(&path, "not a directory").unwrap();
    let error = Broker::open(&path).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io, "{error}");
    assert!(error.to_string().contains("data"), "{error}");
    assert_eq!(std::fs::read(&path).unwrap(), b"not a directory");
    let error = Broker::open_read_only(&path).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidDirectory, "{error}");
    let error = Broker::open_read_only(dir.path().join("nowhere")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidDirectory, "{error}");
    assert!(!dir.path().join("nowhere").exists());
}

#[test]
fn what_does_not_belong_is_ignored_reported_and_left_alone() {
    let home = disk();
    let broker = home.open();
    let log = broker.create_topic("t").unwrap().partition(0).unwrap();
    log.append([(None, Some("x"))]).unwrap();
    drop(log);
    broker.close().unwrap();
    let dir = home.dir().unwrap();
    std::fs::create_dir(dir.join("lost+found")).unwrap();
    std::fs::write(dir.join("notes.txt"), "mine").unwrap();
    std::fs::write(dir.join("t-0/notes.txt"), "mine").unwrap();
    std::os::unix::fs::symlink("/etc/passwd", dir.join("t-0/00000000000000000009.log")).unwrap();
    std::os::unix::fs::symlink("/etc", dir.join("u-0")).unwrap();
    let fifo = std::process::Command::new("mkfifo")
        .arg(dir.join("t-0/00000000000000000010.log"))
        .status()
        .unwrap();
    assert!(fifo.success());
    let broker = home.open();
    let report = broker.recovery_report();
    assert!(report.ignored.contains(&"lost+found".to_owned()), "{report:?}");
    assert!(report.ignored.contains(&"u-0".to_owned()), "{report:?}");
    let partition = &report.partitions[0];
    assert_eq!(
        partition.ignored,
        ["00000000000000000009.log", "00000000000000000010.log", "notes.txt"]
    );
    assert_eq!(read_all(&broker, "t", 0).len(), 1);
    assert_eq!(std::fs::read(dir.join("t-0/notes.txt")).unwrap(), b"mine");
}

#[test]
fn files_are_private() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("data");
    let broker = Broker::open(&root).unwrap();
    let log = broker.create_topic("t").unwrap().partition(0).unwrap();
    log.append([(None, Some("x"))]).unwrap();
    drop(log);
    broker.close().unwrap();
    let mode =
        |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&root), 0o700);
    assert_eq!(mode(&root.join("t-0")), 0o700);
    for (path, _) in snapshot(&root) {
        assert_eq!(mode(&path), 0o600, "{}", path.display());
    }
}

#[test]
fn a_read_only_broker_changes_nothing() {
    let home = disk();
    let broker = home.open();
    let log = broker.create_topic("t").unwrap().partition(0).unwrap();
    log.append([(None, Some("x"))]).unwrap();
    drop(log);
    broker.close().unwrap();
    let before = snapshot(home.dir().unwrap());
    {
        let broker = Broker::open_read_only(home.dir().unwrap()).unwrap();
        assert!(broker.is_read_only());
        assert_eq!(read_all(&broker, "t", 0).len(), 1);
        let read_only = |error: logreel::Error| assert_eq!(error.kind(), ErrorKind::ReadOnly);
        read_only(broker.create_topic("u").unwrap_err());
        read_only(broker.delete_topic("t").unwrap_err());
        read_only(broker.create_partitions("t", 9).unwrap_err());
        read_only(broker.producer().build().map(|_| ()).unwrap_err());
        let log = broker.topic("t").unwrap().partition(0).unwrap();
        read_only(log.append([(None, Some("y"))]).unwrap_err());
        let consumer = broker.consumer().group_id("g").build().unwrap();
        read_only(consumer.subscribe(["t"]).unwrap_err());
        consumer.assign([("t", 0), ("unknown", 0)]).unwrap();
        assert!(consumer.poll(std::time::Duration::ZERO).unwrap().is_empty());
        read_only(consumer.commit().unwrap_err());
    }
    assert_eq!(before, snapshot(home.dir().unwrap()));
}
