//! Transactions: what readers see of them, who may end them, what a restart makes of them.

use std::time::Duration;

use crate::groups::*;
use crate::homes::*;
use logreel::consumer::GroupMetadata;
use logreel::testing::OpKind;
use logreel::{
    Acks, Broker, Consumer, ErrorCode, ErrorKind, IsolationLevel, NewTopic, OffsetSpec,
    ProducerRecord, TransactionalProducer,
};

fn transactional(broker: &Broker, id: &str) -> TransactionalProducer {
    broker.producer().build_transactional(id).unwrap()
}

fn reader(broker: &Broker, level: IsolationLevel, numbers: &[i32]) -> Consumer {
    let consumer = earliest(broker).isolation_level(level).build().unwrap();
    consumer.assign(numbers.iter().map(|number| t(*number))).unwrap();
    consumer
}

fn committed_reader(broker: &Broker) -> Consumer {
    reader(broker, IsolationLevel::ReadCommitted, &[0])
}

fn seen(consumer: &Consumer) -> Vec<String> {
    drain(consumer).iter().map(|record| text(record.value.as_deref())).collect()
}

/// What a reader that begins at the start sees.
fn all(broker: &Broker, level: IsolationLevel, number: i32) -> Vec<String> {
    seen(&reader(broker, level, &[number]))
}

fn committed_values(broker: &Broker, number: i32) -> Vec<String> {
    all(broker, IsolationLevel::ReadCommitted, number)
}

fn on(number: i32, value: &str) -> ProducerRecord<'static> {
    ProducerRecord::to("t").partition(number).value(value.to_owned())
}

fn no_text() -> [String; 0] {
    []
}

#[test]
fn t096_nothing_of_an_aborted_transaction_is_ever_seen_by_committed_readers() {
    for home in homes() {
        let broker = with_topic(&home, 1);
        let mut producer = transactional(&broker, "p");
        for (round, commit) in [true, false, true, false, false].into_iter().enumerate() {
            let transaction = home.ok(producer.begin());
            for i in 0..3 {
                let name = if commit { "kept" } else { "dropped" };
                home.ok(transaction.send(value(format!("{name}{round}{i}"))).wait());
            }
            if commit {
                home.ok(transaction.commit());
            } else {
                home.ok(transaction.abort());
            }
        }
        let transaction = home.ok(producer.begin());
        home.ok(transaction.send(value("dropped by dropping")).wait());
        drop(transaction);
        let plain = broker.producer().build().unwrap();
        home.ok(plain.send(value("plain")).wait());
        let expected = ["kept00", "kept01", "kept02", "kept20", "kept21", "kept22", "plain"];
        assert_eq!(committed_values(&broker, 0), expected, "{home}");
        drop((plain, producer));
        broker.close().unwrap();
        assert_eq!(committed_values(&home.open(), 0), expected, "{home}: after a restart");
    }
}

#[test]
fn t097_committed_readers_stop_at_the_last_stable_offset() {
    for home in homes() {
        let broker = with_topic(&home, 1);
        let mut producer = transactional(&broker, "p");
        let plain = broker.producer().build().unwrap();
        home.ok(plain.send(value("before")).wait());
        let transaction = home.ok(producer.begin());
        home.ok(transaction.send(value("open")).wait());
        home.ok(plain.send(value("after")).wait());
        let consumer = committed_reader(&broker);
        assert_eq!(seen(&consumer), ["before"], "{home}: what is plain is withheld, too");
        let log = partition(&broker, "t", 0);
        assert_eq!((log.last_stable_offset(), log.high_watermark()), (1, 3), "{home}");
        assert_eq!(home.ok(consumer.end_offset(&t(0))), 1, "{home}");
        let latest = [(t(0), OffsetSpec::Latest)];
        let latest = home.ok(broker.list_offsets(latest, IsolationLevel::ReadCommitted));
        let found = latest[0].1.as_ref().unwrap().unwrap();
        assert_eq!(found.offset, 1, "{home}");
        home.ok(transaction.commit());
        assert_eq!(seen(&consumer), ["open", "after"], "{home}: as they lie in the log");
        assert_eq!((log.last_stable_offset(), log.high_watermark()), (4, 4), "{home}");
    }
}

