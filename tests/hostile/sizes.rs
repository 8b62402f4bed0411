//! Files that say they are larger than anybody can read.

use std::fs;
use std::path::Path;

use crate::homes::*;
use logreel::record::Compression;

const TEBIBYTE: u64 = 1 << 40;

/// How much the file system takes of it.
fn holes(path: &Path, begin: &[u8]) {
    for len in [TEBIBYTE, TEBIBYTE >> 6, 1 << 31] {
        fs::write(path, begin).unwrap();
        let file = fs::OpenOptions::new().write(true).open(path).unwrap();
        if file.set_len(len).is_ok() {
            return;
        }
    }
    panic!("no file system for sparse files");
}

/// A tebibyte of zeros in place of, or behind, each file. Nobody reads it or makes room for it.
#[test]
fn a_tebibyte_that_takes_no_room_on_the_disk() {
    let template = home();
    filled(template.path());
    let mut names: Vec<String> = vec![
        ".lock",
        ".kafka_cleanshutdown",
        "logreel.manifest",
        "logreel.catalog",
        "logreel.catalog.copy",
        "logreel.compacted",
        "logreel.producer-ids",
        "recovery-point-offset-checkpoint",
        "log-start-offset-checkpoint",
        "cleaner-offset-checkpoint",
        "replication-offset-checkpoint",
        "meta.properties",
        "t-0/leader-epoch-checkpoint",
        "t-0/partition.metadata",
    ]
    .into_iter()
    .map(str::to_owned)
    .collect();
    let inside = fs::read_dir(template.path().join("t-0")).unwrap();
    names.extend(inside.map(|e| format!("t-0/{}", e.unwrap().file_name().display())));
    for base in [0, 10] {
        for kind in ["log", "index", "timeindex", "txnindex", "snapshot"] {
            names.push(format!("t-0/{base:020}.{kind}"));
            names.push(format!("t-0/{base:020}.{kind}.swap"));
        }
    }
    names.sort();
    names.dedup();
    for name in names {
        for keep in [true, false] {
            for clean in [true, false] {
                let (from, path) = (template.path().to_path_buf(), name.clone());
                let what = format!("a tebibyte of {name}, behind its bytes {keep}, clean {clean}");
                let outcome = try_everything(&what, move |dir| {
                    copy_dir(&from, dir);
                    if !clean {
                        unclean(dir);
                    }
                    let path = dir.join(&path);
                    let begin = fs::read(&path).unwrap_or_default();
                    holes(&path, if keep { &begin } else { &[] });
                });
                let is_log = name.ends_with(".log") || name.ends_with(".swap");
                if !is_log {
                    let values = outcome.read.iter().filter(|(tp, ..)| tp == "t-0").count();
                    assert_eq!(values, 10, "{what}: {:?}", outcome.error);
                }
            }
        }
    }
}

/// The length field of a batch says two gibibytes, and the file has them: zeros. The checksum may
/// even be right.
#[test]
fn the_length_of_a_batch_sizes_a_read() {
    for length in [i32::MAX, i32::MAX - 12, 1 << 30, 100 << 20] {
        let outcome = try_everything(&format!("a batch of {length} bytes"), move |dir| {
            let mut huge = batch(5)[..61].to_vec();
            huge[8..12].copy_from_slice(&length.to_be_bytes());
            let made = killed(&[(0, &[batches(0..5), huge].concat())], 0);
            copy_dir(made.path(), dir);
            let log = fs::OpenOptions::new().write(true).open(segment(dir, 0, "log")).unwrap();
            log.set_len(3 << 30).unwrap();
        });
        assert_eq!(outcome.read.len(), 5);
    }
}

/// Sixty-five mebibytes of zeros in each codec, in a batch that is sound otherwise: the reader is
/// told, memory is not taken, and a consumer may seek past it.
#[test]
fn decompression_bombs_in_each_codec() {
    let mut cases = 0;
    for codec in Compression::ALL.iter().copied().filter(|c| *c != Compression::None) {
        let bomb = bomb(codec, 1 << 30);
        println!("{codec:?}: {} KiB become a GiB", bomb.len() >> 10);
        for point in [0, 9] {
            let bomb = bomb.clone();
            let dir = move |dir: &Path| {
                let log = [batches(0..3), bomb.clone(), batches(4..6)].concat();
                copy_dir(killed(&[(0, &log)], point).path(), dir);
            };
            let serve = [logreel::OnDamage::Serve];
            let what = format!("a bomb of {codec:?}, point {point}");
            let outcome = try_with(&what, &serve, dir.clone());
            assert_eq!(outcome.read.len(), 3, "{codec:?}: {:?}", outcome.report);
            let verified = outcome.verified.unwrap();
            assert!(!verified.is_sound(), "{codec:?}: {verified:?}");
            let home = home();
            dir(home.path());
            let broker = logreel::Broker::open(home.path()).unwrap();
            let consumer = broker.consumer().build().unwrap();
            consumer.assign([("t", 0)]).unwrap();
            consumer.seek(("t", 0), 3).unwrap();
            let error = consumer.poll(std::time::Duration::ZERO).unwrap_err();
            assert_eq!(error.code(), Some(logreel::ErrorCode::CorruptMessage), "{error}");
            consumer.seek(("t", 0), 4).unwrap();
            assert_eq!(consumer.poll(std::time::Duration::ZERO).unwrap().len(), 2);
            cases += 1;
        }
    }
    assert!(cases >= 8, "{cases}");
}

