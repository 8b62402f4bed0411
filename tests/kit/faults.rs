//! Each kind of operation can be made to fail, and the client does what Kafka's does.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use logreel::testing::{FaultBuilder, MockClock, OpKind};
use logreel::{
    Broker, Consumer, Error, ErrorCode, NewTopic, OffsetReset, OffsetSpec, Offsets, ProducerRecord,
    Result,
};

const NOW: i64 = 1_700_000_000_000;
const LONG: Duration = Duration::from_secs(60);
/// Kafka's `retry.backoff.ms`.
const BACKOFF: Duration = Duration::from_millis(100);
const RETRIABLE: ErrorCode = ErrorCode::CoordinatorLoadInProgress;

/// What the polls of a new member ask for.
const IN_A_POLL: [OpKind; 5] = [
    OpKind::JoinGroup,
    OpKind::SyncGroup,
    OpKind::FetchOffsets,
    OpKind::ListOffsets,
    OpKind::Fetch,
];

struct World {
    broker: Broker,
    clock: MockClock,
}

impl World {
    fn new() -> Self {
        let clock = MockClock::at_millis(NOW);
        let topic = NewTopic::new("t").partitions(2);
        let broker = Broker::builder().clock(&clock).topic(topic).open().unwrap();
        let world = Self { broker, clock };
        (0..4).for_each(|n| world.send(n % 2, &n.to_string()));
        world
    }

    fn send(&self, partition: i32, value: &str) {
        let producer = self.broker.producer().build().unwrap();
        producer.send(ProducerRecord::to("t").partition(partition).value(value)).wait().unwrap();
    }

    fn on(&self, kind: OpKind) -> FaultBuilder {
        self.broker.testing().faults().on(kind)
    }

    fn clear(&self) {
        self.broker.testing().faults().clear();
    }

    fn consumer(&self, group: &str) -> Consumer {
        let settings = self.broker.consumer().group_id(group).client_id(format!("c-{group}"));
        let settings = settings.enable_auto_commit(false);
        settings.auto_offset_reset(OffsetReset::Earliest).build().unwrap()
    }

    fn passed<T>(&self, act: impl FnOnce() -> T) -> (T, Duration) {
        let begun = self.clock.wall_millis();
        let done = act();
        let millis = u64::try_from(self.clock.wall_millis() - begun).unwrap();
        (done, Duration::from_millis(millis))
    }
}

fn position(partition: i32, offset: i64) -> Offsets {
    [(("t", partition), offset)].into_iter().collect()
}

/// A call of a client that asks for something, by the kind of its operation.
type Call<'a> = (OpKind, Box<dyn Fn() -> Result<()> + 'a>);

/// Calls that block until they are done, or fail.
fn blocking_calls<'a>(world: &'a World, consumer: &'a Consumer) -> Vec<Call<'a>> {
    let broker = &world.broker;
    let tp = || ("t", 0).into();
    vec![
        (OpKind::Commit, Box::new(|| consumer.commit_offsets(&position(0, 1)))),
        (OpKind::Commit, Box::new(|| consumer.committer().commit_offsets(&position(0, 1)))),
        (OpKind::FetchOffsets, Box::new(move || consumer.committed(&tp()).map(drop))),
        (OpKind::FetchOffsets, Box::new(|| consumer.lag().map(drop))),
        (OpKind::ListOffsets, Box::new(|| consumer.seek(("t", 0), OffsetSpec::Latest))),
        (OpKind::ListOffsets, Box::new(|| consumer.offsets_for_times([(("t", 0), 0)]).map(drop))),
        (
            OpKind::Fetch,
            Box::new(|| {
                consumer.seek(("t", 0), 0)?;
                let records = consumer.read_to_end()?;
                assert_eq!(records.len(), 2);
                Ok(())
            }),
        ),
        (
            OpKind::CreateTopics,
            Box::new(|| {
                broker.create_topic("new")?;
                // Not under the same fault.
                broker.testing().faults().clear();
                broker.delete_topic("new")
            }),
        ),
        (
            OpKind::CreatePartitions,
            Box::new(|| broker.create_partitions("t", broker.topic("t")?.partition_count() + 1)),
        ),
        (OpKind::InitProducer, Box::new(|| broker.producer().build_transactional("id").map(drop))),
    ]
}

