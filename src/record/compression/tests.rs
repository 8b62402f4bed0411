//! Which containers are taken and which refused, as Kafka's own reader was seen to decide.

use super::*;

const LIMIT: usize = 1 << 20;

fn text(len: usize) -> Vec<u8> {
    (0..len).map(|i| b"the quick brown fox jumps over "[(i / 3 + i % 7) % 31]).collect()
}

fn squeeze(codec: Compression, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    compress(codec, None, bytes, &mut out).unwrap();
    out
}

fn reason(codec: Compression, bytes: &[u8], limit: usize) -> Corruption {
    decompress(codec, bytes, limit).unwrap_err().reason().clone()
}

fn refused(codec: Compression, bytes: &[u8], why: &str) {
    match reason(codec, bytes, LIMIT) {
        Corruption::Decompression(text) => assert!(text.contains(why), "{text}"),
        other => panic!("{other:?}"),
    }
}

fn available() -> impl Iterator<Item = Compression> {
    Compression::ALL.into_iter().filter(|codec| codec.is_available())
}

#[test]
fn names_numbers_and_levels() {
    for codec in Compression::ALL {
        assert_eq!(Compression::from_id(codec.id()), Some(codec));
        assert_eq!(codec.name().parse::<Compression>().unwrap(), codec);
        let Some(levels) = codec.levels() else {
            assert_eq!(codec.default_level(), None);
            continue;
        };
        assert!(levels.contains(&codec.default_level().unwrap()));
    }
    assert!("LZ4".parse::<Compression>().is_err());
    let error = "brotli".parse::<Compression>().unwrap_err().to_string();
    assert_eq!(error, "compression.type = brotli: must be one of none, gzip, snappy, lz4, zstd");
}

#[test]
fn every_codec_and_level_round_trips() {
    for codec in available() {
        for len in [0, 1, 100, (32 << 10) - 1, 32 << 10, (64 << 10) + 1, 200_000] {
            let bytes = text(len);
            let squeezed = squeeze(codec, &bytes);
            assert!(decompress(codec, &squeezed, len).unwrap() == bytes, "{codec} {len}");
            if len > 0 {
                assert_eq!(
                    reason(codec, &squeezed, len - 1),
                    Corruption::TooLarge { limit: len - 1 }
                );
            }
        }
        let Some(levels) = codec.levels() else {
            assert!(compress(codec, Some(1), b"x", &mut Vec::new()).is_err());
            continue;
        };
        let (first, last) = (*levels.start(), *levels.end());
        for level in [first, last, codec.default_level().unwrap(), first] {
            let mut out = b"kept".to_vec();
            compress(codec, Some(level), &text(5000), &mut out).unwrap();
            assert_eq!(decompress(codec, &out[4..], LIMIT).unwrap(), text(5000), "{codec} {level}");
        }
        for level in [first - 1, last + 1] {
            let error = compress(codec, Some(level), b"x", &mut Vec::new()).unwrap_err();
            assert_eq!(error, BuildError::CompressionLevel { codec: codec.name(), level });
        }
    }
}

#[test]
fn codecs_that_are_not_built_in_say_so() {
    for codec in Compression::ALL.into_iter().filter(|codec| !codec.is_available()) {
        let error = compress(codec, None, b"x", &mut Vec::new()).unwrap_err();
        assert_eq!(error, BuildError::CompressionUnavailable(codec.name()));
        let unavailable = Corruption::CompressionUnavailable(codec.name());
        assert_eq!(reason(codec, b"x", LIMIT), unavailable);
    }
}

#[test]
fn incompressible_bytes_round_trip() {
    let mut state = 1u32;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    })
    .take(150_000)
    .collect();
    for codec in available() {
        assert!(decompress(codec, &squeeze(codec, &noise), LIMIT).unwrap() == noise, "{codec}");
    }
}

#[test]
fn a_bomb_stops_at_the_limit() {
    let zeros = vec![0; 64 << 20];
    for codec in available().filter(|codec| *codec != Compression::None) {
        let bomb = squeeze(codec, &zeros);
        assert!(bomb.len() < zeros.len() / 15, "{codec}");
        assert_eq!(reason(codec, &bomb, LIMIT), Corruption::TooLarge { limit: LIMIT }, "{codec}");
    }
}

