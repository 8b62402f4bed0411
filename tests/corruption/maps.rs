//! The same through maps: a disk's sealed segments are mapped, those of the simulation are not.

use logreel::testing::MockClock;
use logreel::{Broker, OnDamage};

use crate::answers::{Answers, Asked};
use crate::corpus::{Corpus, Left, NOW, campaign};
use crate::judge::{Tally, judge_answers};

/// One bit of so many.
const EVERY: usize = 11;

fn put(corpus: &Corpus) -> tempfile::TempDir {
    // In memory where there is such a directory: nothing here asks anything of the disk.
    let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    for (path, bytes) in &corpus.files {
        let path = dir.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
    dir
}

#[test]
fn bits_of_mapped_segments() {
    let corpus = Corpus::of(Left::Clean);
    let mut tally = Tally::default();
    for path in corpus.ending(".log") {
        let step = if campaign() > 1 { 1 } else { EVERY };
        for bit in (0..corpus.file(path).len() * 8).step_by(step) {
            let dir = put(corpus);
            let mut changed = corpus.file(path).to_vec();
            changed[bit / 8] ^= 1 << (bit % 8);
            std::fs::write(dir.path().join(path), changed).unwrap();
            let clock = MockClock::at_millis(NOW + 60_000);
            let broker = Broker::builder().dir(dir.path()).clock(&clock).mmap(true);
            let broker = broker.on_damage(OnDamage::Serve).open().unwrap();
            let answers = Answers::by(broker, Asked::of(path));
            let verdict = judge_answers(corpus, &answers);
            tally.take(format_args!("bit {bit} of {path}"), verdict);
        }
    }
    tally.finish("flips under maps", 500);
}