fn assigned(world: &World) -> Consumer {
    let consumer = world.consumer("g");
    consumer.assign([("t", 0)]).unwrap();
    consumer.poll(Duration::ZERO).unwrap();
    consumer
}

#[test]
fn a_retriable_failure_is_tried_again_and_stays_invisible() {
    let world = World::new();
    let consumer = assigned(&world);
    for (kind, call) in blocking_calls(&world, &consumer) {
        let fault = world.on(kind).times(3).fail(RETRIABLE);
        let (called, took) = world.passed(&call);
        called.unwrap_or_else(|error| panic!("{kind}: {error}"));
        assert_eq!((fault.hits(), took), (3, BACKOFF * 3), "{kind}");
        world.clear();
    }
}

#[test]
fn a_call_gives_up_after_a_minute() {
    let world = World::new();
    let consumer = assigned(&world);
    for (kind, call) in blocking_calls(&world, &consumer) {
        world.on(kind).fail(RETRIABLE);
        let (called, took) = world.passed(&call);
        let error = called.unwrap_err();
        assert_eq!(error.code(), Some(ErrorCode::RequestTimedOut), "{kind}");
        assert!(error.to_string().contains("a fault set by the test"), "{kind}: {error}");
        assert_eq!(took, LONG, "{kind}");
        world.clear();
    }
}

#[test]
fn a_failure_that_is_not_retriable_comes_out_at_once() {
    let world = World::new();
    let consumer = assigned(&world);
    for (kind, call) in blocking_calls(&world, &consumer) {
        let fault = world.on(kind).times(1).fail(ErrorCode::InvalidRequest);
        let (called, took) = world.passed(&call);
        assert_eq!(called.unwrap_err().code(), Some(ErrorCode::InvalidRequest), "{kind}");
        assert_eq!((fault.hits(), took), (1, Duration::ZERO), "{kind}");
        world.clear();
        call().unwrap_or_else(|error| panic!("{kind}: {error}"));
    }
}

#[test]
fn what_is_surfaced_comes_out_even_if_it_is_retriable() {
    let world = World::new();
    let consumer = assigned(&world);
    for (kind, call) in blocking_calls(&world, &consumer) {
        let fault = world.on(kind).times(1).surface(RETRIABLE);
        let (called, took) = world.passed(&call);
        assert_eq!(called.unwrap_err().code(), Some(RETRIABLE), "{kind}");
        assert_eq!((fault.hits(), took), (1, Duration::ZERO), "{kind}");
        world.clear();
    }
}

#[test]
fn what_is_delayed_is_done_later() {
    let world = World::new();
    let consumer = assigned(&world);
    let by = Duration::from_millis(1234);
    for (kind, call) in blocking_calls(&world, &consumer) {
        let fault = world.on(kind).times(1).delay(by);
        let (called, took) = world.passed(&call);
        called.unwrap_or_else(|error| panic!("{kind}: {error}"));
        assert_eq!((fault.hits(), took), (1, by), "{kind}");
        world.clear();
    }
}

#[test]
fn what_is_observed_is_done_and_counted() {
    let world = World::new();
    let consumer = assigned(&world);
    for (kind, call) in blocking_calls(&world, &consumer) {
        let seen = world.on(kind).observe();
        call().unwrap_or_else(|error| panic!("{kind}: {error}"));
        assert_eq!(seen.hits(), 1, "{kind}");
        // One that observes takes nothing from one that strikes, wherever it stands.
        let fault = world.on(kind).times(1).fail(ErrorCode::InvalidRequest);
        assert!(call().is_err(), "{kind}");
        if kind != OpKind::CreateTopics {
            assert_eq!((seen.hits(), fault.hits()), (2, 1), "{kind}");
        }
        world.clear();
    }
}

