//! Readers wait for no append that is on its way to the disk: they take no lock of its path.

use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use crate::homes::*;
use logreel::{NewTopic, OffsetSpec, Partition, Storage};

/// A write that does not return until it is told to.
#[derive(Default)]
struct Gate {
    /// Whether writes stop here, and how many do.
    state: Mutex<(bool, usize)>,
    changed: Condvar,
}

impl Gate {
    fn close(&self) {
        self.state.lock().unwrap().0 = true;
    }

    fn open(&self) {
        self.state.lock().unwrap().0 = false;
        self.changed.notify_all();
    }

    fn pass(&self) {
        let mut state = self.state.lock().unwrap();
        state.1 += 1;
        self.changed.notify_all();
        let mut state = self.changed.wait_while(state, |state| state.0).unwrap();
        state.1 -= 1;
    }

    fn wait_for_a_writer(&self) {
        let state = self.state.lock().unwrap();
        drop(self.changed.wait_while(state, |state| state.1 == 0).unwrap());
    }
}

fn append(partition: &Partition, offset: i64) {
    let value = format!("{offset:>9000}");
    let record = logreel::RawRecord::new(None, Some(value.as_bytes())).timestamp(NOW + offset);
    assert_eq!(partition.append([record]).unwrap().base_offset, offset);
}

/// Segments of 100 batches and three of them, the last with as much as is mapped.
#[test]
fn readers_get_on_while_an_append_is_held_up_inside_the_storage() {
    let dir = tempfile::tempdir().unwrap();
    for inner in [Storage::memory(), Storage::disk(dir.path())] {
        must_end(move || {
            let gate = Arc::new(Gate::default());
            let hook = Arc::clone(&gate);
            let storage = Storage::observed(inner, move |op, path| {
                if op == "write" && path.contains("t-0") && path.ends_with(".log") {
                    hook.pass();
                }
                Ok(())
            });
            let broker = logreel::Broker::builder().storage(storage).open().unwrap();
            broker.create_topic(NewTopic::new("t").set("segment.bytes", "1000000")).unwrap();
            let partition = broker.topic("t").unwrap().partition(0).unwrap();
            (0..280).for_each(|offset| append(&partition, offset));
            assert_eq!(partition.segments().len(), 3);
            gate.close();
            std::thread::scope(|scope| {
                let writer = scope.spawn(|| append(&partition, 280));
                gate.wait_for_a_writer();
                let consumer = reader(&broker);
                consumer.assign([("t", 0)]).unwrap();
                assert_eq!(drain(&consumer).len(), 280);
                assert!(consumer.poll(Duration::from_millis(1)).unwrap().is_empty());
                for offset in [0, 150, 230, 279] {
                    assert_eq!(partition.get(offset).unwrap().unwrap().offset, offset);
                    assert_eq!(partition.read(offset, 1).unwrap().len(), 1);
                    let spec = OffsetSpec::Timestamp(NOW + offset);
                    consumer.seek(("t", 0), spec).unwrap();
                    assert_eq!(consumer.position(&("t", 0).into()).unwrap(), offset);
                }
                assert_eq!(partition.get(280).unwrap(), None);
                assert_eq!(consumer.end_offset(&("t", 0).into()).unwrap(), 280);
                assert!(!writer.is_finished());
                gate.open();
                writer.join().unwrap();
                assert_eq!(partition.get(280).unwrap().unwrap().offset, 280);
            });
        });
    }
}
