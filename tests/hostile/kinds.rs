//! Something else in place of every file and directory: links, pipes, sockets, devices.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::homes::*;

/// What stands where a file or a directory should be.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Plant {
    LinkToFile,
    LinkToDirectory,
    LinkToNothing,
    LinkToItself,
    Pipe,
    Socket,
    Device,
    EmptyDirectory,
    FullDirectory,
    EmptyFile,
    Unreadable,
}

const PLANTS: [Plant; 11] = [
    Plant::LinkToFile,
    Plant::LinkToDirectory,
    Plant::LinkToNothing,
    Plant::LinkToItself,
    Plant::Pipe,
    Plant::Socket,
    Plant::Device,
    Plant::EmptyDirectory,
    Plant::FullDirectory,
    Plant::EmptyFile,
    Plant::Unreadable,
];

/// A file and a directory that no link may lead to, and a name that must not come to be.
fn outside(at: &Path) -> [PathBuf; 3] {
    let dir = at.join("dir");
    fs::create_dir(&dir).unwrap();
    // A log that is sound: who follows the link serves it.
    fs::write(dir.join("00000000000000000000.log"), batch_of(0, b"SECRET", Default::default()))
        .unwrap();
    fs::write(dir.join("secret"), "SECRET").unwrap();
    let file = at.join("file");
    fs::write(&file, batch_of(0, b"SECRET", Default::default())).unwrap();
    [file, dir, at.join("nothing")]
}

fn remove(path: &Path) {
    match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_dir() => fs::remove_dir_all(path).unwrap(),
        Ok(_) => fs::remove_file(path).unwrap(),
        Err(_) => {}
    }
}

/// Puts it there; `false` when this user may not.
fn plant(plant: Plant, path: &Path, outside: &[PathBuf; 3]) -> bool {
    let [file, dir, nothing] = outside;
    if plant == Plant::Unreadable {
        if let Ok(meta) = fs::metadata(path) {
            let mode = if meta.is_dir() { 0o700 } else { 0 };
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        }
        return true;
    }
    remove(path);
    match plant {
        Plant::LinkToFile => symlink(file, path).unwrap(),
        Plant::LinkToDirectory => symlink(dir, path).unwrap(),
        Plant::LinkToNothing => symlink(nothing, path).unwrap(),
        Plant::LinkToItself => symlink(path, path).unwrap(),
        Plant::Pipe => assert!(Command::new("mkfifo").arg(path).status().unwrap().success()),
        Plant::Socket => {
            // The names of sockets are short: bind here, move there.
            let short = tempfile::tempdir_in("/dev/shm").unwrap();
            drop(std::os::unix::net::UnixListener::bind(short.path().join("s")).unwrap());
            fs::rename(short.path().join("s"), path).unwrap();
        }
        Plant::Device => {
            // Full of zeros and without end.
            let made = Command::new("mknod").arg(path).args(["c", "1", "5"]).output().unwrap();
            return made.status.success();
        }
        Plant::EmptyDirectory => fs::create_dir(path).unwrap(),
        Plant::FullDirectory => {
            fs::create_dir_all(path.join("deeper")).unwrap();
            fs::write(path.join("file"), "x").unwrap();
        }
        Plant::EmptyFile => fs::write(path, "").unwrap(),
        Plant::Unreadable => {}
    }
    true
}

/// Every name that a directory of ours may have, and the temporary ones beside them.
fn names() -> Vec<String> {
    let root = [
        ".lock",
        ".kafka_cleanshutdown",
        "logreel.manifest",
        "logreel.catalog",
        "logreel.catalog.copy",
        "logreel.compacted",
        "logreel.producer-ids",
        "recovery-point-offset-checkpoint",
        "log-start-offset-checkpoint",
        "cleaner-offset-checkpoint",
        "replication-offset-checkpoint",
        "meta.properties",
        "t-0",
        "__consumer_offsets-0",
        "t-0.0123456789abcdef0123456789abcdef-delete",
        "u-0",
    ];
    let temporary = ["logreel.catalog.tmp", "recovery-point-offset-checkpoint.tmp"];
    let mut names: Vec<String> = root.into_iter().chain(temporary).map(str::to_owned).collect();
    for base in [0, 4] {
        for kind in ["log", "index", "timeindex", "txnindex", "snapshot"] {
            names.push(format!("t-0/{base:020}.{kind}"));
        }
    }
    for suffix in ["deleted", "cleaned", "swap"] {
        names.push(format!("t-0/{:020}.log.{suffix}", 4));
    }
    for name in ["leader-epoch-checkpoint", "partition.metadata", "leader-epoch-checkpoint.tmp"] {
        names.push(format!("t-0/{name}"));
    }
    names.push(format!("t-0/logreel-cut-{:020}", 10));
    names
}

/// Nothing in the directory leads out of it or stops whoever opens it, closed cleanly or not.
#[test]
fn whatever_stands_in_place_of_a_file_nothing_follows_it() {
    let template = home();
    filled(template.path());
    let mut cases = 0;
    let mut lost = Vec::new();
    let mut skipped = 0;
    for name in names() {
        for what in PLANTS {
            for clean in [true, false] {
                let away = home();
                let targets = outside(away.path());
                let before = listing(away.path());
                let (from, path, to) =
                    (template.path().to_path_buf(), name.clone(), targets.clone());
                let probe = home();
                if what == Plant::Device && !plant(what, &probe.path().join("d"), &targets) {
                    skipped += 1;
                    continue;
                }
                let outcome = try_everything_quietly(&format!("{what:?} at {name}"), move |dir| {
                    copy_dir(&from, dir);
                    if !clean {
                        unclean(dir);
                    }
                    plant(what, &dir.join(&path), &to);
                });
                cases += 1;
                assert_eq!(listing(away.path()), before, "{what:?} at {name} changed its target");
                let secret = outcome.read.iter().any(|(.., value)| value == b"SECRET");
                assert!(!secret, "{what:?} at {name} was followed");
                // Caches and leftovers never take the records away.
                let is_log = name.ends_with(".log") || !name.contains('.') && name.contains("-0");
                let harmless = name.contains(".index")
                    || name.contains(".timeindex")
                    || name.contains(".tmp")
                    || name.contains("-delete")
                    || name.contains(".deleted")
                    || name.contains(".cleaned");
                if harmless && !is_log {
                    let values = outcome.read.iter().filter(|(tp, ..)| tp == "t-0").count();
                    if values != 10 {
                        let error = outcome.error.map(|e| e.to_string());
                        lost.push(format!("{what:?} at {name}: {values} records, {error:?}"));
                    }
                }
            }
        }
    }
    assert!(lost.is_empty(), "records are gone:\n{}", lost.join("\n"));
    println!("{cases} cases, {skipped} skipped: device nodes need root");
    assert!(cases > 500, "{cases}");
}
