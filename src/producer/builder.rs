//! Making a producer with other than the default settings.

use std::time::Duration;

use super::config::{Acks, ProducerConfig};
use super::interceptor::ProducerInterceptor;
use super::partitioner::{CustomPartitioner, Partitioner};
use crate::broker::{Broker, is_network_key};
use crate::error::Result;
use crate::record::Compression;

/// Settings of a producer, checked once by [`build`](Self::build). The table in
/// [the module's documentation](crate::producer) lists them with their defaults and limits.
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
///
/// These are the defaults:
///
/// ```
/// # use std::time::Duration;
/// # use logreel::{Acks, Broker, Compression};
/// # let broker = Broker::in_memory();
/// let producer = broker
///     .producer()
///     .acks(Acks::All)
///     .batch_size(16 * 1024)
///     .buffer_memory(32 * 1024 * 1024)
///     .compression(Compression::None)
///     .delivery_timeout(Duration::from_secs(120))
///     .enable_idempotence(true)
///     .linger(Duration::ZERO)
///     .max_block(Duration::from_secs(60))
///     .max_in_flight_requests_per_connection(5)
///     .max_request_size(1024 * 1024)
///     .partitioner_adaptive_partitioning_enable(true)
///     .partitioner_ignore_keys(false)
///     .retries(i32::MAX as u32)
///     .retry_backoff(Duration::from_millis(100))
///     .retry_backoff_max(Duration::from_secs(1))
///     .transaction_timeout(Duration::from_secs(60))
///     .build()?;
/// # assert_eq!(producer.buffer_available(), 32 * 1024 * 1024);
/// # Ok::<(), logreel::Error>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until it is built"]
pub struct ProducerBuilder {
    pub(super) broker: Broker,
    config: ProducerConfig,
    keys: Vec<(String, String)>,
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
    /// Kafka: `acks`. Default: all. What a delivery waits for, and what it then promises. Less
    /// than `All` also switches idempotence off.
    pub fn acks(mut self, acks: Acks) -> Self {
        self.config.acks = acks;
        self
    }

    /// Kafka: `batch.size`, in bytes before compression. Default: 16384. With 0 every record is a
    /// batch of its own. A larger batch costs memory per partition and saves writes.
    pub fn batch_size(mut self, bytes: usize) -> Self {
        self.config.batch_size = bytes;
        self
    }

    /// Kafka: `buffer.memory`, in bytes. Default: 33554432. What the producer holds that is not
    /// delivered yet: each open batch counts `batch.size`. When it is full, `send` blocks for up to
    /// `max.block.ms` and `try_send` gives the record back. More memory lets a producer run further
    /// ahead of a slow disk.
    pub fn buffer_memory(mut self, bytes: usize) -> Self {
        self.config.buffer_memory = bytes;
        self
    }

    /// Kafka: `compression.type`. Default: none. A topic that sets its own overrules it. Saves disk
    /// and page cache, costs the time of whoever runs the batch; never done under a partition's
    /// lock.
    pub fn compression(mut self, codec: Compression) -> Self {
        self.config.compression = codec;
        self
    }

    /// Kafka: `compression.gzip.level`, `compression.lz4.level` or `compression.zstd.level`,
    /// whichever codec is chosen. Default: the codec's. Higher is smaller and slower.
    ///
    /// ```
    /// # use logreel::{Broker, Compression};
    /// let broker = Broker::in_memory();
    /// if Compression::Zstd.is_available() {
    ///     broker.producer().compression(Compression::Zstd).compression_level(1).build()?;
    ///     let refused = broker.producer().compression(Compression::Zstd).compression_level(23);
    ///     assert!(refused.build().is_err());
    /// }
    /// # Ok::<(), logreel::Error>(())
    /// ```
    pub fn compression_level(mut self, level: i32) -> Self {
        self.config.compression_level = Some(level);
        self
    }

    /// Kafka: `delivery.timeout.ms`. Default: two minutes. Counted from the moment the record's
    /// batch is opened: lingering, all tries and the waits between them. What is not delivered by
    /// then fails with `REQUEST_TIMED_OUT`, and may have been written if a try was on its way. At
    /// least `linger`.
    pub fn delivery_timeout(mut self, timeout: Duration) -> Self {
        self.config.delivery_timeout = timeout;
        self.config.delivery_timeout_is_set = true;
        self
    }

    /// Kafka: `enable.idempotence`. Default: true with `acks=all` and retries, else false; asked
    /// for without them, [`build`](Self::build) fails. A try whose answer was lost is then never
    /// written twice. Costs a few bytes of memory per producer and partition.
    pub fn enable_idempotence(mut self, enable: bool) -> Self {
        self.config.enable_idempotence = Some(enable);
        self
    }

