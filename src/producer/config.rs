//! The settings of a producer, by Kafka's names, and what they must satisfy together.

use std::time::Duration;

use super::interceptor::Interceptors;
use super::partitioner::{CustomPartitioner, RoundRobin};
use crate::broker::is_network_key;
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

/// What Kafka allows an idempotent producer, because its brokers remember as many batches. Batches
/// of a partition are written one after the other here, whatever the setting.
const IN_FLIGHT_MAX: u32 = 5;

/// Kafka's default for `request.timeout.ms`.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// The settings of a producer.
#[derive(Clone, Debug)]
pub(super) struct ProducerConfig {
    pub(super) acks: Acks,
    pub(super) batch_size: usize,
    pub(super) buffer_memory: usize,
    pub(super) compression: Compression,
    pub(super) compression_level: Option<i32>,
    /// By codec, as Kafka's keys have it; the codec that is used picks its own.
    levels: Vec<(Compression, i32)>,
    pub(super) delivery_timeout: Duration,
    /// Whether `delivery.timeout.ms` was set, and not only has its default.
    pub(super) delivery_timeout_is_set: bool,
    request_timeout: Option<Duration>,
    /// As asked for; `None`: on where nothing stands against it.
    pub(super) enable_idempotence: Option<bool>,
    /// What came of it.
    pub(super) idempotence: bool,
    pub(super) linger: Duration,
    pub(super) max_block: Duration,
    pub(super) max_in_flight: u32,
    pub(super) max_request_size: usize,
    pub(super) retries: u32,
    pub(super) retry_backoff: Duration,
    pub(super) retry_backoff_max: Duration,
    pub(super) partitioner: Option<CustomPartitioner>,
    pub(super) partitioner_ignore_keys: bool,
    pub(super) adaptive: bool,
    pub(super) interceptors: Interceptors,
    pub(super) transactional_id: Option<String>,
    pub(super) transaction_timeout: Duration,
}

impl Default for ProducerConfig {
    fn default() -> Self {
        Self {
            acks: Acks::All,
            batch_size: 16 * 1024,
            buffer_memory: 32 * 1024 * 1024,
            compression: Compression::None,
            compression_level: None,
            levels: Vec::new(),
            delivery_timeout: Duration::from_secs(120),
            delivery_timeout_is_set: false,
            request_timeout: None,
            enable_idempotence: None,
            idempotence: true,
            linger: Duration::ZERO,
            max_block: Duration::from_secs(60),
            max_in_flight: IN_FLIGHT_MAX,
            max_request_size: 1024 * 1024,
            retries: i32::MAX.unsigned_abs(),
            retry_backoff: Duration::from_millis(100),
            retry_backoff_max: Duration::from_millis(1000),
            partitioner: None,
            partitioner_ignore_keys: false,
            adaptive: true,
            interceptors: Interceptors::default(),
            transactional_id: None,
            transaction_timeout: Duration::from_secs(60),
        }
    }
}

