//! One error type for every fallible call.
//!
//! [`Error`] is one word, `Clone`, and can be handed to every waiter of a batch. [`Error::kind`]
//! says what happened, [`Error::code`] gives Kafka's own number and name for it, and the message
//! says what, where and what to do. Messages carry names, offsets and positions, never payload.

mod codes;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use codes::ErrorCode;

use crate::types::{TopicId, TopicPartition};

/// The result of every fallible call of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong. Errors that Kafka names too are [`ErrorKind::Kafka`]; the rest belong to a
/// library that owns files and runs inside somebody's process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// An error of the Kafka protocol.
    Kafka(ErrorCode),
    /// The operating system refused a file operation.
    Io,
    /// The disk or the quota is full. Nothing is lost; the call works again when there is space.
    StorageFull,
    /// Another process (or another broker of this one) holds the directory.
    DirectoryLocked,
    /// The directory holds something that is not a log directory, or a newer format.
    InvalidDirectory,
    /// The broker, or the client the call was made on, is closed.
    Closed,
    /// The broker was opened read-only.
    ReadOnly,
    /// The call is not allowed in the present state; the message says what is missing.
    IllegalState,
    /// There is neither a committed offset nor a reset policy.
    NoOffsetForPartition,
    /// [`Consumer::wakeup`](crate::Consumer::wakeup) ended the call. Nothing was read.
    Wakeup,
    /// A producer's `buffer.memory` is in use (librdkafka: `QUEUE_FULL`). The record was not taken.
    QueueFull,
    /// The transaction was aborted before the record was written (Java:
    /// `TransactionAbortedException`).
    TransactionAborted,
    /// A [serializer or deserializer](crate::typed) refused a key or a value (Java:
    /// `SerializationException`, `RecordDeserializationException`).
    Serialization,
    /// Code that you gave to the crate (a partitioner, an assignor, a rebalance listener) failed,
    /// panicked or answered nonsense.
    UserCode,
}

struct Inner {
    kind: ErrorKind,
    message: String,
    topic_partition: Option<TopicPartition>,
    offset: Option<i64>,
    path: Option<PathBuf>,
    position: Option<u64>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
    passing: Passing,
}

/// What a client does about an error by itself. Only the faults of tests say anything here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Passing {
    /// What the kind of the error says.
    #[default]
    ByKind,
    /// Tries again at this monotonic time.
    #[cfg(feature = "testing")]
    Until(std::time::Duration),
    /// Was held back, and goes on at this time.
    #[cfg(feature = "testing")]
    Held(std::time::Duration),
    /// Nothing: it comes out of the call.
    #[cfg(feature = "testing")]
    Never,
}

/// Why a call failed. One word, cheap to clone.
///
/// ```
/// use logreel::{Broker, ErrorCode};
/// let broker = Broker::in_memory();
/// let error = broker.topic("nowhere").unwrap_err();
/// assert_eq!(error.code(), Some(ErrorCode::UnknownTopicOrPartition));
/// assert_eq!(error.to_string(), "topic nowhere does not exist");
/// ```
#[derive(Clone)]
pub struct Error(Arc<Inner>);

