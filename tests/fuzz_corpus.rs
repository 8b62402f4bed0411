//! Replays the committed fuzz corpora on stable Rust: what a fuzzer once found stays found.
#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]
#![allow(missing_docs, unreachable_pub, reason = "the targets' bodies are shared with fuzz/")]

#[path = "../fuzz/fuzz_targets/compression_body.rs"]
mod compression;
#[path = "../fuzz/fuzz_targets/decode_batch_body.rs"]
mod decode_batch;
#[path = "../fuzz/fuzz_targets/record_roundtrip_body.rs"]
mod record_roundtrip;

fn replay(target: &str, run: fn(&[u8])) {
    let corpus = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut files = 0;
    for entry in std::fs::read_dir(corpus).unwrap() {
        run(&std::fs::read(entry.unwrap().path()).unwrap());
        files += 1;
    }
    assert!(files > 0, "{target} has no corpus");
}

#[test]
fn decode_batch_corpus() {
    replay("decode_batch", decode_batch::run);
}

#[test]
fn record_roundtrip_corpus() {
    replay("record_roundtrip", record_roundtrip::run);
}

#[test]
fn compression_corpus() {
    replay("compression", compression::run);
}
