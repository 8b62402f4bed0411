//! What a verification has to say, and how much of it.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

/// One damaged index may be wrong in a million entries; so many of a file are told.
const TOLD_PER_FILE_MAX: usize = 32;

/// One thing that is wrong, or worth a note, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// The file or directory.
    pub path: PathBuf,
    /// The byte in the file, where there is one to point at.
    pub position: Option<u64>,
    /// What is there.
    pub what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())?;
        if let Some(position) = self.position {
            write!(f, " at byte {position}")?;
        }
        write!(f, ": {}", self.what)
    }
}

/// How much was looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct VerifiedCounts {
    /// Directories of partitions.
    pub partitions: u64,
    /// Their segments.
    pub segments: u64,
    /// The sound batches in them.
    pub batches: u64,
    /// The records in those, decoded.
    pub records: u64,
    /// The bytes of those batches.
    pub bytes: u64,
}

/// What verifying a directory brought to light. See [`admin::verify`](crate::admin::verify()).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verification {
    /// What is wrong. Of one file at most 32 are listed, and the number of the others.
    pub findings: Vec<Finding>,
    /// What is not wrong but may be asked about: leftovers, unknown files, what the next open will
    /// repair by itself.
    pub notes: Vec<Finding>,
    /// How much was looked at.
    pub counts: VerifiedCounts,
    /// Whether the directory was closed cleanly.
    pub clean: bool,
    /// Whether somebody had the directory open meanwhile; what was being written then is no
    /// finding.
    pub owned: bool,
}

impl Verification {
    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.findings.is_empty()
    }
}

/// Whether something is wrong or only worth a note.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Weight {
    Finding,
    Note,
    /// Being written just now.
    Nothing,
}

/// Findings as they come.
#[derive(Clone, Debug, Default)]
pub(crate) struct Findings {
    findings: Vec<Finding>,
    notes: Vec<Finding>,
    pub(crate) counts: VerifiedCounts,
    /// How many there are of each file.
    told: BTreeMap<PathBuf, usize>,
}

impl Findings {
    pub(crate) fn tell(
        &mut self,
        weight: Weight,
        path: &Path,
        position: Option<u64>,
        what: impl Into<String>,
    ) {
        let list = match weight {
            Weight::Finding => &mut self.findings,
            Weight::Note => &mut self.notes,
            Weight::Nothing => return,
        };
        let told = self.told.entry(path.to_path_buf()).or_default();
        *told += 1;
        if *told <= TOLD_PER_FILE_MAX {
            list.push(Finding { path: path.to_path_buf(), position, what: what.into() });
        }
    }

    pub(crate) fn finding(&mut self, path: &Path, position: Option<u64>, what: impl Into<String>) {
        self.tell(Weight::Finding, path, position, what);
    }

    pub(crate) fn note(&mut self, path: &Path, what: impl Into<String>) {
        self.tell(Weight::Note, path, None, what);
    }

    /// Whether nothing is wrong so far.
    pub(crate) fn is_sound(&self) -> bool {
        self.findings.is_empty()
    }

    /// Adds what was found elsewhere.
    pub(crate) fn take_in(&mut self, other: Self) {
        self.findings.extend(other.findings);
        self.notes.extend(other.notes);
        self.told.extend(other.told);
        let (sum, more) = (&mut self.counts, other.counts);
        sum.partitions += more.partitions;
        sum.segments += more.segments;
        sum.batches += more.batches;
        sum.records += more.records;
        sum.bytes += more.bytes;
    }

    pub(crate) fn into_verification(mut self, clean: bool, owned: bool) -> Verification {
        for (path, told) in self.told {
            if let Some(more) = told.checked_sub(TOLD_PER_FILE_MAX).filter(|more| *more > 0) {
                let what = format!("and {more} more in this file");
                let wrong = self.findings.iter().any(|finding| finding.path == path);
                let list = if wrong { &mut self.findings } else { &mut self.notes };
                list.push(Finding { path, position: None, what });
            }
        }
        Verification {
            findings: self.findings,
            notes: self.notes,
            counts: self.counts,
            clean,
            owned,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_one_file_only_so_many_are_told() {
        let mut findings = Findings::default();
        for n in 0..TOLD_PER_FILE_MAX as u64 + 1 {
            findings.finding(Path::new("a"), Some(n), "bad");
        }
        findings.finding(Path::new("b"), None, "bad too");
        findings.tell(Weight::Nothing, Path::new("c"), None, "unheard");
        let verified = findings.into_verification(true, false);
        assert_eq!(verified.findings.len(), TOLD_PER_FILE_MAX + 2);
        let last = verified.findings.last().unwrap();
        assert_eq!(last.to_string(), "a: and 1 more in this file");
        assert_eq!(verified.findings[1].to_string(), "a at byte 1: bad");
        assert!(!verified.is_sound() && verified.notes.is_empty());
    }

    #[test]
    fn what_fills_the_list_exactly_needs_no_more() {
        let mut findings = Findings::default();
        for n in 0..TOLD_PER_FILE_MAX as u64 {
            findings.finding(Path::new("a"), Some(n), "bad");
        }
        let verified = findings.into_verification(true, false);
        assert_eq!(verified.findings.len(), TOLD_PER_FILE_MAX);
    }
}