#[test]
fn an_operation_is_done_though_its_answer_is_lost() {
    let world = World::new();
    let consumer = assigned(&world);
    let lost = |kind| world.on(kind).times(1).apply_then_fail(ErrorCode::InvalidRequest);
    lost(OpKind::Commit);
    consumer.commit_offsets(&position(0, 2)).unwrap_err();
    let committed = consumer.committed(&("t", 0).into()).unwrap();
    assert_eq!(committed.map(|committed| committed.offset()), Some(2));

    lost(OpKind::CreateTopics);
    world.broker.create_topic("made").unwrap_err();
    world.broker.topic("made").unwrap();
    lost(OpKind::DeleteTopics);
    world.broker.delete_topic("made").unwrap_err();
    world.broker.topic("made").unwrap_err();

    // Tried again, the second time it is there already: as with Kafka's admin client.
    world.on(OpKind::CreateTopics).times(1).apply_then_fail(RETRIABLE);
    let error = world.broker.create_topic("made").unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::TopicAlreadyExists));

    // What was fetched is fetched again: none is lost, none comes twice.
    consumer.seek(("t", 0), 0).unwrap();
    let fault = world.on(OpKind::Fetch).times(2).apply_then_fail(RETRIABLE);
    let values: Vec<String> = poll_values(&consumer, LONG).unwrap();
    assert_eq!((values, fault.hits()), (vec!["0".to_owned(), "2".to_owned()], 2));
}

fn poll_values(consumer: &Consumer, timeout: Duration) -> Result<Vec<String>, Error> {
    let records = consumer.poll(timeout)?;
    let text = |value: &[u8]| String::from_utf8(value.to_vec()).unwrap();
    Ok(records.iter().map(|record| text(record.value().unwrap())).collect())
}

#[test]
fn a_poll_waits_for_what_is_tried_again_and_ends_in_time() {
    for kind in IN_A_POLL {
        let world = World::new();
        let consumer = world.consumer("g");
        consumer.subscribe(["t"]).unwrap();
        let fault = world.on(kind).topic_if(kind, "t").fail(RETRIABLE);
        let (polled, took) = world.passed(|| consumer.poll(BACKOFF * 5 / 2));
        assert!(polled.unwrap().is_empty(), "{kind}");
        assert_eq!(took, BACKOFF * 5 / 2, "{kind}");
        assert_eq!(fault.hits() % 3, 0, "{kind}: tried at 0, 100 and 200 ms, {}", fault.hits());
        assert!(consumer.poll(Duration::ZERO).unwrap().is_empty(), "{kind}: and not in between");
        world.clear();
        let mut values = poll_values(&consumer, LONG).unwrap();
        while values.len() < 4 {
            values.extend(poll_values(&consumer, LONG).unwrap());
        }
        values.sort();
        assert_eq!(values, ["0", "1", "2", "3"], "{kind}");
    }
}

trait TopicIf {
    fn topic_if(self, kind: OpKind, topic: &str) -> Self;
}

impl TopicIf for FaultBuilder {
    /// Operations of groups are about no topic.
    fn topic_if(self, kind: OpKind, topic: &str) -> Self {
        match kind {
            OpKind::JoinGroup | OpKind::SyncGroup => self,
            _ => self.topic(topic),
        }
    }
}

#[test]
fn a_fatal_failure_comes_out_of_the_poll() {
    for kind in IN_A_POLL {
        let world = World::new();
        let consumer = world.consumer("g");
        consumer.subscribe(["t"]).unwrap();
        world.on(kind).times(1).fail(ErrorCode::InvalidRequest);
        let error = consumer.poll(LONG).unwrap_err();
        assert_eq!(error.code(), Some(ErrorCode::InvalidRequest), "{kind}");
        let mut found = 0;
        while found < 4 {
            found += consumer.poll(LONG).unwrap().len();
        }
    }
}

