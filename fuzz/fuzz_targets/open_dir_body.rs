//! The input is a script that makes a directory: names good and bad, contents sound, changed and
//! arbitrary, from a small directory of ours or from nothing. Opened with each policy for damage,
//! read, appended to, closed and opened again: a second open sees what the first left, no cache
//! matters, nothing panics.
//!
//! Byte 0: bit 0 begins with a directory of ours, bit 1 takes the marks of a clean close away. Then
//! entries: a directory, a name, and a content, each chosen by one byte and what it asks for.

use std::sync::OnceLock;
use std::time::Duration;

use logreel::record::{BatchBuilder, Compression};
use logreel::testing::{MockClock, SimStorage};
use logreel::{Acks, Broker, ErrorCode, NewTopic, OffsetReset, OnDamage, ProducerRecord, admin};

use crate::script::Script;

const NOW: i64 = 1_700_000_000_000;
const ENTRIES_MAX: usize = 12;
const DIRS: [&str; 12] = [
    "",
    "t-0",
    "t-1",
    "c-0",
    "__consumer_offsets-0",
    "u-0",
    "t-0.0123456789abcdef0123456789abcdef-delete",
    "t-00",
    "..-0",
    "t-2147483647",
    "u-3",
    "__cluster_metadata-0",
];
const ROOT_NAMES: [&str; 12] = [
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
    "logreel.catalog.tmp",
    "t-1",
];
const EXTENSIONS: [&str; 14] = [
    "log",
    "index",
    "timeindex",
    "txnindex",
    "snapshot",
    "log.swap",
    "index.swap",
    "timeindex.swap",
    "log.cleaned",
    "index.cleaned",
    "log.deleted",
    "log.tmp",
    "log.bak",
    "LOG",
];
const BASES: [i64; 10] = [0, 1, 3, 4, 6, 7, 100, 1 << 31, i64::MAX - 1, i64::MAX];

type Files = Vec<(String, Vec<u8>)>;
type Seen = Vec<(String, i64, Vec<u8>)>;

fn template() -> &'static Files {
    static FILES: OnceLock<Files> = OnceLock::new();
    FILES.get_or_init(|| {
        let disk = SimStorage::new();
        let clock = MockClock::at_millis(NOW);
        let small = |name: &str| NewTopic::new(name).set("segment.bytes", "250");
        let builder = Broker::builder().storage(disk.storage()).clock(&clock);
        let builder = builder.topic(small("t").set("index.interval.bytes", "0").partitions(2));
        let broker = builder.topic(small("c").set("cleanup.policy", "compact")).open().unwrap();
        let producer = broker.producer().acks(Acks::All).build().unwrap();
        for n in 0..7i64 {
            for topic in ["t", "c"] {
                let record = ProducerRecord::to(topic).partition(0).key(format!("k{}", n % 2));
                producer.send(record.value(n.to_string()).timestamp(NOW + n)).wait().unwrap();
            }
        }
        let consumer = broker.consumer().group_id("g").build().unwrap();
        consumer.commit_offsets(&[(("t", 0), 4)].into_iter().collect()).unwrap();
        drop((producer, consumer));
        broker.close().unwrap();
        disk.files().unwrap()
    })
}

fn batch(offset: i64, codec: Compression) -> Vec<u8> {
    let mut builder = BatchBuilder::new().compression(codec, None);
    builder.append(Some(NOW + 1), Some(b"k"), Some(b"planted"), &[]).unwrap();
    let mut sealed = builder.seal().unwrap();
    sealed.assign(offset, 0);
    sealed.into_bytes()
}

fn name(script: &mut Script<'_>, dir: &str) -> String {
    match script.byte() {
        choice if dir.is_empty() && choice < 128 => {
            ROOT_NAMES[usize::from(choice) % ROOT_NAMES.len()].to_owned()
        }
        0 => "leader-epoch-checkpoint".to_owned(),
        1 => "partition.metadata".to_owned(),
        2 => script.text(),
        choice => {
            let extension = EXTENSIONS[usize::from(choice) % EXTENSIONS.len()];
            let base = BASES[script.below(BASES.len())];
            format!("{base:020}.{extension}")
        }
    }
}