impl ProducerConfig {
    /// Sets a key by its Kafka name.
    pub(super) fn set(&mut self, key: &str, value: &str) -> Result<()> {
        let invalid = |reason: &str| Err(Error::invalid_config(key, value, reason));
        let number = || -> Result<u32> {
            let limit = i32::MAX.unsigned_abs();
            value.trim().parse().ok().filter(|n| *n <= limit).ok_or_else(|| {
                Error::invalid_config(key, value, "a whole number from 0 to 2147483647 is needed")
            })
        };
        let millis = || number().map(|n| Duration::from_millis(u64::from(n)));
        let boolean = || match value.trim() {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err(Error::invalid_config(key, value, "true or false is needed")),
        };
        match key {
            "acks" => {
                self.acks = match value.trim() {
                    "0" => Acks::None,
                    "1" => Acks::Leader,
                    "all" | "-1" => Acks::All,
                    _ => return invalid("0, 1 or all is needed"),
                }
            }
            "batch.size" => self.batch_size = number()? as usize,
            "buffer.memory" => {
                let bytes = value.trim().parse::<u64>().ok().and_then(|n| usize::try_from(n).ok());
                match bytes {
                    Some(bytes) => self.buffer_memory = bytes,
                    None => return invalid("a whole number, not negative, is needed"),
                }
            }
            "compression.type" => match value.trim().parse() {
                Ok(codec) => self.compression = codec,
                Err(_) => return invalid("one of none, gzip, snappy, lz4, zstd is needed"),
            },
            "compression.gzip.level" => self.set_level(Compression::Gzip, key, value)?,
            "compression.lz4.level" => self.set_level(Compression::Lz4, key, value)?,
            "compression.zstd.level" => self.set_level(Compression::Zstd, key, value)?,
            "delivery.timeout.ms" => {
                self.delivery_timeout = millis()?;
                self.delivery_timeout_is_set = true;
            }
            "enable.idempotence" => self.enable_idempotence = Some(boolean()?),
            "interceptor.classes" if value.trim().is_empty() => {}
            "interceptor.classes" => return invalid("give it to ProducerBuilder::interceptor"),
            "linger.ms" => self.linger = millis()?,
            "max.block.ms" => match value.trim().parse::<i64>().ok().map(u64::try_from) {
                Some(Ok(millis)) => self.max_block = Duration::from_millis(millis),
                _ => return invalid("a whole number, not negative, is needed"),
            },
            "max.in.flight.requests.per.connection" => self.max_in_flight = number()?,
            "max.request.size" => self.max_request_size = number()? as usize,
            "partitioner.adaptive.partitioning.enable" => self.adaptive = boolean()?,
            "partitioner.class" => match value.trim().rsplit('.').next() {
                Some("") => self.partitioner = None,
                Some("RoundRobinPartitioner") => {
                    self.partitioner = Some(CustomPartitioner::new(RoundRobin::default()));
                }
                _ => {
                    return invalid(
                        "only RoundRobinPartitioner is known by name; give yours to \
                         ProducerBuilder::partitioner",
                    );
                }
            },
            "partitioner.ignore.keys" => self.partitioner_ignore_keys = boolean()?,
            "request.timeout.ms" => self.request_timeout = Some(millis()?),
            "retries" => self.retries = number()?,
            "retry.backoff.ms" => self.retry_backoff = millis()?,
            "retry.backoff.max.ms" => self.retry_backoff_max = millis()?,
            "transaction.timeout.ms" => self.transaction_timeout = millis()?,
            "transactional.id" => self.transactional_id = Some(value.to_owned()),
            _ if is_network_key(key) => {}
            _ => return invalid("producers have no such key"),
        }
        Ok(())
    }

    fn set_level(&mut self, codec: Compression, key: &str, value: &str) -> Result<()> {
        let level = value.trim().parse::<i32>().ok();
        // -1 is gzip's own default.
        let level = level.filter(|level| {
            (codec == Compression::Gzip && *level == -1)
                || !codec.is_available()
                || codec.check(Some(*level)).is_ok()
        });
        let Some(level) = level else {
            return Err(Error::invalid_config(key, value, "the codec has no such level"));
        };
        self.levels.retain(|(known, _)| *known != codec);
        self.levels.push((codec, level));
        Ok(())
    }

    /// Checks what settings must satisfy together, and settles what follows from them.
    pub(super) fn check(mut self) -> Result<Self> {
        if !self.compression.is_available() {
            let reason = "this build has no such codec; enable the crate's feature";
            return Err(Error::invalid_config("compression.type", self.compression.name(), reason));
        }
        if self.compression_level.is_none() {
            let level = self.levels.iter().find(|(codec, _)| *codec == self.compression);
            self.compression_level = level
                .map(|(_, level)| *level)
                .filter(|level| self.compression != Compression::Gzip || *level >= 0);
        }
        if self.compression.check(self.compression_level).is_err() {
            let key = format!("compression.{}.level", self.compression.name());
            let level = self.compression_level.unwrap_or_default().to_string();
            return Err(Error::invalid_config(&key, &level, "the codec has no such level"));
        }
        self.check_timeouts()?;
        self.idempotence = self.settle_idempotence()?;
        Ok(self)
    }

    fn check_timeouts(&mut self) -> Result<()> {
        if !self.delivery_timeout_is_set {
            let request = self.request_timeout.unwrap_or(REQUEST_TIMEOUT);
            self.delivery_timeout = self.delivery_timeout.max(self.linger.saturating_add(request));
            return Ok(());
        }
        // Kafka adds request.timeout.ms. There are no requests here, so it counts if it was set.
        let least = self.linger.saturating_add(self.request_timeout.unwrap_or_default());
        if self.delivery_timeout >= least {
            return Ok(());
        }
        let value = self.delivery_timeout.as_millis().to_string();
        let reason = format!(
            "must be at least linger.ms + request.timeout.ms, which is {}",
            least.as_millis()
        );
        Err(Error::invalid_config("delivery.timeout.ms", &value, &reason))
    }

