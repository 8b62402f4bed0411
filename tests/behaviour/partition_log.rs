use crate::homes::*;
use logreel::{ErrorCode, Header, NewTopic, OffsetSpec, RawRecord, TimestampType};

#[test]
fn a_partition_is_a_raw_commit_log() {
    for home in homes() {
        let broker = home.open();
        let topic = NewTopic::new("t").set("segment.bytes", "400").set("index.interval.bytes", "0");
        let log = broker.create_topic(topic).unwrap().partition(0).unwrap();
        for i in 0..50i64 {
            let (key, value) = (format!("k{i}"), format!("v{i}"));
            let headers = [Header::new("h", "1"), Header::new("h", "2"), Header::null("n")];
            let record = RawRecord::new(Some(key.as_bytes()), Some(value.as_bytes()))
                .timestamp(NOW - 60_000 + i)
                .headers(&headers);
            let placed = log.append([record]).unwrap();
            assert_eq!((placed.base_offset, placed.last_offset), (i, i));
        }
        assert_eq!((log.log_start_offset(), log.log_end_offset()), (0, 50));
        assert!(log.segments().len() > 5, "{:?}", log.segments().len());
        assert_eq!(log.size(), log.segments().iter().map(|s| s.size).sum::<u64>());
        for from in 0..=50 {
            let records = log.read(from, 1 << 20).unwrap();
            let offsets: Vec<i64> = records.iter().map(|r| r.offset()).collect();
            assert_eq!(offsets, (from..50).collect::<Vec<_>>());
        }
        let record = log.read(7, 1).unwrap();
        assert_eq!(record.len(), 1, "the first batch comes whole however small the limit");
        let record = record.iter().next().unwrap();
        assert_eq!(record.key(), Some(&b"k7"[..]));
        let headers: Vec<(String, Option<Vec<u8>>)> = record
            .headers()
            .map(|h| (h.key_lossy().into_owned(), h.value().map(<[u8]>::to_vec)))
            .collect();
        let expected = [
            ("h".to_owned(), Some(b"1".to_vec())),
            ("h".into(), Some(b"2".to_vec())),
            ("n".into(), None),
        ];
        assert_eq!(headers, expected);
        for bad in [-1, 51, i64::MAX, i64::MIN] {
            let error = log.read(bad, 1).unwrap_err();
            assert_eq!(error.code(), Some(ErrorCode::OffsetOutOfRange), "{bad}");
            assert_eq!(error.topic_partition(), Some(&("t", 0).into()));
        }
        drop(log);
        broker.close().unwrap();
        let broker = home.open();
        assert!(broker.recovery_report().clean);
        let log = broker.topic("t").unwrap().partition(0).unwrap();
        for from in [0, 1, 9, 25, 49, 50] {
            assert_eq!(log.read(from, 1 << 20).unwrap().len(), 50 - usize::try_from(from).unwrap());
        }
        let next = log.append([(None, Some("after"))]).unwrap();
        assert_eq!(next.base_offset, 50);
    }
}

#[test]
fn t028_offsets_for_timestamps() {
    for home in homes() {
        let broker = home.open();
        let topic = NewTopic::new("t").set("segment.bytes", "500").set("index.interval.bytes", "0");
        let log = broker.create_topic(topic).unwrap().partition(0).unwrap();
        // Out of order on purpose (line 29): the answer is the first offset that satisfies it.
        let times = [100, 90, 300, 200, 200, 50, 400, 400, 10];
        for time in times {
            log.append([RawRecord::new(None, Some(b"x")).timestamp(NOW + time)]).unwrap();
        }
        let check = |log: &logreel::Partition| {
            for at in [-5, 0, 10, 11, 50, 90, 91, 100, 101, 200, 201, 300, 301, 400] {
                let found = log.offset_for(OffsetSpec::Timestamp(NOW + at)).unwrap();
                let expected = times.iter().position(|t| *t >= at).unwrap();
                let found = found.unwrap();
                assert_eq!(found.offset, i64::try_from(expected).unwrap(), "{at}");
                assert_eq!(found.timestamp, Some(NOW + times[expected]));
            }
            assert_eq!(log.offset_for(OffsetSpec::Timestamp(NOW + 401)).unwrap(), None);
            let max = log.offset_for(OffsetSpec::MaxTimestamp).unwrap().unwrap();
            assert_eq!((max.offset, max.timestamp), (6, Some(NOW + 400)));
            assert_eq!(log.offset_for(OffsetSpec::Earliest).unwrap().unwrap().offset, 0);
            assert_eq!(log.offset_for(OffsetSpec::Latest).unwrap().unwrap().offset, 9);
        };
        check(&log);
        drop(log);
        broker.close().unwrap();
        check(&home.open().topic("t").unwrap().partition(0).unwrap());
    }
}

#[test]
fn log_append_time_replaces_the_records_own() {
    for home in homes() {
        let broker = home.open();
        let topic = NewTopic::new("t").timestamp_type(TimestampType::LogAppendTime);
        let log = broker.create_topic(topic).unwrap().partition(0).unwrap();
        let placed = log.append([RawRecord::new(None, Some(b"x")).timestamp(5)]).unwrap();
        let stamped = placed.log_append_time.unwrap();
        assert!(stamped > 1_600_000_000_000);
        let records = log.read(0, 1 << 20).unwrap();
        let record = records.iter().next().unwrap();
        assert_eq!(record.timestamp(), Some(stamped));
        assert_eq!(record.timestamp_type(), TimestampType::LogAppendTime);
    }
}