/// A batch of one record whose compressed section is this many zeros.
fn bomb(codec: Compression, len: usize) -> Vec<u8> {
    // Through a piece that is as large as we may compress, repeated where the container allows.
    let piece = vec![0; 16 << 20];
    let mut section = Vec::new();
    let pieces = match codec {
        // Frames and members follow one another.
        Compression::Gzip | Compression::Zstd => len / piece.len(),
        _ => 1,
    };
    let mut one = Vec::new();
    logreel::record::compress(codec, None, &piece, &mut one).unwrap();
    for _ in 0..pieces {
        section.extend_from_slice(&one);
    }
    if pieces == 1 {
        // Snappy's and lz4's containers hold blocks: those of one piece, over and over.
        section = repeat_blocks(codec, &one, len / piece.len());
    }
    let mut bytes = batch(3)[..61].to_vec();
    bytes.extend_from_slice(&section);
    let length = i32::try_from(bytes.len() - 12).unwrap();
    bytes[8..12].copy_from_slice(&length.to_be_bytes());
    bytes[22] = codec.id();
    reseal(&mut bytes);
    bytes
}

fn repeat_blocks(codec: Compression, one: &[u8], times: usize) -> Vec<u8> {
    let (head, blocks, end) = match codec {
        // 16 bytes of header, then blocks to the end.
        Compression::Snappy => (&one[..16], &one[16..], &one[one.len()..]),
        // 7 bytes of header, blocks, an end mark of 4 bytes.
        _ => (&one[..7], &one[7..one.len() - 4], &one[one.len() - 4..]),
    };
    [head, &blocks.repeat(times), end].concat()
}

/// Counts that no batch of this size can have.
#[test]
fn counts_that_the_bytes_cannot_hold() {
    for count in [i32::MAX, 1 << 30, 1 << 20, 2, -1, i32::MIN] {
        for codec in [Compression::None, Compression::Zstd] {
            let outcome = try_everything(&format!("{count} records in {codec:?}"), move |dir| {
                let mut lies = batch_of(3, b"3", codec);
                lies[57..61].copy_from_slice(&count.to_be_bytes());
                lies[23..27].copy_from_slice(&count.saturating_sub(1).max(0).to_be_bytes());
                reseal(&mut lies);
                let log = [batches(0..3), lies].concat();
                copy_dir(killed(&[(0, &log)], 0).path(), dir);
            });
            assert_eq!(outcome.read.len(), 3, "{count}: {:?}", outcome.report);
        }
    }
}

/// The header count, and the lengths of key and value, of a record: as many as a number can say.
#[test]
fn numbers_inside_a_record_that_the_bytes_cannot_hold() {
    // The record of one value of a byte: length, attributes, deltas, key -1, value 1, headers 0.
    let plain = batch_of(3, b"3", Compression::None);
    let body = &plain[61..];
    assert_eq!(body, [14, 0, 0, 0, 1, 2, b'3', 0]);
    let huge = [0xfe, 0xff, 0xff, 0xff, 0x0f];
    for at in [0, 4, 5, 7] {
        let outcome = try_everything(&format!("a huge number at {at}"), move |dir| {
            let plain = batch_of(3, b"3", Compression::None);
            let mut record = plain[61..].to_vec();
            record.splice(at..=at, huge);
            if at != 0 {
                record[0] = 2 * u8::try_from(record.len() - 1).unwrap();
            }
            let mut lies = [&plain[..61], &record].concat();
            let length = i32::try_from(lies.len() - 12).unwrap();
            lies[8..12].copy_from_slice(&length.to_be_bytes());
            reseal(&mut lies);
            copy_dir(killed(&[(0, &[batches(0..3), lies].concat())], 0).path(), dir);
        });
        assert_eq!(outcome.read.len(), 3, "{at}: {:?}", outcome.report);
    }
}
