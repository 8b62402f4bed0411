//! Whether what a damaged directory answers is right, or an error that says where it is damaged.

use std::collections::BTreeMap;
use std::fmt;

use logreel::testing::SimStorage;
use logreel::{Error, ErrorCode, ErrorKind, OnDamage, Record, Result};

use crate::answers::{Answers, Asked, Said};
use crate::corpus::Corpus;

/// How a case ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Something said that the directory is damaged.
    Detected,
    /// Every answer is that of the untouched directory.
    Harmless,
}

/// The counts of a suite. What is neither detected nor harmless fails it at the end.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) detected: usize,
    pub(crate) harmless: usize,
    /// What went wrong, how often, and the first case.
    pub(crate) silent: BTreeMap<String, (usize, String)>,
}

impl Tally {
    pub(crate) fn cases(&self) -> usize {
        self.detected + self.harmless + self.silent_cases()
    }

    fn silent_cases(&self) -> usize {
        self.silent.values().map(|(count, _)| count).sum()
    }

    pub(crate) fn take(&mut self, what: impl fmt::Display, verdict: Result<Verdict, String>) {
        match verdict {
            Ok(Verdict::Detected) => self.detected += 1,
            Ok(Verdict::Harmless) => self.harmless += 1,
            Err(why) => {
                self.silent.entry(why).or_insert_with(|| (0, what.to_string())).0 += 1;
            }
        }
    }

    /// Prints the counts; fails where anything was silent or too little was tried.
    pub(crate) fn finish(self, what: &str, at_least: usize) {
        println!(
            "{what}: {} cases: {} detected, {} harmless, {} silent",
            self.cases(),
            self.detected,
            self.harmless,
            self.silent_cases()
        );
        let line = |(why, (count, first)): (&String, &(usize, String))| {
            format!("{count} times, first {first}: {why}")
        };
        let shown: Vec<String> = self.silent.iter().take(40).map(line).collect();
        assert!(self.silent.is_empty(), "{what}:\n{}", shown.join("\n"));
        assert!(self.cases() >= at_least && self.detected > 0, "{what}: only {}", self.cases());
    }
}

/// Judges a directory in which the file at `path` was damaged.
pub(crate) fn judge(corpus: &Corpus, disk: &SimStorage, path: &str) -> Result<Verdict, String> {
    judge_under(OnDamage::Serve, corpus, disk, Asked::of(path))
}

/// The same under a policy and with more or less to be asked.
pub(crate) fn judge_under(
    policy: OnDamage,
    corpus: &Corpus,
    disk: &SimStorage,
    asked: Asked<'_>,
) -> Result<Verdict, String> {
    match Answers::of(disk, policy, asked) {
        Ok(answers) => judge_answers(corpus, &answers),
        Err(error) => refused(policy, &error),
    }
}

/// Judges what was answered.
pub(crate) fn judge_answers(corpus: &Corpus, answers: &Answers) -> Result<Verdict, String> {
    let truth = corpus.truth();
    let mut detected = false;
    for (name, said) in &answers.topics {
        let wanted = truth.topics.get(name).and_then(Option::as_ref).ok_or("no truth")?;
        let Some(said) = said else { return Err(format!("{name} is gone")) };
        let report = answers.report(name).ok_or_else(|| format!("{name}: no report"))?;
        let cut = report.truncated.as_ref().map(|truncation| truncation.offset);
        detected |= cut.is_some() || report.damaged.is_some();
        let case = Case { wanted, said, cut };
        detected |= case.judge().map_err(|why| format!("{name}: {why}"))?;
    }
    if let Some(commits) = &answers.commits {
        detected |= match (commits, &truth.commits) {
            (Ok(commits), Some(Ok(wanted))) if commits == wanted => false,
            (Ok(commits), Some(Ok(_))) => {
                // A tail that was cut is told of.
                let report = answers.report("__consumer_offsets");
                let cut = report.is_some_and(|report| report.truncated.is_some());
                if !cut {
                    return Err(format!("the group says {commits:?}"));
                }
                true
            }
            (Err(error), _) if is_unavailable(error) => true,
            (other, _) => return Err(format!("the group says {other:?}")),
        };
    }
    Ok(if detected { Verdict::Detected } else { Verdict::Harmless })
}

