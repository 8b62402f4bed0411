//! What a person sees of errors and values tells of no record's content.

use std::fmt::{Debug, Display};
use std::time::Duration;

use crate::homes::*;
use logreel::record::{BatchBuilder, RecordBatch, RecordView};
use logreel::{
    Acks, Broker, Compression, ConfigChange, Header, Housekeeping, NewTopic, OffsetReset,
    ProducerRecord, RawRecord, Storage, TrySendError,
};

/// In every key, value and header value. The names of headers are shown, as those of topics are.
const MARKER: &str = "Zq7Payload";

/// What was looked at, so that a test which looks at nothing fails.
#[derive(Default)]
struct Shown(usize);

impl Shown {
    fn debug(&mut self, what: &str, value: &dyn Debug) {
        let bytes = format!("{:?}", MARKER.as_bytes());
        let list = bytes.trim_matches(['[', ']']);
        for text in [format!("{value:?}"), format!("{value:#?}")] {
            let flat: String = text.split_whitespace().collect();
            let plain: String = list.split_whitespace().collect();
            assert!(!text.contains(MARKER) && !flat.contains(&plain), "{what}: {text}");
        }
        self.0 += 1;
    }

    fn both(&mut self, what: &str, value: &(impl Debug + Display)) {
        self.debug(what, value);
        let text = value.to_string();
        assert!(!text.contains(MARKER), "{what}: {text}");
    }

    fn error(&mut self, what: &str, error: &logreel::Error) {
        self.both(what, error);
        let mut source = std::error::Error::source(error);
        while let Some(inner) = source {
            self.both(what, &inner);
            source = inner.source();
        }
    }
}

fn record(topic: &'static str) -> ProducerRecord<'static> {
    ProducerRecord::to(topic).key(MARKER).value(MARKER).header("name", MARKER)
}

#[test]
fn debug_and_errors_show_no_payload() {
    let mut shown = Shown::default();
    let storage = Storage::memory();
    let builder = Broker::builder().storage(storage.clone()).housekeeping(Housekeeping::Manual);
    let broker = builder.topic("t").open().unwrap();
    let log = broker.topic("t").unwrap().partition(0).unwrap();
    let producer = broker.producer().linger(Duration::from_secs(60)).build().unwrap();
    shown.debug("record", &record("t"));
    shown.debug("header", &Header::new("name", MARKER));
    shown.debug("raw record", &RawRecord::new(Some(MARKER.as_bytes()), Some(MARKER.as_bytes())));
    let delivery = producer.send(record("t"));
    shown.debug("delivery", &delivery);
    shown.debug("producer", &producer);
    producer.flush(Duration::from_secs(5)).unwrap();
    shown.debug("metadata", &delivery.wait().unwrap());
    let batch = producer.send_batch([record("t"), record("t")]);
    shown.debug("batch delivery", &batch);
    batch.wait().unwrap();

    let group = broker.consumer().group_id("g").auto_offset_reset(OffsetReset::Earliest);
    let consumer = group.build().unwrap();
    consumer.subscribe(["t"]).unwrap();
    let records = consumer.poll(Duration::from_secs(1)).unwrap();
    assert_eq!(records.len(), 3);
    shown.debug("consumer", &consumer);
    shown.debug("records", &records);
    for record in &records {
        shown.debug("record ref", &record);
        shown.debug("owned record", &record.to_owned());
        record.headers().for_each(|header| shown.debug("header ref", &header));
    }
    shown.debug("owned records", &records.to_vec());
    shown.debug("read", &log.read(0, 1 << 20).unwrap());
    shown.debug("committer", &consumer.committer());
    shown.debug("broker", &broker);
    shown.debug("partition", &log);
    shown.debug("storage", &storage);
    shown.debug("metrics", &broker.metrics());

    // What cannot be sent comes back with its error.
    let small =
        NewTopic::new("small").set("max.message.bytes", "100").set("cleanup.policy", "compact");
    broker.create_topic(small).unwrap();
    let eager = broker.producer().build().unwrap();
    let huge = ProducerRecord::to("small").key(MARKER).value(MARKER.repeat(100));
    shown.error("too large", &eager.send(huge).wait().unwrap_err());
    let keyless = ProducerRecord::to("small").value(MARKER);
    shown.error("without a key", &eager.send(keyless).wait().unwrap_err());
    shown.error("no such partition", &eager.send(record("t").partition(99)).wait().unwrap_err());
    let far = record("t").timestamp(i64::MAX);
    shown.error("a time to come", &eager.send(far).wait().unwrap_err());
    let tight = broker.producer().buffer_memory(1 << 15).batch_size(1 << 14);
    if let Ok(tight) = tight.linger(Duration::from_secs(60)).build() {
        for _ in 0..10_000 {
            if let Err(refused) = tight.try_send(record("t")) {
                shown.debug("refused", &refused);
                let TrySendError { .. } = refused;
                break;
            }
        }
    }
    let change = ConfigChange::set("retention.ms", "x");
    shown.error("config", &broker.topic("t").unwrap().alter_config([change]).unwrap_err());
    let acks = broker.producer().acks(Acks::All).set("nonsense", "1").build();
    shown.error("key", &acks.map(|_| ()).unwrap_err());
    drop((consumer, producer, eager));

    // Batches, whole and with each byte changed.
    for codec in Compression::ALL {
        let mut builder = BatchBuilder::new().compression(codec, None);
        let headers = [Header::new("name", MARKER)];
        let bytes = MARKER.as_bytes();
        builder.append(Some(NOW), Some(bytes), Some(bytes), &headers).unwrap();
        shown.debug("builder", &builder);
        let mut sealed = builder.seal().unwrap();
        shown.debug("sealed", &sealed);
        sealed.assign(0, 0);
        let whole = sealed.into_bytes();
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x41;
            if at >= 61 {
                reseal(&mut bytes);
            }
            match RecordBatch::parse(bytes.clone().into()) {
                Err(error) => shown.both("parse", &error),
                Ok(batch) => {
                    shown.debug("batch", &batch);
                    match batch.records() {
                        Err(error) => shown.both("records", &error),
                        Ok(records) => {
                            shown.debug("batch records", &records);
                            let views: Vec<RecordView<'_>> = records.iter().collect();
                            shown.debug("views", &views);
                        }
                    }
                }
            }
            if at % 7 == 0 {
                let dir = killed(&[(0, &bytes)], 1);
                let broker = Broker::open(dir.path()).unwrap();
                shown.debug("report", broker.recovery_report());
                let log = broker.topic("t").unwrap().partition(0).unwrap();
                if let Err(error) = log.read(0, 1 << 20) {
                    shown.error("read", &error);
                }
                drop((log, broker));
                shown.debug("verification", &logreel::admin::verify(dir.path()).unwrap());
            }
        }
    }
    println!("{} values looked at", shown.0);
    assert!(shown.0 > 1000, "{}", shown.0);
}
