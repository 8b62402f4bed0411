//! redb: a B-tree from a record's number to its bytes, a transaction a call.

use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use redb::{Database, Durability, ReadTransaction, ReadableDatabase as _, TableDefinition};

use super::{Durable, Indexed, Key, Log};
use crate::work::limits::Touch;
use crate::work::payload::{Payload, Sum};

const TABLE: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("records");

pub struct Redb {
    database: Database,
    next: AtomicU64,
    read: Option<ReadTransaction>,
}

impl Redb {
    fn insert<'a>(&self, durability: Durability, records: impl Iterator<Item = (Key, &'a [u8])>) {
        let mut transaction = self.database.begin_write().unwrap();
        transaction.set_durability(durability).unwrap();
        {
            let mut table = transaction.open_table(TABLE).unwrap();
            for (key, value) in records {
                let number = self.next.fetch_add(1, Ordering::Relaxed);
                table.insert(number, [&key[..], value].concat().as_slice()).unwrap();
            }
        }
        transaction.commit().unwrap();
    }
}

impl Log for Redb {
    const NAME: &'static str = "redb";

    fn create(dir: &Path, _room: usize) -> Self {
        let database = Database::create(dir.join("redb")).unwrap();
        Self { database, next: AtomicU64::new(0), read: None }
    }

    fn append(&mut self, key: &Key, value: &[u8]) {
        self.insert(Durability::None, std::iter::once((*key, value)));
    }

    fn append_batch(&mut self, payload: &Payload, records: Range<usize>) {
        let records = records.map(|i| (payload.key(i), payload.value(i)));
        self.insert(Durability::None, records);
    }

    fn scan(&mut self, mut each: impl FnMut(&[u8], &[u8])) {
        let transaction = self.database.begin_read().unwrap();
        let table = transaction.open_table(TABLE).unwrap();
        for entry in table.range::<u64>(..).unwrap() {
            let (_, record) = entry.unwrap();
            let (key, value) = record.value().split_at(8);
            each(key, value);
        }
    }
}

impl Indexed for Redb {
    fn get(&mut self, i: usize, touch: &mut Touch) {
        let read = self.read.get_or_insert_with(|| self.database.begin_read().unwrap());
        let table = read.open_table(TABLE).unwrap();
        let record = table.get(i as u64).unwrap().unwrap();
        let (key, value) = record.value().split_at(8);
        touch.add(key, value);
    }
}

impl Durable for Redb {
    const NAME: &'static str = <Self as Log>::NAME;

    fn create(dir: &Path, room: usize) -> Self {
        <Self as Log>::create(dir, room)
    }

    fn append(&self, _thread: usize, key: &Key, value: &[u8]) {
        self.insert(Durability::Immediate, std::iter::once((*key, value)));
    }

    fn read_back(&mut self, _threads: usize) -> Sum {
        Log::read_back(self)
    }
}