#[test]
fn t097_the_oldest_open_transaction_counts() {
    for home in homes() {
        let broker = with_topic(&home, 1);
        let (mut first, mut second) = (transactional(&broker, "a"), transactional(&broker, "b"));
        let (a, b) = (home.ok(first.begin()), home.ok(second.begin()));
        home.ok(a.send(value("a")).wait());
        home.ok(b.send(value("b")).wait());
        home.ok(b.commit());
        let consumer = committed_reader(&broker);
        assert_eq!(seen(&consumer), no_text(), "{home}: b is committed and behind a");
        home.ok(a.abort());
        assert_eq!(seen(&consumer), ["b"], "{home}");
        assert_eq!(home.ok(consumer.position(&t(0))), 4, "{home}: over both markers");
    }
}

#[test]
fn t098_uncommitted_readers_see_open_and_aborted_records_at_once() {
    for home in homes() {
        let broker = with_topic(&home, 1);
        let mut producer = transactional(&broker, "p");
        let consumer = reader(&broker, IsolationLevel::ReadUncommitted, &[0]);
        let transaction = home.ok(producer.begin());
        home.ok(transaction.send(value("open")).wait());
        assert_eq!(seen(&consumer), ["open"], "{home}");
        home.ok(transaction.abort());
        assert_eq!(seen(&consumer), no_text(), "{home}: markers are never delivered");
        assert_eq!(home.ok(consumer.position(&t(0))), 2, "{home}: they have an offset");
        assert_eq!(all(&broker, IsolationLevel::ReadUncommitted, 0), ["open"], "{home}");
    }
}

#[test]
fn t099_a_transaction_of_n_records_takes_n_plus_one_offsets() {
    for home in homes() {
        let broker = with_topic(&home, 2);
        let mut producer = transactional(&broker, "p");
        for (commit, end) in [(true, 4), (false, 8)] {
            let transaction = home.ok(producer.begin());
            let sent = transaction.send_batch(numbered("v", 3).into_iter().map(value));
            home.ok(sent.wait());
            let ended = if commit { transaction.commit() } else { transaction.abort() };
            home.ok(ended);
            assert_eq!(partition(&broker, "t", 0).high_watermark(), end, "{home}");
        }
        home.ok(home.ok(producer.begin()).commit());
        assert_eq!(partition(&broker, "t", 0).high_watermark(), 8, "{home}: nothing was sent");
        assert_eq!(partition(&broker, "t", 1).high_watermark(), 0, "{home}: nor here");
    }
}

#[test]
fn t100_everything_is_visible_when_the_commit_returns() {
    for home in homes() {
        let broker = with_topic(&home, 3);
        let mut producer = transactional(&broker, "p");
        let consumer = reader(&broker, IsolationLevel::ReadCommitted, &[0, 1, 2]);
        let transaction = home.ok(producer.begin());
        for number in 0..3 {
            transaction.send(on(number, "v")).forget();
        }
        assert_eq!(seen(&consumer), no_text(), "{home}");
        home.ok(transaction.commit());
        assert_eq!(seen(&consumer).len(), 3, "{home}");
    }
}

/// Kafka's coordinator answers before it has written them.
#[test]
fn t100_markers_that_are_late_keep_records_invisible_that_are_committed() {
    for home in homes() {
        let broker = with_topic(&home, 2);
        let mut producer = transactional(&broker, "p");
        home.ok(broker.testing().hold_transaction_markers(true));
        let transaction = home.ok(producer.begin());
        for number in 0..2 {
            home.ok(transaction.send(on(number, "v")).wait());
        }
        home.ok(transaction.commit());
        let visible = || [0, 1].map(|number| committed_values(&broker, number).len());
        assert_eq!(visible(), [0, 0], "{home}: commit has returned");
        home.ok(broker.testing().hold_transaction_markers(false));
        assert_eq!(visible(), [1, 1], "{home}");
    }
}

