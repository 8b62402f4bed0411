//! The input is a script that builds a batch; what is read back is what was written.
//!
//! Byte 0 chooses codec and flags. Then records: a flag byte (bit 0 timestamp, 1 key, 2 value, 3
//! gap before it, 4 and 5 number of headers), 6 bytes of timestamp if any, and for each present
//! part one byte of length and that many bytes. Missing bytes count as zero.

use bytes::Bytes;
use logreel::record::{
    BATCH_HEADER_LEN, BatchBuilder, Compression, Header, RecordBatch, increment_sequence,
};

struct Script<'a>(&'a [u8]);

impl<'a> Script<'a> {
    fn byte(&mut self) -> u8 {
        self.bytes(1).first().copied().unwrap_or(0)
    }

    fn bytes(&mut self, len: usize) -> &'a [u8] {
        let (head, tail) = self.0.split_at(len.min(self.0.len()));
        self.0 = tail;
        head
    }

    fn part(&mut self) -> &'a [u8] {
        let len = usize::from(self.byte());
        self.bytes(len)
    }
}

struct Row<'a> {
    delta: i32,
    timestamp: Option<i64>,
    key: Option<&'a [u8]>,
    value: Option<&'a [u8]>,
    headers: Vec<Header>,
}

/// Runs one input.
pub fn run(data: &[u8]) {
    let mut script = Script(data);
    let flags = script.byte();
    let codec = Compression::from_id(flags & 7).unwrap_or_default();
    if !codec.is_available() {
        return;
    }
    let mut builder = BatchBuilder::new().compression(codec, None);
    let sequence = (flags & 8 != 0).then_some(i32::MAX - 1);
    if flags & 8 != 0 {
        builder = builder.producer(4000, 1, sequence);
    }
    if flags & 16 != 0 {
        builder = builder.transactional();
    }
    let (mut rows, mut delta) = (Vec::new(), 0);
    while !script.0.is_empty() {
        let flags = script.byte();
        if flags & 8 != 0 {
            delta += i32::from(script.byte());
        }
        let timestamp = (flags & 1 != 0)
            .then(|| script.bytes(6).iter().fold(0i64, |sum, byte| (sum << 8) | i64::from(*byte)));
        let key = (flags & 2 != 0).then(|| script.part());
        let value = (flags & 4 != 0).then(|| script.part());
        let headers: Vec<Header> = (0..(flags >> 4) & 3)
            .map(|i| match script.part() {
                [] => Header::null(i.to_string()),
                bytes => Header::new(String::from_utf8_lossy(bytes), bytes.to_vec()),
            })
            .collect();
        let size = builder.encoded_size(timestamp, key, value, &headers);
        let before = builder.size();
        builder.append_at(delta, timestamp, key, value, &headers).unwrap();
        // A gap can make the offset, and with it the record's length, take more bytes than the
        // next offset would have: at most four and one.
        assert!((size..=size + 5).contains(&(builder.size() - before)));
        rows.push(Row { delta, timestamp, key, value, headers });
        delta += 1;
    }
    if rows.is_empty() {
        assert!(builder.seal().is_err());
        return;
    }
    let plain = builder.size();
    let mut sealed = builder.seal().unwrap();
    sealed.assign(1000, 3);
    assert!(codec != Compression::None || sealed.bytes().len() == plain);
    check(&rows, sequence, sealed.into_bytes());
}

fn check(rows: &[Row<'_>], sequence: Option<i32>, bytes: Vec<u8>) {
    let batch = RecordBatch::parse(Bytes::from(bytes)).unwrap();
    batch.verify_crc().unwrap();
    assert!(batch.bytes().len() > BATCH_HEADER_LEN);
    let max = rows.iter().filter_map(|row| row.timestamp).max();
    assert_eq!(batch.header().max_timestamp(), max);
    let records = batch.records().unwrap();
    assert_eq!(records.len(), rows.len());
    for (record, row) in records.iter().zip(rows) {
        assert_eq!(record.offset(), 1000 + i64::from(row.delta));
        assert_eq!(record.timestamp(), row.timestamp);
        assert_eq!(record.key(), row.key);
        assert_eq!(record.value(), row.value);
        assert_eq!(record.sequence(), sequence.map(|base| increment_sequence(base, row.delta)));
        assert!(record.headers().map(Header::from).eq(row.headers.iter().cloned()));
    }
}
