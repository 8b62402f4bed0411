//! Producer ids: never one that a log may know already.
//!
//! They begin at a random point far above those of a young Kafka cluster, so that a cluster which
//! is given our segment files never takes a new producer's batch for one of ours. They are reserved
//! in blocks, durably before the first of a block is used, so that no id is given twice, whatever
//! happens to the process.

use std::ops::Range;
use std::sync::atomic::Ordering;

use parking_lot::Mutex;

use crate::error::{Error, ErrorKind, Result};
use crate::log::checkpoint::{self, Damaged};
use crate::log::{Decoded, LogContext, decode_framed, encode_framed};
use crate::storage::Storage;

pub(crate) const PRODUCER_IDS: &str = "logreel.producer-ids";
const VERSION: u32 = 1;
/// One number; a larger file is none of ours.
const FILE_BYTES_MAX: usize = 1024;
/// Kafka's `ProducerIdsBlock` has as many: one write for a thousand producers.
const BLOCK: i64 = 1000;
const FIRST_MIN: i64 = 1 << 48;
const FIRST_MAX: i64 = 1 << 62;

/// Gives out producer ids. A leaf lock; held while a block is reserved, which writes a file.
#[derive(Debug, Default)]
pub(crate) struct ProducerIds(Mutex<Option<Range<i64>>>);

impl ProducerIds {
    /// An id that nobody has had.
    pub(crate) fn next(&self, context: &LogContext) -> Result<i64> {
        let mut block = self.0.lock();
        if let Some(id) = block.as_mut().and_then(Iterator::next) {
            return Ok(id);
        }
        let free = match &*block {
            Some(used) => used.end,
            None => match stored(&context.storage)? {
                Some(Ok(next)) => next,
                Some(Err(Damaged)) | None => random_start(context),
            },
        };
        // A partition that was copied in may hold ids of another directory.
        let seen = context.highest_producer_id.load(Ordering::Acquire);
        let mut start = free.max(seen.saturating_add(1));
        if start > i64::MAX - BLOCK {
            start = random_start(context);
        }
        let body = format!("next {}\n", start + BLOCK);
        let text = encode_framed("producer-ids", VERSION, &body);
        checkpoint::replace(&context.storage, None, PRODUCER_IDS, &text)?;
        *block = Some(start + 1..start + BLOCK);
        Ok(start)
    }
}

fn random_start(context: &LogContext) -> i64 {
    let span = u64::try_from(FIRST_MAX - FIRST_MIN).unwrap_or(1);
    FIRST_MIN + i64::try_from(context.random.below(span)).unwrap_or(0)
}

/// The first id that was never reserved; `None` in a new directory. Where the file is damaged a new
/// random point meets none of the old ids.
pub(crate) fn stored(storage: &Storage) -> Result<Option<Result<i64, Damaged>>> {
    let path = checkpoint::path(None, PRODUCER_IDS);
    let bytes = match storage.read_all(&path, FILE_BYTES_MAX)? {
        Some(Ok(bytes)) => bytes,
        Some(Err(too_large)) => return Ok(Some(Err(too_large.into()))),
        None => return Ok(None),
    };
    match decode_framed("producer-ids", VERSION, &bytes) {
        Ok(Decoded::Body(body)) => {
            let next = body.strip_prefix("next ").and_then(|n| n.trim_end().parse::<i64>().ok());
            Ok(Some(next.filter(|next| *next >= FIRST_MIN).ok_or(Damaged)))
        }
        Ok(Decoded::Newer(found)) => Err(Error::new(
            ErrorKind::InvalidDirectory,
            format!(
                "{} has version {found}, this release reads up to {VERSION}; use a newer logreel",
                storage.path_of(&path).display()
            ),
        )),
        Err(Damaged) => Ok(Some(Err(Damaged))),
    }
}

#[cfg(test)]
#[cfg(feature = "testing")]
mod tests {
    use crate::broker::config::{BrokerConfig, Place};
    use crate::broker::shared::Shared;
    use crate::storage::SimStorage;

    fn id(disk: &SimStorage) -> i64 {
        // The same seed: only what is stored tells the ids apart.
        let place = Place::Storage(disk.storage());
        let config = BrokerConfig { place, seed: Some(1), ..BrokerConfig::default() };
        let shared = Shared::open(config).unwrap();
        let id = shared.producer_ids.next(&shared.context).unwrap();
        shared.close().unwrap();
        id
    }

    #[test]
    fn an_id_that_was_given_out_is_not_given_again_after_a_power_cut() {
        let disk = SimStorage::new();
        let (given, after) = {
            let place = Place::Storage(disk.storage());
            let config = BrokerConfig { place, seed: Some(1), ..BrokerConfig::default() };
            let shared = Shared::open(config).unwrap();
            let given = shared.producer_ids.next(&shared.context).unwrap();
            (given, disk.op_count())
        };
        let mut cases = 0;
        for cut in after..=disk.op_count() {
            for state in disk.power_cut_states(cut, 100, 7) {
                assert!(id(&state) > given, "cut {cut}");
                cases += 1;
            }
        }
        assert!(cases > 0);
    }

    #[test]
    fn a_block_is_reserved_with_one_write_and_the_next_follows_it() {
        let disk = SimStorage::new();
        let place = Place::Storage(disk.storage());
        let shared = Shared::open(BrokerConfig { place, ..BrokerConfig::default() }).unwrap();
        let next = || shared.producer_ids.next(&shared.context).unwrap();
        let first = next();
        let ops = disk.op_count();
        for more in 1..super::BLOCK {
            assert_eq!(next(), first + more);
        }
        assert_eq!(disk.op_count(), ops);
        assert_eq!(next(), first + super::BLOCK);
        assert!(disk.op_count() > ops);
    }
}