#[test]
fn t101_offsets_of_a_transaction_count_from_its_commit_on() {
    for home in homes() {
        let broker = with_topic(&home, 1);
        put(&broker, 0, &numbered("v", 10));
        let member = member(&broker, "a");
        poll(&member);
        let mut producer = transactional(&broker, "p");
        let offset = || {
            let all = home.ok(broker.committed_offsets("g"));
            all.get(&t(0)).map(logreel::OffsetAndMetadata::offset)
        };
        let at = |offset: i64| [(("t", 0), offset)].into_iter().collect();
        let transaction = home.ok(producer.begin());
        home.ok(transaction.send_offsets(&at(3), &member.group_metadata().unwrap()));
        assert_eq!(offset(), None, "{home}: pending");
        home.fails(member.committed(&t(0)), ErrorCode::UnstableOffsetCommit);
        home.ok(transaction.commit());
        assert_eq!(offset(), Some(3), "{home}");
        let transaction = home.ok(producer.begin());
        home.ok(transaction.send_offsets(&at(7), &member.group_metadata().unwrap()));
        home.ok(transaction.abort());
        assert_eq!(offset(), Some(3), "{home}");
        assert_eq!(home.ok(member.committed(&t(0))).map(|at| at.offset()), Some(3), "{home}");
        drop((member, producer));
        broker.close().unwrap();
        let broker = home.open();
        let all = home.ok(broker.committed_offsets("g"));
        assert_eq!(all.get(&t(0)).map(|at| at.offset()), Some(3), "{home}: after a restart");
    }
}

#[test]
fn t102_a_new_member_waits_for_offsets_that_are_pending() {
    for home in homes() {
        let broker = with_topic(&home, 1);
        put(&broker, 0, &numbered("v", 10));
        let first = member(&broker, "a");
        poll(&first);
        let mut producer = transactional(&broker, "p");
        let transaction = home.ok(producer.begin());
        let at = [(("t", 0), 8)].into_iter().collect();
        home.ok(transaction.send_offsets(&at, &first.group_metadata().unwrap()));
        home.ok(first.close());
        let second = member(&broker, "b");
        let (records, took) = home.timed(|| second.poll(ms(50)));
        assert!(home.ok(records).is_empty(), "{home}: it does not read from the old place");
        home.assert_took(took, ms(50));
        home.fails(second.position(&t(0)), ErrorCode::UnstableOffsetCommit);
        if home.is_mock() {
            // Waiting moves the clock, to the end of the transaction's time if nothing else comes.
            let records = home.ok(second.poll(Duration::MAX)).to_vec();
            assert_eq!(records.len(), 10, "{home}: it was aborted, and there is no commit");
            home.fails(transaction.commit(), ErrorCode::ProducerFenced);
            continue;
        }
        let records = std::thread::scope(|scope| {
            let waiting = scope.spawn(|| second.poll(Duration::MAX));
            std::thread::sleep(ms(20));
            home.ok(transaction.commit());
            home.ok(waiting.join().unwrap()).to_vec()
        });
        assert_eq!(offsets(&records), [8, 9], "{home}");
    }
}

#[test]
fn t103_offsets_of_a_stale_member_are_refused_and_the_transaction_with_them() {
    for home in homes() {
        let broker = with_topic(&home, 2);
        let first = member(&broker, "a");
        poll(&first);
        let stale = first.group_metadata().unwrap();
        let second = member(&broker, "b");
        poll(&second);
        poll(&first);
        poll(&second);
        let mut producer = transactional(&broker, "p");
        let at = [(("t", 0), 1)].into_iter().collect();
        let transaction = home.ok(producer.begin());
        home.ok(transaction.send(value("v")).wait());
        let refused = home.err(transaction.send_offsets(&at, &stale));
        assert_eq!(refused.code(), Some(ErrorCode::IllegalGeneration), "{home}");
        assert!(refused.requires_abort(), "{home}");
        home.fails(transaction.commit(), ErrorCode::IllegalGeneration);
        assert_eq!(committed_values(&broker, 0), no_text(), "{home}: it was aborted");
        // Who is no member at all.
        home.ok(first.close());
        let transaction = home.ok(producer.begin());
        home.fails(transaction.send_offsets(&at, &stale), ErrorCode::UnknownMemberId);
        let nobody = GroupMetadata::without_members("g");
        home.fails(transaction.send_offsets(&at, &nobody), ErrorCode::UnknownMemberId);
        home.ok(transaction.abort());
        // The producer goes on.
        let transaction = home.ok(producer.begin());
        home.ok(transaction.send(value("v")).wait());
        home.ok(transaction.send_offsets(&at, &GroupMetadata::without_members("other")));
        home.ok(transaction.commit());
        assert_eq!(committed_values(&broker, 0), ["v"], "{home}");
        assert_eq!(home.ok(broker.committed_offsets("other")), at, "{home}");
    }
}

