//! Compression as the producer or the topic says.

use crate::homes::*;
use logreel::record::RecordBatch;
use logreel::{Broker, Compression, NewTopic, ProducerRecord};

/// Codec and size of each batch of a segment on the disk.
fn on_disk(home: &Home, broker: &Broker, topic: &str) -> Vec<(Compression, usize)> {
    let Some(dir) = home.dir() else { return Vec::new() };
    let path = partition(broker, topic, 0).segments()[0].path.clone();
    let path = if path.is_absolute() { path } else { dir.join(path) };
    let mut rest = bytes::Bytes::from(std::fs::read(path).unwrap());
    let mut found = Vec::new();
    while !rest.is_empty() {
        let batch = RecordBatch::parse(rest.clone()).unwrap();
        batch.verify_crc().unwrap();
        found.push((batch.header().compression(), batch.bytes().len()));
        rest = rest.slice(batch.bytes().len()..);
    }
    found
}

/// Text that compresses, and better with effort.
fn prose() -> Vec<String> {
    let words = ["offset", "segment", "index", "batch", "leader", "epoch", "commit", "group"];
    let word = |i: usize| words[(i * 7 + i / 3) % words.len()];
    (0..400)
        .map(|i| (0..20).map(|j| format!("{}-{} ", word(i + j), i * j % 97)).collect())
        .collect()
}

/// Sends it as one batch and answers how many bytes it took.
fn size_of(
    home: &Home,
    broker: &Broker,
    topic: &str,
    settings: logreel::producer::ProducerBuilder,
) -> u64 {
    let before = broker.topic(topic).map_or(0, |topic| topic.partition(0).unwrap().size());
    let producer = settings.build().unwrap();
    let texts = prose();
    let records = texts.iter().map(|text| ProducerRecord::to(topic).value(text));
    let placed = home.ok(producer.send_batch(records).wait());
    let records = read(broker, topic, 0);
    let first = placed.get(0).unwrap().offset().unwrap() as usize;
    let read: Vec<String> =
        records[first..].iter().map(|record| text(record.value.as_deref())).collect();
    assert_eq!(read, texts, "{home}: {topic}");
    partition(broker, topic, 0).size() - before
}

#[test]
fn a_producer_compresses_with_its_codec_and_level() {
    for home in homes() {
        let broker = home.open();
        let plain = size_of(&home, &broker, "plain", broker.producer());
        for (codec, key, low, high) in [
            (Compression::Gzip, "compression.gzip.level", "1", "9"),
            (Compression::Zstd, "compression.zstd.level", "1", "19"),
        ] {
            let topic = codec.name();
            let with =
                |level: &str| broker.producer().set("compression.type", topic).set(key, level);
            let sizes = [
                size_of(&home, &broker, topic, with(low)),
                size_of(&home, &broker, topic, with(high)),
                size_of(&home, &broker, topic, broker.producer().compression(codec)),
            ];
            assert!(sizes[1] < sizes[0] && sizes[0] < plain / 2, "{home}: {codec}: {sizes:?}");
            let found = on_disk(&home, &broker, topic);
            assert!(found.iter().all(|(found, _)| *found == codec), "{home}: {found:?}");
            let sized: Vec<u64> = found.iter().map(|(_, size)| *size as u64).collect();
            assert!(sized.is_empty() || sized == sizes, "{home}");
        }
        for codec in [Compression::Snappy, Compression::Lz4] {
            let settings = broker.producer().compression(codec);
            let size = size_of(&home, &broker, codec.name(), settings);
            assert!(size < plain / 2, "{home}: {codec}: {size} of {plain}");
            let found = on_disk(&home, &broker, codec.name());
            assert!(found.iter().all(|(found, _)| *found == codec), "{home}: {found:?}");
        }
    }
}

#[test]
fn a_topic_that_sets_its_own_codec_overrules_the_producer() {
    for home in homes() {
        let broker = home.open();
        let plain = size_of(&home, &broker, "plain", broker.producer());
        let topics = [
            ("keeps", "producer", None, Some(Compression::Zstd)),
            ("none", "uncompressed", None, Some(Compression::None)),
            ("gzip", "gzip", None, Some(Compression::Gzip)),
            ("low", "zstd", Some(("compression.zstd.level", "1")), Some(Compression::Zstd)),
            ("high", "zstd", Some(("compression.zstd.level", "19")), Some(Compression::Zstd)),
        ];
        let mut sizes = Vec::new();
        for (topic, codec, level, wanted) in topics {
            let new = NewTopic::new(topic).set("compression.type", codec);
            let new = level.into_iter().fold(new, |new, (key, value)| new.set(key, value));
            broker.create_topic(new).unwrap();
            let settings = broker.producer().compression(Compression::Zstd);
            sizes.push(size_of(&home, &broker, topic, settings));
            let found = on_disk(&home, &broker, topic);
            assert!(found.iter().all(|(found, _)| Some(*found) == wanted), "{home}: {topic}");
        }
        assert_eq!(sizes[1], plain, "{home}: not compressed");
        assert!(sizes[0] < plain / 2 && sizes[2] < plain / 2, "{home}: {sizes:?}");
        assert!(sizes[4] < sizes[3], "{home}: the topic's level counts: {sizes:?}");
    }
}

/// A batch that was split is compressed again as it was.
#[test]
fn the_parts_of_a_batch_are_compressed_as_it_was() {
    for home in homes() {
        let broker = home.open();
        broker.create_topic(NewTopic::new("t").set("max.message.bytes", "3000")).unwrap();
        size_of(&home, &broker, "t", broker.producer().compression(Compression::Gzip));
        let found = on_disk(&home, &broker, "t");
        let fits =
            |(codec, size): &(Compression, usize)| *codec == Compression::Gzip && *size <= 3000;
        assert!(found.iter().all(fits), "{home}: {found:?}");
        assert!(batch_sizes(&broker, "t", 0).len() > 1, "{home}");
        // Compressed it fits, however large it was.
        let zeros = (0..100).map(|_| value("0".repeat(1000)));
        let producer = broker.producer().compression(Compression::Zstd).build().unwrap();
        home.ok(producer.send_batch(zeros).wait());
        assert_eq!(batch_sizes(&broker, "t", 0).last(), Some(&100), "{home}");
    }
}
