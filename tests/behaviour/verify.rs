//! Verifying a directory: sound ones have no findings, whatever their history; damage is found with
//! its file and place; nothing is ever changed.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use crate::homes::copy_dir;
use logreel::admin::{Verification, verify, verify_storage};
use logreel::testing::MockClock;
use logreel::{Broker, CleanupPolicy, Compression, NewTopic, ProducerRecord, Storage};
use tempfile::TempDir;

const LOG: &str = "00000000000000000000.log";

/// Topics of all kinds in small segments, with a group that commits.
fn fill(broker: &Broker) {
    let small = |name: &str| NewTopic::new(name).set("segment.bytes", "500");
    let indexed = |name: &str| small(name).set("index.interval.bytes", "100");
    broker.create_topic(indexed("plain").partitions(2)).unwrap();
    broker.create_topic(small("compacted").cleanup_policy(CleanupPolicy::Compact)).unwrap();
    broker.create_topic(NewTopic::new("empty")).unwrap();
    for codec in [Compression::None, Compression::Gzip, Compression::Lz4, Compression::Snappy] {
        let producer = broker.producer().compression(codec).batch_size(400).build().unwrap();
        for n in 0..60i64 {
            for topic in ["plain", "compacted"] {
                let record = ProducerRecord::to(topic).key(format!("k{}", n % 7));
                let time = 1_700_000_000_000 + n * 37 % 100;
                producer.send(record.value(format!("value {n}")).timestamp(time)).forget();
            }
        }
        producer.close(std::time::Duration::from_secs(10)).unwrap();
    }
    let consumer = broker.consumer().group_id("g").build().unwrap();
    consumer.commit_offsets(&[(("plain", 0), 3)].into_iter().collect()).unwrap();
}

fn broker(dir: &Path) -> Broker {
    Broker::builder().dir(dir).open().unwrap()
}

/// Every file and directory, its bytes and when it was written.
fn contents(dir: &Path) -> BTreeMap<PathBuf, (Vec<u8>, SystemTime)> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let modified = fs::metadata(&path).unwrap().modified().unwrap();
        if path.is_dir() {
            found.extend(contents(&path));
            found.insert(path, (Vec::new(), modified));
        } else {
            let bytes = fs::read(&path).unwrap();
            found.insert(path, (bytes, modified));
        }
    }
    found
}

fn looked_at(dir: &Path) -> Verification {
    let before = contents(dir);
    let verified = verify(dir).unwrap();
    assert!(contents(dir) == before, "verifying changed something");
    verified
}

fn sound(dir: &Path, when: &str) -> Verification {
    let verified = looked_at(dir);
    assert!(verified.is_sound(), "{when}: {:#?}", verified.findings);
    verified
}

/// A small directory, closed cleanly: one topic of four segments.
fn small() -> TempDir {
    let home = tempfile::tempdir().unwrap();
    let broker = broker(home.path());
    let topic = NewTopic::new("t").set("segment.bytes", "160").set("index.interval.bytes", "0");
    broker.create_topic(topic).unwrap();
    let producer = broker.producer().build().unwrap();
    for n in 0..8i64 {
        let record = ProducerRecord::to("t").value("x").timestamp(1_700_000_000_000 + n);
        producer.send(record).wait().unwrap();
    }
    drop(producer);
    broker.close().unwrap();
    home
}

/// What is found, as the names of the files and the first thing said.
fn names(verified: &Verification) -> Vec<String> {
    let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
    verified.findings.iter().map(|finding| name(&finding.path)).collect()
}

#[test]
fn what_we_wrote_has_no_findings() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("data");
    let open = broker(&dir);
    fill(&open);
    let live = sound(&dir, "open");
    assert!(live.owned && !live.clean);
    let killed = home.path().join("killed");
    copy_dir(&dir, &killed);
    open.close().unwrap();
    let closed = sound(&dir, "closed");
    assert!(closed.clean && !closed.owned && closed.notes.is_empty(), "{:?}", closed.notes);
    assert_eq!(closed.counts.records, 481);
    assert!(closed.counts.segments > 10, "{:?}", closed.counts);

    let after = sound(&killed, "killed");
    assert!(!after.clean && !after.owned);
    assert_eq!(after.counts, live.counts);
    let recovered = broker(&killed);
    sound(&killed, "recovered");
    fill_more(&recovered);
    recovered.close().unwrap();
    sound(&killed, "recovered and closed");
    let read_only = Broker::open_read_only(&killed).unwrap();
    assert!(!sound(&killed, "watched").owned);
    drop(read_only);
}

