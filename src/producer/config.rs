//! The settings of a producer, named as Kafka names them.

use std::time::Duration;

use crate::broker::Broker;
use crate::error::{Error, Result};
use crate::record::Compression;

/// When a delivery is complete, and what the record then survives (`acks`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Acks {
    /// When the record is in the batch; its offset is never known. It survives nothing.
    None,
    /// When the batch is with the operating system. It survives the death of the process.
    Leader,
    /// When the batch is on the disk. It survives power loss, on a disk that honours flush.
    #[default]
    All,
}

/// The settings of a producer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ProducerConfig {
    pub(crate) acks: Acks,
    pub(crate) batch_size: usize,
    pub(crate) linger: Duration,
    pub(crate) max_request_size: usize,
    pub(crate) compression: Compression,
}

impl Default for ProducerConfig {
    fn default() -> Self {
        Self {
            acks: Acks::All,
            batch_size: 16 * 1024,
            linger: Duration::ZERO,
            max_request_size: 1024 * 1024,
            compression: Compression::None,
        }
    }
}

/// Settings of a producer, checked once by [`build`](Self::build).
///
/// ```
/// use std::time::Duration;
/// use logreel::{Acks, Broker};
/// let broker = Broker::in_memory();
/// let producer = broker
///     .producer()
///     .acks(Acks::Leader)
///     .linger(Duration::from_millis(5))
///     .set("batch.size", "65536")
///     .build()?;
/// # producer.close(Duration::from_secs(1))?;
/// # Ok::<(), logreel::Error>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until it is built"]
pub struct ProducerBuilder {
    pub(super) broker: Broker,
    pub(super) config: ProducerConfig,
    pub(super) keys: Vec<(String, String)>,
}

impl Broker {
    /// A producer for this broker's topics.
    pub fn producer(&self) -> ProducerBuilder {
        ProducerBuilder {
            broker: self.clone(),
            config: ProducerConfig::default(),
            keys: Vec::new(),
        }
    }
}

impl ProducerBuilder {
    /// Kafka: `acks`. Default: all. What a delivery waits for, and what it then promises.
    pub fn acks(mut self, acks: Acks) -> Self {
        self.config.acks = acks;
        self
    }

    /// Kafka: `batch.size`, in bytes. Default: 16384. With 0 every record is a batch of its own. A
    /// larger batch costs memory per partition and saves writes.
    pub fn batch_size(mut self, bytes: usize) -> Self {
        self.config.batch_size = bytes;
        self
    }

    /// Kafka: `linger.ms`. Default: 0 (Kafka: 5; there is no network to amortise here). How long a
    /// batch that is not full waits for more records.
    pub fn linger(mut self, linger: Duration) -> Self {
        self.config.linger = linger;
        self
    }

    /// Kafka: `max.request.size`, in bytes. Default: 1048576. A record that may be larger fails.
    pub fn max_request_size(mut self, bytes: usize) -> Self {
        self.config.max_request_size = bytes;
        self
    }

    /// Kafka: `compression.type`. Default: none. A topic that sets its own overrules it.
    pub fn compression(mut self, codec: Compression) -> Self {
        self.config.compression = codec;
        self
    }

    /// Sets a key by its Kafka name. An unknown key fails [`build`](Self::build).
    pub fn set(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.keys.push((key.into(), value.into()));
        self
    }
}

impl ProducerConfig {
    pub(super) fn set(&mut self, key: &str, value: &str) -> Result<()> {
        let number = || -> Result<u32> {
            let limit = i32::MAX.unsigned_abs();
            value.parse().ok().filter(|n| *n <= limit).ok_or_else(|| {
                Error::invalid_config(key, value, "a whole number from 0 to 2147483647 is needed")
            })
        };
        match key {
            "acks" => {
                self.acks = match value {
                    "0" => Acks::None,
                    "1" => Acks::Leader,
                    "all" | "-1" => Acks::All,
                    _ => return Err(Error::invalid_config(key, value, "0, 1 or all is needed")),
                }
            }
            "batch.size" => self.batch_size = number()? as usize,
            "linger.ms" => self.linger = Duration::from_millis(u64::from(number()?)),
            "max.request.size" => self.max_request_size = number()? as usize,
            "compression.type" => {
                self.compression = value.parse().map_err(|_| {
                    let reason = "one of none, gzip, snappy, lz4, zstd is needed";
                    Error::invalid_config(key, value, reason)
                })?;
            }
            _ => return Err(Error::invalid_config(key, value, "producers have no such key")),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_set_by_name_and_unknown_ones_refused() {
        let mut config = ProducerConfig::default();
        for (key, value) in [("acks", "1"), ("linger.ms", "7"), ("batch.size", "0")] {
            config.set(key, value).unwrap();
        }
        assert_eq!(config.acks, Acks::Leader);
        assert_eq!(config.linger, Duration::from_millis(7));
        for (key, value) in
            [("acks", "2"), ("linger.ms", "-1"), ("linger.ms", "2147483648"), ("lingerms", "1")]
        {
            assert!(config.set(key, value).is_err(), "{key}={value}");
        }
    }
}
