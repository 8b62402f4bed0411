//! What a rebalance of a large group costs, beside what its assignor alone costs. Everything runs
//! on one thread over memory, so time is processor time.
#![allow(clippy::unwrap_used, missing_docs, reason = "a benchmark that cannot run may panic")]

use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::Duration;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use logreel::consumer::{Assignor, CooperativeStickyAssignor, RangeAssignor, Subscription};
use logreel::{Broker, Consumer, NewTopic};

const MEMBERS: usize = 200;
const PARTITIONS: i32 = 1000;

fn join(broker: &Broker, assignor: impl Assignor + 'static) -> Consumer {
    let consumer = broker.consumer().group_id("g").assignor(assignor).build().unwrap();
    consumer.subscribe(["t"]).unwrap();
    consumer
}

/// Everybody polls until nothing moves any more.
fn settle(members: &[Consumer]) {
    let mut quiet = 0;
    while quiet < 2 {
        let generations = || -> Vec<_> { members.iter().map(Consumer::group_metadata).collect() };
        let before = generations();
        for member in members {
            member.poll(Duration::ZERO).unwrap();
        }
        quiet = if before == generations() { quiet + 1 } else { 0 };
    }
}

fn group_of<A: Assignor + Copy + 'static>(assignor: A) -> (Broker, Vec<Consumer>) {
    let broker = Broker::in_memory();
    broker.create_topic(NewTopic::new("t").partitions(PARTITIONS)).unwrap();
    let members = (0..MEMBERS).map(|_| join(&broker, assignor)).collect();
    (broker, members)
}

fn rebalances<A: Assignor + Copy + 'static>(c: &mut Criterion, name: &str, assignor: A) {
    let mut group =
        c.benchmark_group(format!("{MEMBERS} members, {PARTITIONS} partitions, {name}"));
    group.sample_size(10);
    group.bench_function("the assignor alone", |b| {
        let partitions = BTreeMap::from([("t".to_owned(), PARTITIONS)]);
        let members: Vec<Subscription> =
            (0..MEMBERS).map(|n| Subscription::new(format!("m{n}"), ["t"])).collect();
        b.iter(|| black_box(assignor.assign(&partitions, &members)));
    });
    group.bench_function("all of them join", |b| {
        let setup = || group_of(assignor);
        b.iter_batched_ref(setup, |(_, members)| settle(members), BatchSize::PerIteration);
    });
    group.bench_function("one leaves and one joins", |b| {
        let setup = || {
            let (broker, members) = group_of(assignor);
            settle(&members);
            (broker, members)
        };
        let routine = |(broker, members): &mut (Broker, Vec<Consumer>)| {
            drop(members.remove(0));
            settle(members);
            members.push(join(broker, assignor));
            settle(members);
        };
        b.iter_batched_ref(setup, routine, BatchSize::PerIteration);
    });
    group.finish();
}

fn eager(c: &mut Criterion) {
    rebalances(c, "range", RangeAssignor);
}

fn cooperative(c: &mut Criterion) {
    rebalances(c, "cooperative-sticky", CooperativeStickyAssignor);
}

criterion_group!(benches, eager, cooperative);
criterion_main!(benches);
