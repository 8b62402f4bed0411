//! What the system does not give: room, open files, the right to write.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use logreel::{Broker, ErrorKind, Housekeeping, NewTopic, Partition, ProducerRecord};

/// A small file system in memory, as long as this lives.
struct Small(tempfile::TempDir);

impl Small {
    /// `None`, with a word, where the test may not mount.
    fn mount(options: &str) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", options, "logreel-test"]).arg(dir.path());
        let mounted = mount.stderr(Stdio::null()).status().is_ok_and(|status| status.success());
        if !mounted {
            println!("skipped: a tmpfs cannot be mounted here");
        }
        mounted.then(|| Self(dir))
    }

    fn remount(&self, options: &str) {
        let options = format!("remount,{options}");
        let status = Command::new("mount").args(["-o", &options]).arg(self.0.path()).status();
        assert!(status.unwrap().success(), "{options}");
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).status();
    }
}

fn value(i: i64) -> String {
    format!("{i:0>1000}")
}

/// Appends until there is no room; answers how many records there are.
fn fill(log: &Partition) -> i64 {
    loop {
        let next = log.log_end_offset();
        if let Err(error) = log.append([(None, Some(value(next).as_str()))]) {
            assert_eq!(error.kind(), ErrorKind::StorageFull, "{error}");
            return next;
        }
    }
}

fn check(log: &Partition) {
    let mut next = log.log_start_offset();
    while next < log.log_end_offset() {
        for record in &log.read(next, 1 << 20).unwrap() {
            assert_eq!(record.offset(), next);
            assert_eq!(record.value(), Some(value(next).as_bytes()));
            next += 1;
        }
    }
}

/// However often it is full: what is there is read, records are deleted, and it goes on.
#[test]
fn a_full_file_system_takes_appends_again_when_records_are_deleted() {
    for (options, what) in [("size=4m", "bytes"), ("size=64m,nr_inodes=40", "names")] {
        let Some(small) = Small::mount(options) else { return };
        let root = small.0.path().join("data");
        let broker = quiet(&root);
        let topic =
            NewTopic::new("t").set("segment.bytes", "4000").set("file.delete.delay.ms", "0");
        let log = broker.create_topic(topic).unwrap();
        let log = log.partition(0).unwrap();
        // What is deleted on a disk that takes not one byte more must lie below a recovery point
        // that is stored; that is done every minute, and by a close.
        for i in 0..20 {
            log.append([(None, Some(value(i).as_str()))]).unwrap();
        }
        drop(log);
        broker.close().unwrap();
        let broker = quiet(&root);
        let log = broker.topic("t").unwrap().partition(0).unwrap();
        let mut appended = 0;
        for round in 0..20 {
            let end = fill(&log);
            assert!(end > appended, "round {round}: nothing fits any more, with {what}");
            appended = end;
            check(&log);
            log.sync().unwrap();
            let start = log.delete_records(end - 2).unwrap();
            assert_eq!(start, end - 2, "round {round}");
            broker.run_due();
        }
        println!("full of {what} 20 times: {appended} records");
        log.sync().unwrap();
        drop(log);
        broker.close().unwrap();
        let again = quiet(&root);
        assert_eq!(again.recovery_report().damaged().count(), 0);
        let log = again.topic("t").unwrap().partition(0).unwrap();
        assert_eq!(log.log_end_offset(), appended);
        check(&log);
    }
}

/// Nothing is done beside the test: a deletion that meets the cleaner at work leaves it to that.
fn quiet(root: &Path) -> Broker {
    Broker::builder().dir(root).housekeeping(Housekeeping::Manual).open().unwrap()
}

#[test]
fn a_read_only_file_system_is_an_error_to_writers_and_none_to_readers() {
    let Some(small) = Small::mount("size=16m") else { return };
    let root = small.0.path().join("data");
    let broker = Broker::open(&root).unwrap();
    broker.producer().build().unwrap().send(ProducerRecord::to("t").value("v")).wait().unwrap();
    broker.close().unwrap();
    small.remount("ro");
    let error = Broker::open(&root).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io, "{error}");
    let reader = Broker::open_read_only(&root).unwrap();
    let log = reader.topic("t").unwrap().partition(0).unwrap();
    assert_eq!(log.read(0, 1 << 20).unwrap().len(), 1);
    drop((log, reader));
    small.remount("rw");
    assert!(Broker::open(&root).unwrap().recovery_report().clean, "nobody changed anything");
}

/// Few files may be open, and there are more segments: those that are not used are closed. A
/// directory that could not be opened to be synced stopped its partition as a failed sync does.
#[test]
fn a_process_with_few_descriptors_reads_and_writes_many_segments() {
    let dir = tempfile::tempdir().unwrap();
    for limit in [24, 40, 64] {
        let root = dir.path().join(limit.to_string());
        let lines = under_limit(limit, &root);
        assert!(lines.iter().any(|line| line == "done"), "with {limit} descriptors: {lines:?}");
    }
}

/// What a child reports that may open so many files.
fn under_limit(descriptors: u32, root: &Path) -> Vec<String> {
    let script = format!("ulimit -n {descriptors} && exec \"$0\" \"$@\"");
    let mut child = Command::new("sh")
        .args(["-c", &script])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "child::the_child", "--nocapture"])
        .env("LOGREEL_TEST_ROLE", "many-segments")
        .env("LOGREEL_TEST_DIR", root)
        .env("LOGREEL_TEST_ARGUMENT", "60")
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let lines = lines.map(std::result::Result::unwrap).collect();
    child.wait().unwrap();
    lines
}