/// A directory may refuse to open under `Refuse`, or if it claims to be of a later release.
fn refused(policy: OnDamage, error: &Error) -> Result<Verdict, String> {
    let located = error.path().is_some() && error.position().is_some();
    let is_damage = error.code() == Some(ErrorCode::CorruptMessage) && located;
    if is_damage && policy == OnDamage::Refuse || error.kind() == ErrorKind::InvalidDirectory {
        return Ok(Verdict::Detected);
    }
    Err(format!("it does not open: {error}"))
}

fn is_unavailable(error: &Error) -> bool {
    error.code() == Some(ErrorCode::CoordinatorNotAvailable)
}

/// One topic: what it should say, what it says, and where an open has cut it and told so.
struct Case<'a> {
    wanted: &'a Said,
    said: &'a Said,
    cut: Option<i64>,
}

impl Case<'_> {
    /// Whether damage was detected; an error where an answer is wrong.
    fn judge(&self) -> Result<bool, String> {
        let (wanted, said) = (self.wanted, self.said);
        if said.start != wanted.start {
            return Err(format!("it starts at {}, not {}", said.start, wanted.start));
        }
        let mut detected =
            self.sequence(&wanted.records, &said.records, &said.stopped, self.cut)?;
        // A transaction whose end was cut off is open.
        let stable = self.cut.map(|cut| cut.min(said.stable));
        let stopped = &said.committed_stopped;
        detected |= self.sequence(&wanted.committed, &said.committed, stopped, stable)?;
        for ((from, wanted), (_, said)) in wanted.from.iter().zip(&said.from) {
            let Ok(wanted) = wanted else { continue };
            detected |= self
                .point(*from, wanted.as_ref(), said.as_ref().map(Option::as_ref))
                .map_err(|why| format!("read from {from}: {why}"))?;
        }
        for ((time, wanted), (_, said)) in wanted.times.iter().zip(&said.times) {
            let Ok(wanted) = wanted else { return Err("no truth".to_owned()) };
            let at = wanted.unwrap_or(i64::MAX);
            detected |= self
                .point(at, wanted.as_ref(), said.as_ref().map(Option::as_ref))
                .map_err(|why| format!("time {time}: {why}"))?;
        }
        detected |= match &said.appended {
            Ok(offset) => {
                let end = self.cut.unwrap_or(wanted.end);
                if *offset != end && *offset != wanted.end {
                    return Err(format!("the append went to {offset}, not {end}"));
                }
                false
            }
            Err(error) if error.code() == Some(ErrorCode::KafkaStorageError) => true,
            Err(error) => located(error)?,
        };
        Ok(detected)
    }

    /// What was read in order is what there is, up to an error or to where the log was cut.
    fn sequence<T: PartialEq + At + fmt::Debug>(
        &self,
        wanted: &[T],
        said: &[T],
        stopped: &Option<Error>,
        cut: Option<i64>,
    ) -> Result<bool, String> {
        if said.len() > wanted.len() || said != &wanted[..said.len()] {
            let wrong = said.iter().enumerate().find(|(i, one)| wanted.get(*i) != Some(one));
            return Err(format!("it reads {wrong:?}"));
        }
        if let Some(error) = stopped {
            return located(error);
        }
        match wanted.get(said.len()) {
            None => Ok(false),
            Some(next) if cut.is_some_and(|cut| next.at() >= cut) => Ok(true),
            Some(next) => Err(format!("offset {} and what follows is missing", next.at())),
        }
    }

    /// The same of a lookup that should find something at `at`.
    fn point<T: PartialEq + fmt::Debug>(
        &self,
        at: i64,
        wanted: Option<&T>,
        said: Result<Option<&T>, &Error>,
    ) -> Result<bool, String> {
        let is_cut = self.cut.is_some_and(|cut| at >= cut);
        match said {
            Ok(said) if said == wanted => Ok(false),
            Ok(None) if is_cut => Ok(true),
            Ok(said) => Err(format!("{said:?}, not {wanted:?}")),
            Err(error) if is_cut && error.code() == Some(ErrorCode::OffsetOutOfRange) => Ok(true),
            Err(error) => located(error),
        }
    }
}

/// An error that tells of damage names the file and the position.
fn located(error: &Error) -> Result<bool, String> {
    let is_damage = error.code() == Some(ErrorCode::CorruptMessage);
    if is_damage && error.path().is_some() && error.position().is_some() {
        return Ok(true);
    }
    Err(format!("an error that does not say where: {error} ({:?})", error.kind()))
}

/// Things that have an offset.
trait At {
    fn at(&self) -> i64;
}

impl At for Record {
    fn at(&self) -> i64 {
        self.offset
    }
}

impl At for i64 {
    fn at(&self) -> i64 {
        *self
    }
}
