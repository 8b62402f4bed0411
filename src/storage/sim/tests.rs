//! What the simulation may lose and what it may not.

use std::collections::BTreeSet;

use super::super::{FileName, FilePath, Open};
use super::*;

fn name(text: &str) -> FileName {
    FileName::new(text).unwrap()
}

fn at(text: &str) -> FilePath {
    match text.split_once('/') {
        None => FilePath::root(name(text)),
        Some((dir, file)) => FilePath::within(&name(dir), name(file)),
    }
}

/// What a file holds: zeros as `0`, and rubbish as `?`, which the tests never write.
fn text(bytes: &[u8]) -> String {
    let known = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == 0;
    if !bytes.iter().all(known) {
        return "?".to_owned();
    }
    String::from_utf8_lossy(bytes).replace('\0', "0")
}

/// All files with their content, `t-0/f=abc`; directories are `t-0/`.
fn show(disk: &SimStorage) -> String {
    let storage = disk.storage();
    let mut lines = Vec::new();
    for entry in storage.list(None).unwrap() {
        let entry_name = entry.name.unwrap();
        if entry.kind == super::super::EntryKind::File {
            let bytes = storage.read_all(&FilePath::root(entry_name.clone()), 1 << 20).unwrap();
            lines.push(format!("{}={}", entry_name.as_str(), text(&bytes.unwrap().unwrap())));
            continue;
        }
        lines.push(format!("{}/", entry_name.as_str()));
        for inner in storage.list(Some(&entry_name)).unwrap() {
            let path = FilePath::within(&entry_name, inner.name.clone().unwrap());
            let bytes = storage.read_all(&path, 1 << 20).unwrap().unwrap().unwrap();
            let file = inner.name.unwrap();
            lines.push(format!("{}/{}={}", entry_name.as_str(), file.as_str(), text(&bytes)));
        }
    }
    lines.join(" ")
}

fn cuts(disk: &SimStorage) -> BTreeSet<String> {
    let states = disk.power_cut_states(disk.op_count(), 10_000, 0);
    let hashes: BTreeSet<u64> = states.iter().map(SimStorage::state_hash).collect();
    assert_eq!(hashes.len(), states.len(), "every state once");
    states.iter().map(show).collect()
}

fn set(states: &[&str]) -> BTreeSet<String> {
    states.iter().map(|state| (*state).to_owned()).collect()
}

#[test]
fn what_is_synced_stays_and_the_rest_may_be_lost_or_torn() {
    let disk = SimStorage::new();
    let storage = disk.storage();
    let file = storage.open(&at("f"), Open::CreateNew).unwrap();
    file.write_all_at(0, b"abc").unwrap();
    // Neither the entry nor the content is durable, and they are independent.
    assert_eq!(cuts(&disk), set(&["", "f=", "f=a", "f=ab", "f=abc", "f=000", "f=?"]));
    file.sync().unwrap();
    assert_eq!(cuts(&disk), set(&["", "f=abc"]));
    storage.sync_dir(None).unwrap();
    assert_eq!(cuts(&disk), set(&["f=abc"]));
    file.write_all_at(1, b"XY").unwrap();
    assert_eq!(cuts(&disk), set(&["f=abc", "f=aXc", "f=aXY"]));
    file.set_len(1).unwrap();
    assert!(cuts(&disk).contains("f=a") && cuts(&disk).contains("f=abc"));
    file.sync().unwrap();
    assert_eq!(cuts(&disk), set(&["f=a"]));
    // An earlier cut is as it was then.
    assert_eq!(disk.op_log()[2], "sync f");
    let early = disk.power_cut_states(3, 100, 0);
    assert_eq!(early.iter().map(show).collect::<BTreeSet<_>>(), set(&["", "f=abc"]));
}

#[test]
fn names_are_lost_one_by_one_and_with_their_directory() {
    let disk = SimStorage::new();
    let storage = disk.storage();
    storage.create_dir(&name("t-0")).unwrap();
    for file in ["t-0/a", "t-0/b"] {
        let file = storage.open(&at(file), Open::CreateNew).unwrap();
        file.write_all_at(0, b"x").unwrap();
        file.sync().unwrap();
    }
    let all = set(&["", "t-0/", "t-0/ t-0/a=x", "t-0/ t-0/b=x", "t-0/ t-0/a=x t-0/b=x"]);
    assert_eq!(cuts(&disk), all);
    // Syncing the inner directory does not make its own name durable.
    storage.sync_dir(Some(&name("t-0"))).unwrap();
    assert_eq!(cuts(&disk), set(&["", "t-0/ t-0/a=x t-0/b=x"]));
    storage.sync_dir(None).unwrap();
    storage.rename_dir(&name("t-0"), &name("t-1")).unwrap();
    assert_eq!(cuts(&disk), set(&["t-0/ t-0/a=x t-0/b=x", "t-1/ t-1/a=x t-1/b=x"]));
    storage.sync_dir(None).unwrap();
    storage.remove_if_exists(&at("t-1/a")).unwrap();
    assert_eq!(cuts(&disk), set(&["t-1/ t-1/a=x t-1/b=x", "t-1/ t-1/b=x"]));
}

