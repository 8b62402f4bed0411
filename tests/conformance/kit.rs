//! What the testing kit promises.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use crate::homes::*;
use logreel::consumer::GroupMetadata;
use logreel::testing::OpKind;
use logreel::{
    Broker, CleanupPolicy, ErrorCode, ErrorKind, NewTopic, OffsetReset, Offsets, ProducerRecord,
};

/// Everything a program may do, with faults in it; what clients asked for, and what is left.
fn played(home: &Home, seed: u64) -> (String, Vec<String>) {
    let broker = home.builder().seed(seed).open().unwrap();
    let t = broker.testing();
    t.record_history();
    let compacted = NewTopic::new("c").cleanup_policy(CleanupPolicy::Compact);
    for topic in [NewTopic::new("t").partitions(3), compacted.partitions(1)] {
        broker.create_topic(topic).unwrap();
    }
    t.faults().on(OpKind::Produce).topic("t").times(2).apply_then_fail(ErrorCode::RequestTimedOut);
    t.faults().on(OpKind::JoinGroup).times(1).fail(ErrorCode::NotCoordinator);
    t.faults().on(OpKind::Fetch).partition(1).times(2).delay(ms(30));
    let producer = broker.producer().linger(ms(5)).build().unwrap();
    let member = |name: &str| {
        let settings = broker.consumer().group_id("g").client_id(name.to_owned());
        let consumer = settings.auto_offset_reset(OffsetReset::Earliest).build().unwrap();
        consumer.subscribe(["t"]).unwrap();
        consumer
    };
    let (a, b) = (member("a"), member("b"));
    for n in 0..40 {
        // Without a key the partition is drawn.
        let record = ProducerRecord::to("t").value(format!("v{n}"));
        let record = if n % 3 == 0 { record } else { record.key(format!("k{}", n % 7)) };
        producer.send(record).forget();
        producer.send(ProducerRecord::to("c").key(format!("{}", n % 4)).value("v")).forget();
        let _ = a.poll(ms(20)).unwrap();
        if n < 30 {
            let _ = b.poll(ms(20)).unwrap();
        }
        if n == 20 {
            t.group("g").trigger_rebalance().unwrap();
        }
    }
    producer.flush(LONG).unwrap();
    let mut transactional = broker.producer().build_transactional("p").unwrap();
    for n in 0..4 {
        let transaction = transactional.begin().unwrap();
        transaction.send(ProducerRecord::to("t").partition(n % 3).value("in")).wait().unwrap();
        let position: Offsets = [(("c", 0), i64::from(n))].into_iter().collect();
        transaction.send_offsets(&position, &GroupMetadata::without_members("h")).unwrap();
        if n % 2 == 0 { transaction.commit().unwrap() } else { transaction.abort().unwrap() }
    }
    home.pass(Duration::from_secs(400));
    let _ = a.poll(ms(20)).unwrap();
    t.topic("c").roll_segments().unwrap();
    t.topic("c").compact().unwrap();
    let history: String = t.history().iter().map(|entry| format!("{entry}\n")).collect();
    let mut left = Vec::new();
    for topic in ["t", "c"] {
        let records = t.topic(topic).records().unwrap();
        left.extend(records.iter().map(|record| {
            let parts = (&record.key, &record.value, record.timestamp);
            format!("{topic}-{} {} {parts:?}", record.partition, record.offset)
        }));
    }
    for name in ["g", "h"] {
        let group = broker.group(name);
        left.push(format!("{name} {:?} {:?}", group.describe().ok(), group.committed().unwrap()));
    }
    left.extend(
        broker.topics().unwrap().iter().map(|topic| format!("{} {:?}", topic.name(), topic.id())),
    );
    (history, left)
}

#[test]
fn t122_the_same_seed_and_calls_give_the_same_history() {
    for home in homes().into_iter().filter(Home::is_mock) {
        let (history, left) = played(&home, 7);
        let again = played(&Home::fresh_like(&home), 7);
        assert_eq!(again.0, history, "{home}");
        assert_eq!(again.1, left, "{home}");
        let lines = history.lines().count();
        assert!(lines > 200 && history.contains("REQUEST_TIMED_OUT"), "{home}: {history}");
        let other = played(&Home::fresh_like(&home), 8);
        assert_ne!(other.1, left, "{home}: the seed matters");
    }
}

