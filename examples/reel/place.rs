//! The directory a command works on, and settings given as `key=value`.

use std::io::Write;
use std::path::PathBuf;

use logreel::{Broker, Topic};

use crate::failure::{Failure, Outcome};

#[derive(Debug, clap::Args)]
pub(crate) struct Place {
    /// The log directory
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
}

impl Place {
    /// For commands that can do without a directory.
    pub(crate) fn at(dir: PathBuf) -> Self {
        Self { dir }
    }

    /// Opens the directory for writing. A command that does not make topics does not make the
    /// directory either: it would hide a mistyped name.
    pub(crate) fn open(&self, make: bool) -> Outcome<Broker> {
        if !make && !self.dir.exists() {
            return Err(Failure::new(format!("directory {} does not exist", self.dir.display())));
        }
        let broker = Broker::builder().dir(&self.dir).auto_create_topics(false).open()?;
        tell_repairs(&broker);
        Ok(broker)
    }

    /// Opens the directory without touching it, beside the process that may be writing it.
    pub(crate) fn look(&self) -> Outcome<Broker> {
        Ok(Broker::open_read_only(&self.dir)?)
    }
}

/// Says on the standard error what the open repaired or found damaged.
fn tell_repairs(broker: &Broker) {
    let mut out = std::io::stderr();
    for partition in &broker.recovery_report().partitions {
        let tp = &partition.topic_partition;
        if let Some(cut) = &partition.truncated {
            let (bytes, offset, reason) = (cut.bytes, cut.offset, &cut.reason);
            let _ = writeln!(out, "recovered {tp}: cut {bytes} bytes at offset {offset}: {reason}");
        }
        if let Some(damage) = &partition.damaged {
            let (path, at, reason) = (damage.path.display(), damage.position, &damage.reason);
            let _ = writeln!(out, "damaged {tp}: {path} at byte {at}: {reason}");
        }
    }
}

/// A topic that must exist.
pub(crate) fn topic(broker: &Broker, name: &str) -> Outcome<Topic> {
    Ok(broker.topic(name)?)
}

/// Reads `key=value`; the value may hold further `=`.
pub(crate) fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("key=value is needed".to_owned()),
    }
}

/// Reads the value of a property that is true or false, in any case.
pub(crate) fn truth(key: &str, value: &str) -> Outcome<bool> {
    match value.trim().to_ascii_lowercase().as_str() {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(Failure::new(format!("{key}={value}: true or false is needed"))),
    }
}