#[test]
fn t103_a_static_member_that_was_replaced_is_fenced() {
    for home in homes() {
        let broker = with_topic(&home, 1);
        let instance = || settings(&broker, "c").group_instance_id("i").build().unwrap();
        let first = instance();
        first.subscribe(["t"]).unwrap();
        poll(&first);
        let old = first.group_metadata().unwrap();
        let second = instance();
        second.subscribe(["t"]).unwrap();
        poll(&second);
        let mut producer = transactional(&broker, "p");
        let transaction = home.ok(producer.begin());
        let at = [(("t", 0), 1)].into_iter().collect();
        let refused = home.err(transaction.send_offsets(&at, &old));
        assert_eq!(refused.code(), Some(ErrorCode::FencedInstanceId), "{home}");
        home.fails(transaction.commit(), ErrorCode::FencedInstanceId);
    }
}

#[test]
fn t104_a_second_producer_of_an_id_fences_the_first() {
    for home in homes() {
        let broker = with_topic(&home, 2);
        let mut zombie = transactional(&broker, "p");
        let transaction = home.ok(zombie.begin());
        home.ok(transaction.send(value("zombie")).wait());
        let mut next = transactional(&broker, "p");
        assert_eq!(committed_values(&broker, 0), no_text(), "{home}");
        let log = partition(&broker, "t", 0);
        assert_eq!(log.last_stable_offset(), 2, "{home}: what it left open was aborted");
        // A partition it has sent to, and one it has not.
        let late = home.err(transaction.send(value("late")).wait());
        assert_eq!(late.code(), Some(ErrorCode::InvalidProducerEpoch), "{home}: {late}");
        home.fails(transaction.send(on(1, "late")).wait(), ErrorCode::ProducerFenced);
        let at = [(("t", 0), 1)].into_iter().collect();
        let group = GroupMetadata::without_members("g");
        home.fails(transaction.send_offsets(&at, &group), ErrorCode::ProducerFenced);
        assert!(home.err(transaction.commit()).is_fatal(), "{home}");
        let fenced = home.err(zombie.begin().map(|_| ()));
        assert_eq!(fenced.code(), Some(ErrorCode::ProducerFenced), "{home}");
        let transaction = home.ok(next.begin());
        home.ok(transaction.send(value("next")).wait());
        home.ok(transaction.commit());
        assert_eq!(committed_values(&broker, 0), ["next"], "{home}");
        assert_eq!(partition(&broker, "t", 1).high_watermark(), 0, "{home}");
    }
}

#[test]
fn t105_a_transaction_that_takes_too_long_is_aborted() {
    for home in homes() {
        let broker = with_topic(&home, 1);
        let settings = || broker.producer().transaction_timeout(ms(200));
        let mut producer = settings().build_transactional("p").unwrap();
        let transaction = home.ok(producer.begin());
        home.pass(ms(300));
        home.ok(transaction.send(value("slow")).wait());
        home.pass(ms(100));
        let log = partition(&broker, "t", 0);
        assert_eq!(log.last_stable_offset(), 0, "{home}: its time began with the first record");
        let consumer = committed_reader(&broker);
        let plain = broker.producer().build().unwrap();
        home.ok(plain.send(value("plain")).wait());
        // Whoever waits for it need not do anything.
        let records = home.ok(consumer.poll(Duration::from_secs(10))).to_vec();
        assert_eq!(offsets(&records), [1], "{home}");
        assert_eq!(log.last_stable_offset(), 3, "{home}");
        home.fails(transaction.commit(), ErrorCode::ProducerFenced);
        assert!(producer.begin().is_err(), "{home}");
        let mut again = settings().build_transactional("p").unwrap();
        let transaction = home.ok(again.begin());
        home.ok(transaction.send(value("again")).wait());
        home.ok(transaction.commit());
        assert_eq!(committed_values(&broker, 0), ["plain", "again"], "{home}");
    }
}