fn fill_more(broker: &Broker) {
    let producer = broker.producer().build().unwrap();
    for n in 0..100 {
        producer.send(ProducerRecord::to("plain").value(n.to_string())).forget();
    }
    producer.close(std::time::Duration::from_secs(10)).unwrap();
    broker.delete_topic("compacted").unwrap();
}

#[test]
fn memory_is_verified_too_and_time_may_stand_still() {
    let storage = Storage::memory();
    let clock = MockClock::at_millis(1_700_000_000_000);
    let open = Broker::builder().storage(storage.clone()).clock(&clock).open().unwrap();
    fill(&open);
    assert!(verify_storage(&storage).unwrap().owned);
    open.close().unwrap();
    let verified = verify_storage(&storage).unwrap();
    assert!(verified.is_sound() && verified.clean, "{:?}", verified.findings);
}

#[test]
fn an_application_that_appends_meanwhile_is_no_finding() {
    let home = tempfile::tempdir().unwrap();
    let open = broker(home.path());
    let topic = NewTopic::new("t").set("segment.bytes", "3000").partitions(2);
    open.create_topic(topic.set("index.interval.bytes", "50")).unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let producer = open.producer().build().unwrap();
            let mut n = 0u32;
            while !done.load(Ordering::Relaxed) {
                n += 1;
                producer.send(ProducerRecord::to("t").value(n.to_string())).wait().unwrap();
                if n.is_multiple_of(50) {
                    let name = format!("x{}", n / 50);
                    let log = open.create_topic(name.as_str()).unwrap().partition(0).unwrap();
                    log.append([(None, Some("x"))]).unwrap();
                    open.delete_topic(&name).unwrap();
                }
            }
        });
        for _ in 0..60 {
            let verified = verify(home.path()).unwrap();
            let sound = verified.is_sound();
            if !sound {
                done.store(true, Ordering::Relaxed);
            }
            assert!(sound && verified.owned, "{:#?}", verified.findings);
        }
        done.store(true, Ordering::Relaxed);
    });
    open.close().unwrap();
    sound(home.path(), "closed");
}

/// What may change unseen, and why that does no harm.
fn is_harmless(file: &str, position: usize) -> bool {
    match file {
        // Only a person reads the one, and only whether it exists counts of the other.
        ".lock" | ".kafka_cleanshutdown" => true,
        // The words before the values, and a version that reads as another known one.
        "partition.metadata" => position < 21,
        // A lower recovery point, or none, is a note: it costs time at the next open.
        "recovery-point-offset-checkpoint" => position >= 4,
        // The version of our own files: 0 reads as 1 does.
        _ => file.starts_with("logreel.") && position < 30,
    }
}

#[test]
fn every_flipped_byte_is_found_or_harmless() {
    let home = small();
    sound(home.path(), "before");
    let mut flips = 0;
    for (path, (bytes, _)) in contents(home.path()) {
        let file = path.file_name().unwrap().to_str().unwrap().to_owned();
        for position in 0..bytes.len() {
            for mask in [0x01, 0x80] {
                let mut flipped = bytes.clone();
                flipped[position] ^= mask;
                fs::write(&path, flipped).unwrap();
                flips += 1;
                let found = match verify(home.path()) {
                    Ok(verified) => !verified.is_sound(),
                    // As good as one of a newer release.
                    Err(error) => error.to_string().contains("newer logreel"),
                };
                assert!(found || is_harmless(&file, position), "{file} {position} {mask:x}");
            }
        }
        if !bytes.is_empty() {
            fs::write(&path, bytes).unwrap();
        }
    }
    assert!(flips > 2000, "{flips}");
    sound(home.path(), "after");
}

#[test]
fn a_missing_segment_is_found() {
    let home = small();
    let dir = home.path().join("t-0");
    let logs: Vec<PathBuf> =
        contents(&dir).into_keys().filter(|p| p.extension().is_some_and(|e| e == "log")).collect();
    assert!(logs.len() >= 4);
    for clean in [true, false] {
        if !clean {
            fs::remove_file(home.path().join(".kafka_cleanshutdown")).unwrap();
        }
        for log in &logs[1..logs.len() - 1] {
            let bytes = fs::read(log).unwrap();
            fs::remove_file(log).unwrap();
            let verified = looked_at(home.path());
            assert!(!verified.is_sound(), "{} of a clean directory: {clean}", log.display());
            fs::write(log, bytes).unwrap();
        }
        sound(home.path(), "put back");
    }
    // The newest: durable once.
    fs::remove_file(logs.last().unwrap()).unwrap();
    assert!(looked_at(home.path()).findings[0].what.contains("durable"));
    fs::remove_dir_all(&dir).unwrap();
    assert!(looked_at(home.path()).findings[0].what.contains("directory is missing"));
}