impl Error {
    #[cold]
    #[inline(never)]
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Arc::new(Inner {
            kind,
            message: message.into(),
            topic_partition: None,
            offset: None,
            path: None,
            position: None,
            source: None,
            passing: Passing::default(),
        }))
    }

    #[cold]
    #[inline(never)]
    pub(crate) fn kafka(code: ErrorCode, message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Kafka(code), message)
    }

    /// An operating-system error with the file it happened on. There is no `From<io::Error>`, so
    /// that no I/O error can lose its path.
    #[cold]
    #[inline(never)]
    pub(crate) fn io(error: std::io::Error, doing: &str, path: &Path) -> Self {
        use std::io::ErrorKind as Io;
        let kind = match error.kind() {
            Io::StorageFull | Io::QuotaExceeded | Io::FileTooLarge => ErrorKind::StorageFull,
            _ => ErrorKind::Io,
        };
        let mut inner = Inner {
            kind,
            message: format!("cannot {doing} {}", path.display()),
            topic_partition: None,
            offset: None,
            path: Some(path.to_path_buf()),
            position: None,
            source: None,
            passing: Passing::default(),
        };
        inner.source = Some(Box::new(error));
        Self(Arc::new(inner))
    }

    /// Whether a file was not there.
    pub(crate) fn is_missing_file(&self) -> bool {
        let source = self.0.source.as_ref().and_then(|s| s.downcast_ref::<std::io::Error>());
        source.is_some_and(|error| error.kind() == std::io::ErrorKind::NotFound)
    }

    fn update(self, change: impl FnOnce(&mut Inner)) -> Self {
        // Builders run before an error is shared; a shared one keeps what it says.
        let mut shared = self.0;
        if let Some(inner) = Arc::get_mut(&mut shared) {
            change(inner);
        }
        Self(shared)
    }

    pub(crate) fn on(self, tp: &TopicPartition) -> Self {
        self.update(|inner| inner.topic_partition = Some(tp.clone()))
    }

    pub(crate) fn at_offset(self, offset: i64) -> Self {
        self.update(|inner| inner.offset = Some(offset))
    }

    pub(crate) fn at(self, path: &Path, position: Option<u64>) -> Self {
        self.update(|inner| {
            inner.path = Some(path.to_path_buf());
            inner.position = position;
        })
    }

    pub(crate) fn because(
        self,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        self.update(|inner| inner.source = Some(source.into()))
    }

    /// A client that is told this tries again at `at`, by itself.
    #[cfg(feature = "testing")]
    pub(crate) fn again(self, at: std::time::Duration) -> Self {
        self.update(|inner| inner.passing = Passing::Until(at))
    }

    /// What the client asked for is done at `at`.
    #[cfg(feature = "testing")]
    pub(crate) fn held(self, at: std::time::Duration) -> Self {
        self.update(|inner| inner.passing = Passing::Held(at))
    }

    /// A client that is told this does not try again, whatever it is.
    #[cfg(feature = "testing")]
    pub(crate) fn surfaced(self) -> Self {
        self.update(|inner| inner.passing = Passing::Never)
    }

    /// When the client that was told this tries again by itself, if it waits for nothing else.
    pub(crate) fn again_at(&self) -> Option<std::time::Duration> {
        match self.0.passing {
            #[cfg(feature = "testing")]
            Passing::Until(at) | Passing::Held(at) => Some(at),
            _ => None,
        }
    }

    /// When what the client asked for is done, if it is only held back.
    pub(crate) fn held_until(&self) -> Option<std::time::Duration> {
        match self.0.passing {
            #[cfg(feature = "testing")]
            Passing::Held(at) => Some(at),
            _ => None,
        }
    }

    /// Whether it comes out of the call, even if it is retriable.
    pub(crate) fn is_surfaced(&self) -> bool {
        self.0.passing != Passing::ByKind && self.again_at().is_none()
    }

    pub(crate) fn closed(what: &str) -> Self {
        Self::new(ErrorKind::Closed, format!("the {what} is closed"))
    }

    pub(crate) fn unknown_topic(topic: &str) -> Self {
        Self::kafka(ErrorCode::UnknownTopicOrPartition, format!("topic {topic} does not exist"))
    }

    pub(crate) fn invalid_config(key: &str, value: &str, reason: &str) -> Self {
        Self::kafka(ErrorCode::InvalidConfig, format!("{key} = {value}: {reason}"))
    }

    pub(crate) fn offset_out_of_range(offset: i64, start: i64, end: i64) -> Self {
        Self::kafka(
            ErrorCode::OffsetOutOfRange,
            format!("offset {offset} is outside {start}..={end}"),
        )
    }

    /// What went wrong.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Kafka's own name and number for the error; `None` where Kafka has no such error.
    #[must_use]
    pub fn code(&self) -> Option<ErrorCode> {
        match self.0.kind {
            ErrorKind::Kafka(code) => Some(code),
            ErrorKind::Io | ErrorKind::StorageFull => Some(ErrorCode::KafkaStorageError),
            // Kafka's `BufferExhaustedException` is a `TimeoutException`.
            ErrorKind::QueueFull => Some(ErrorCode::RequestTimedOut),
            _ => None,
        }
    }

    /// Whether a commit was refused because the group has moved on (Java: `CommitFailedException`,
    /// `RebalanceInProgressException`): `REBALANCE_IN_PROGRESS`, `ILLEGAL_GENERATION`,
    /// `UNKNOWN_MEMBER_ID`. Go on polling: what was not committed is read again, here or by
    /// another member.
    ///
    /// ```
    /// use logreel::Broker;
    /// let broker = Broker::in_memory();
    /// broker.create_topic("jobs")?;
    /// let consumer = broker.group("workers").join(["jobs"])?;
    /// let offsets = [(("jobs", 0), 0)].into_iter().collect();
    /// assert!(consumer.commit_offsets(&offsets).unwrap_err().is_rebalance());
    /// # Ok::<(), logreel::Error>(())
    /// ```
    #[must_use]
    pub fn is_rebalance(&self) -> bool {
        matches!(
            self.code(),
            Some(
                ErrorCode::RebalanceInProgress
                    | ErrorCode::IllegalGeneration
                    | ErrorCode::UnknownMemberId
            )
        )
    }

    /// Whether the same call may succeed later without any change.
    #[must_use]
    pub fn is_retriable(&self) -> bool {
        match self.0.kind {
            ErrorKind::Kafka(code) => code.is_retriable(),
            ErrorKind::StorageFull | ErrorKind::QueueFull => true,
            _ => false,
        }
    }

    /// Whether an open transaction must be aborted before its producer can go on.
    #[must_use]
    pub fn requires_abort(&self) -> bool {
        matches!(
            self.code(),
            Some(
                ErrorCode::OutOfOrderSequenceNumber
                    | ErrorCode::FencedInstanceId
                    | ErrorCode::IllegalGeneration
                    | ErrorCode::UnknownMemberId
            )
        )
    }

    /// Whether the producer the call was made on can do nothing any more, so that a new one must be
    /// built: another has taken over its `transactional.id`, or its transaction timed out.
    ///
    /// ```
    /// use logreel::Broker;
    /// let broker = Broker::in_memory();
    /// let mut zombie = broker.producer().build_transactional("copier")?;
    /// let _next = broker.producer().build_transactional("copier")?;
    /// let transaction = zombie.begin()?;
    /// transaction.send(logreel::ProducerRecord::to("t").value("v")).forget();
    /// assert!(transaction.commit().unwrap_err().is_fatal());
    /// # Ok::<(), logreel::Error>(())
    /// ```
    #[must_use]
    pub fn is_fatal(&self) -> bool {
        matches!(self.code(), Some(ErrorCode::ProducerFenced | ErrorCode::InvalidProducerEpoch))
    }

    /// The partition the error is about.
    #[must_use]
    pub fn topic_partition(&self) -> Option<&TopicPartition> {
        self.0.topic_partition.as_ref()
    }

    /// The offset of the record that a deserializer refused, in
    /// [`topic_partition`](Self::topic_partition).
    #[must_use]
    pub fn offset(&self) -> Option<i64> {
        self.0.offset
    }

    /// The file the error is about.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        self.0.path.as_deref()
    }

    /// The byte position in [`path`](Self::path) where the damage begins.
    #[must_use]
    pub fn position(&self) -> Option<u64> {
        self.0.position
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)?;
        if let Some(tp) = &self.0.topic_partition {
            write!(f, " [{tp}]")?;
        }
        // An I/O error's message names its file already.
        if let (Some(path), Some(position)) = (&self.0.path, self.0.position) {
            write!(f, " in {} at byte {position}", path.display())?;
        }
        if let Some(source) = &self.0.source {
            write!(f, ": {source}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Error({:?}: {self})", self.0.kind)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_ref().map(|source| &**source as &(dyn std::error::Error + 'static))
    }
}

impl std::str::FromStr for TopicId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::from_text(text).ok_or_else(|| {
            Error::kafka(ErrorCode::InvalidRequest, format!("{text:?} is not a topic id"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn display_prints_the_chain_and_the_place() {
        let error = Error::kafka(ErrorCode::CorruptMessage, "batch at offset 7 is damaged")
            .on(&("t", 0).into())
            .at(Path::new("/d/t-0/0.log"), Some(61))
            .because("checksum 1 is not 2");
        assert_eq!(
            error.to_string(),
            "batch at offset 7 is damaged [t-0] in /d/t-0/0.log at byte 61: checksum 1 is not 2"
        );
        assert_eq!(error.code(), Some(ErrorCode::CorruptMessage));
        assert_eq!(std::mem::size_of::<Error>(), std::mem::size_of::<usize>());
    }

    #[test]
    fn a_full_disk_is_its_own_kind() {
        let io = std::io::Error::from_raw_os_error(28);
        let error = Error::io(io, "write", Path::new("/d/f"));
        assert_eq!(error.kind(), ErrorKind::StorageFull);
        assert!(error.is_retriable());
        assert_eq!(error.code(), Some(ErrorCode::KafkaStorageError));
    }
}