    /// On unless something stands against it, which is an error where it was asked for.
    fn settle_idempotence(&self) -> Result<bool> {
        let asked = self.enable_idempotence;
        if asked == Some(false) {
            return Ok(false);
        }
        let against = if self.acks != Acks::All {
            Some("acks is not all")
        } else if self.retries == 0 {
            Some("retries is 0")
        } else {
            None
        };
        match against {
            Some(what) if asked == Some(true) => {
                let reason = format!("{what}, and an idempotent producer needs it otherwise");
                Err(Error::invalid_config("enable.idempotence", "true", &reason))
            }
            Some(_) => Ok(false),
            None if (1..=IN_FLIGHT_MAX).contains(&self.max_in_flight) => Ok(true),
            None => Err(Error::invalid_config(
                "max.in.flight.requests.per.connection",
                &self.max_in_flight.to_string(),
                "an idempotent producer needs 1 to 5",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(keys: &[(&str, &str)]) -> Result<ProducerConfig> {
        let mut config = ProducerConfig::default();
        for (key, value) in keys {
            config.set(key, value)?;
        }
        config.check()
    }

    #[test]
    fn keys_are_set_by_name_and_unknown_ones_refused() {
        let config = with(&[("acks", "1"), ("linger.ms", "7"), ("batch.size", "0")]).unwrap();
        assert_eq!(config.acks, Acks::Leader);
        assert_eq!(config.linger, Duration::from_millis(7));
        for (key, value) in [
            ("acks", "2"),
            ("linger.ms", "-1"),
            ("linger.ms", "2147483648"),
            ("lingerms", "1"),
            ("buffer.memory", "-1"),
            ("max.block.ms", "-1"),
            ("retries", "x"),
            ("enable.idempotence", "yes"),
            ("partitioner.class", "my.Own"),
            ("interceptor.classes", "my.Own"),
            ("compression.zstd.level", "99"),
            ("compression.gzip.level", "0x"),
            ("transaction.timeout.ms", "x"),
        ] {
            let error = with(&[(key, value)]).unwrap_err();
            assert!(error.to_string().contains(key), "{error}");
        }
    }

    #[test]
    fn idempotence_is_on_where_nothing_stands_against_it() {
        assert!(with(&[]).unwrap().idempotence);
        assert!(!with(&[("enable.idempotence", "false")]).unwrap().idempotence);
        for against in [("acks", "1"), ("acks", "0"), ("retries", "0")] {
            assert!(!with(&[against]).unwrap().idempotence, "{against:?}");
            assert!(with(&[("enable.idempotence", "true"), against]).is_err(), "{against:?}");
        }
        let many = ("max.in.flight.requests.per.connection", "6");
        assert!(with(&[many]).is_err());
        assert!(with(&[many, ("acks", "1")]).is_ok());
        assert!(with(&[many, ("enable.idempotence", "false")]).is_ok());
    }

    #[test]
    fn the_delivery_timeout_covers_lingering() {
        assert!(with(&[("delivery.timeout.ms", "1000")]).is_ok());
        assert!(with(&[("delivery.timeout.ms", "5"), ("linger.ms", "5")]).is_ok());
        assert!(with(&[("delivery.timeout.ms", "4"), ("linger.ms", "5")]).is_err());
        let sum = [("delivery.timeout.ms", "9"), ("linger.ms", "5"), ("request.timeout.ms", "5")];
        assert!(with(&sum).is_err());
        let raised = with(&[("linger.ms", "200000")]).unwrap();
        assert_eq!(raised.delivery_timeout, Duration::from_secs(230));
    }

    #[test]
    fn a_level_is_that_of_the_codec_in_use() {
        let keys = [("compression.zstd.level", "7"), ("compression.gzip.level", "2")];
        assert_eq!(with(&keys).unwrap().compression_level, None);
        let zstd = [&keys[..], &[("compression.type", "zstd")]].concat();
        assert_eq!(with(&zstd).unwrap().compression_level, Some(7));
        let gzip = [&zstd[..], &[("compression.type", "gzip")]].concat();
        assert_eq!(with(&gzip).unwrap().compression_level, Some(2));
        let default = [&gzip[..], &[("compression.gzip.level", "-1")]].concat();
        assert_eq!(with(&default).unwrap().compression_level, None);
    }
}