#[test]
fn t123_a_fault_fails_what_its_selectors_name() {
    for home in homes() {
        let broker = home.open();
        home.ok(broker.create_topic(NewTopic::new("t").partitions(2)));
        let producer = home.ok(broker.producer().build());
        let on = |kind| broker.testing().faults().on(kind).topic("t").partition(1);
        let fault = on(OpKind::Produce).surface(ErrorCode::NotLeaderOrFollower);
        // Both are in one call.
        let sent: Vec<_> = (0..4)
            .map(|n| producer.send(ProducerRecord::to("t").partition(n % 2).value("v")))
            .collect();
        for (n, sent) in sent.into_iter().enumerate() {
            let sent = sent.wait();
            match n % 2 {
                0 => drop(home.ok(sent)),
                _ => home.fails(sent, ErrorCode::NotLeaderOrFollower),
            }
        }
        assert!(fault.hits() > 0, "{home}");
        fault.remove();
        home.ok(producer.send(ProducerRecord::to("t").partition(1).value("v")).wait());

        let settings = broker.consumer().group_id("g").enable_auto_commit(false);
        let consumer = home.ok(settings.auto_offset_reset(OffsetReset::Earliest).build());
        home.ok(consumer.subscribe(["t"]));
        let fault = on(OpKind::Fetch).fail(ErrorCode::NotLeaderOrFollower);
        let mut polled = Vec::new();
        while polled.len() < 2 {
            polled.extend(home.ok(consumer.poll(ms(20))).to_vec());
        }
        assert!(polled.iter().all(|record| record.partition == 0), "{home}");
        let both: Offsets = [(("t", 0), 1), (("t", 1), 1)].into_iter().collect();
        on(OpKind::Commit).times(1).surface(ErrorCode::NotCoordinator);
        home.fails(consumer.commit_offsets(&both), ErrorCode::NotCoordinator);
        let committed = home.ok(broker.committed_offsets("g"));
        let committed: Vec<_> = committed.iter().map(|(tp, _)| tp.partition()).collect();
        assert_eq!(committed, [0], "{home}");
        fault.remove();
        assert_eq!(home.ok(consumer.poll(LONG)).len(), 1, "{home}");
        home.ok(broker.close());
    }
}

#[test]
fn t124_a_fault_that_never_struck_is_reported() {
    for home in homes() {
        let broker = home.open();
        let faults = broker.testing().faults().clone();
        faults.assert_all_hit();
        let fault = faults.on(OpKind::Produce).topic("t").times(1).fail(ErrorCode::RequestTimedOut);
        let told = catch_unwind(AssertUnwindSafe(|| faults.assert_all_hit())).unwrap_err();
        let told = told.downcast_ref::<String>().unwrap();
        assert_eq!(told, "faults that never struck: Produce topic=t", "{home}");
        home.ok(home.ok(broker.producer().build()).send(value("v")).wait());
        assert_eq!(fault.hits(), 1, "{home}");
        faults.assert_all_hit();
    }
}

#[test]
fn t125_what_is_not_modelled_is_an_error_with_a_name() {
    for home in homes() {
        let broker = home.open();
        let topic = |topic: NewTopic| broker.create_topic(topic);
        home.fails(
            topic(NewTopic::new("r").replication_factor(3)),
            ErrorCode::InvalidReplicationFactor,
        );
        let tiered = NewTopic::new("r").set("remote.storage.enable", "true");
        home.fails(topic(tiered), ErrorCode::InvalidConfig);
        home.fails(topic(NewTopic::new("r").set("no.such.key", "1")), ErrorCode::InvalidConfig);
        assert!(broker.topic("r").is_err(), "{home}");
        home.ok(topic(NewTopic::new("two").set("min.insync.replicas", "2")));
        let producer = home.ok(broker.producer().delivery_timeout(ms(50)).linger(ms(0)).build());
        let sent = producer.send(ProducerRecord::to("two").value("v")).wait();
        assert!(sent.is_err(), "{home}");
        let unknown = |error: logreel::Error| error.code() == Some(ErrorCode::InvalidConfig);
        let settings = broker.consumer().set("group.protocol", "consumer").build();
        assert!(unknown(home.err(settings)), "{home}: there is no other protocol");
        assert!(unknown(home.err(broker.consumer().set("no.such.key", "1").build())), "{home}");
        assert!(unknown(home.err(broker.producer().set("no.such.key", "1").build())), "{home}");
        assert!(unknown(home.err(Broker::builder().set("no.such.key", "1").open())), "{home}");
        home.fails(broker.delete_topic("__consumer_offsets"), ErrorCode::InvalidTopic);
        // What a test may do has limits, too.
        if home.dir().is_some() {
            for refused in [broker.testing().kill().map(drop), broker.snapshot().map(drop)] {
                assert_eq!(home.err(refused).kind(), ErrorKind::IllegalState, "{home}");
            }
        }
        let cut = broker.testing().cut_power(1);
        assert_eq!(home.err(cut).kind(), ErrorKind::IllegalState, "{home}");
        let rebalanced = broker.testing().group("nobody").trigger_rebalance();
        assert_eq!(home.err(rebalanced).kind(), ErrorKind::IllegalState, "{home}");
        home.ok(broker.close());
    }
}
