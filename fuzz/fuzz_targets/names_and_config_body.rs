//! Text from outside: names of topics and groups, configuration, offsets as CSV. Byte 0 chooses
//! what, a byte of length and that many bytes are a name or key, what is left is a value. What is
//! accepted is kept as it is; nothing leaves the directory.

use logreel::testing::{MockClock, SimStorage};
use logreel::{Broker, ConfigChange, NewTopic, TopicConfig};

use crate::script::Script;

const NOW: i64 = 1_700_000_000_000;
const KEYS: [&str; 22] = [
    "cleanup.policy",
    "compression.type",
    "delete.retention.ms",
    "file.delete.delay.ms",
    "flush.messages",
    "flush.ms",
    "index.interval.bytes",
    "max.compaction.lag.ms",
    "max.message.bytes",
    "message.timestamp.after.max.ms",
    "message.timestamp.before.max.ms",
    "message.timestamp.type",
    "min.cleanable.dirty.ratio",
    "min.compaction.lag.ms",
    "retention.bytes",
    "retention.ms",
    "segment.bytes",
    "segment.index.bytes",
    "segment.jitter.ms",
    "segment.ms",
    "preallocate",
    "min.insync.replicas",
];

fn value_of(config: &TopicConfig, key: &str) -> Option<String> {
    config.entries().find(|entry| entry.name == key).map(|entry| entry.value.to_string())
}

/// Runs one input.
pub fn run(data: &[u8]) {
    let mut script = Script(data);
    let what = script.byte();
    let first = script.text();
    let rest = String::from_utf8_lossy(script.0).into_owned();
    let disk = SimStorage::new();
    let clock = MockClock::at_millis(NOW);
    let builder = || Broker::builder().storage(disk.storage()).clock(&clock);
    match what % 7 {
        0 => topic(&disk, &builder().open().unwrap(), &first),
        choice @ 1..=2 => {
            let known = KEYS[usize::from(what) / 7 % KEYS.len()];
            let key = if choice == 1 { known } else { &first };
            let broker = builder().open().unwrap();
            let made = broker.create_topic(NewTopic::new("t").set(key, &*rest));
            let direct = made.is_ok();
            if !direct {
                broker.create_topic("t").unwrap();
            }
            let topic = broker.topic("t").unwrap();
            let changed = topic.alter_config([ConfigChange::set(key, &*rest)]).is_ok();
            assert_eq!(direct, changed, "{key:?} = {rest:?}");
            for change in [ConfigChange::append(key, &*rest), ConfigChange::subtract(key, &*rest)] {
                let _ = topic.alter_config([change]);
            }
            let kept = value_of(&topic.config(), key);
            let outcome = topic.partition(0).unwrap().append([(Some("k"), Some("v"))]);
            let ends = i64::from(outcome.is_ok());
            drop(topic);
            broker.run_due();
            broker.close().unwrap();
            let broker = builder().open().unwrap();
            let topic = broker.topic("t").unwrap();
            assert_eq!(value_of(&topic.config(), key), kept);
            assert!(topic.partition(0).unwrap().log_end_offset() >= ends);
        }
        3 => {
            let _ = builder().set(&*first, &*rest).open().map(Broker::close);
        }
        4 => {
            let broker = builder().open().unwrap();
            let _ = broker.producer().set(&*first, &*rest).build();
            let _ = broker.consumer().set(&*first, &*rest).build();
        }
        5 => {
            let broker = builder().topic(NewTopic::new("t").partitions(2)).open().unwrap();
            let group = broker.group(&*first);
            if let Ok(plan) = group.plan_csv(&rest) {
                let csv = plan.to_csv();
                let planned: Vec<_> = plan.iter().cloned().collect();
                let again = group.plan_csv(&csv).unwrap();
                assert!(
                    planned.iter().map(|p| p.new_offset).eq(again.iter().map(|p| p.new_offset))
                );
                if plan.execute().is_ok() {
                    assert!(!group.committed().unwrap().is_empty());
                }
            }
        }
        _ => {
            let broker = builder().topic("t").open().unwrap();
            let offsets = [(("t", 0), 0)].into_iter().collect();
            let consumer = broker.consumer().group_id(&*first).build();
            if consumer.is_ok_and(|consumer| consumer.commit_offsets(&offsets).is_ok()) {
                broker.close().unwrap();
                let broker = builder().open().unwrap();
                assert_eq!(broker.groups().unwrap(), std::slice::from_ref(&first));
                assert_eq!(broker.committed_offsets(&first).unwrap().len(), 1);
                let parts = |(path, _): (String, Vec<u8>)| path.matches('/').count();
                assert!(disk.files().unwrap().into_iter().map(parts).all(|depth| depth <= 1));
            }
        }
    }
}

fn topic(disk: &SimStorage, broker: &Broker, name: &str) {
    let legal = (1..=249).contains(&name.len())
        && name != "."
        && name != ".."
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
    let internal = ["__consumer_offsets", "__transaction_state", "__cluster_metadata"];
    let made = broker.create_topic(name);
    if internal.contains(&name) {
        return;
    }
    assert_eq!(made.is_ok(), legal, "{name:?}: {:?}", made.err());
    if legal {
        let dir = format!("{name}-0/");
        assert!(disk.files().unwrap().iter().any(|(path, _)| path.starts_with(&dir)));
        broker.delete_topic(name).unwrap();
        assert!(broker.topic(name).is_err());
    } else {
        assert!(broker.topics().unwrap().is_empty());
        assert!(broker.delete_topic(name).is_err());
        let sent = broker.producer().build().unwrap().send(logreel::ProducerRecord::to(name));
        assert!(sent.wait().is_err());
    }
}