#[test]
fn cut_and_empty_containers_are_refused() {
    for codec in available().filter(|codec| *codec != Compression::None) {
        let squeezed = squeeze(codec, &text(1000));
        for cut in 0..squeezed.len() {
            // A stream of snappy-java may end after any block; this one has a single block, and
            // its header alone is the empty stream.
            let is_empty_stream = codec == Compression::Snappy && cut == 16;
            let result = decompress(codec, &squeezed[..cut], LIMIT);
            assert!(is_empty_stream || result.is_err(), "{codec} {cut}");
        }
        // What failed leaves nothing behind for the next call.
        assert_eq!(decompress(codec, &squeezed, LIMIT).unwrap(), text(1000), "{codec}");
    }
}

#[cfg(feature = "gzip")]
#[test]
fn gzip_members_are_read_one_after_the_other() {
    let codec = Compression::Gzip;
    let both = [squeeze(codec, b"one"), squeeze(codec, b"two")].concat();
    assert_eq!(decompress(codec, &both, LIMIT).unwrap(), b"onetwo");
    // No modification time and no name, as Java writes.
    assert_eq!(both[..8], [0x1f, 0x8b, 8, 0, 0, 0, 0, 0]);
}

#[cfg(feature = "zstd")]
#[test]
fn zstd_frames_are_read_one_after_the_other() {
    let codec = Compression::Zstd;
    let skippable = [0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3];
    let both = [squeeze(codec, b"one"), skippable.to_vec(), squeeze(codec, b"two")].concat();
    assert_eq!(decompress(codec, &both, LIMIT).unwrap(), b"onetwo");
    refused(codec, &[squeeze(codec, b"one"), b"rubbish".to_vec()].concat(), "zstd: ");
}

#[cfg(feature = "zstd")]
#[test]
fn zstd_frames_without_a_size_and_with_a_wrong_one() {
    use std::io::Write;
    let codec = Compression::Zstd;
    // Kafka writes streams: no content size, and a window instead.
    let mut stream = ::zstd::stream::Encoder::new(Vec::new(), 3).unwrap();
    stream.write_all(&text(500_000)).unwrap();
    assert!(decompress(codec, &stream.finish().unwrap(), LIMIT).unwrap() == text(500_000));
    // One that announces 4 GiB and a window of 128 MiB for eleven bytes.
    let lie = [0x28, 0xb5, 0x2f, 0xfd, 0x80, 0x88, 0xff, 0xff, 0xff, 0xff, 0x01];
    refused(codec, &lie, "zstd: ");
    let too_wide = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x90, 0x01, 0x00, 0x00];
    refused(codec, &too_wide, "zstd: ");
}

#[cfg(feature = "snappy")]
mod snappy_framing {
    use super::*;

    const HEADER: [u8; 16] = *b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01";

    fn raw(bytes: &[u8]) -> Vec<u8> {
        snap::raw::Encoder::new().compress_vec(bytes).unwrap()
    }

    #[test]
    fn the_frame_is_that_of_snappy_java() {
        let out = squeeze(Compression::Snappy, &text(40_000));
        assert_eq!(out[..16], HEADER);
        let first = raw(&text(40_000)[..32 << 10]);
        assert_eq!(out[16..20], u32::try_from(first.len()).unwrap().to_be_bytes());
        assert_eq!(out[20..20 + first.len()], first);
    }

    #[test]
    fn raw_blocks_and_streams_in_a_row_are_read() {
        let codec = Compression::Snappy;
        assert_eq!(decompress(codec, &raw(b"raw"), LIMIT).unwrap(), b"raw");
        assert_eq!(decompress(codec, &raw(&text(9000)), LIMIT).unwrap(), text(9000));
        let both = [squeeze(codec, b"one"), squeeze(codec, b"two")].concat();
        assert_eq!(decompress(codec, &both, LIMIT).unwrap(), b"onetwo");
    }

    #[test]
    fn wrong_sizes_and_versions_are_refused() {
        let codec = Compression::Snappy;
        let mut frame = squeeze(codec, b"abc");
        frame[11] = 0;
        refused(codec, &frame, "version 0");
        refused(codec, &[&HEADER[..], &[0xff; 4]].concat(), "negative block size");
        refused(codec, &[&HEADER[..], &[0, 0, 0, 9, 1]].concat(), "inside a block");
        refused(codec, &[&HEADER[..], &[0, 0]].concat(), "inside a block");
        // Five bytes that announce 4 GiB.
        refused(codec, &[0xff, 0xff, 0xff, 0xff, 0x0f], "cannot hold its size");
    }
}

