//! Replays the committed fuzz corpora on stable Rust: what a fuzzer once found stays found. On the
//! way it is counted how much memory each input takes at once: never more than its limit, whatever
//! the lengths and counts in it say.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a test that fails may panic"
)]
#![allow(missing_docs, unreachable_pub, reason = "the targets' bodies are shared with fuzz/")]

#[path = "../fuzz/fuzz_targets/compression_body.rs"]
mod compression;
#[path = "../fuzz/fuzz_targets/decode_batch_body.rs"]
mod decode_batch;
#[path = "../fuzz/fuzz_targets/groups_body.rs"]
mod groups;
#[path = "../fuzz/fuzz_targets/names_and_config_body.rs"]
mod names_and_config;
#[path = "../fuzz/fuzz_targets/open_dir_body.rs"]
mod open_dir;
#[path = "../fuzz/fuzz_targets/open_index_body.rs"]
mod open_index;
#[path = "../fuzz/fuzz_targets/ops_model_body.rs"]
mod ops_model;
#[path = "../fuzz/fuzz_targets/record_roundtrip_body.rs"]
mod record_roundtrip;
#[path = "../fuzz/fuzz_targets/script.rs"]
mod script;
#[path = "../fuzz/fuzz_targets/snapshots_body.rs"]
mod snapshots;

/// Decoders: the limit of what is decompressed, a codec's window, what compressing again takes.
const DECODER: u64 = 24 << 20;
/// A broker in memory, with its files and their history.
const BROKER: u64 = 48 << 20;

fn replay(target: &str, memory_max: u64, run: fn(&[u8])) {
    let corpus = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let (mut files, mut most) = (0, 0);
    for entry in std::fs::read_dir(corpus).unwrap() {
        let path = entry.unwrap().path();
        let input = std::fs::read(&path).unwrap();
        let counted = allocation_counter::measure(|| run(&input));
        let bytes = counted.bytes_max;
        assert!(bytes <= memory_max, "{}: {bytes} bytes at once", path.display());
        most = most.max(bytes);
        files += 1;
    }
    println!("{target}: {files} files, at most {} KiB at once", most >> 10);
    assert!(files > 0, "{target} has no corpus");
}

#[test]
fn compression_corpus() {
    replay("compression", DECODER, compression::run);
}

#[test]
fn decode_batch_corpus() {
    replay("decode_batch", DECODER, decode_batch::run);
}

#[test]
fn groups_corpus() {
    replay("groups", BROKER, groups::run);
}

#[test]
fn names_and_config_corpus() {
    replay("names_and_config", BROKER, names_and_config::run);
}

#[test]
fn open_dir_corpus() {
    replay("open_dir", BROKER, open_dir::run);
}

#[test]
fn open_index_corpus() {
    replay("open_index", BROKER, open_index::run);
}

#[test]
fn ops_model_corpus() {
    replay("ops_model", BROKER, ops_model::run);
}

#[test]
fn record_roundtrip_corpus() {
    replay("record_roundtrip", DECODER, record_roundtrip::run);
}

#[test]
fn snapshots_corpus() {
    replay("snapshots", BROKER, snapshots::run);
}