#[test]
fn what_a_topic_does_not_accept_is_refused_and_changes_nothing() {
    for home in homes() {
        let broker = home.open();
        let topic = NewTopic::new("t")
            .set("max.message.bytes", "200")
            .set("message.timestamp.after.max.ms", "1000")
            .set("message.timestamp.before.max.ms", "5000");
        let log = broker.create_topic(topic).unwrap().partition(0).unwrap();
        let big = [0u8; 200];
        let error = log.append([(None, Some(&big[..]))]).unwrap_err();
        assert_eq!(error.code(), Some(ErrorCode::MessageTooLarge));
        let now = home.clock.as_ref().map_or_else(
            || {
                let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
                i64::try_from(since.unwrap().as_millis()).unwrap()
            },
            logreel::testing::MockClock::wall_millis,
        );
        for time in [now - 60_000, now + 60_000] {
            let record = RawRecord::new(None, Some(b"x")).timestamp(time);
            let error = log.append([record]).unwrap_err();
            assert_eq!(error.code(), Some(ErrorCode::InvalidTimestamp));
        }
        let error = log.append([RawRecord::new(None, Some(b"x")).timestamp(-2)]).unwrap_err();
        assert_eq!(error.code(), Some(ErrorCode::InvalidTimestamp));
        let error = log.append(Vec::<RawRecord<'_>>::new()).unwrap_err();
        assert_eq!(error.code(), Some(ErrorCode::InvalidRecord));
        let compacted = NewTopic::new("c").cleanup_policy(logreel::CleanupPolicy::Compact);
        let compacted = broker.create_topic(compacted).unwrap().partition(0).unwrap();
        let error = compacted.append([(None, Some("no key"))]).unwrap_err();
        assert_eq!(error.code(), Some(ErrorCode::InvalidRecord));
        compacted.append([(Some("key"), None)]).unwrap();
        assert_eq!(log.log_end_offset(), 0);
        let small = broker.create_topic(NewTopic::new("s").set("segment.bytes", "100")).unwrap();
        let error = small.partition(0).unwrap().append([(None, Some(&big[..]))]).unwrap_err();
        assert_eq!(error.code(), Some(ErrorCode::RecordListTooLarge));
    }
}

#[test]
fn segments_roll_by_the_records_own_time() {
    for home in homes() {
        let broker = home.open();
        let topic = NewTopic::new("t").set("segment.ms", "1000");
        let log = broker.create_topic(topic).unwrap().partition(0).unwrap();
        for time in [0, 1000, 1001, 500, 2002] {
            let record = RawRecord::new(None, Some(b"x")).timestamp(NOW + time);
            log.append([record]).unwrap();
        }
        let bases: Vec<i64> = log.segments().iter().map(|s| s.base_offset).collect();
        assert_eq!(bases, [0, 2, 4], "rolled when more than segment.ms after the first batch");
    }
}

#[test]
fn every_codec_round_trips_through_the_log() {
    for home in homes() {
        let broker = home.open();
        for codec in ["uncompressed", "gzip", "snappy", "lz4", "zstd"] {
            let topic = NewTopic::new(format!("t-{codec}")).set("compression.type", codec);
            let log = broker.create_topic(topic).unwrap().partition(0).unwrap();
            let values: Vec<String> =
                (0..100).map(|i| format!("a value that repeats, number {i}")).collect();
            log.append(values.iter().map(|v| (None, Some(v.as_str())))).unwrap();
            let records = log.read(0, 1 << 20).unwrap();
            let read: Vec<&[u8]> = records.iter().map(|r| r.value().unwrap()).collect();
            assert_eq!(read, values.iter().map(|v| v.as_bytes()).collect::<Vec<_>>());
            let smaller = log.size() < 3000;
            assert_eq!(smaller, codec != "uncompressed", "{codec}: {} bytes", log.size());
        }
    }
}

#[test]
fn flush_settings_and_rolls_move_the_recovery_point() {
    for home in homes().into_iter().filter(|home| home.clock.is_some()) {
        let (clock, broker) = (home.clock.clone().unwrap(), home.open());
        let log = |name: &str, key: &str, value: &str| {
            let topic = NewTopic::new(name).set(key, value);
            broker.create_topic(topic).unwrap().partition(0).unwrap()
        };
        let plain = log("plain", "flush.messages", "9223372036854775807");
        let counted = log("counted", "flush.messages", "3");
        let timed = log("timed", "flush.ms", "500");
        let rolled = log("rolled", "segment.bytes", "200");
        for i in 1..=7 {
            for log in [&plain, &counted, &timed, &rolled] {
                log.append([(None, Some("x"))]).unwrap();
            }
            assert_eq!(counted.recovery_point(), i / 3 * 3, "every third record is synced");
            assert_eq!(timed.recovery_point(), 0);
        }
        assert_eq!(rolled.segments().len(), 4);
        clock.advance(499 * SECOND / 1000);
        assert_eq!((timed.recovery_point(), plain.recovery_point()), (0, 0));
        assert!(rolled.recovery_point() >= 6, "old segments are synced in the background");
        clock.advance(SECOND / 1000);
        assert_eq!((timed.recovery_point(), plain.recovery_point()), (7, 0));
        timed.append([(None, Some("x"))]).unwrap();
        clock.advance(SECOND);
        assert_eq!(timed.recovery_point(), 8, "the timer starts again");
        plain.sync().unwrap();
        assert_eq!(plain.recovery_point(), 7);
    }
}