fn content(script: &mut Script<'_>, files: &Files) -> Vec<u8> {
    let any = |script: &mut Script<'_>| files.get(script.below(files.len().max(1))).cloned();
    match script.below(8) {
        0 => script.part().to_vec(),
        1 => vec![0; usize::from(script.short())],
        2 => {
            let (base, count) = (BASES[script.below(BASES.len())], script.below(4) as i64);
            let codecs: Vec<Compression> =
                Compression::ALL.iter().copied().filter(|codec| codec.is_available()).collect();
            let codec = codecs[script.below(codecs.len())];
            let step = i64::from(script.byte() % 3);
            (0..count).flat_map(|n| batch(base.saturating_add(n * step), codec)).collect()
        }
        3 => any(script).unwrap_or_default().1,
        4 => {
            // One byte of a file changed.
            let mut bytes = any(script).unwrap_or_default().1;
            let (at, mask) = (usize::from(script.short()), script.byte());
            let len = bytes.len().max(1);
            bytes.get_mut(at % len).into_iter().for_each(|byte| *byte ^= mask);
            bytes
        }
        5 => {
            let mut bytes = any(script).unwrap_or_default().1;
            let at = usize::from(script.short()) % (bytes.len() + 1);
            bytes.truncate(at);
            bytes
        }
        6 => {
            let mut bytes = any(script).unwrap_or_default().1;
            bytes.extend_from_slice(script.part());
            bytes
        }
        _ => {
            let kinds = ["catalog", "manifest", "compacted", "producer-ids"];
            let kind = kinds[script.below(kinds.len())];
            let body = script.part();
            let head = format!("logreel-{kind} 1 {:08x}\n", crc32fast::hash(body));
            [head.as_bytes(), body].concat()
        }
    }
}

fn make(data: &[u8]) -> Files {
    let mut script = Script(data);
    let flags = script.byte();
    let mut files = if flags & 1 != 0 { template().clone() } else { Files::new() };
    if flags & 2 != 0 {
        files.retain(|(path, _)| path != ".kafka_cleanshutdown" && path != "logreel.manifest");
    }
    let mut entries = 0;
    while !script.is_over() && entries < ENTRIES_MAX {
        entries += 1;
        let choice = script.byte();
        // An existing file is replaced, or goes.
        if choice >= 128 && !files.is_empty() {
            let at = usize::from(choice) % files.len();
            if script.byte() & 1 == 0 {
                files.remove(at);
            } else {
                files[at].1 = content(&mut script, &files);
            }
            continue;
        }
        let dir = DIRS[usize::from(choice) % DIRS.len()];
        let name = name(&mut script, dir);
        let path = if dir.is_empty() { name } else { format!("{dir}/{name}") };
        let content = content(&mut script, &files);
        files.retain(|(old, _)| *old != path);
        files.push((path, content));
    }
    files
}

fn disk(files: &Files) -> SimStorage {
    let disk = SimStorage::new();
    for (path, content) in files {
        let _ = disk.put_file(path, content);
    }
    disk
}

/// Runs one input.
pub fn run(data: &[u8]) {
    let files = make(data);
    let looked = disk(&files);
    let before = looked.files().unwrap();
    let _ = admin::verify_storage(&looked.storage());
    if let Ok(broker) = Broker::builder()
        .storage(looked.storage())
        .clock(MockClock::at_millis(NOW + 1000))
        .open_read_only()
    {
        read(&broker);
    }
    assert_eq!(looked.files().unwrap(), before, "looking changed something");
    for policy in [OnDamage::Serve, OnDamage::Refuse, OnDamage::Truncate] {
        open(&disk(&files), policy);
    }
}

