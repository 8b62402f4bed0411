//! One writer per directory: the lock on `.lock`.
//!
//! On Linux an open-file-description lock. Unlike `flock` it conflicts with the POSIX lock that
//! Kafka's broker takes on the same file, and unlike a POSIX lock it conflicts with a second open
//! in the same process and is not lost when somebody closes another descriptor of the file.
//! Elsewhere a POSIX lock, plus a list of what this process holds.
//!
//! The file stays when the lock goes: removing it would let two processes hold locks on two files
//! of the same name. Our process id stands in it, so that tools can say who holds the directory.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;

use super::backend::Lock;
use super::paths::open_regular;

/// The name Kafka gives the file.
const LOCK_FILE: &str = ".lock";

/// How often the file may be swapped under us before we give up. Kafka's broker removes its lock
/// file when it stops, so once or twice is normal.
const SWAPS_MAX: usize = 16;

/// More of the file than a process id needs is not read.
const PID_BYTES_MAX: u64 = 20;

/// The held lock of a directory.
#[derive(Debug)]
pub(super) struct DirectoryLock {
    file: File,
    /// A fork shares our lock; when it drops its copy it must not let go of ours.
    owner: u32,
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    _held: held::Held,
}

impl Lock for DirectoryLock {}

impl DirectoryLock {
    /// Takes the lock of the directory `root`, or says with `WouldBlock` who has it.
    pub(super) fn acquire(root: &Path) -> io::Result<Self> {
        let path = root.join(LOCK_FILE);
        // Where closing any descriptor of the file lets go of the process's lock, we must not even
        // open it while we hold it.
        #[cfg(not(any(target_os = "linux", target_os = "android")))]
        let _held = held::Held::new(root)?;
        for _ in 0..SWAPS_MAX {
            let mut file = open_regular(
                &path,
                OpenOptions::new().read(true).write(true).create(true).truncate(false),
            )?;
            match set(&file, libc::F_WRLCK) {
                Ok(()) => {}
                Err(Errno::EAGAIN | Errno::EACCES) => return Err(taken(holder(&mut file))),
                Err(errno) => return Err(errno.into()),
            }
            if !is_at(&file, &path)? {
                // The previous holder removed the file between our open and our lock.
                continue;
            }
            let owner = std::process::id();
            // Only for people and tools; a full disk must not keep the directory closed.
            let _ = file
                .set_len(0)
                .and_then(|()| file.write_all_at(format!("{owner}\n").as_bytes(), 0));
            return Ok(Self {
                file,
                owner,
                #[cfg(not(any(target_os = "linux", target_os = "android")))]
                _held,
            });
        }
        Err(taken(None))
    }