    /// Adds an interceptor behind those added before (Kafka: `interceptor.classes`).
    pub fn interceptor(mut self, interceptor: impl ProducerInterceptor + 'static) -> Self {
        self.config.interceptors.add(interceptor);
        self
    }

    /// Kafka: `linger.ms`. Default: 0 (Kafka: 5; there is no network to amortise here). How long a
    /// batch that is not full waits for more records. Fewer and larger writes for later deliveries.
    pub fn linger(mut self, linger: Duration) -> Self {
        self.config.linger = linger;
        self
    }

    /// Kafka: `max.block.ms`. Default: a minute. How long `send` may block: for memory, and for a
    /// topic that does not exist yet.
    pub fn max_block(mut self, limit: Duration) -> Self {
        self.config.max_block = limit;
        self
    }

    /// Kafka: `max.in.flight.requests.per.connection`. Default: 5. Batches of a partition are
    /// written one after the other, so it changes nothing; but an idempotent producer is refused
    /// with more than 5, as by Kafka.
    pub fn max_in_flight_requests_per_connection(mut self, limit: u32) -> Self {
        self.config.max_in_flight = limit;
        self
    }

    /// Kafka: `max.request.size`, in bytes. Default: 1048576. A record that may be larger fails
    /// with `MESSAGE_TOO_LARGE` before it is added to a batch. Topics have a limit of their own,
    /// `max.message.bytes`, for batches.
    pub fn max_request_size(mut self, bytes: usize) -> Self {
        self.config.max_request_size = bytes;
        self
    }

    /// Chooses partitions by code of yours, or by [`RoundRobin`](crate::producer::RoundRobin)
    /// (Kafka: `partitioner.class`). Default: the hash of the key; without a key one partition for
    /// a batch, then another.
    pub fn partitioner(mut self, partitioner: impl Partitioner + 'static) -> Self {
        self.config.partitioner = Some(CustomPartitioner::new(partitioner));
        self
    }

    /// Kafka: `partitioner.adaptive.partitioning.enable`. Default: true. Records without a key go
    /// less often to partitions with many batches that are not written yet.
    pub fn partitioner_adaptive_partitioning_enable(mut self, enable: bool) -> Self {
        self.config.adaptive = enable;
        self
    }

    /// Kafka: `partitioner.ignore.keys`. Default: false. Records with a key are placed like those
    /// without: batches fill better, and records of one key are not in order any more.
    pub fn partitioner_ignore_keys(mut self, ignore: bool) -> Self {
        self.config.partitioner_ignore_keys = ignore;
        self
    }

    /// Kafka: `retries`. Default: 2147483647; `delivery.timeout.ms` ends it. How often a batch is
    /// tried again after an error that may pass, a full disk for one. 0 switches idempotence off.
    pub fn retries(mut self, retries: u32) -> Self {
        self.config.retries = retries;
        self
    }

    /// Kafka: `retry.backoff.ms`. Default: 100 ms. The wait before the first retry; it doubles with
    /// each, give or take a fifth.
    pub fn retry_backoff(mut self, wait: Duration) -> Self {
        self.config.retry_backoff = wait;
        self
    }

    /// Kafka: `retry.backoff.max.ms`. Default: a second. No wait is longer.
    pub fn retry_backoff_max(mut self, wait: Duration) -> Self {
        self.config.retry_backoff_max = wait;
        self
    }

    /// Kafka: `transaction.timeout.ms`. Default: a minute. From the first record of a transaction
    /// on; one that takes longer is aborted, and its producer fenced. Not above the broker's
    /// `transaction.max.timeout.ms`.
    pub fn transaction_timeout(mut self, timeout: Duration) -> Self {
        self.config.transaction_timeout = timeout;
        self
    }

    /// Sets a key by its Kafka name. An unknown key fails [`build`](Self::build); one that is about
    /// a network is accepted and [ignored](Self::ignored), so that the settings of a real cluster's
    /// producer load as they are.
    pub fn set(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.keys.push((key.into(), value.into()));
        self
    }

    /// The keys that were set and mean nothing in one process.
    ///
    /// ```
    /// let broker = logreel::Broker::in_memory();
    /// let settings = broker.producer().set("bootstrap.servers", "b:9092").set("linger.ms", "1");
    /// assert_eq!(settings.ignored(), ["bootstrap.servers"]);
    /// assert!(settings.build().is_ok());
    /// ```
    #[must_use]
    pub fn ignored(&self) -> Vec<&str> {
        let keys = self.keys.iter().map(|(key, _)| key.as_str());
        keys.filter(|key| is_network_key(key)).collect()
    }

    /// The settings, checked.
    pub(super) fn checked(&self) -> Result<ProducerConfig> {
        let mut config = self.config.clone();
        for (key, value) in &self.keys {
            config.set(key, value)?;
        }
        config.check()
    }
}
