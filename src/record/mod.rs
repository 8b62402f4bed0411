//! Kafka's RecordBatch v2: bytes in, bytes out, no I/O.
