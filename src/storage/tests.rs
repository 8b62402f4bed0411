//! All homes behave alike: the same operations, the same answers.

use std::io;
use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;

use super::backend::{Entry, RawFile};
use super::{FileName, FilePath, Open, Storage};

#[derive(Clone, Copy, Debug)]
enum Step {
    Open { slot: usize, path: &'static str, open: Open },
    Close { slot: usize },
    Write { slot: usize, offset: u64, len: usize, byte: u8 },
    Read { slot: usize, offset: u64, len: usize },
    SetLen { slot: usize, len: u64 },
    Sync { slot: usize },
    List { dir: &'static str },
    CreateDir { dir: &'static str },
    RenameDir { from: &'static str, to: &'static str },
    RemoveDir { dir: &'static str },
    Rename { dir: &'static str, from: &'static str, to: &'static str },
    Remove { path: &'static str },
    SyncDir { dir: &'static str },
}

const SLOTS: usize = 4;

fn name(text: &str) -> FileName {
    FileName::new(text).unwrap()
}

/// The root is the empty name.
fn dir(text: &str) -> Option<FileName> {
    FileName::new(text)
}

fn path(text: &str) -> FilePath {
    match text.split_once('/') {
        None => FilePath::root(name(text)),
        Some((dir, file)) => FilePath::within(&name(dir), name(file)),
    }
}

struct Run {
    storage: Storage,
    slots: [Option<Arc<dyn RawFile>>; SLOTS],
}

impl Run {
    fn new(storage: Storage) -> Self {
        Self { storage, slots: Default::default() }
    }

    /// What the step answers, in words.
    fn step(&mut self, step: Step) -> String {
        match self.try_step(step) {
            Ok(answer) => answer,
            Err(error) => format!("error {:?}", error.kind()),
        }
    }

    fn try_step(&mut self, step: Step) -> io::Result<String> {
        let backend = self.storage.backend();
        let file = |slot: usize| self.slots[slot].as_ref().ok_or(io::ErrorKind::Other);
        let done = String::from("done");
        match step {
            Step::Open { slot, path: at, open } => {
                let opened = backend.open(&path(at), open)?;
                self.slots[slot] = Some(opened);
                Ok(done)
            }
            Step::Close { slot } => {
                self.slots[slot] = None;
                Ok(done)
            }
            Step::Write { slot, offset, len, byte } => {
                Ok(format!("{}", file(slot)?.write_at(offset, &vec![byte; len])?))
            }
            Step::Read { slot, offset, len } => {
                let file = file(slot)?;
                Ok(format!("{} {:?}", file.len()?, file.read_at(offset, len)?))
            }
            Step::SetLen { slot, len } => file(slot)?.set_len(len).map(|()| done),
            Step::Sync { slot } => file(slot)?.sync().map(|()| done),
            Step::List { dir: at } => {
                let words = |entry: Entry| format!("{:?} {:?}", entry.name, entry.kind);
                let entries = backend.list(dir(at).as_ref())?;
                Ok(entries.into_iter().map(words).collect::<Vec<_>>().join(", "))
            }
            Step::CreateDir { dir } => backend.create_dir(&name(dir)).map(|()| done),
            Step::RenameDir { from, to } => {
                backend.rename_dir(&name(from), &name(to)).map(|()| done)
            }
            Step::RemoveDir { dir } => backend.remove_dir(&name(dir)).map(|()| done),
            Step::Rename { dir: at, from, to } => {
                backend.rename(dir(at).as_ref(), &name(from), &name(to)).map(|()| done)
            }
            Step::Remove { path: at } => backend.remove(&path(at)).map(|()| done),
            Step::SyncDir { dir: at } => backend.sync_dir(dir(at).as_ref()).map(|()| done),
        }
    }
}

/// Every home, the directory on disk also with far too few descriptors.
fn homes(on_disk: &Path) -> Vec<(&'static str, Run)> {
    let homes = [
        ("disk", Storage::disk(on_disk.join("plain"))),
        ("disk, two descriptors", Storage::disk_limited(&on_disk.join("tight"), false, 2)),
        ("memory", Storage::memory()),
        #[cfg(feature = "testing")]
        ("simulation", super::SimStorage::new().storage()),
        #[cfg(feature = "testing")]
        ("observed", Storage::observed(Storage::memory(), |_, _| Ok(()))),
    ];
    homes
        .into_iter()
        .map(|(label, storage)| {
            storage.create_root().unwrap();
            (label, Run::new(storage))
        })
        .collect()
}

/// Runs the steps everywhere; the answers must be the same, and are returned.
fn run(steps: &[Step]) -> Vec<String> {
    let on_disk = tempfile::tempdir().unwrap();
    let mut homes = homes(on_disk.path());
    let look_around = ["", "d", "e"].map(|dir| Step::List { dir });
    let mut answers = Vec::new();
    for step in steps.iter().chain(&look_around) {
        let mut answer = None;
        for (label, home) in &mut homes {
            let got = home.step(*step);
            let expected = answer.get_or_insert_with(|| got.clone());
            assert_eq!(expected, &got, "{label} answers {step:?} differently after {answers:?}");
        }
        answers.extend(answer);
    }
    answers
}

#[test]
fn files_behave_as_promised() {
    let answers = run(&[
        Step::Open { slot: 0, path: "a", open: Open::Read },
        Step::Open { slot: 0, path: "d/x", open: Open::CreateNew },
        Step::Open { slot: 0, path: "a", open: Open::CreateNew },
        Step::Open { slot: 1, path: "a", open: Open::CreateNew },
        Step::Write { slot: 0, offset: 2, len: 2, byte: b'x' },
        Step::Read { slot: 0, offset: 0, len: 9 },
        Step::SetLen { slot: 0, len: 3 },
        Step::SetLen { slot: 0, len: 5 },
        Step::Read { slot: 0, offset: 0, len: 9 },
        Step::Read { slot: 0, offset: 5, len: 9 },
        Step::Read { slot: 0, offset: 99, len: 9 },
        Step::Write { slot: 0, offset: 9, len: 0, byte: 0 },
        Step::Open { slot: 1, path: "a", open: Open::Read },
        Step::Write { slot: 1, offset: 0, len: 1, byte: 0 },
        Step::SetLen { slot: 1, len: 0 },
        Step::Read { slot: 1, offset: 1, len: 2 },
        Step::Write { slot: 0, offset: u64::MAX, len: 1, byte: 0 },
        Step::SetLen { slot: 0, len: u64::MAX },
    ]);
    let expected = [
        "error NotFound",
        "error NotFound",
        "done",
        "error AlreadyExists",
        "2",
        "4 b\"\\0\\0xx\"",
        "done",
        "done",
        "5 b\"\\0\\0x\\0\\0\"",
        "5 b\"\"",
        "5 b\"\"",
        "0",
        "done",
        "error PermissionDenied",
        "error PermissionDenied",
        "5 b\"\\0x\"",
        "error InvalidInput",
        "error InvalidInput",
    ];
    assert_eq!(answers[..expected.len()], expected);
}

#[test]
fn names_behave_as_promised() {
    let answers = run(&[
        Step::CreateDir { dir: "d" },
        Step::CreateDir { dir: "d" },
        Step::Open { slot: 0, path: "d", open: Open::Read },
        Step::Open { slot: 0, path: "d", open: Open::CreateNew },
        Step::Open { slot: 0, path: "d/x", open: Open::CreateNew },
        Step::Open { slot: 1, path: "a", open: Open::CreateNew },
        Step::Open { slot: 1, path: "a/x", open: Open::Read },
        Step::RemoveDir { dir: "d" },
        Step::RemoveDir { dir: "a" },
        Step::RemoveDir { dir: "e" },
        Step::Remove { path: "d" },
        Step::List { dir: "a" },
        Step::List { dir: "e" },
        Step::Rename { dir: "", from: "a", to: "d" },
        Step::Rename { dir: "", from: "d", to: "b" },
        Step::Rename { dir: "", from: "e", to: "b" },
        Step::Rename { dir: "d", from: "x", to: "y" },
        Step::RenameDir { from: "d", to: "a" },
        Step::RenameDir { from: "a", to: "e" },
        Step::RenameDir { from: "d", to: "d" },
        Step::RenameDir { from: "d", to: "e" },
        Step::SyncDir { dir: "d" },
        Step::SyncDir { dir: "e" },
        Step::Write { slot: 0, offset: 0, len: 1, byte: b'x' },
        Step::Remove { path: "e/y" },
        Step::Remove { path: "e/y" },
        Step::Read { slot: 0, offset: 0, len: 1 },
        Step::RemoveDir { dir: "e" },
    ]);
    let expected = [
        "done",
        "error AlreadyExists",
        "error IsADirectory",
        "error AlreadyExists",
        "done",
        "done",
        "error NotADirectory",
        "error DirectoryNotEmpty",
        "error NotADirectory",
        "error NotFound",
        "error IsADirectory",
        "error NotADirectory",
        "error NotFound",
        "error IsADirectory",
        "error IsADirectory",
        "error NotFound",
        "done",
        "error AlreadyExists",
        "error NotADirectory",
        "error AlreadyExists",
        "done",
        "error NotFound",
        "done",
        "1",
        "done",
        "error NotFound",
        "1 b\"x\"",
        "done",
    ];
    assert_eq!(answers[..expected.len()], expected);
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let slot = || 0..SLOTS;
    let dir = || prop::sample::select(vec!["d", "e", "a"]);
    let place = || prop::sample::select(vec!["", "d", "e"]);
    let file = || prop::sample::select(vec!["a", "b", "d", "x", "y"]);
    let path = || prop::sample::select(vec!["a", "b", "d", "d/x", "d/y", "e/x", "e/y", "a/x"]);
    let open = prop::sample::select(vec![Open::Read, Open::Write, Open::Write, Open::CreateNew]);
    let step = prop_oneof![
        6 => (slot(), path(), open).prop_map(|(slot, path, open)| Step::Open { slot, path, open }),
        6 => (slot(), path())
            .prop_map(|(slot, path)| Step::Open { slot, path, open: Open::CreateNew }),
        1 => slot().prop_map(|slot| Step::Close { slot }),
        8 => (slot(), 0..60u64, 0..40usize, any::<u8>())
            .prop_map(|(slot, offset, len, byte)| Step::Write { slot, offset, len, byte }),
        6 => (slot(), 0..80u64, 0..90usize)
            .prop_map(|(slot, offset, len)| Step::Read { slot, offset, len }),
        2 => (slot(), 0..80u64).prop_map(|(slot, len)| Step::SetLen { slot, len }),
        1 => slot().prop_map(|slot| Step::Sync { slot }),
        1 => place().prop_map(|dir| Step::List { dir }),
        3 => dir().prop_map(|dir| Step::CreateDir { dir }),
        2 => (dir(), dir()).prop_map(|(from, to)| Step::RenameDir { from, to }),
        1 => dir().prop_map(|dir| Step::RemoveDir { dir }),
        3 => (place(), file(), file())
            .prop_map(|(dir, from, to)| Step::Rename { dir, from, to }),
        3 => path().prop_map(|path| Step::Remove { path }),
        1 => place().prop_map(|dir| Step::SyncDir { dir }),
    ];
    proptest::collection::vec(step, 1..80)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn homes_agree_on_random_operations(steps in steps()) {
        run(&steps);
    }
}

#[test]
fn the_hook_sees_and_fails_operations() {
    #[cfg(feature = "testing")]
    {
        let seen = Arc::new(parking_lot::Mutex::new(Vec::new()));
        let log = Arc::clone(&seen);
        let storage = Storage::observed(Storage::memory(), move |op, path| {
            log.lock().push(format!("{op} {path}"));
            if op == "sync" { Err(io::Error::other("as told")) } else { Ok(()) }
        });
        assert!(storage.replace(&path("f"), b"x").is_err());
        let expected =
            ["remove", "create", "write", "sync"].map(|op| format!("{op} (memory)/f.tmp"));
        assert_eq!(*seen.lock(), expected);
        assert!(storage.list(None).unwrap().len() == 1);
    }
}

#[test]
fn only_disks_map_and_only_when_they_may() {
    let on_disk = tempfile::tempdir().unwrap();
    for (storage, maps) in [
        (Storage::disk_with(&on_disk.path().join("m"), true), true),
        (Storage::disk_with(&on_disk.path().join("n"), false), false),
        (Storage::memory(), false),
    ] {
        storage.create_root().unwrap();
        let file = storage.open(&path("f"), Open::CreateNew).unwrap();
        file.write_all_at(0, b"sealed").unwrap();
        let map = file.map(u64::MAX).unwrap();
        assert_eq!(map.is_some(), maps);
        assert!(map.is_none_or(|map| map == "sealed"));
        let now = crate::Clock::system().wall_millis();
        let raw = storage.backend().open(&path("f"), Open::Read).unwrap();
        assert!((now - raw.modified_millis().unwrap()).abs() < 60_000);
    }
}

#[test]
fn a_large_length_reserves_only_what_is_there() {
    let on_disk = tempfile::tempdir().unwrap();
    for storage in [Storage::disk(on_disk.path()), Storage::memory()] {
        let file = storage.open(&path("f"), Open::CreateNew).unwrap();
        file.write_all_at(0, b"short").unwrap();
        assert_eq!(file.read_at(1, usize::MAX).unwrap(), "hort");
        assert!(file.read_exact_at(0, isize::MAX as usize).is_err());
    }
}