/// Members join again after these by themselves, as Kafka's do.
#[test]
fn a_member_that_is_refused_joins_again() {
    let codes =
        [ErrorCode::UnknownMemberId, ErrorCode::IllegalGeneration, ErrorCode::RebalanceInProgress];
    for kind in [OpKind::JoinGroup, OpKind::SyncGroup] {
        for code in codes {
            let world = World::new();
            let consumer = world.consumer("g");
            consumer.subscribe(["t"]).unwrap();
            let fault = world.on(kind).fail(code);
            // However often: no poll hangs.
            assert!(consumer.poll(BACKOFF * 3).unwrap().is_empty(), "{kind} {code}");
            assert!(fault.hits() > 1, "{kind} {code}: {}", fault.hits());
            world.clear();
            assert_eq!(consumer.poll(LONG).unwrap().len(), 4, "{kind} {code}");
            assert_eq!(consumer.assignment().len(), 2, "{kind} {code}");
        }
    }
}

#[test]
fn a_partition_that_fails_does_not_hold_up_the_others() {
    let world = World::new();
    let consumer = world.consumer("g");
    consumer.subscribe(["t"]).unwrap();
    let fault = world.on(OpKind::Fetch).topic("t").partition(0).fail(RETRIABLE);
    assert_eq!(poll_values(&consumer, LONG).unwrap(), ["1", "3"]);
    world.send(1, "5");
    assert_eq!(poll_values(&consumer, LONG).unwrap(), ["5"]);
    assert!(fault.hits() >= 1);
    fault.remove();
    assert_eq!(poll_values(&consumer, LONG).unwrap(), ["0", "2"]);
}

#[test]
fn only_the_partitions_of_a_commit_that_are_meant_fail() {
    let world = World::new();
    let consumer = assigned(&world);
    let both: Offsets = [(("t", 0), 1), (("t", 1), 2)].into_iter().collect();
    let fault = world.on(OpKind::Commit).topic("t").partition(1).fail(ErrorCode::InvalidRequest);
    let error = consumer.commit_offsets(&both).unwrap_err();
    assert_eq!(error.topic_partition(), Some(&("t", 1).into()));
    let committed = |partition| {
        let committed = consumer.committed(&("t", partition).into()).unwrap();
        committed.map(|committed| committed.offset())
    };
    assert_eq!((committed(0), committed(1), fault.hits()), (Some(1), None, 1));
    consumer.commit_offsets(&position(0, 2)).unwrap();
    assert_eq!((committed(0), fault.hits()), (Some(2), 1));
}

#[test]
fn what_does_not_fit_a_selector_is_not_struck() {
    let world = World::new();
    let (mine, other) = (world.consumer("mine"), world.consumer("other"));
    let commit = |consumer: &Consumer| consumer.commit_offsets(&position(0, 1));
    let on = || world.on(OpKind::Commit);
    let faults = [
        on().topic("u").surface(RETRIABLE),
        on().topic("t").partition(1).surface(RETRIABLE),
        on().group("nobody").surface(RETRIABLE),
        on().client_id("c-nobody").surface(RETRIABLE),
        on().transactional_id("x").surface(RETRIABLE),
        on().when(|operation| operation.group() == Some("nobody")).surface(RETRIABLE),
        on().times(0).surface(RETRIABLE),
        world.on(OpKind::TxnOffsetCommit).surface(RETRIABLE),
    ];
    commit(&mine).unwrap();
    assert!(faults.iter().all(|fault| fault.hits() == 0));
    world.clear();
    let select: [&dyn Fn(FaultBuilder) -> FaultBuilder; 5] = [
        &|fault| fault.topic("t"),
        &|fault| fault.partition(0),
        &|fault| fault.group("mine"),
        &|fault| fault.client_id("c-mine"),
        &|fault| fault.when(|operation| operation.partitions() == [("t", 0).into()]),
    ];
    for (number, select) in select.iter().enumerate() {
        let fault = select(on().group("mine")).surface(RETRIABLE);
        commit(&other).unwrap();
        commit(&mine).unwrap_err();
        assert_eq!(fault.hits(), 1, "{number}");
        world.clear();
    }
}