#[cfg(feature = "lz4")]
mod lz4_frames {
    use super::*;
    use twox_hash::XxHash32;

    /// A frame with these flags and descriptor bytes around stored blocks, header checksum right.
    fn frame(descriptor: &[u8], body: &[u8]) -> Vec<u8> {
        let checksum = XxHash32::oneshot(0, descriptor).to_le_bytes()[1];
        [&[0x04, 0x22, 0x4d, 0x18], descriptor, &[checksum], body].concat()
    }

    /// A stored block "abc" and the end mark.
    const BODY: [u8; 11] = [3, 0, 0, 0x80, b'a', b'b', b'c', 0, 0, 0, 0];

    fn read(bytes: &[u8]) -> Vec<u8> {
        decompress(Compression::Lz4, bytes, LIMIT).unwrap()
    }

    #[test]
    fn the_frame_is_that_of_kafka() {
        let out = squeeze(Compression::Lz4, &text(70_000));
        // The header checksum of these flags is 0x82 in every frame of Kafka's.
        assert_eq!(out[..7], [0x04, 0x22, 0x4d, 0x18, 0x60, 0x40, 0x82]);
        assert_eq!(out[out.len() - 4..], [0; 4]);
        assert_eq!(read(&frame(&[0x60, 0x40], &BODY)), b"abc");
    }

    #[test]
    fn sizes_and_checksums_are_accepted() {
        let mut body = BODY[..7].to_vec();
        body.extend_from_slice(&XxHash32::oneshot(0, b"abc").to_le_bytes());
        body.extend_from_slice(&[0; 4]);
        // Block checksums, content size, content checksum; the last is not verified.
        let size = [0x7c, 0x70, 3, 0, 0, 0, 0, 0, 0, 0];
        body.extend_from_slice(&[9; 4]);
        let full = frame(&size, &body);
        assert_eq!(read(&full), b"abc");
        let mut damaged = full;
        let at = damaged.len() - 12;
        damaged[at] ^= 1;
        refused(Compression::Lz4, &damaged, "checksum of a block");
        for block_size in [0x40, 0x50, 0x60, 0x70] {
            assert_eq!(read(&frame(&[0x60, block_size], &BODY)), b"abc");
        }
    }

    #[test]
    fn what_kafka_refuses_is_refused() {
        let refuse = |bytes: &[u8], why| refused(Compression::Lz4, bytes, why);
        refuse(&frame(&[0x40, 0x40], &BODY), "dependent blocks");
        refuse(&frame(&[0xa0, 0x40], &BODY), "version");
        refuse(&frame(&[0x61, 0x40], &BODY), "reserved");
        refuse(&frame(&[0x62, 0x40], &BODY), "reserved");
        refuse(&frame(&[0x60, 0x41], &BODY), "reserved");
        refuse(&frame(&[0x60, 0xc0], &BODY), "reserved");
        refuse(&frame(&[0x60, 0x30], &BODY), "block size");
        let mut checksum = frame(&[0x60, 0x40], &BODY);
        checksum[6] ^= 1;
        refuse(&checksum, "frame header");
        let mut magic = frame(&[0x60, 0x40], &BODY);
        magic[0] = 5;
        refuse(&magic, "magic");
        refuse(&frame(&[0x60, 0x40], &[1, 0, 1, 0x80]), "larger than the frame allows");
        refuse(&frame(&[0x60, 0x40], &[2, 0, 0, 0, 0xff, 0xff, 0, 0, 0, 0]), "lz4: ");
    }

    #[test]
    fn reading_stops_at_the_first_end_mark() {
        let one = frame(&[0x60, 0x40], &BODY);
        assert_eq!(read(&[one.clone(), one].concat()), b"abc");
    }

    #[test]
    fn a_block_may_not_grow_past_the_frames_block_size() {
        let mut squeezed = vec![0; 80_000];
        let len = lz4_flex::block::compress_into(&text(65_537), &mut squeezed).unwrap();
        let mut body = u32::try_from(len).unwrap().to_le_bytes().to_vec();
        body.extend_from_slice(&squeezed[..len]);
        body.extend_from_slice(&[0; 4]);
        assert!(read(&frame(&[0x60, 0x50], &body)) == text(65_537));
        refused(Compression::Lz4, &frame(&[0x60, 0x40], &body), "lz4: ");
    }
}
