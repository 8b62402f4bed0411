//! Handles must not notice that their descriptors come and go.

use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::process::Command;

use super::*;

struct Home {
    dir: tempfile::TempDir,
    root: Arc<Root>,
    pool: Arc<Pool>,
}

fn home(capacity: usize) -> Home {
    let dir = tempfile::tempdir().unwrap();
    let root = Arc::new(Root::new(dir.path()));
    let pool = Pool::new(Arc::clone(&root), capacity);
    Home { dir, root, pool }
}

fn at(text: &str) -> FilePath {
    let name = |text| FileName::new(text).unwrap();
    match text.split_once('/') {
        None => FilePath::root(name(text)),
        Some((dir, file)) => FilePath::within(&name(dir), name(file)),
    }
}

impl Home {
    fn create(&self, path: &str) -> Handle {
        let handle = self.pool.open(&at(path), Open::CreateNew).unwrap();
        handle.change(|file| file.write_at(path.as_bytes(), 0)).unwrap();
        handle
    }

    fn remove(&self, path: &str) {
        let full = self.root.display(&at(path));
        self.pool.remove(&at(path), || std::fs::remove_file(full)).unwrap();
    }

    fn rename(&self, from: &str, to: &str) {
        let (old, new) = (self.root.display(&at(from)), self.root.display(&at(to)));
        self.pool.rename(&at(from), &at(to), || std::fs::rename(old, new)).unwrap();
    }
}

fn read(handle: &Handle) -> String {
    let mut bytes = [0; 64];
    let len = handle.file().unwrap().read_at(&mut bytes, 0).unwrap();
    String::from_utf8(bytes[..len].to_vec()).unwrap()
}

fn is_open(handle: &Handle) -> bool {
    handle.slot.state.lock().file.is_some()
}

#[test]
fn the_limit_holds_and_nobody_notices() {
    let home = home(3);
    let handles: Vec<Handle> = (0..20).map(|i| home.create(&format!("f{i}"))).collect();
    assert_eq!(home.pool.open_count(), 3);
    for _ in 0..3 {
        for (i, handle) in handles.iter().enumerate() {
            assert_eq!(read(handle), format!("f{i}"));
            assert_eq!(home.pool.open_count(), 3);
        }
    }
    drop(handles);
    assert_eq!(home.pool.open_count(), 0);
    assert!(home.pool.names.lock().handles.is_empty());
}

#[test]
fn the_least_recently_used_goes_first_and_dirty_ones_last() {
    let home = home(4);
    let files: Vec<Handle> = (0..4).map(|i| home.create(&format!("f{i}"))).collect();
    for clean in [1, 2, 3] {
        files[clean].sync().unwrap();
    }
    // A miss, so that the uses before it and after it differ.
    let fifth = home.create("f4");
    assert!(!is_open(&files[1]), "the oldest clean one");
    fifth.sync().unwrap();
    read(&files[1]);
    assert!(!is_open(&files[2]));
    read(&files[3]);
    read(&files[2]);
    assert!(is_open(&files[0]) && is_open(&files[3]) && is_open(&files[1]));
    assert!(!is_open(&fifth), "used before the last misses");
    // With nothing else left a dirty one is synced and closed.
    for file in [&files[1], &files[2], &files[3]] {
        file.change(|file| file.set_len(2)).unwrap();
    }
    read(&fifth);
    let closed = files.iter().find(|file| !is_open(file)).unwrap();
    assert!(!closed.slot.is_dirty());
}

#[test]
fn a_file_in_use_is_not_closed() {
    let home = home(1);
    let (a, b) = (home.create("a"), home.create("b"));
    let held = a.file().unwrap();
    assert_eq!(read(&b), "b");
    assert_eq!(home.pool.open_count(), 2, "over the limit rather than wrong");
    drop(held);
    home.create("c");
    assert!(home.pool.open_count() <= 1);
}

#[test]
fn handles_follow_renamed_files_and_directories() {
    let home = home(1);
    std::fs::create_dir(home.dir.path().join("t-0")).unwrap();
    let (a, other) = (home.create("t-0/a"), home.create("t-0/b"));
    home.rename("t-0/a", "t-0/c");
    assert_eq!(read(&a), "t-0/a");
    assert_eq!(read(&other), "t-0/b");
    let name = |text| FileName::new(text).unwrap();
    let (old, new) = (home.dir.path().join("t-0"), home.dir.path().join("t-1"));
    home.pool.rename_dir(&name("t-0"), &name("t-1"), || std::fs::rename(old, new)).unwrap();
    assert_eq!(read(&a), "t-0/a");
    assert_eq!(read(&other), "t-0/b");
    // A new file of the old name is another file.
    std::fs::create_dir(home.dir.path().join("t-0")).unwrap();
    let newcomer = home.pool.open(&at("t-0/c"), Open::CreateNew).unwrap();
    assert_eq!(read(&newcomer), "");
    assert_eq!(read(&a), "t-0/a");
}

