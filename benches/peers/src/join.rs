//! Who takes part in which workload, and the goals that name them.
//!
//! A rate is a rate: who is slow gets fewer records, so that all of it takes minutes.

use parking_lot::Mutex;

use crate::channels::{self, BROADCAST, CROSSBEAM, FLUME, STD};
use crate::compete::{batches, consume, durable, each, random, threads};
use crate::logs::commitlog::Commitlog;
use crate::logs::kafko::Broker as Kafko;
#[cfg(feature = "raft-engine")]
use crate::logs::raft::RaftEngine;
use crate::logs::redb::Redb;
use crate::logs::seglog::Seglog;
use crate::logs::yaque::Yaque;
use crate::work::Scale;
use crate::work::durable::PREALLOCATED;
use crate::work::goal::Against;
use crate::work::measure::{Survives, Workload};
use crate::work::produce::records;

/// Adds the peers to the workload of this name.
pub fn join(name: &str, scale: Scale, work: Workload) -> Workload {
    match name {
        "send" => send(work, scale, 100),
        "send-1k" => send(work, scale, 1024),
        "wait" => wait(work, scale, 100),
        "wait-1k" => wait(work, scale, 1024),
        "batches" => hundreds(work, scale, 100),
        "batches-1k" => hundreds(work, scale, 1024),
        "threads" => four_threads(work, scale, 100),
        "threads-1k" => four_threads(work, scale, 1024),
        "durable" => one_durable(work, scale, 100),
        "durable-1k" => one_durable(work, scale, 1024),
        "durable-threads" => eight_durable(work, scale),
        "consume" => everything(work, scale, 100),
        "consume-1k" => everything(work, scale, 1024),
        "random" => anywhere(work, scale),
        "bus-latency" => bus_latency(work, scale),
        "bus-rate" => bus_rate(work, scale),
        _ => work,
    }
}

fn send(work: Workload, scale: Scale, size: usize) -> Workload {
    let work = each::<Seglog>(work, Survives::Nothing, size, records(scale, size, 500_000));
    work.goal_of("logreel, batch.size 64 KiB", 1.0, Against::BestPeer)
}

fn wait(work: Workload, scale: Scale, size: usize) -> Workload {
    let few = records(scale, size, 100_000);
    let mut work = each::<Kafko<2>>(work, Survives::Process, size, few / 2);
    work = each::<Kafko<0>>(work, Survives::Process, size, few / 2);
    work = each::<Commitlog>(work, Survives::Process, size, few);
    work = each::<Yaque>(work, Survives::Process, size, few);
    #[cfg(feature = "raft-engine")]
    {
        work = each::<RaftEngine>(work, Survives::Process, size, few);
    }
    work.goal("logreel", 2.5, "kafko").stretch("logreel", 2.5, Against::One("kafko, one thread"))
}

fn hundreds(work: Workload, scale: Scale, size: usize) -> Workload {
    let many = records(scale, size, 400_000);
    let mut work = batches::<Seglog>(work, Survives::Process, size, many);
    work = batches::<Commitlog>(work, Survives::Process, size, many);
    work = batches::<Yaque>(work, Survives::Process, size, many);
    work = batches::<Kafko<0>>(work, Survives::Process, size, many / 2);
    work = batches::<Redb>(work, Survives::Nothing, size, many / 4);
    #[cfg(feature = "raft-engine")]
    {
        work = batches::<RaftEngine>(work, Survives::Process, size, many / 2);
    }
    work.goal_of("logreel, send_batch", 1.0, Against::BestPeer).goal_of(
        "logreel, Partition::append",
        1.0,
        Against::BestPeer,
    )
}

fn four_threads(work: Workload, scale: Scale, size: usize) -> Workload {
    let few = records(scale, size, 25_000);
    let mut work = threads::<Seglog>(work, Survives::Nothing, size, 10 * few);
    work = threads::<Yaque>(work, Survives::Process, size, 2 * few);
    work = threads::<Commitlog>(work, Survives::Process, size, 2 * few);
    work = threads::<Kafko<0>>(work, Survives::Process, size, few);
    #[cfg(feature = "raft-engine")]
    {
        work = threads::<RaftEngine>(work, Survives::Process, size, few);
    }
    work.goal_of("logreel, batch.size 64 KiB", 1.0, Against::BestPeer)
}

fn one_durable(work: Workload, scale: Scale, size: usize) -> Workload {
    let count = scale.records(1_000);
    let mut work = durable::<Mutex<Seglog>>(work, size, 1, count);
    work = durable::<Redb>(work, size, 1, count);
    work = durable::<Kafko<2>>(work, size, 1, count);
    #[cfg(feature = "raft-engine")]
    {
        work = durable::<RaftEngine>(work, size, 1, count);
    }
    if work.has(PREALLOCATED) {
        work = work.goal_of(PREALLOCATED, 1.0, Against::BestPeer);
    }
    work
}

fn eight_durable(work: Workload, scale: Scale) -> Workload {
    let each = scale.records(500);
    let mut work = durable::<Mutex<Seglog>>(work, 100, 8, each / 3);
    work = durable::<Redb>(work, 100, 8, each / 3);
    work = durable::<Kafko<2>>(work, 100, 8, each / 3);
    #[cfg(feature = "raft-engine")]
    {
        work = durable::<RaftEngine>(work, 100, 8, each).goal("logreel", 1.0, "raft-engine");
    }
    work
}

/// Without yaque, which has no checksum to check.
fn everything(work: Workload, scale: Scale, size: usize) -> Workload {
    let many = records(scale, size, 1_000_000);
    let mut work = consume::<Commitlog>(work, size, many);
    work = consume::<Seglog>(work, size, many);
    work = consume::<Redb>(work, size, many);
    work = consume::<Kafko<0>>(work, size, many / 100);
    #[cfg(feature = "raft-engine")]
    {
        work = consume::<RaftEngine>(work, size, many / 2);
    }
    work.goal_of("logreel", 1.0, Against::BestPeer)
}

fn anywhere(work: Workload, scale: Scale) -> Workload {
    let (all, reads) = (scale.records(1_000_000), scale.records(100_000));
    let mut work = random::<Redb>(work, 100, all, reads);
    work = random::<Seglog>(work, 100, all, reads);
    work = random::<Commitlog>(work, 100, all, reads);
    work = random::<Kafko<0>>(work, 100, all, reads / 50);
    #[cfg(feature = "raft-engine")]
    {
        work = random::<RaftEngine>(work, 100, all, reads);
    }
    work.goal_of("logreel, active segment, no CRC", 1.0, Against::BestPeer)
}

fn bus_latency(work: Workload, scale: Scale) -> Workload {
    const CHANNELS: &[&str] = &[FLUME, BROADCAST, STD, CROSSBEAM];
    channels::latency(work, scale.records(5_000))
        .goal_of("logreel on disk", 1.0, Against::Worst(CHANNELS))
        .stretch("logreel on disk", 1.0, Against::Middle(CHANNELS))
}

fn bus_rate(work: Workload, scale: Scale) -> Workload {
    channels::rate(work, scale.records(500_000), scale.records(20_000))
        .goal("logreel on disk", 1.0, BROADCAST)
        .goal("logreel in memory", 1.0, BROADCAST)
        .goal("logreel on disk", 10.0, "yaque")
}
