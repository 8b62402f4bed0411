//! kafko: topics, partitions, producers and consumers as ours; a task writes each partition.

use std::ops::Range;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use kafko::{Kafko, LogConfig, Producer, Record};
use tokio::runtime::{Builder, Runtime};

use super::{Durable, Indexed, Key, Log};
use crate::work::limits::Touch;
use crate::work::payload::{Payload, Sum};

pub const TOPIC: &str = "t";

/// To read one record it reads the rest of its segment, so large segments would make it useless.
const SEGMENT: u64 = 1024 * 1024;

/// On tokio's usual runtime with so many threads, as its own documentation has it. With 0 all is on
/// the thread that sends, which is faster where only one does.
pub struct Broker<const THREADS: usize> {
    pub broker: Kafko,
    pub producer: Producer,
    dir: PathBuf,
    // The last to go, as it runs the tasks of the others.
    pub runtime: Runtime,
}

impl<const THREADS: usize> Broker<THREADS> {
    pub fn new(dir: &Path) -> Self {
        let mut builder = match THREADS {
            0 => Builder::new_current_thread(),
            _ => Builder::new_multi_thread(),
        };
        // What counts for the other runtime must not be 0.
        let runtime = builder.worker_threads(THREADS.max(1)).enable_time().build().unwrap();
        let (broker, producer) = runtime.block_on(async {
            let config = LogConfig { segment_size_threshold: SEGMENT, ..LogConfig::default() };
            let broker = Kafko::open_with_config(dir, config).await.unwrap();
            broker.create_topic(TOPIC).await.unwrap();
            let producer = broker.producer_for(TOPIC).await.unwrap();
            (broker, producer)
        });
        Self { broker, producer, dir: dir.to_owned(), runtime }
    }

    /// Reads its files itself: through a consumer it would take longer than all the rest.
    fn sum(&self) -> Sum {
        let mut sum = Sum::default();
        let mut folders = vec![self.dir.clone()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|kind| kind == "log") {
                    let bytes = std::fs::read(path).unwrap();
                    let mut rest = &bytes[..];
                    while !rest.is_empty() {
                        let record = Record::decode(&mut rest).unwrap();
                        sum.add(record.key().unwrap(), record.value());
                    }
                }
            }
        }
        sum
    }
}

fn owned(key: &Key, value: &[u8]) -> (Option<Bytes>, Bytes) {
    (Some(Bytes::copy_from_slice(key)), Bytes::copy_from_slice(value))
}

impl<const THREADS: usize> Log for Broker<THREADS> {
    const NAME: &'static str = if THREADS == 0 { "kafko, one thread" } else { "kafko" };

    fn create(dir: &Path, _room: usize) -> Self {
        Self::new(dir)
    }

    fn append(&mut self, key: &Key, value: &[u8]) {
        let (key, value) = owned(key, value);
        self.runtime.block_on(self.producer.send(key, value)).unwrap();
    }

    fn append_batch(&mut self, payload: &Payload, records: Range<usize>) {
        let batch = records.map(|i| owned(&payload.key(i), payload.value(i))).collect();
        self.runtime.block_on(self.producer.send_batch(batch)).unwrap();
    }

    fn scan(&mut self, mut each: impl FnMut(&[u8], &[u8])) {
        self.runtime.block_on(async {
            let topic = self.broker.topic(TOPIC).await.unwrap();
            let end = topic.partition(0).unwrap().high_water_mark();
            let mut consumer = self.broker.consumer_for(TOPIC).await.unwrap();
            consumer.seek_all(0);
            for _ in 0..end {
                let record = consumer.next_record().await.unwrap();
                each(record.key().unwrap(), record.value());
            }
        });
    }

    fn read_back(&mut self) -> Sum {
        self.sum()
    }
}

impl<const THREADS: usize> Indexed for Broker<THREADS> {
    fn get(&mut self, i: usize, touch: &mut Touch) {
        let record = self.runtime.block_on(async {
            let topic = self.broker.topic(TOPIC).await.unwrap();
            topic.partition(0).unwrap().read_record_at(i as u64).await.unwrap().unwrap()
        });
        touch.add(record.key().unwrap(), record.value());
    }
}

impl<const THREADS: usize> Durable for Broker<THREADS> {
    const NAME: &'static str = <Self as Log>::NAME;

    fn create(dir: &Path, _room: usize) -> Self {
        Self::new(dir)
    }

    fn append(&self, _thread: usize, key: &Key, value: &[u8]) {
        let (key, value) = owned(key, value);
        self.runtime.block_on(async {
            self.producer.send(key, value).await.unwrap();
            let topic = self.broker.topic(TOPIC).await.unwrap();
            topic.partition(0).unwrap().sync().await.unwrap();
        });
    }

    fn read_back(&mut self, _threads: usize) -> Sum {
        self.sum()
    }
}
