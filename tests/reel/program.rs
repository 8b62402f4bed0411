//! The program, and where a test runs it.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use flate2::read::GzDecoder;
use logreel::{Broker, Partition};
use tempfile::TempDir;

/// The program lies beside this test's own directory; a plain `cargo test` builds both.
fn program() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let built = test.parent().and_then(Path::parent).unwrap().join("examples/reel");
    assert!(built.exists(), "run `cargo build --example reel` first, or a plain `cargo test`");
    built
}

pub struct Reel {
    home: TempDir,
}

impl Reel {
    pub fn new() -> Self {
        Self { home: tempfile::tempdir().unwrap() }
    }

    pub fn dir(&self) -> PathBuf {
        self.home.path().join("data")
    }

    pub fn write(&self, name: &str, text: &str) {
        std::fs::write(self.home.path().join(name), text).unwrap();
    }

    /// Puts a directory that Kafka wrote in the place of ours.
    pub fn unpack(&self, case: &str) {
        let archive = format!("{}/tests/data/kafka/{case}.tar.gz", env!("CARGO_MANIFEST_DIR"));
        let archive = GzDecoder::new(File::open(archive).unwrap());
        tar::Archive::new(archive).unpack(self.home.path()).unwrap();
        std::fs::rename(self.home.path().join(case), self.dir()).unwrap();
    }

    /// The end of each partition.
    pub fn ends(&self, topic: &str) -> Vec<i64> {
        let broker = Broker::open_read_only(self.dir()).unwrap();
        let partitions = broker.topic(topic).unwrap().partitions();
        partitions.iter().map(Partition::log_end_offset).collect()
    }

    /// The values of a topic, partition by partition.
    pub fn values(&self, topic: &str) -> Vec<String> {
        let line = format!("console-consumer --topic {topic} --from-beginning --timeout-ms 300");
        self.run(&line, "").lines().map(str::to_owned).collect()
    }

    pub fn start(&self, line: &str) -> Child {
        let mut words = line.split(' ');
        let mut command = Command::new(program());
        command.arg(words.next().unwrap());
        if !line.starts_with("dump-log") && !line.contains("--in-memory") {
            command.arg("--dir").arg(self.dir());
        }
        command
            .args(words)
            .current_dir(self.home.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }

    pub fn finish(&self, line: &str, input: &str) -> Output {
        let mut child = self.start(line);
        // A command that refuses its flags may be gone before it reads.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        child.wait_with_output().unwrap()
    }

    /// Runs a command that must succeed and answers what it printed.
    pub fn run(&self, line: &str, input: &str) -> String {
        let output = self.finish(line, input);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{line}: {said}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs a command that must fail, with code 1 and one line, and answers the line.
    pub fn fail(&self, line: &str, input: &str) -> String {
        let output = self.finish(line, input);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{line}: {said}");
        assert_eq!(said.lines().count(), 1, "{line}: {said}");
        said
    }
}