#[test]
fn a_false_index_is_found_where_it_is_believed() {
    let home = small();
    // As if Kafka had closed it: nothing vouches for the indexes but themselves.
    fs::remove_file(home.path().join("logreel.manifest")).unwrap();
    sound(home.path(), "without the manifest");
    let index = home.path().join("t-0/00000000000000000000.index");
    let times = index.with_extension("timeindex");
    for path in [index, times] {
        let bytes = fs::read(&path).unwrap();
        assert!(!bytes.is_empty());
        for position in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[position] ^= 1;
            fs::write(&path, flipped).unwrap();
            let verified = verify(home.path()).unwrap();
            let file = path.file_name().unwrap().to_str().unwrap();
            assert_eq!(names(&verified)[0], file, "{position}");
            let entry = if file.ends_with("timeindex") { 12 } else { 8 };
            let at = verified.findings[0].position.unwrap();
            assert_eq!(at as usize, position / entry * entry);
        }
        // Rebuilt by the next open of a directory that was not closed cleanly.
        fs::write(&path, [7; 24]).unwrap();
        let marker = home.path().join(".kafka_cleanshutdown");
        fs::remove_file(&marker).unwrap();
        assert!(!sound(home.path(), "not closed cleanly").notes.is_empty());
        fs::write(marker, "").unwrap();
        fs::write(&path, bytes).unwrap();
    }
}

#[test]
fn a_torn_tail_is_a_note_only_where_it_may_be_cut() {
    let home = small();
    let log = contents(&home.path().join("t-0"))
        .into_keys()
        .rfind(|path| path.extension().is_some_and(|e| e == "log"))
        .unwrap();
    let whole = fs::read(&log).unwrap();
    fs::write(&log, [&whole[..], &[7; 100]].concat()).unwrap();
    assert!(!looked_at(home.path()).is_sound(), "closed cleanly");

    fs::remove_file(home.path().join(".kafka_cleanshutdown")).unwrap();
    let verified = sound(home.path(), "not closed cleanly");
    let torn = verified.notes.iter().find(|note| note.path == log).unwrap();
    assert_eq!(torn.position, Some(whole.len() as u64));
    assert!(torn.what.starts_with("the last 100 bytes are no batch"), "{torn}");
    fs::write(&log, [&whole[..], &[0; 100]].concat()).unwrap();
    let verified = sound(home.path(), "not closed cleanly");
    assert!(verified.notes.iter().all(|note| note.path != log), "zeros are room ahead");

    // Below the recovery point bytes were durable once.
    fs::write(&log, &whole[..whole.len() - 1]).unwrap();
    let verified = looked_at(home.path());
    assert_eq!(names(&verified), [log.file_name().unwrap().to_str().unwrap()]);

    // Without one, only what is last is a tail.
    fs::remove_file(home.path().join("recovery-point-offset-checkpoint")).unwrap();
    sound(home.path(), "never synced");
    let first = home.path().join("t-0").join(LOG);
    let bytes = fs::read(&first).unwrap();
    fs::write(&first, &bytes[..bytes.len() - 1]).unwrap();
    assert_eq!(names(&looked_at(home.path()))[0], LOG);
}

#[test]
fn what_lies_about_is_noted() {
    let home = small();
    let put = |name: &str| fs::write(home.path().join(name), "x").unwrap();
    for name in ["stranger", "logreel.catalog.tmp", "t-0/note.txt", "t-0/logreel-cut-1"] {
        put(name);
    }
    for name in ["00000000000000000000.log.deleted", "00000000000000000005.log.swap"] {
        put(&format!("t-0/{name}"));
    }
    let hex = "0123456789abcdef0123456789abcdef";
    for name in [format!("gone-0.{hex}-delete"), "photos-2023".to_owned(), "other".to_owned()] {
        fs::create_dir(home.path().join(name)).unwrap();
    }
    std::os::unix::fs::symlink("/nowhere", home.path().join("link")).unwrap();
    assert_eq!(verify(home.path()).unwrap().notes.len(), 10);
    assert!(verify(home.path()).unwrap().is_sound());
    assert!(verify(home.path().join("nowhere")).is_err());
}

#[test]
fn a_directory_of_garbage_ends_well() {
    let home = small();
    for (path, (bytes, _)) in contents(home.path()) {
        if bytes.is_empty() || path.ends_with(".kafka_cleanshutdown") {
            continue;
        }
        for fill in [vec![], vec![0; 70_000], vec![0xff; 5000], b"0\n99999999999\n".to_vec()] {
            fs::write(&path, fill).unwrap();
            verify(home.path()).unwrap();
        }
    }
    assert!(!verify(home.path()).unwrap().is_sound());
}
