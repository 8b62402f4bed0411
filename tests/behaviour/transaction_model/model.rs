//! What is known of every record and every transaction.

use std::collections::BTreeMap;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Open,
    Committed,
    Aborted,
}

/// A transaction: what became of it, and what it committed for groups.
#[derive(Clone, Debug)]
pub struct Transaction {
    pub fate: Fate,
    pub positions: BTreeMap<&'static str, i64>,
    /// When it is over, in milliseconds since 1970, once it has sent something.
    pub over_at: Option<i64>,
}

/// A record: its key, and the transaction it belongs to, if to any.
#[derive(Clone, Debug)]
pub struct Entry {
    pub key: String,
    pub transaction: Option<usize>,
}

#[derive(Debug, Default)]
pub struct Model {
    pub transactions: Vec<Transaction>,
    /// The records of each partition, by offset.
    pub entries: [BTreeMap<i64, Entry>; 2],
    /// What each group has committed.
    pub positions: BTreeMap<&'static str, i64>,
}

impl Model {
    pub fn fate(&self, entry: &Entry) -> Fate {
        entry.transaction.map_or(Fate::Committed, |number| self.transactions[number].fate)
    }

    /// Where committed readers stop, in a partition that begins at `start` and ends at `end`: at
    /// the first open record. An open leaves those below the start out; until then they count.
    pub fn stable(&self, partition: usize, start: i64, end: i64) -> [i64; 2] {
        let entries = &self.entries[partition];
        let first = |from: i64| {
            let mut all = entries.range(from..);
            let open = all.find(|(_, entry)| self.fate(entry) == Fate::Open);
            open.map_or(end, |(offset, _)| *offset).max(start)
        };
        [first(0), first(start)]
    }

    /// The keys that committed readers see.
    pub fn seen(&self, partition: usize, start: i64, stable: i64) -> Vec<String> {
        let readable = self.entries[partition].range(start..stable.max(start));
        let committed = readable.filter(|(_, entry)| self.fate(entry) == Fate::Committed);
        committed.map(|(_, entry)| entry.key.clone()).collect()
    }

    pub fn end(&mut self, number: usize, fate: Fate) {
        let transaction = &mut self.transactions[number];
        assert_eq!(transaction.fate, Fate::Open);
        transaction.fate = fate;
        if fate == Fate::Committed {
            self.positions.extend(transaction.positions.clone());
        }
    }

    /// Those whose time is over at `now` are aborted.
    pub fn time_out(&mut self, now: i64) {
        for transaction in &mut self.transactions {
            let is_over = transaction.over_at.is_some_and(|at| at <= now);
            if transaction.fate == Fate::Open && is_over {
                transaction.fate = Fate::Aborted;
            }
        }
    }

    /// What the power took: nothing that was promised.
    pub fn lose_from(&mut self, partition: usize, end: i64) {
        let lost = self.entries[partition].split_off(&end);
        for (offset, entry) in lost {
            assert_ne!(self.fate(&entry), Fate::Committed, "{offset} of {partition}: {entry:?}");
        }
    }
}