#[test]
fn the_first_fault_that_fits_strikes() {
    let world = World::new();
    let consumer = assigned(&world);
    let first = world.on(OpKind::Commit).times(1).surface(ErrorCode::InvalidRequest);
    let second = world.on(OpKind::Commit).surface(RETRIABLE);
    let codes: Vec<_> = (0..3)
        .map(|_| consumer.commit_offsets(&position(0, 1)).unwrap_err().code().unwrap())
        .collect();
    assert_eq!(codes, [ErrorCode::InvalidRequest, RETRIABLE, RETRIABLE]);
    assert_eq!((first.hits(), second.hits()), (1, 2));
    assert!(second.wait(2, Duration::ZERO) && !second.wait(3, Duration::from_millis(1)));
}

#[test]
fn a_commit_made_later_is_not_tried_again() {
    let world = World::new();
    let consumer = assigned(&world);
    world.on(OpKind::Commit).times(1).fail(RETRIABLE);
    let error = consumer.commit_async().wait().unwrap_err();
    assert_eq!(error.code(), Some(RETRIABLE));
    consumer.commit_async().wait().unwrap();
}

#[test]
fn an_auto_commit_that_fails_in_passing_comes_again() {
    let world = World::new();
    let settings =
        world.broker.consumer().group_id("auto").auto_offset_reset(OffsetReset::Earliest);
    let settings = settings.auto_commit_interval(Duration::from_secs(1));
    let consumer = settings.build().unwrap();
    consumer.subscribe(["t"]).unwrap();
    assert_eq!(consumer.poll(LONG).unwrap().len(), 4);
    let fault = world.on(OpKind::Commit).times(2).fail(RETRIABLE);
    assert!(consumer.poll(Duration::from_secs(3)).unwrap().is_empty());
    assert_eq!(fault.hits(), 2);
    let committed = consumer.committed(&("t", 0).into()).unwrap();
    assert_eq!(committed.map(|committed| committed.offset()), Some(2));
}

#[test]
fn leaving_a_group_can_fail_and_the_group_finds_out_by_itself() {
    let world = World::new();
    let first = world.consumer("g");
    first.subscribe(["t"]).unwrap();
    first.poll(LONG).unwrap();
    world.on(OpKind::LeaveGroup).times(1).fail(RETRIABLE);
    first.close().unwrap();
    let group = world.broker.group("g");
    assert_eq!(group.describe().unwrap().members.len(), 1);
    let second = world.consumer("g");
    second.subscribe(["t"]).unwrap();
    // `max.poll.interval.ms` later the one that is gone does not count any more.
    let (polled, took) = world.passed(|| second.poll(LONG * 6));
    assert_eq!(polled.unwrap().len(), 4);
    assert!(took <= Duration::from_secs(300), "{took:?}");
    world.on(OpKind::LeaveGroup).times(1).fail(ErrorCode::InvalidRequest);
    assert_eq!(second.close().unwrap_err().code(), Some(ErrorCode::InvalidRequest));
}

#[test]
fn operations_of_a_transaction_fail_and_are_tried_again() {
    let kinds = [OpKind::AddPartitionsToTxn, OpKind::TxnOffsetCommit, OpKind::EndTxn];
    for kind in kinds {
        for applied in [false, true] {
            for commits in [true, false] {
                let world = World::new();
                let mut producer = world.broker.producer().build_transactional("id").unwrap();
                let group = logreel::consumer::GroupMetadata::without_members("g");
                let fault = world.on(kind).transactional_id("id").times(2);
                let fault = match applied {
                    true => fault.apply_then_fail(RETRIABLE),
                    false => fault.fail(RETRIABLE),
                };
                for round in 0..2 {
                    let transaction = producer.begin().unwrap();
                    let record = ProducerRecord::to("t").partition(0).value("in");
                    transaction.send(record).wait().unwrap();
                    transaction.send_offsets(&position(1, 1), &group).unwrap();
                    let ended = if commits { transaction.commit() } else { transaction.abort() };
                    ended.unwrap_or_else(|error| panic!("{kind} {applied} {round}: {error}"));
                }
                let what = format!("{kind}, applied: {applied}, commits: {commits}");
                assert_eq!(fault.hits(), 2, "{what}");
                let log = world.broker.topic("t").unwrap().partition(0).unwrap();
                // Two before, and each transaction has a record and a marker, however often.
                assert_eq!(log.log_end_offset(), 2 + 2 * 2, "{what}");
                assert_eq!(log.last_stable_offset(), log.high_watermark(), "{what}");
                let consumer = world.consumer("g");
                let committed = consumer.committed(&("t", 1).into()).unwrap();
                let committed = committed.map(|committed| committed.offset());
                assert_eq!(committed, commits.then_some(1), "{what}");
            }
        }
    }
}