#[test]
fn a_rename_is_atomic() {
    let disk = SimStorage::new();
    let storage = disk.storage();
    storage.replace(&at("f"), b"old").unwrap();
    assert_eq!(cuts(&disk), set(&["f=old"]));
    let from = disk.op_count();
    storage.replace(&at("f"), b"new").unwrap();
    for cut in from..=disk.op_count() {
        for state in disk.power_cut_states(cut, 1000, 0) {
            let seen = show(&state);
            assert!(seen.starts_with("f=old") || seen == "f=new", "{cut}: {seen}");
        }
    }
    assert_eq!(cuts(&disk), set(&["f=new"]));
    // Without the sync of the content the name may come before it: the bug this is made to find.
    let file = storage.open(&at("g.tmp"), Open::CreateNew).unwrap();
    file.write_all_at(0, b"g").unwrap();
    storage.rename(None, &name("g.tmp"), &name("g")).unwrap();
    assert!(cuts(&disk).contains("f=new g="));
}

#[test]
fn a_killed_process_leaves_what_it_wrote_but_not_durable() {
    let disk = SimStorage::new();
    let storage = disk.storage();
    let file = storage.open(&at("f"), Open::CreateNew).unwrap();
    file.write_all_at(0, b"ab").unwrap();
    disk.mark(7);
    file.write_all_at(2, b"cd").unwrap();
    let held = storage.lock().unwrap();
    assert!(storage.lock().is_err());
    assert_eq!(disk.marks_before(2), [0; 0]);
    assert_eq!(disk.marks_before(3), [7]);
    let killed = disk.kill_state(3);
    assert_eq!(show(&killed), "f=ab");
    assert!(killed.storage().lock().is_ok(), "the lock died with its process");
    drop(held);
    assert!(cuts(&killed).contains(""), "never synced");
    // A sync by the next process covers what the last one wrote.
    killed.storage().open(&at("f"), Open::Write).unwrap().sync().unwrap();
    killed.storage().sync_dir(None).unwrap();
    assert_eq!(cuts(&killed), set(&["f=ab"]));
    let other = killed.storage().open(&at("g"), Open::CreateNew).unwrap();
    other.write_all_at(0, b"x").unwrap();
    assert_eq!(show(&disk), "f=abcd", "disks do not share what comes later");
}

#[test]
fn a_failed_sync_is_forgotten_by_the_system_but_not_by_the_disk() {
    let disk = SimStorage::new();
    let storage = disk.storage();
    storage.replace(&at("f"), b"aaaa").unwrap();
    let file = storage.open(&at("f"), Open::Write).unwrap();
    file.write_all_at(0, b"bb").unwrap();
    disk.fail(Fault { op: FaultOp::Sync, nth: 0, sticky: false, kind: FaultKind::Eio });
    assert!(file.sync().is_err());
    assert!(file.sync().is_ok(), "the second sync lies");
    assert_eq!(&file.read_at(0, 9).unwrap()[..], b"bbaa", "and the cache shows the new bytes");
    assert_eq!(cuts(&disk.kill_state(disk.op_count())), set(&["f=bbaa", "f=aaaa"]));
    // Writing them again makes them dirty again.
    file.write_all_at(0, b"bb").unwrap();
    file.sync().unwrap();
    assert_eq!(cuts(&disk), set(&["f=bbaa"]));
    disk.fail(Fault { op: FaultOp::SyncDir, nth: 0, sticky: false, kind: FaultKind::Eio });
    storage.remove_if_exists(&at("f")).unwrap();
    assert!(storage.sync_dir(None).is_err());
    assert_eq!(cuts(&disk), set(&["", "f=bbaa"]));
    assert!(storage.sync_dir(None).is_ok());
    assert_eq!(cuts(&disk), set(&[""]), "names are not forgotten");
}

#[test]
fn writes_can_be_short_and_the_disk_full() {
    let disk = SimStorage::new();
    let storage = disk.storage();
    let file = storage.open(&at("f"), Open::CreateNew).unwrap();
    disk.fail(Fault { op: FaultOp::Write, nth: 0, sticky: false, kind: FaultKind::ShortWrite(2) });
    disk.fail(Fault { op: FaultOp::Write, nth: 1, sticky: false, kind: FaultKind::Eintr });
    file.write_all_at(0, b"abcde").unwrap();
    assert_eq!(show(&disk), "f=abcde");
    disk.set_capacity(Some(7));
    let error = file.write_all_at(5, b"fghi").unwrap_err();
    assert_eq!(error.kind(), crate::ErrorKind::StorageFull);
    assert_eq!(show(&disk), "f=abcdefg", "what fitted is there");
    file.write_all_at(0, b"ABC").unwrap();
    file.set_len(3).unwrap();
    file.write_all_at(3, b"defg").unwrap();
}

#[test]
fn a_long_window_is_sampled_repeatably_and_within_the_limit() {
    let disk = SimStorage::new();
    let storage = disk.storage();
    for file in 0..5 {
        let file = storage.open(&at(&format!("f{file}")), Open::CreateNew).unwrap();
        for write in 0..100u64 {
            file.write_all_at(write * 300, &[b'x'; 300]).unwrap();
        }
    }
    let hashes = |seed| -> Vec<u64> {
        let states = disk.power_cut_states(disk.op_count(), 500, seed);
        states.iter().map(SimStorage::state_hash).collect()
    };
    let one = hashes(1);
    assert_eq!(one.len(), 500);
    assert_eq!(one, hashes(1));
    assert_ne!(one, hashes(2));
}
