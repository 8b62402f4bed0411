//! Where the brokers of the tests live.

use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, mpsc};
use std::time::Duration;

use logreel::testing::MockClock;
use logreel::{Broker, BrokerBuilder, Consumer, OffsetReset, Record, Storage};

pub const SECOND: Duration = Duration::from_secs(1);
pub const NOW: i64 = 1_700_000_000_000;

/// A home that outlives the brokers opened on it.
pub enum Files {
    Memory(Storage),
    Disk(tempfile::TempDir),
}

pub struct Home {
    pub files: Files,
    pub clock: Option<MockClock>,
    pub mmap: bool,
}

impl Home {
    pub fn builder(&self) -> BrokerBuilder {
        let builder = match &self.files {
            Files::Memory(storage) => Broker::builder().storage(storage.clone()),
            Files::Disk(dir) => Broker::builder().dir(dir.path()),
        };
        let builder = builder.mmap(self.mmap);
        match &self.clock {
            Some(clock) => builder.clock(clock),
            None => builder,
        }
    }

    pub fn open(&self) -> Broker {
        self.builder().open().unwrap()
    }

    pub fn dir(&self) -> Option<&Path> {
        match &self.files {
            Files::Memory(_) => None,
            Files::Disk(dir) => Some(dir.path()),
        }
    }
}

/// Memory and disk, real and mock clock, with and without maps.
pub fn homes() -> Vec<Home> {
    let memory = || Files::Memory(Storage::memory());
    let disk = || Files::Disk(tempfile::tempdir().unwrap());
    let clock = || Some(MockClock::at_millis(NOW));
    vec![
        Home { files: memory(), clock: None, mmap: true },
        Home { files: memory(), clock: clock(), mmap: true },
        Home { files: disk(), clock: None, mmap: true },
        Home { files: disk(), clock: clock(), mmap: false },
    ]
}

pub fn disk() -> Home {
    Home { files: Files::Disk(tempfile::tempdir().unwrap()), clock: None, mmap: true }
}

/// A reader of whole partitions from their start.
pub fn reader(broker: &Broker) -> Consumer {
    broker
        .consumer()
        .auto_offset_reset(OffsetReset::Earliest)
        .max_poll_records(10_000)
        .build()
        .unwrap()
}

/// Everything a consumer can read now.
pub fn drain(consumer: &Consumer) -> Vec<Record> {
    let mut all = Vec::new();
    loop {
        let records = consumer.poll(Duration::ZERO).unwrap();
        if records.is_empty() {
            return all;
        }
        all.extend(records.to_vec());
    }
}

/// Everything in one partition.
pub fn read_all(broker: &Broker, topic: &str, partition: i32) -> Vec<Record> {
    let consumer = reader(broker);
    consumer.assign([(topic, partition)]).unwrap();
    drain(&consumer)
}

pub fn text(bytes: &Option<bytes::Bytes>) -> Option<String> {
    bytes.as_ref().map(|b| String::from_utf8_lossy(b).into_owned())
}

/// A directory in memory where there is one: for tests that open thousands of directories and ask
/// nothing of the disk.
pub fn memory_dir() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// The files under a directory, with their content.
pub fn snapshot(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    let mut dirs = vec![dir.to_path_buf()];
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                dirs.push(path);
            } else {
                let content = std::fs::read(&path).unwrap();
                files.push((path, content));
            }
        }
    }
    files.sort();
    files
}

pub fn copy_dir(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_dir(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Fails instead of hanging.
pub fn must_end(body: impl FnOnce() + Send + 'static) {
    let (done, wait) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        body();
        let _ = done.send(());
    });
    let ended = wait.recv_timeout(20 * SECOND).is_ok() || thread.is_finished();
    assert!(ended, "it hangs");
    thread.join().unwrap();
}

/// A place where only one thread may be at a time. The first to come waits a moment for a second,
/// so that one that may come does come; a slow machine can only miss it.
#[derive(Default)]
pub struct Place {
    state: Mutex<Visits>,
    changed: Condvar,
}

#[derive(Default)]
struct Visits {
    inside: usize,
    came: usize,
    met: bool,
}

impl Place {
    const A_MOMENT: Duration = Duration::from_millis(300);

    /// A thread is at the place.
    pub fn visit(&self) {
        let mut state = self.state.lock().unwrap();
        state.inside += 1;
        state.came += 1;
        state.met |= state.inside > 1;
        self.changed.notify_all();
        if state.came == 1 {
            let alone = |state: &mut Visits| !state.met;
            state = self.changed.wait_timeout_while(state, Self::A_MOMENT, alone).unwrap().0;
        }
        state.inside -= 1;
    }

    /// Waits until the first has come.
    pub fn wait_for_the_first(&self) {
        let state = self.state.lock().unwrap();
        drop(self.changed.wait_while(state, |state| state.came == 0).unwrap());
    }

    /// Whether two threads were there at once.
    pub fn was_shared(&self) -> bool {
        self.state.lock().unwrap().met
    }
}