    /// Whether somebody holds the lock of the directory `root`, this process included. The file is
    /// opened for reading and nothing is locked, so nobody is kept from taking it.
    pub(super) fn is_held(root: &Path) -> io::Result<bool> {
        #[cfg(not(any(target_os = "linux", target_os = "android")))]
        if held::is_held(root)? {
            return Ok(true);
        }
        match open_regular(&root.join(LOCK_FILE), OpenOptions::new().read(true)) {
            Ok(file) => Ok(conflicting(&file)?.is_some()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }
}

impl Drop for DirectoryLock {
    fn drop(&mut self) {
        if self.owner == std::process::id() {
            // Not left to the close: a fork that still runs would keep the lock alive.
            let _ = set(&self.file, libc::F_UNLCK);
        }
    }
}

/// Whether `path` still names the file we have open.
fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let ours = file.metadata()?;
    match std::fs::symlink_metadata(path) {
        Ok(named) => Ok((named.dev(), named.ino()) == (ours.dev(), ours.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn taken(pid: Option<u32>) -> io::Error {
    let who = match pid {
        Some(pid) if pid == std::process::id() => {
            "it is already open in this process (close the other broker first)".to_owned()
        }
        Some(pid) => format!("process {pid} has it open"),
        None => "another process has it open".to_owned(),
    };
    io::Error::new(io::ErrorKind::WouldBlock, who)
}

/// Who holds the lock: the operating system knows for POSIX locks (Kafka's broker, which writes
/// nothing into the file), the content of the file tells for ours.
fn holder(file: &mut File) -> Option<u32> {
    if let Some(pid) = posix_holder(file) {
        return Some(pid);
    }
    let mut text = String::new();
    file.take(PID_BYTES_MAX).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

/// The kind has different types on different systems.
fn whole_file(kind: impl Into<i32>) -> libc::flock {
    libc::flock {
        l_type: libc::c_short::try_from(kind.into()).unwrap_or_default(),
        l_whence: libc::c_short::try_from(libc::SEEK_SET).unwrap_or_default(),
        l_start: 0,
        l_len: 0,
        l_pid: 0,
        #[cfg(target_os = "freebsd")]
        l_sysid: 0,
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn set(file: &File, kind: i32) -> Result<(), Errno> {
    fcntl(file, FcntlArg::F_OFD_SETLK(&whole_file(kind))).map(drop)
}

fn posix_holder(file: &File) -> Option<u32> {
    // Minus one stands for an open-file-description lock, zero for another container's process.
    u32::try_from(conflicting(file).ok()??.l_pid).ok().filter(|pid| *pid > 0)
}

/// The lock that keeps us from taking it, if there is one.
fn conflicting(file: &File) -> io::Result<Option<libc::flock>> {
    let mut lock = whole_file(libc::F_WRLCK);
    #[cfg(any(target_os = "linux", target_os = "android"))]
    fcntl(file, FcntlArg::F_OFD_GETLK(&mut lock))?;
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    fcntl(file, FcntlArg::F_GETLK(&mut lock))?;
    let is_free = lock.l_type == whole_file(libc::F_UNLCK).l_type;
    Ok((!is_free).then_some(lock))
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn set(file: &File, kind: impl Into<i32>) -> Result<(), Errno> {
    fcntl(file, FcntlArg::F_SETLK(&whole_file(kind))).map(drop)
}

/// What this process holds, where the operating system does not tell its own locks apart.
#[cfg(any(test, not(any(target_os = "linux", target_os = "android"))))]
mod held {
    use std::collections::BTreeSet;
    use std::io;
    use std::os::unix::fs::MetadataExt;
    use std::path::Path;

    use parking_lot::Mutex;

    type Key = (u64, u64);

    static HELD: Mutex<BTreeSet<Key>> = Mutex::new(BTreeSet::new());

    /// One directory of this process; dropping it takes it off the list.
    #[derive(Debug)]
    pub(super) struct Held(Key);

    impl Held {
        pub(super) fn new(root: &Path) -> io::Result<Self> {
            let key = key(root)?;
            if HELD.lock().insert(key) {
                Ok(Self(key))
            } else {
                Err(super::taken(Some(std::process::id())))
            }
        }
    }

    impl Drop for Held {
        fn drop(&mut self) {
            HELD.lock().remove(&self.0);
        }
    }

    pub(super) fn is_held(root: &Path) -> io::Result<bool> {
        Ok(HELD.lock().contains(&key(root)?))
    }

    fn key(root: &Path) -> io::Result<Key> {
        let meta = std::fs::metadata(root)?;
        Ok((meta.dev(), meta.ino()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_open_is_told_who_holds_the_first() {
        let home = tempfile::tempdir().unwrap();
        let first = DirectoryLock::acquire(home.path()).unwrap();
        let text = std::fs::read_to_string(home.path().join(LOCK_FILE)).unwrap();
        assert_eq!(text, format!("{}\n", std::process::id()));
        let error = DirectoryLock::acquire(home.path()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        assert!(error.to_string().contains("this process"), "{error}");
        assert!(DirectoryLock::is_held(home.path()).unwrap());
        drop(first);
        assert!(!DirectoryLock::is_held(home.path()).unwrap(), "looking took nothing");
        DirectoryLock::acquire(home.path()).unwrap();
        assert!(home.path().join(LOCK_FILE).exists());
    }

    #[test]
    fn looking_makes_no_lock_file() {
        let home = tempfile::tempdir().unwrap();
        assert!(!DirectoryLock::is_held(home.path()).unwrap());
        assert!(!home.path().join(LOCK_FILE).exists());
    }

    #[test]
    fn a_longer_stale_pid_leaves_no_digits_behind() {
        let home = tempfile::tempdir().unwrap();
        std::fs::write(home.path().join(LOCK_FILE), b"99999999999999\n").unwrap();
        let _lock = DirectoryLock::acquire(home.path()).unwrap();
        let text = std::fs::read_to_string(home.path().join(LOCK_FILE)).unwrap();
        assert_eq!(text, format!("{}\n", std::process::id()));
    }

    #[test]
    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn a_lock_on_a_removed_file_does_not_count() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join(LOCK_FILE);
        let old = DirectoryLock::acquire(home.path()).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert!(!is_at(&old.file, &path).unwrap());
        let new = DirectoryLock::acquire(home.path()).unwrap();
        assert!(!is_at(&old.file, &path).unwrap());
        assert!(is_at(&new.file, &path).unwrap());
    }

    /// The process of the next test: takes the lock as Kafka's broker does, and says whether it
    /// got it. Does nothing unless that test started it.
    #[test]
    fn as_kafka_does() {
        let Some(root) = std::env::var_os("LOGREEL_TEST_ROOT") else { return };
        let path = Path::new(&root).join(LOCK_FILE);
        let file = OpenOptions::new().read(true).write(true).open(path).unwrap();
        let got = fcntl(&file, FcntlArg::F_SETLK(&whole_file(libc::F_WRLCK))).is_ok();
        println!("\ngot it: {got}");
        // Until the parent lets go of us or kills us.
        io::stdin().read_line(&mut String::new()).unwrap();
    }

    #[test]
    fn kafka_and_we_exclude_each_other() {
        use std::io::BufRead;
        use std::process::{Command, Stdio};

        let home = tempfile::tempdir().unwrap();
        let kafka = || {
            let mut child = Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "storage::lock::tests::as_kafka_does", "--nocapture"])
                .env("LOGREEL_TEST_ROOT", home.path())
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            let out = io::BufReader::new(child.stdout.take().unwrap());
            let mut lines = out.lines().map(Result::unwrap);
            let answer = lines.find(|line| line.starts_with("got it")).unwrap();
            (child, answer)
        };
        let ours = DirectoryLock::acquire(home.path()).unwrap();
        let (mut child, answer) = kafka();
        assert_eq!(answer, "got it: false");
        child.kill().unwrap();
        child.wait().unwrap();
        drop(ours);

        let (mut child, answer) = kafka();
        assert_eq!(answer, "got it: true");
        assert!(DirectoryLock::is_held(home.path()).unwrap());
        let error = DirectoryLock::acquire(home.path()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        if cfg!(any(target_os = "linux", target_os = "android")) {
            assert!(error.to_string().contains(&child.id().to_string()), "{error}");
        }
        child.kill().unwrap();
        child.wait().unwrap();
        DirectoryLock::acquire(home.path()).unwrap();
    }

    #[test]
    fn a_process_knows_its_own_directories() {
        let home = tempfile::tempdir().unwrap();
        let first = held::Held::new(home.path()).unwrap();
        assert!(held::Held::new(home.path()).is_err());
        assert!(held::is_held(home.path()).unwrap());
        drop(first);
        assert!(!held::is_held(home.path()).unwrap());
        held::Held::new(home.path()).unwrap();
    }
}