fn open(disk: &SimStorage, policy: OnDamage) {
    let clock = MockClock::at_millis(NOW + 1000);
    let open = || Broker::builder().storage(disk.storage()).clock(&clock).on_damage(policy).open();
    let broker = match open() {
        Ok(broker) => broker,
        Err(error) => {
            assert!(!error.to_string().contains('\n'), "{error}");
            let refused = error.code() == Some(ErrorCode::CorruptMessage);
            assert!(!refused || policy == OnDamage::Refuse, "damage stops {policy:?}: {error}");
            return;
        }
    };
    let damaged = broker.recovery_report().damaged().count() > 0;
    let seen = read(&broker);
    let mut appended = Vec::new();
    for topic in broker.topics().unwrap().into_iter().filter(|topic| !topic.is_internal()) {
        let log = topic.partition(0).unwrap();
        let end = log.log_end_offset();
        if let Ok(placed) = log.append([(Some("k"), Some("appended"))]) {
            assert_eq!(placed.base_offset, end);
            appended.push((topic.name().to_owned(), placed.base_offset));
        }
    }
    let all = read(&broker);
    assert!(seen.iter().all(|record| all.contains(record)), "an append hides records");
    if broker.close().is_err() {
        return;
    }
    let again =
        open().unwrap_or_else(|error| panic!("{policy:?}: it does not open again: {error}"));
    for (topic, offset) in appended {
        let log = again.topic(&topic).unwrap().partition(0).unwrap();
        let records = match log.read(offset, 1) {
            Ok(records) => records,
            // A header that lies about its offsets may stand before it in the same stretch of the
            // index; then whoever comes from the beginning is stopped there, too.
            Err(error) => {
                assert_eq!(error.code(), Some(ErrorCode::CorruptMessage), "{policy:?}: {error}");
                assert!(is_stopped(&again, &topic), "{policy:?}: {error}");
                continue;
            }
        };
        let found = records.iter().find(|record| record.offset() == offset);
        assert_eq!(found.and_then(|record| record.value()), Some(&b"appended"[..]), "{policy:?}");
    }
    let later = read(&again);
    if damaged {
        // The manifest that showed a segment to be missing is gone: what lies behind may be read.
        assert!(all.iter().all(|record| later.contains(record)), "{policy:?}: records are gone");
    } else {
        assert_eq!(later, all, "{policy:?}: another open reads otherwise");
    }
}

/// Whether a reader from the beginning of a topic's first partition meets damage.
fn is_stopped(broker: &Broker, topic: &str) -> bool {
    let consumer = broker.consumer().auto_offset_reset(OffsetReset::Earliest).build().unwrap();
    consumer.assign([(topic, 0)]).unwrap();
    loop {
        match consumer.poll(Duration::ZERO) {
            Ok(records) if records.is_empty() => return false,
            Ok(_) => {}
            Err(_) => return true,
        }
    }
}

/// What a consumer reads of each partition up to the first damage.
fn read(broker: &Broker) -> Seen {
    let mut seen = Seen::new();
    for topic in broker.topics().unwrap() {
        for number in 0..topic.partition_count().min(4) {
            let consumer =
                broker.consumer().auto_offset_reset(OffsetReset::Earliest).build().unwrap();
            consumer.assign([(topic.name(), number)]).unwrap();
            let tp = format!("{}-{number}", topic.name());
            let from = seen.len();
            while let Ok(records) = consumer.poll(Duration::ZERO) {
                if records.is_empty() {
                    break;
                }
                for record in &records {
                    let value = record.value().unwrap_or_default().to_vec();
                    seen.push((tp.clone(), record.offset(), value));
                }
            }
            let own = &seen[from..];
            assert!(own.is_sorted_by(|a, b| a.1 < b.1), "{tp}: offsets repeat or go back");
        }
    }
    seen
}
