//! Errors on command.

use std::io;

use nix::libc;

/// The operations a [`Fault`] can hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FaultOp {
    /// Every operation, reads included.
    Any,
    /// Opening an existing file.
    Open,
    /// Creating a file.
    Create,
    /// Reading from a file.
    Read,
    /// Writing to a file.
    Write,
    /// Cutting or extending a file.
    SetLen,
    /// Making a file durable.
    Sync,
    /// Listing a directory.
    List,
    /// Making a directory.
    CreateDir,
    /// Renaming a file or a directory.
    Rename,
    /// Removing a file or a directory.
    Remove,
    /// Making the entries of a directory durable.
    SyncDir,
}

/// How the operation fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FaultKind {
    /// The device failed (`EIO`).
    Eio,
    /// The disk is full (`ENOSPC`).
    Enospc,
    /// The quota is used up (`EDQUOT`).
    Edquot,
    /// The process has too many open files (`EMFILE`).
    Emfile,
    /// A signal came first (`EINTR`).
    Eintr,
    /// A write does not fail but takes only this many bytes. Any other operation fails with `EIO`.
    ShortWrite(usize),
}

impl FaultKind {
    pub(super) fn error(self) -> io::Error {
        io::Error::from_raw_os_error(match self {
            Self::Eio | Self::ShortWrite(_) => libc::EIO,
            Self::Enospc => libc::ENOSPC,
            Self::Edquot => libc::EDQUOT,
            Self::Emfile => libc::EMFILE,
            Self::Eintr => libc::EINTR,
        })
    }
}

/// An operation that shall fail: the `nth` of its kind from now on, counted from zero, and with
/// `sticky` every one after it.
///
/// A failed sync of a file behaves as Linux does after a disk error: the unsynced bytes count as
/// clean from then on, stay readable, and a later sync succeeds without writing them. They are on
/// disk or not, as after a power cut. Names do not share that fate: a file system that cannot write
/// its metadata stops altogether, or writes it later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What to count.
    pub op: FaultOp,
    /// How many to let pass first.
    pub nth: usize,
    /// Whether all later ones fail too.
    pub sticky: bool,
    /// How it fails.
    pub kind: FaultKind,
}

/// The faults in force, with what they have counted.
#[derive(Clone, Debug, Default)]
pub(super) struct Faults {
    in_force: Vec<(Fault, usize)>,
    hits: usize,
}

impl Faults {
    pub(super) fn add(&mut self, fault: Fault) {
        self.in_force.push((fault, 0));
    }

    pub(super) fn clear(&mut self) {
        self.in_force.clear();
    }

    /// Counts an operation; the first fault that hits it says how.
    pub(super) fn hit(&mut self, op: FaultOp) -> Option<FaultKind> {
        let mut hit = None;
        for (fault, seen) in &mut self.in_force {
            if fault.op != FaultOp::Any && fault.op != op {
                continue;
            }
            if *seen == fault.nth || (fault.sticky && *seen > fault.nth) {
                hit = hit.or(Some(fault.kind));
            }
            *seen += 1;
        }
        self.hits += usize::from(hit.is_some());
        hit
    }

    /// How many operations were hit, also by faults that are no longer in force.
    pub(super) fn hits(&self) -> usize {
        self.hits
    }

    /// The same for operations that only succeed or fail.
    pub(super) fn check(&mut self, op: FaultOp) -> io::Result<()> {
        self.hit(op).map_or(Ok(()), |kind| Err(kind.error()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_count_their_own_operations() {
        let mut faults = Faults::default();
        faults.add(Fault { op: FaultOp::Write, nth: 1, sticky: false, kind: FaultKind::Eio });
        faults.add(Fault { op: FaultOp::Sync, nth: 1, sticky: true, kind: FaultKind::Enospc });
        assert_eq!(faults.hit(FaultOp::Write), None);
        assert_eq!(faults.hit(FaultOp::Sync), None);
        assert_eq!(faults.hit(FaultOp::Write), Some(FaultKind::Eio));
        assert_eq!(faults.hit(FaultOp::Write), None);
        assert_eq!(faults.hit(FaultOp::Sync), Some(FaultKind::Enospc));
        assert_eq!(faults.hit(FaultOp::Sync), Some(FaultKind::Enospc));
        faults.clear();
        assert_eq!(faults.hit(FaultOp::Sync), None);
        assert_eq!(faults.hits(), 3);
    }
}