#[test]
fn t105_timeouts_lie_between_one_and_the_brokers_maximum() {
    for home in homes() {
        let broker = home.builder().set("transaction.max.timeout.ms", "1000").open().unwrap();
        let build = |millis| broker.producer().transaction_timeout(ms(millis));
        for millis in [0, 1001] {
            let refused = build(millis).build_transactional("p");
            home.fails(refused, ErrorCode::InvalidTransactionTimeout);
        }
        for millis in [1, 1000] {
            home.ok(build(millis).build_transactional("p"));
        }
        let key = broker.producer().set("transaction.timeout.ms", "1001");
        home.fails(key.build_transactional("p"), ErrorCode::InvalidTransactionTimeout);
    }
}

#[test]
fn t106_an_abort_does_not_rewind_the_consumer() {
    for home in homes() {
        let broker = with_topic(&home, 1);
        put(&broker, 0, &numbered("v", 4));
        let consumer = member(&broker, "a");
        let records = home.ok(consumer.poll(LONG)).to_vec();
        assert_eq!(records.len(), 4, "{home}");
        let mut producer = transactional(&broker, "p");
        let transaction = home.ok(producer.begin());
        let at = [(("t", 0), 4)].into_iter().collect();
        home.ok(transaction.send_offsets(&at, &consumer.group_metadata().unwrap()));
        home.ok(transaction.abort());
        assert_eq!(home.ok(consumer.position(&t(0))), 4, "{home}");
        assert!(home.ok(consumer.poll(Duration::ZERO)).is_empty(), "{home}");
        home.ok(consumer.seek(("t", 0), 0));
        assert_eq!(home.ok(consumer.poll(LONG)).len(), 4, "{home}: it seeks back itself");
    }
}

/// The others do not compile: see `Transaction`.
#[test]
fn t107_a_leaked_transaction_is_aborted_by_the_next_begin() {
    for home in homes() {
        let broker = with_topic(&home, 1);
        let mut producer = transactional(&broker, "p");
        let transaction = home.ok(producer.begin());
        home.ok(transaction.send(value("leaked")).wait());
        std::mem::forget(transaction);
        let transaction = home.ok(producer.begin());
        home.ok(transaction.send(value("next")).wait());
        home.ok(transaction.commit());
        assert_eq!(committed_values(&broker, 0), ["next"], "{home}");
    }
}

#[test]
fn t107_settings_that_rule_each_other_out() {
    for home in homes() {
        let broker = home.open();
        let error = home.err(broker.producer().set("transactional.id", "p").build());
        assert_eq!(error.code(), Some(ErrorCode::InvalidConfig), "{home}: {error}");
        let other = broker.producer().set("transactional.id", "p").build_transactional("q");
        home.fails(other, ErrorCode::InvalidConfig);
        home.ok(broker.producer().set("transactional.id", "p").build_transactional("p"));
        for builder in [
            broker.producer().acks(Acks::Leader),
            broker.producer().enable_idempotence(false),
            broker.producer().retries(0),
        ] {
            home.fails(builder.build_transactional("p"), ErrorCode::InvalidConfig);
        }
        home.fails(broker.producer().build_transactional(""), ErrorCode::InvalidRequest);
        let longest = "x".repeat(i16::MAX as usize);
        home.ok(broker.producer().build_transactional(longest.clone()));
        home.fails(broker.producer().build_transactional(longest + "x"), ErrorCode::InvalidRequest);
    }
}

#[test]
fn t108_an_open_transaction_outlives_a_restart_until_its_time_is_over() {
    for home in homes().into_iter().filter(Home::is_mock) {
        for ended_by_init in [true, false] {
            let broker = home.open();
            let name = format!("t-{ended_by_init}");
            broker.create_topic(&*name).unwrap();
            let mut producer = transactional(&broker, &name);
            let transaction = home.ok(producer.begin());
            home.ok(transaction.send(ProducerRecord::to(&*name).value("open")).wait());
            std::mem::forget(transaction);
            home.ok(broker.close());
            drop(producer);
            home.pass(Duration::from_secs(30));
            let broker = home.open();
            let log = broker.topic(&name).unwrap().partition(0).unwrap();
            assert_eq!((log.last_stable_offset(), log.high_watermark()), (0, 1), "{home}");
            if ended_by_init {
                let _next = transactional(&broker, &name);
            } else {
                home.pass(Duration::from_secs(29));
                assert_eq!(log.last_stable_offset(), 0, "{home}: it has another second");
                home.pass(Duration::from_secs(1));
            }
            assert_eq!(log.last_stable_offset(), 2, "{home}: aborted");
            home.ok(broker.close());
        }
    }
}