#[test]
fn handles_outlive_the_name_of_their_file() {
    let home = home(2);
    let (removed, replaced) = (home.create("removed"), home.create("replaced"));
    let reader = home.pool.open(&at("removed"), Open::Read).unwrap();
    home.remove("removed");
    let new = home.create("new");
    home.rename("new", "replaced");
    let again = home.create("removed");
    for (handle, content) in [
        (&removed, "removed"),
        (&reader, "removed"),
        (&replaced, "replaced"),
        (&new, "new"),
        (&again, "removed"),
    ] {
        assert_eq!(read(handle), content);
    }
    removed.change(|file| file.write_at(b"R", 0)).unwrap();
    removed.sync().unwrap();
    assert_eq!(read(&reader), "Removed");
    drop((removed, reader, replaced));
    assert_eq!(home.pool.names.lock().nameless, 0);
    drop((new, again));
    assert_eq!(home.pool.open_count(), 0);
}

#[test]
fn a_failed_removal_changes_nothing() {
    let home = home(1);
    let (a, b) = (home.create("a"), home.create("b"));
    let failure = || Err(io::ErrorKind::PermissionDenied.into());
    assert!(home.pool.remove(&at("a"), failure).is_err());
    assert!(home.pool.rename(&at("a"), &at("b"), failure).is_err());
    assert_eq!((read(&a), read(&b)), ("a".to_owned(), "b".to_owned()));
    assert_eq!(home.pool.names.lock().nameless, 0);
    home.rename("a", "a");
    assert_eq!(read(&a), "a");
}

#[test]
fn another_file_of_the_same_name_is_refused() {
    let home = home(1);
    let a = home.create("a");
    let _b = home.create("b");
    std::fs::rename(home.dir.path().join("a"), home.dir.path().join("aside")).unwrap();
    std::fs::write(home.dir.path().join("a"), b"impostor").unwrap();
    assert_eq!(a.file().unwrap_err().kind(), io::ErrorKind::NotFound);
    // Removing the name is still possible, and the handle still refuses.
    home.remove("a");
    assert!(a.file().is_err());
}

/// Something whose `fdatasync` fails.
fn unsyncable() -> Arc<File> {
    let (reader, _writer) = std::io::pipe().unwrap();
    Arc::new(File::from(OwnedFd::from(reader)))
}

#[test]
fn a_failed_sync_is_never_followed_by_a_successful_one() {
    let home = home(8);
    let handle = home.create("a");
    let good = handle.slot.state.lock().file.replace(unsyncable()).unwrap();
    let first = handle.sync().unwrap_err();
    handle.slot.state.lock().file = Some(good);
    let second = handle.sync().unwrap_err();
    assert_eq!(first.raw_os_error(), second.raw_os_error());
    assert!(handle.slot.is_dirty());
}

#[test]
fn a_sync_that_fails_when_the_pool_closes_a_file_is_reported_later() {
    let home = home(1);
    let a = home.create("a");
    a.slot.state.lock().file = Some(unsyncable());
    let b = home.create("b");
    assert!(!is_open(&a));
    assert_eq!(read(&b), "b");
    assert_eq!(read(&a), "a", "reading goes on");
    assert!(a.sync().is_err());
    assert!(a.sync().is_err());
    b.sync().unwrap();
}

#[test]
fn threads_share_a_pool_that_is_too_small() {
    let home = home(3);
    let handles: Vec<Handle> = (0..8).map(|i| home.create(&format!("f{i}"))).collect();
    std::thread::scope(|scope| {
        for (i, handle) in handles.iter().enumerate() {
            let home = &home;
            scope.spawn(move || {
                for round in 0..100 {
                    handle.change(|file| file.write_at(&[b'x'; 8], 64 + round * 8)).unwrap();
                    assert!(read(handle).starts_with(&format!("f{i}")));
                    match round % 10 {
                        0 => handle.sync().unwrap(),
                        5 => home.rename(&format!("f{i}"), &format!("g{i}")),
                        8 => home.rename(&format!("g{i}"), &format!("f{i}")),
                        _ => {}
                    }
                }
            });
        }
    });
    for handle in &handles {
        assert_eq!(handle.file().unwrap().metadata().unwrap().len(), 64 + 800);
    }
    assert!(home.pool.open_count() <= 3 + handles.len());
    home.create("last");
    assert!(home.pool.open_count() <= 3);
}

/// Runs in a process with few descriptors, see below.
#[test]
fn with_few_descriptors() {
    if std::env::var_os("LOGREEL_TEST_FEW_DESCRIPTORS").is_none() {
        return;
    }
    assert_eq!(open_files_max(), 20, "half of what there is");
    let home = home(OPEN_FILES_MAX);
    let handles: Vec<Handle> = (0..100).map(|i| home.create(&format!("f{i}"))).collect();
    for (i, handle) in handles.iter().enumerate() {
        assert_eq!(read(handle), format!("f{i}"));
    }
    assert!(home.pool.open_count() < 40);
}

#[test]
fn a_process_may_have_fewer_descriptors_than_the_pool() {
    let name = "storage::pool::tests::with_few_descriptors";
    let child = Command::new("sh")
        .args(["-c", "ulimit -n 40 && exec \"$0\" --exact \"$1\" --test-threads=1"])
        .env("LOGREEL_TEST_FEW_DESCRIPTORS", "1")
        .arg(std::env::current_exe().unwrap())
        .arg(name)
        .output()
        .unwrap();
    let out = String::from_utf8_lossy(&child.stdout);
    assert!(child.status.success() && out.contains("1 passed"), "{out}");
}
