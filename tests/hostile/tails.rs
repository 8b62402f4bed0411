//! What stands behind the last batch of a log.

use crate::homes::*;
use logreel::Broker;

/// Every 64 bytes what looks like a batch of a million bytes, all with a wrong checksum. The search
/// for a batch worth keeping computed each of those checksums: hours for a tail of 64 MiB.
#[test]
fn a_tail_that_looks_like_many_batches_costs_quadratic_checksums() {
    for (segments, each) in [(1, 16 << 20), (64, 256 << 10)] {
        let outcome = try_everything(&format!("{segments} hostile tails"), move |dir| {
            let mut header = batch(900)[..61].to_vec();
            let reach = (each / 2) as i32;
            header[8..12].copy_from_slice(&reach.to_be_bytes());
            header.resize(64, 0);
            let tail = header.repeat(each / 64);
            let first = [batches(0..5), tail.clone()].concat();
            let mut logs = vec![(0, &first[..])];
            logs.extend((1..segments).map(|n| (n * 100, &tail[..])));
            let made = killed(&logs, 0);
            for entry in std::fs::read_dir(made.path()).unwrap() {
                let entry = entry.unwrap();
                std::fs::rename(entry.path(), dir.join(entry.file_name())).unwrap();
            }
        });
        assert_eq!(outcome.read.len(), 5);
        let report = outcome.report.unwrap();
        assert!(report.truncated_bytes() >= each as u64, "{report:?}");
    }
}

/// The batches behind the bad bytes are still kept for the user.
#[test]
fn whole_batches_behind_bad_bytes_are_set_aside() {
    let log = [batches(0..3), vec![0xff; 333], batches(3..5)].concat();
    let dir = killed(&[(0, &log)], 0);
    let broker = Broker::open(dir.path()).unwrap();
    let report = broker.recovery_report().partitions[0].truncated.clone().unwrap();
    assert_eq!(report.offset, 3);
    let kept = std::fs::read(report.kept_in.unwrap()).unwrap();
    assert_eq!(kept, log[batches(0..3).len()..]);
}