#[test]
fn a_fatal_failure_of_a_transaction_comes_out_and_it_can_be_aborted() {
    for kind in [OpKind::AddPartitionsToTxn, OpKind::TxnOffsetCommit, OpKind::EndTxn] {
        let world = World::new();
        let mut producer = world.broker.producer().build_transactional("id").unwrap();
        let group = logreel::consumer::GroupMetadata::without_members("g");
        world.on(kind).times(1).surface(ErrorCode::InvalidTxnState);
        let transaction = producer.begin().unwrap();
        let sent = transaction.send(ProducerRecord::to("t").partition(0).value("in")).wait();
        let offsets = transaction.send_offsets(&position(1, 1), &group);
        let committed = transaction.commit();
        let errors = [sent.map(drop).err(), offsets.err(), committed.err()];
        let codes: Vec<_> = errors.iter().flatten().map(Error::code).collect();
        assert!(!codes.is_empty(), "{kind}");
        assert!(codes.iter().all(|code| *code == Some(ErrorCode::InvalidTxnState)), "{kind}");
        let transaction = producer.begin().unwrap();
        transaction.send(ProducerRecord::to("t").partition(0).value("in")).forget();
        transaction.commit().unwrap();
        let log = world.broker.topic("t").unwrap().partition(0).unwrap();
        assert_eq!(log.last_stable_offset(), log.high_watermark(), "{kind}");
    }
}

#[test]
fn a_producer_without_an_id_tries_again() {
    let world = World::new();
    let fault = world.on(OpKind::InitProducer).times(2).fail(RETRIABLE);
    world.send(0, "x");
    assert_eq!(fault.hits(), 2);
    world.on(OpKind::Produce).times(1).surface(ErrorCode::NotEnoughReplicas);
    let producer = world.broker.producer().build().unwrap();
    let sent = producer.send(ProducerRecord::to("t").partition(0).value("y")).wait();
    assert_eq!(sent.unwrap_err().code(), Some(ErrorCode::NotEnoughReplicas));
    let delay = Duration::from_millis(7);
    world.on(OpKind::Produce).times(1).delay(delay);
    let (sent, took) =
        world.passed(|| producer.send(ProducerRecord::to("t").partition(0).value("y")).wait());
    sent.unwrap();
    assert_eq!(took, delay);
}

#[test]
fn a_topic_that_is_made_by_itself_waits_for_its_turn() {
    let world = World::new();
    let fault = world.on(OpKind::CreateTopics).topic("auto").times(2).fail(RETRIABLE);
    let producer = world.broker.producer().build().unwrap();
    producer.send(ProducerRecord::to("auto").value("x")).wait().unwrap();
    assert_eq!(fault.hits(), 2);
    let fault = world.on(OpKind::CreateTopics).topic("other").times(2).fail(RETRIABLE);
    let consumer = world.consumer("g");
    consumer.subscribe(["other"]).unwrap();
    assert!(consumer.poll(BACKOFF * 3).unwrap().is_empty());
    assert_eq!((fault.hits(), consumer.assignment().len()), (2, 1));
}