/// The same by the system's clock, with less time.
#[test]
fn t108_a_transaction_that_was_open_at_a_restart_is_ended_by_time_or_by_its_id() {
    for home in homes() {
        for ended_by_init in [true, false] {
            let broker = home.open();
            let name = format!("t-{ended_by_init}");
            broker.create_topic(&*name).unwrap();
            let timeout = if ended_by_init { LONG } else { ms(300) };
            let build = |broker: &Broker| {
                let settings = broker.producer().transaction_timeout(timeout);
                settings.build_transactional(&*name).unwrap()
            };
            let mut producer = build(&broker);
            let transaction = home.ok(producer.begin());
            home.ok(transaction.send(ProducerRecord::to(&*name).value("open")).wait());
            std::mem::forget(transaction);
            home.ok(broker.close());
            drop(producer);
            let broker = home.open();
            let log = broker.topic(&name).unwrap().partition(0).unwrap();
            assert_eq!(log.high_watermark() - log.last_stable_offset(), 1, "{home}: still open");
            let _next = ended_by_init.then(|| build(&broker));
            for _ in 0..1000 {
                if log.last_stable_offset() == 2 {
                    break;
                }
                home.pass(ms(10));
            }
            assert_eq!((log.last_stable_offset(), log.high_watermark()), (2, 2), "{home}");
            home.ok(broker.close());
        }
    }
}

#[test]
fn a_record_that_fails_keeps_its_transaction_from_being_committed() {
    for home in homes() {
        let broker = home.open();
        broker.create_topic(NewTopic::new("t").partitions(2)).unwrap();
        let mut producer =
            broker.producer().max_request_size(200).build_transactional("p").unwrap();
        // Refused at once.
        let transaction = home.ok(producer.begin());
        home.ok(transaction.send(value("v")).wait());
        transaction.send(value("x".repeat(300))).forget();
        home.fails(transaction.commit(), ErrorCode::MessageTooLarge);
        // Refused by the log.
        let faults = broker.testing().faults().on(OpKind::Produce).partition(1);
        let fault = faults.fail(ErrorCode::InvalidRecord);
        let transaction = home.ok(producer.begin());
        home.ok(transaction.send(value("v")).wait());
        transaction.send(on(1, "v")).forget();
        home.fails(transaction.commit(), ErrorCode::InvalidRecord);
        fault.remove();
        assert_eq!(committed_values(&broker, 0), no_text(), "{home}");
        // And the next one is its own.
        let transaction = home.ok(producer.begin());
        transaction.send(on(1, "fine")).forget();
        home.ok(transaction.commit());
        assert_eq!(committed_values(&broker, 1), ["fine"], "{home}");
    }
}

#[test]
fn a_lost_answer_writes_nothing_twice_in_a_transaction() {
    for home in homes() {
        let broker = with_topic(&home, 1);
        let mut producer = broker.producer().retry_backoff(ms(1)).build_transactional("p").unwrap();
        let faults = broker.testing().faults().on(OpKind::Produce).times(2);
        let _fault = faults.apply_then_fail(ErrorCode::RequestTimedOut);
        let transaction = home.ok(producer.begin());
        for i in 0..5 {
            home.ok(transaction.send(value(format!("v{i}"))).wait());
        }
        home.ok(transaction.commit());
        assert_eq!(committed_values(&broker, 0), numbered("v", 5), "{home}");
    }
}

