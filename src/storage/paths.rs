//! From validated names to open descriptors, without ever following a link out of the directory.
//!
//! A log directory may come from a backup or an upload. Nothing in it is opened unless it is a
//! regular file (or one of the flat sub-directories) under its own name: symbolic links are
//! refused, and a pipe or a device neither blocks nor is read.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::libc;

use super::backend::{FileName, FilePath, Open};

/// Files are private to their owner; the umask can only take away more.
const FILE_MODE: u32 = 0o600;
const DIRECTORY_MODE: u32 = 0o700;

/// `NONBLOCK`: opening a pipe must not wait for its other end. It changes nothing for files.
const FILE_FLAGS: i32 = libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_CLOEXEC;

/// The directory all paths are relative to. It may itself be reached through symbolic links: where
/// the root lies is the user's choice, what lies inside is not.
#[derive(Debug)]
pub(super) struct Root(PathBuf);

impl Root {
    /// Made absolute at once: descriptors are reopened long after the program may have changed
    /// its working directory.
    pub(super) fn new(dir: &Path) -> Self {
        Self(std::path::absolute(dir).unwrap_or_else(|_| dir.to_path_buf()))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// The full path of a file, unchecked: for messages.
    pub(super) fn display(&self, path: &FilePath) -> PathBuf {
        self.child(path.dir.as_ref()).join(path.name.as_str())
    }

    /// The full path of a directory, unchecked.
    pub(super) fn child(&self, dir: Option<&FileName>) -> PathBuf {
        dir.map_or_else(|| self.0.clone(), |dir| self.0.join(dir.as_str()))
    }

    /// The full path of a directory that is one: a link in its place is refused.
    pub(super) fn directory(&self, dir: Option<&FileName>) -> io::Result<PathBuf> {
        let path = self.child(dir);
        // The window between this check and the use of the path belongs to someone who can write
        // into a directory we hold locked, and needs no link to do harm.
        if dir.is_some() && !fs::symlink_metadata(&path)?.is_dir() {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        Ok(path)
    }

    /// The full path of a name in a directory that is one.
    pub(super) fn resolve(&self, path: &FilePath) -> io::Result<PathBuf> {
        Ok(self.directory(path.dir.as_ref())?.join(path.name.as_str()))
    }

    /// Opens a regular file.
    pub(super) fn open(&self, path: &FilePath, open: Open) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.read(true);
        match open {
            Open::Read => {}
            Open::Write => {
                options.write(true);
            }
            Open::CreateNew => {
                options.write(true).create_new(true);
            }
        }
        open_regular(&self.resolve(path)?, &mut options)
    }

    /// Makes a sub-directory.
    pub(super) fn create_dir(&self, dir: &FileName) -> io::Result<()> {
        DirBuilder::new().mode(DIRECTORY_MODE).create(self.child(Some(dir)))
    }

    /// Makes the entries of a directory durable.
    pub(super) fn sync_dir(&self, dir: Option<&FileName>) -> io::Result<()> {
        sync_directory(&self.directory(dir)?)
    }

    /// Makes the root, and what is missing above it, and their entries durable.
    pub(super) fn create(&self) -> io::Result<()> {
        let missing: Vec<&Path> = self
            .0
            .ancestors()
            .take_while(|dir| matches!(dir.try_exists(), Ok(false)))
            .filter(|dir| !dir.as_os_str().is_empty())
            .collect();
        for dir in missing.iter().rev() {
            match DirBuilder::new().mode(DIRECTORY_MODE).create(dir) {
                // Somebody else was faster: fine, as long as it is a directory.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && dir.is_dir() => {}
                other => other?,
            }
            sync_directory(dir.parent().unwrap_or(Path::new(".")))?;
        }
        if !self.0.is_dir() {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        if missing.is_empty() {
            // Whoever made it may have died before its entry was durable. We may lack the right
            // to open the parent of a directory that was given to us; then it is their business.
            if let Some(parent) = self.0.parent() {
                let _ = sync_directory(parent);
            }
        }
        Ok(())
    }
}

/// Opens what must turn out to be a regular file.
pub(super) fn open_regular(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    let opened = options.mode(FILE_MODE).custom_flags(FILE_FLAGS).open(path);
    let file = opened.map_err(|error| match error.raw_os_error() {
        // A link (Linux, macOS: ELOOP; BSDs: EMLINK), a socket or a pipe without a reader (ENXIO).
        Some(libc::ELOOP | libc::EMLINK | libc::ENXIO) => not_regular(),
        _ => error,
    })?;
    let kind = file.metadata()?.file_type();
    if kind.is_file() {
        Ok(file)
    } else if kind.is_dir() {
        Err(io::ErrorKind::IsADirectory.into())
    } else {
        Err(not_regular())
    }
}

fn not_regular() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")
}

fn sync_directory(path: &Path) -> io::Result<()> {
    let dir = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_DIRECTORY | libc::O_CLOEXEC)
        .open(path)?;
    match dir.sync_all() {
        // Some file systems have nothing to sync in a directory and say so.
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn name(text: &str) -> FileName {
        FileName::new(text).unwrap()
    }

    #[test]
    fn links_pipes_and_directories_are_never_opened() {
        let home = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("target"), b"secret").unwrap();
        let root = Root::new(home.path());
        symlink(outside.path().join("target"), home.path().join("link")).unwrap();
        symlink(outside.path(), home.path().join("linked-dir")).unwrap();
        symlink(home.path().join("nowhere"), home.path().join("dangling")).unwrap();
        fs::create_dir(home.path().join("dir")).unwrap();
        let made = std::process::Command::new("mkfifo").arg(home.path().join("pipe")).status();
        assert!(made.unwrap().success());
        let _socket = std::os::unix::net::UnixListener::bind(home.path().join("sock")).unwrap();

        for open in [Open::Read, Open::Write] {
            for bad in ["link", "dangling", "pipe", "sock", "dir"] {
                let error = root.open(&FilePath::root(name(bad)), open).unwrap_err();
                let kind = error.kind();
                assert!(
                    matches!(kind, io::ErrorKind::InvalidInput | io::ErrorKind::IsADirectory),
                    "{bad}: {error:?}"
                );
            }
            let through = FilePath::within(&name("linked-dir"), name("target"));
            let error = root.open(&through, open).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::NotADirectory);
        }
        let create = root.open(&FilePath::root(name("dangling")), Open::CreateNew);
        assert_eq!(create.unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert!(!home.path().join("nowhere").exists());
        assert!(root.sync_dir(Some(&name("linked-dir"))).is_err());
    }

    #[test]
    fn what_we_make_is_private() {
        let home = tempfile::tempdir().unwrap();
        let root = Root::new(&home.path().join("a/b"));
        root.create().unwrap();
        root.create().unwrap();
        root.create_dir(&name("t-0")).unwrap();
        root.open(&FilePath::within(&name("t-0"), name("f")), Open::CreateNew).unwrap();
        for (path, mode) in [("a", 0o700), ("a/b", 0o700), ("a/b/t-0", 0o700), ("a/b/t-0/f", 0o600)]
        {
            let found = fs::metadata(home.path().join(path)).unwrap().permissions().mode();
            assert_eq!(found & 0o777 & !mode, 0, "{path} has {found:o}");
        }
    }
}
