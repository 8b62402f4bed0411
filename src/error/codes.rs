//! The errors of the Kafka protocol that can happen here.

use std::fmt;

macro_rules! kafka_codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $text:literal, $retriable:literal;)+) => {
        /// An error of the Kafka protocol, with Kafka's number and name.
        ///
        /// ```
        /// use logreel::ErrorCode;
        /// assert_eq!(ErrorCode::OffsetOutOfRange.number(), 1);
        /// assert_eq!(ErrorCode::OffsetOutOfRange.to_string(), "OFFSET_OUT_OF_RANGE");
        /// ```
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum ErrorCode {
            $($(#[$doc])* $name,)+
        }

        impl ErrorCode {
            /// The number of the error in Kafka's protocol.
            #[must_use]
            pub fn number(self) -> i16 {
                match self { $(Self::$name => $code,)+ }
            }

            /// The name of the error in Kafka's protocol.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)+ }
            }

            /// Whether Kafka's clients try again by themselves after this error.
            #[must_use]
            pub fn is_retriable(self) -> bool {
                match self { $(Self::$name => $retriable,)+ }
            }

            #[cfg(test)]
            const ALL: &'static [ErrorCode] = &[$(ErrorCode::$name,)+];
        }
    };
}

kafka_codes! {
    /// The offset lies below the log start or past the log end.
    OffsetOutOfRange = 1, "OFFSET_OUT_OF_RANGE", false;
    /// The bytes on disk are damaged: a checksum, a length or an offset is wrong.
    CorruptMessage = 2, "CORRUPT_MESSAGE", true;
    /// There is no such topic or partition.
    UnknownTopicOrPartition = 3, "UNKNOWN_TOPIC_OR_PARTITION", true;
    /// The call did not finish in time.
    RequestTimedOut = 7, "REQUEST_TIMED_OUT", true;
    /// A batch is larger than `max.message.bytes`.
    MessageTooLarge = 10, "MESSAGE_TOO_LARGE", false;
    /// The text attached to a commit is longer than 4096 bytes.
    OffsetMetadataTooLarge = 12, "OFFSET_METADATA_TOO_LARGE", false;
    /// The group's state cannot be read.
    CoordinatorNotAvailable = 15, "COORDINATOR_NOT_AVAILABLE", true;
    /// The topic name breaks Kafka's rules, or the topic is internal.
    InvalidTopic = 17, "INVALID_TOPIC_EXCEPTION", false;
    /// An append is larger than a segment may be.
    RecordListTooLarge = 18, "RECORD_LIST_TOO_LARGE", false;
    /// `min.insync.replicas` asks for more copies than one process has.
    NotEnoughReplicas = 19, "NOT_ENOUGH_REPLICAS", true;
    /// `acks` is neither 0, 1 nor all.
    InvalidRequiredAcks = 21, "INVALID_REQUIRED_ACKS", false;
    /// A group member acts in a generation that is over.
    IllegalGeneration = 22, "ILLEGAL_GENERATION", false;
    /// The newcomer shares no assignor with the group.
    InconsistentGroupProtocol = 23, "INCONSISTENT_GROUP_PROTOCOL", false;
    /// The group id is empty or missing.
    InvalidGroupId = 24, "INVALID_GROUP_ID", false;
    /// The group does not know this member.
    UnknownMemberId = 25, "UNKNOWN_MEMBER_ID", false;
    /// A member's session timeout lies outside what the broker accepts.
    InvalidSessionTimeout = 26, "INVALID_SESSION_TIMEOUT", false;
    /// The group is rebalancing.
    RebalanceInProgress = 27, "REBALANCE_IN_PROGRESS", false;
    /// A timestamp lies outside what the topic accepts.
    InvalidTimestamp = 32, "INVALID_TIMESTAMP", false;
    /// The topic exists already.
    TopicAlreadyExists = 36, "TOPIC_ALREADY_EXISTS", false;
    /// A partition count that is not positive, or not larger than the present one.
    InvalidPartitions = 37, "INVALID_PARTITIONS", false;
    /// A replication factor other than one.
    InvalidReplicationFactor = 38, "INVALID_REPLICATION_FACTOR", false;
    /// A configuration key or value is not accepted.
    InvalidConfig = 40, "INVALID_CONFIG", false;
    /// The topic's configuration rules the operation out.
    PolicyViolation = 44, "POLICY_VIOLATION", false;
    /// The call makes no sense as it stands.
    InvalidRequest = 42, "INVALID_REQUEST", false;
    /// A producer's sequence number is not the next one.
    OutOfOrderSequenceNumber = 45, "OUT_OF_ORDER_SEQUENCE_NUMBER", false;
    /// A producer writes with an epoch that is over.
    InvalidProducerEpoch = 47, "INVALID_PRODUCER_EPOCH", false;
    /// The transaction is not in a state that allows the call.
    InvalidTxnState = 48, "INVALID_TXN_STATE", false;
    /// A transaction timeout is not positive, or above what the broker accepts.
    InvalidTransactionTimeout = 50, "INVALID_TRANSACTION_TIMEOUT", false;
    /// The same `transactional.id` is being initialised, committed or aborted at this moment.
    ConcurrentTransactions = 51, "CONCURRENT_TRANSACTIONS", true;
    /// The partition's storage failed; it must be opened again.
    KafkaStorageError = 56, "KAFKA_STORAGE_ERROR", true;
    /// The group still has members.
    NonEmptyGroup = 68, "NON_EMPTY_GROUP", false;
    /// There is no such group.
    GroupIdNotFound = 69, "GROUP_ID_NOT_FOUND", false;
    /// The batch is compressed by a codec that is unknown or not built in.
    UnsupportedCompressionType = 76, "UNSUPPORTED_COMPRESSION_TYPE", false;
    /// The group has as many members as it may have.
    GroupMaxSizeReached = 81, "GROUP_MAX_SIZE_REACHED", false;
    /// Another member has taken over this `group.instance.id`.
    FencedInstanceId = 82, "FENCED_INSTANCE_ID", false;
    /// Members of the group subscribe to the topic.
    GroupSubscribedToTopic = 86, "GROUP_SUBSCRIBED_TO_TOPIC", false;
    /// A record breaks a rule of the topic.
    InvalidRecord = 87, "INVALID_RECORD", false;
    /// A transaction has commits pending for these offsets.
    UnstableOffsetCommit = 88, "UNSTABLE_OFFSET_COMMIT", true;
    /// Another producer has taken over this `transactional.id`, or the transaction timed out.
    ProducerFenced = 90, "PRODUCER_FENCED", false;

    // These only a fault of a test brings: there is no network, no replica and no authorizer.
    /// Something unexpected happened on the broker. Only from a fault set by a test.
    UnknownServerError = -1, "UNKNOWN_SERVER_ERROR", false;
    /// A partition has no leader for a moment. Only from a fault set by a test.
    LeaderNotAvailable = 5, "LEADER_NOT_AVAILABLE", true;
    /// The leader of a partition has moved. Only from a fault set by a test.
    NotLeaderOrFollower = 6, "NOT_LEADER_OR_FOLLOWER", true;
    /// A replica is away. Only from a fault set by a test.
    ReplicaNotAvailable = 9, "REPLICA_NOT_AVAILABLE", true;
    /// The connection broke before the answer came. Only from a fault set by a test.
    NetworkException = 13, "NETWORK_EXCEPTION", true;
    /// The coordinator is still reading its state. Only from a fault set by a test.
    CoordinatorLoadInProgress = 14, "COORDINATOR_LOAD_IN_PROGRESS", true;
    /// The coordinator has moved. Only from a fault set by a test.
    NotCoordinator = 16, "NOT_COORDINATOR", true;
    /// The record was written, to fewer replicas than are wanted. Only from a fault set by a test.
    NotEnoughReplicasAfterAppend = 20, "NOT_ENOUGH_REPLICAS_AFTER_APPEND", true;
    /// The client may not use the topic. Only from a fault set by a test.
    TopicAuthorizationFailed = 29, "TOPIC_AUTHORIZATION_FAILED", false;
    /// The client may not use the group. Only from a fault set by a test.
    GroupAuthorizationFailed = 30, "GROUP_AUTHORIZATION_FAILED", false;
    /// The client may not use the cluster. Only from a fault set by a test.
    ClusterAuthorizationFailed = 31, "CLUSTER_AUTHORIZATION_FAILED", false;
    /// The broker does not know the version of a request. Only from a fault set by a test.
    UnsupportedVersion = 35, "UNSUPPORTED_VERSION", false;
    /// The controller has moved. Only from a fault set by a test.
    NotController = 41, "NOT_CONTROLLER", true;
    /// The client may not use the transactional id. Only from a fault set by a test.
    TransactionalIdAuthorizationFailed = 53, "TRANSACTIONAL_ID_AUTHORIZATION_FAILED", false;
    /// The broker does not know the producer's id. Only from a fault set by a test.
    UnknownProducerId = 59, "UNKNOWN_PRODUCER_ID", false;
    /// The client's leader epoch is too old. Only from a fault set by a test.
    FencedLeaderEpoch = 74, "FENCED_LEADER_EPOCH", true;
    /// The client's leader epoch is too new. Only from a fault set by a test.
    UnknownLeaderEpoch = 75, "UNKNOWN_LEADER_EPOCH", true;
    /// A new leader does not know its high watermark yet. Only from a fault set by a test.
    OffsetNotAvailable = 78, "OFFSET_NOT_AVAILABLE", true;
    /// A quota is used up. Only from a fault set by a test.
    ThrottlingQuotaExceeded = 89, "THROTTLING_QUOTA_EXCEEDED", true;
    /// The broker does not know the topic's id. Only from a fault set by a test.
    UnknownTopicId = 100, "UNKNOWN_TOPIC_ID", true;
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_and_named_as_kafka_names_them() {
        let mut numbers: Vec<i16> = ErrorCode::ALL.iter().map(|c| c.number()).collect();
        numbers.dedup();
        assert_eq!(numbers.len(), ErrorCode::ALL.len());
        for code in ErrorCode::ALL {
            assert!(code.name().bytes().all(|b| b.is_ascii_uppercase() || b == b'_'));
        }
    }
}