#[test]
fn an_abort_drops_what_is_not_written_and_says_so() {
    for home in homes() {
        let broker = with_topic(&home, 1);
        let mut producer = broker.producer().linger(LONG).build_transactional("p").unwrap();
        let transaction = home.ok(producer.begin());
        let mut sent = transaction.send(value("lingers"));
        home.ok(transaction.abort());
        let error = home.err(sent.try_get().expect("decided"));
        assert_eq!(error.kind(), ErrorKind::TransactionAborted, "{home}: {error}");
        assert_eq!(partition(&broker, "t", 0).high_watermark(), 0, "{home}");
        let transaction = home.ok(producer.begin());
        let kept = transaction.send(value("kept"));
        home.ok(transaction.commit());
        assert_eq!(home.ok(kept.wait()).offset(), Some(0), "{home}: commit does not linger");
    }
}

#[test]
fn a_topic_that_is_deleted_takes_its_part_of_a_transaction_along() {
    for home in homes() {
        let broker = with_topic(&home, 1);
        broker.create_topic("u").unwrap();
        let mut producer = transactional(&broker, "p");
        let transaction = home.ok(producer.begin());
        home.ok(transaction.send(value("gone")).wait());
        home.ok(transaction.send(ProducerRecord::to("u").value("stays")).wait());
        let at = [(("t", 0), 1)].into_iter().collect();
        home.ok(transaction.send_offsets(&at, &GroupMetadata::without_members("g")));
        home.ok(broker.delete_topic("t"));
        broker.create_topic("t").unwrap();
        home.ok(transaction.commit());
        assert_eq!(partition(&broker, "t", 0).high_watermark(), 0, "{home}: no marker for it");
        assert_eq!(partition(&broker, "u", 0).last_stable_offset(), 2, "{home}");
        assert!(home.ok(broker.committed_offsets("g")).is_empty(), "{home}");
        drop(producer);
        broker.close().unwrap();
        let broker = home.open();
        assert!(home.ok(broker.committed_offsets("g")).is_empty(), "{home}: nor after a restart");
    }
}

#[test]
fn a_transaction_spans_compression_splits_and_rolls() {
    for home in homes() {
        let broker = home.open();
        let topic =
            NewTopic::new("t").set("segment.bytes", "4096").set("max.message.bytes", "1000");
        broker.create_topic(topic).unwrap();
        let mut producer = broker.producer().batch_size(3000).linger(LONG);
        if cfg!(feature = "zstd") {
            producer = producer.set("compression.type", "zstd");
        }
        let mut producer = producer.build_transactional("p").unwrap();
        let mut expected = Vec::new();
        for round in 0..6 {
            let transaction = home.ok(producer.begin());
            let values: Vec<String> =
                (0..40).map(|i| format!("{round} {i} {}", "x".repeat(i * 3))).collect();
            values.iter().for_each(|v| transaction.send(value(v.clone())).forget());
            if round % 2 == 0 {
                home.ok(transaction.commit());
                expected.extend(values);
            } else {
                home.ok(transaction.abort());
            }
        }
        assert_eq!(committed_values(&broker, 0), expected, "{home}");
    }
}

#[test]
fn retention_takes_the_beginning_of_an_open_transaction_as_of_any_other() {
    for home in homes().into_iter().filter(Home::is_mock) {
        let builder = home.builder().set("log.initial.task.delay.ms", "0");
        let broker = builder.set("log.retention.check.interval.ms", "1000").open().unwrap();
        let topic = NewTopic::new("t").set("segment.bytes", "300").set("retention.bytes", "600");
        broker.create_topic(topic).unwrap();
        let mut producer = transactional(&broker, "p");
        let transaction = home.ok(producer.begin());
        let values = numbered("v", 30);
        for v in &values {
            home.ok(transaction.send(value(v.clone())).wait());
        }
        home.pass(ms(2000));
        let log = partition(&broker, "t", 0);
        let start = log.log_start_offset();
        assert!(start > 10, "{home}: retention follows the size, not the last stable offset");
        assert_eq!(log.last_stable_offset(), start, "{home}: nothing that is left is stable");
        assert_eq!(committed_values(&broker, 0), no_text(), "{home}");
        home.ok(transaction.commit());
        let left = &values[start as usize..];
        assert_eq!(committed_values(&broker, 0), left, "{home}");
        assert_eq!(log.last_stable_offset(), log.high_watermark(), "{home}");
        drop((log, producer));
        home.ok(broker.close());
        let broker = home.open();
        assert_eq!(committed_values(&broker, 0), left, "{home}: after a restart");
    }
}
