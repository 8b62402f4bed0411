//! Members of one group beside each other.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use logreel::consumer::{ListenerResult, RebalanceContext, RebalanceListener};
use logreel::{Broker, NewTopic, OffsetReset, TopicPartition};
use shuttle::sync::Mutex;
use shuttle::thread;

const PARTITIONS: i32 = 2;

/// Who has which partition, as the listeners are told.
type Owners = Arc<Mutex<BTreeMap<TopicPartition, usize>>>;

struct Owns {
    member: usize,
    owners: Owners,
}

impl RebalanceListener for Owns {
    fn on_assigned(
        &mut self,
        _: &RebalanceContext<'_>,
        partitions: &[TopicPartition],
    ) -> ListenerResult {
        let mut owners = self.owners.lock().unwrap();
        for tp in partitions {
            let before = owners.insert(tp.clone(), self.member);
            assert_eq!(before, None, "{tp} is given to {} as well", self.member);
        }
        Ok(())
    }

    fn on_revoked(
        &mut self,
        _: &RebalanceContext<'_>,
        partitions: &[TopicPartition],
    ) -> ListenerResult {
        let mut owners = self.owners.lock().unwrap();
        for tp in partitions {
            assert_eq!(owners.remove(tp), Some(self.member), "{tp}");
        }
        Ok(())
    }
}

/// Two members come and one goes, each in its own time. No partition is ever two members', and
/// every record is read, by whoever has its partition.
pub(crate) fn joining_and_leaving() {
    let broker = Broker::builder().seed(1).offsets_topic_partitions(1);
    let broker = broker.topic(NewTopic::new("t").partitions(PARTITIONS)).open().unwrap();
    let owners = Owners::default();
    let read = Arc::new(Mutex::new(0));
    let members = [0, 1].map(|member| {
        let (owners, read) = (Arc::clone(&owners), Arc::clone(&read));
        let consumer = broker.consumer().group_id("g").auto_offset_reset(OffsetReset::Earliest);
        let consumer = consumer.build().unwrap();
        thread::spawn(move || {
            consumer.subscribe_with(["t"], Owns { member, owners }).unwrap();
            let enough = |consumer: &logreel::Consumer| {
                *read.lock().unwrap() += consumer.poll(Duration::from_millis(10)).unwrap().len();
                *read.lock().unwrap() >= 2
            };
            if member == 0 {
                // Goes after a few looks.
                for _ in 0..2 {
                    enough(&consumer);
                }
            } else {
                while !enough(&consumer) {}
            }
            consumer.close().unwrap();
        })
    });
    for partition in 0..PARTITIONS {
        let log = broker.topic("t").unwrap().partition(partition).unwrap();
        log.append([(None, Some("x"))]).unwrap();
    }
    for member in members {
        member.join().unwrap();
    }
    assert!(owners.lock().unwrap().is_empty());
    assert_eq!(*read.lock().unwrap(), 2, "each record once");
}
