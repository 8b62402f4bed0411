//! What `reel producer-perf` sends: random letters, lines of a file, or numbers.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

use crate::failure::{Failure, Outcome};

/// Where the payloads of all threads come from.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    /// Random letters, so many.
    Letters(usize),
    /// One of these, at random.
    OneOf(Arc<[Bytes]>),
    /// The number of the record.
    Numbers,
}

impl Source {
    /// Splits a file at the delimiter. As with Kafka's tool, a delimiter at the beginning or at
    /// the end makes no empty payload; two in a row make one.
    pub(crate) fn read(path: &Path, delimiter: &str) -> Outcome<Self> {
        let shown = path.display();
        let text = std::fs::read(path)
            .map_err(|error| Failure::new(format!("cannot read {shown}: {error}")))?;
        let text = Bytes::from(text);
        let delimiter = delimiter.as_bytes();
        let mut payloads = Vec::new();
        let mut at = if text.starts_with(delimiter) { delimiter.len() } else { 0 };
        while at < text.len() {
            let rest = text.slice(at..);
            let found = rest.windows(delimiter.len()).position(|window| window == delimiter);
            let len = found.unwrap_or(rest.len());
            payloads.push(rest.slice(..len));
            at += len + delimiter.len();
        }
        if payloads.is_empty() {
            return Err(Failure::new(format!("{shown} holds no payload")));
        }
        Ok(Self::OneOf(payloads.into()))
    }
}

/// The payloads of one thread.
pub(crate) struct Payloads {
    source: Source,
    random: Random,
    made: Vec<u8>,
}

impl Payloads {
    /// Threads with different seeds send different payloads; every run sends the same again.
    pub(crate) fn new(source: Source, seed: u64) -> Self {
        Self { source, random: Random(seed), made: Vec::new() }
    }

    /// The payload of the record with this number.
    pub(crate) fn next(&mut self, number: u64) -> &[u8] {
        match &self.source {
            Source::Letters(count) => {
                self.made.resize(*count, 0);
                for letters in self.made.chunks_mut(8) {
                    for (letter, byte) in letters.iter_mut().zip(self.random.next().to_le_bytes()) {
                        *letter = b'A' + byte % 26;
                    }
                }
                &self.made
            }
            Source::OneOf(payloads) => {
                let count = payloads.len() as u64;
                let choice = usize::try_from(self.random.next() % count).unwrap_or_default();
                payloads.get(choice).map_or(&[], |payload| payload)
            }
            Source::Numbers => {
                self.made = number.to_string().into_bytes();
                &self.made
            }
        }
    }
}

/// SplitMix64: fast, and good enough that nothing compresses what it makes.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}
