//! One producer writes while readers wait for more; all of them get all.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::sync::{Condvar, Mutex};
use std::time::{Duration, Instant};

use logreel::{Acks, OffsetReset};

use super::thousands;
use super::width::BATCH;
use crate::work::limits::{Touch, frame, touch_frames};
use crate::work::payload::{Payload, Sum};
use crate::work::subject::{self, TOPIC};

/// A consumer of each group, on a thread of its own. Thousands of records a second that all of them
/// read together.
pub fn followed(payload: &Payload, records: usize, groups: usize) -> f64 {
    let expected = Touch::of(payload, records);
    let dir = tempfile::tempdir().unwrap();
    let broker = subject::broker(dir.path(), 1);
    let began = std::thread::scope(|scope| {
        for number in 0..groups {
            let broker = &broker;
            scope.spawn(move || {
                let group = format!("group-{number}");
                let consumer = broker.consumer().group_id(group).enable_auto_commit(false);
                let consumer = consumer.auto_offset_reset(OffsetReset::Earliest);
                let consumer = consumer.max_poll_records(10_000).build().unwrap();
                consumer.assign([(TOPIC, 0)]).unwrap();
                let mut touch = Touch::default();
                while touch.count() < records {
                    for record in &consumer.poll(Duration::from_secs(10)).unwrap() {
                        touch.add(record.key().unwrap(), record.value().unwrap());
                    }
                }
                assert_eq!(Sum::from(touch), expected);
            });
        }
        let producer = subject::lingering(&broker, Acks::Leader, BATCH);
        let began = Instant::now();
        subject::send_all(&producer, payload, records);
        began
    });
    thousands(records * groups, began)
}

/// The same with little code: a file, its size under a mutex, and a condition variable.
pub fn told(payload: &Payload, records: usize, readers: usize) -> f64 {
    let expected = Touch::of(payload, records);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    let file = File::create(&path).unwrap();
    let (size, grew) = (Mutex::new(0), Condvar::new());
    let began = std::thread::scope(|scope| {
        for _ in 0..readers {
            let (path, size, grew) = (&path, &size, &grew);
            scope.spawn(move || {
                let file = OpenOptions::new().read(true).open(path).unwrap();
                let (mut at, mut touch, mut buffer) = (0_u64, Touch::default(), vec![0; 65_536]);
                while touch.count() < records {
                    let size = *grew.wait_while(size.lock().unwrap(), |size| *size <= at).unwrap();
                    while at < size {
                        let read = file.read_at(&mut buffer, at).unwrap();
                        at += touch_frames(&buffer[..read], &mut touch) as u64;
                    }
                }
                assert_eq!(Sum::from(touch), expected);
            });
        }
        let began = Instant::now();
        let (mut at, mut buffer) = (0, Vec::with_capacity(2 * BATCH));
        for i in 0..records {
            frame(payload, i, &mut buffer);
            if buffer.len() >= BATCH || i + 1 == records {
                file.write_all_at(&buffer, at).unwrap();
                at += buffer.len() as u64;
                buffer.clear();
                *size.lock().unwrap() = at;
                grew.notify_all();
            }
        }
        began
    });
    thousands(records * readers, began)
}