#[test]
fn a_barrier_holds_an_operation_back_while_others_act() {
    let world = World::new();
    let consumer = Arc::new(world.consumer("g"));
    consumer.subscribe(["t"]).unwrap();
    consumer.poll(LONG).unwrap();
    let barrier = world.on(OpKind::Commit).group("g").pause();
    let before = world.clock.wall_millis();
    let committing = std::thread::spawn({
        let consumer = Arc::clone(&consumer);
        move || consumer.commit_offsets(&position(0, 1))
    });
    barrier.wait_entered(LONG).unwrap();
    assert_eq!(barrier.entered(), 1);
    // The group goes on without it.
    let member = consumer.group_metadata().unwrap();
    world.broker.testing().group("g").expire_member(member.member_id().unwrap()).unwrap();
    barrier.release();
    let error = committing.join().unwrap().unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::UnknownMemberId));
    assert_eq!(world.clock.wall_millis(), before, "no time passed");
    let barrier = world.on(OpKind::Commit).pause();
    let error = barrier.wait_entered(Duration::from_millis(1)).unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::RequestTimedOut));
    // Dropped, it holds nobody back.
    drop(barrier);
    world.consumer("h").commit_offsets(&position(0, 1)).unwrap();
}

#[test]
fn a_fault_that_never_struck_is_told_of() {
    let world = World::new();
    let consumer = assigned(&world);
    world.on(OpKind::Commit).group("g").surface(RETRIABLE);
    world.on(OpKind::EndTxn).transactional_id("typo").surface(RETRIABLE);
    consumer.commit_offsets(&position(0, 1)).unwrap_err();
    let faults = world.broker.testing().faults().clone();
    let told = std::panic::catch_unwind(AssertUnwindSafe(|| faults.assert_all_hit())).unwrap_err();
    let told = told.downcast_ref::<String>().unwrap();
    assert_eq!(told, "faults that never struck: EndTxn transactional.id=typo");
    world.clear();
    faults.assert_all_hit();
}

/// Parks until it is woken: a future whose wake-up is lost hangs.
struct Parked(std::thread::Thread);

impl std::task::Wake for Parked {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = std::pin::pin!(future);
    let waker = std::task::Waker::from(Arc::new(Parked(std::thread::current())));
    let mut context = std::task::Context::from_waker(&waker);
    loop {
        match future.as_mut().poll(&mut context) {
            std::task::Poll::Ready(output) => return output,
            std::task::Poll::Pending => std::thread::park(),
        }
    }
}

#[test]
fn futures_wait_for_what_is_tried_again() {
    for clock in [None, Some(MockClock::at_millis(NOW))] {
        for kind in [OpKind::JoinGroup, OpKind::FetchOffsets, OpKind::Fetch, OpKind::Produce] {
            let builder = Broker::builder().topic("t");
            let builder = match &clock {
                Some(clock) => builder.clock(clock),
                None => builder,
            };
            let broker = builder.open().unwrap();
            let fault = broker.testing().faults().on(kind).times(2).fail(RETRIABLE);
            let producer = broker.producer().build().unwrap();
            block_on(producer.send(ProducerRecord::to("t").value("v"))).unwrap();
            let settings = broker.consumer().group_id("g").auto_offset_reset(OffsetReset::Earliest);
            let consumer = settings.build().unwrap();
            consumer.subscribe(["t"]).unwrap();
            let record = block_on(consumer.recv()).unwrap();
            assert_eq!((record.offset, fault.hits()), (0, 2), "{kind}");
        }
    }
}

/// A record that is there comes at once, though another partition rests.
#[test]
fn a_partition_that_rests_does_not_hold_up_a_poll_that_waits() {
    let broker = Broker::builder().topic(NewTopic::new("t").partitions(2)).open().unwrap();
    let producer = broker.producer().build().unwrap();
    let send = |partition| {
        producer.send(ProducerRecord::to("t").partition(partition).value("v")).wait().unwrap();
    };
    send(0);
    let consumer = Arc::new(broker.consumer().build().unwrap());
    consumer.assign([("t", 0), ("t", 1)]).unwrap();
    consumer.seek_to_beginning([("t", 0), ("t", 1)]).unwrap();
    let faults = broker.testing().faults().clone();
    let fault = faults.on(OpKind::Fetch).partition(0).delay(Duration::from_secs(3600));
    let polling = std::thread::spawn({
        let consumer = Arc::clone(&consumer);
        move || consumer.poll(LONG).unwrap().to_vec()
    });
    assert!(fault.wait(1, LONG));
    send(1);
    let records = polling.join().unwrap();
    assert_eq!(records.iter().map(|record| record.partition).collect::<Vec<_>>(), [1]);
}
