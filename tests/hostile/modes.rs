//! Who may read what we write.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use crate::homes::*;
use logreel::Broker;

const ROLE: &str = "LOGREEL_HOSTILE_DIR";

fn modes(dir: &Path) -> Vec<(String, u32)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let meta = fs::metadata(&path).unwrap();
        found.push((path.display().to_string(), meta.permissions().mode() & 0o7777));
        if meta.is_dir() {
            found.extend(modes(&path));
        }
    }
    found
}

/// Not a test by itself: what a child with another umask does.
#[test]
fn as_a_child_with_its_own_umask() {
    let Some(dir) = std::env::var_os(ROLE) else { return };
    let dir = Path::new(&dir).join("deep/data");
    filled(&dir);
    unclean(&dir);
    let broker = Broker::open(&dir).unwrap();
    broker.create_topic("later").unwrap();
    broker.delete_topic("later").unwrap();
    broker.close().unwrap();
}

/// The umask is of the whole process, so children do it.
#[test]
fn files_are_their_owners_only_whatever_the_umask() {
    for umask in ["000", "077", "022"] {
        let home = home();
        let run =
            format!("umask {umask} && exec \"$0\" --exact modes::as_a_child_with_its_own_umask");
        let status = Command::new("sh")
            .args(["-c", &run])
            .arg(std::env::current_exe().unwrap())
            .env(ROLE, home.path())
            .output()
            .unwrap();
        assert!(status.status.success(), "{status:?}");
        let found = modes(home.path());
        assert!(found.len() > 15, "{found:?}");
        for (path, mode) in found {
            let wanted = if Path::new(&path).is_dir() { 0o700 } else { 0o600 };
            assert_eq!(mode, wanted, "umask {umask}: {path} has {mode:o}");
        }
    }
}

/// What somebody made narrower, or wider, is theirs to decide: what is there keeps its mode.
#[test]
fn modes_of_what_is_there_are_left_alone() {
    let dir = home();
    filled(dir.path());
    for (path, _) in modes(dir.path()) {
        let mode = if Path::new(&path).is_dir() { 0o500 } else { 0o400 };
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    }
    let before = modes(dir.path());
    drop(Broker::open_read_only(dir.path()).unwrap());
    logreel::admin::verify(dir.path()).unwrap();
    assert_eq!(modes(dir.path()), before);
    // Only root gets further; nobody else may write there.
    if let Ok(broker) = Broker::open(dir.path()) {
        let _ = broker.close();
    }
    for (path, mode) in modes(dir.path()) {
        assert_eq!(mode & 0o077, 0, "{path} was widened to {mode:o}");
        if before.iter().any(|(old, _)| *old == path) && Path::new(&path).is_dir() {
            assert_eq!(mode, 0o500, "{path}");
        }
    }
}
