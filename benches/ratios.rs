//! Every workload under criterion: what logreel does beside what the machine allows for the same.
//!
//! ```text
//! cargo bench --bench ratios -- durable
//! ```
//!
//! A filter is a workload's name, or begins with it. Behind each group stand the ratios of the
//! medians of its figures. The table of the README comes from `benches/peers`, which runs the same
//! workloads in turns and beside other logs.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::indexing_slicing,
    missing_docs,
    missing_debug_implementations,
    reason = "a benchmark that cannot run may panic"
)]

mod work;

use std::time::Duration;

use criterion::{BenchmarkId, Criterion};
use work::measure::{Contestant, Role, Unit, Workload, median};
use work::{Make, Scale};

fn main() {
    work::open::measure_if_told();
    let scale = Scale::from_args();
    let mut criterion = Criterion::default().sample_size(10).configure_from_args();
    let all = work::all();
    let is_any_asked_for = all.iter().any(|(name, _)| is_asked_for(name));
    for (name, make) in all {
        if is_asked_for(name) || !is_any_asked_for {
            run(&mut criterion, name, make, scale);
        }
    }
    criterion.final_summary();
}

/// Whether the command line names this workload, or a part of its name. Making one takes time and
/// space on the disk.
fn is_asked_for(name: &str) -> bool {
    let mut filters = std::env::args().skip(1).filter(|arg| !arg.starts_with("--"));
    filters.any(|filter| filter.contains(name) || name.contains(&filter))
}

fn run(criterion: &mut Criterion, name: &str, make: Make, scale: Scale) {
    let mut workload = make(scale);
    println!("{name}: {} ({})", workload.name, workload.settings);
    let mut group = criterion.benchmark_group(name);
    // A round takes what it takes; this asks for about as few of them as there can be.
    group.warm_up_time(Duration::from_millis(1)).measurement_time(Duration::from_secs(1));
    let unit = workload.unit;
    let mut all = Vec::new();
    for contestant in &mut workload.contestants {
        let mut figures = Vec::new();
        if contestant.role != Role::Bound {
            let id = BenchmarkId::from_parameter(&contestant.name);
            group.bench_function(id, |bencher| {
                bencher.iter_custom(|rounds| measure(contestant, unit, rounds, &mut figures));
            });
        }
        all.push(figures);
    }
    group.finish();
    print_ratios(workload, all);
}

/// Runs so many rounds, keeps their figures and answers the time that they stand for: of one
/// record, or as many nanoseconds as there are bytes.
fn measure(
    contestant: &mut Contestant,
    unit: Unit,
    rounds: u64,
    figures: &mut Vec<f64>,
) -> Duration {
    let mut total = 0.0;
    for _ in 0..rounds {
        let figure = (contestant.run)();
        figures.push(figure);
        total += match unit {
            Unit::Rate => 1.0 / figure,
            Unit::Time => figure,
            Unit::Bytes => figure / 1e9,
        };
    }
    Duration::from_secs_f64(total)
}

/// Prints what each contestant of ours came to beside every limit. Contestants that a filter left
/// out have no figures.
fn print_ratios(mut workload: Workload, mut all: Vec<Vec<f64>>) {
    for (contestant, figures) in workload.contestants.iter_mut().zip(&mut all) {
        if contestant.role == Role::Bound {
            figures.push((contestant.run)());
        }
    }
    let who: Vec<(&Contestant, f64)> = workload
        .contestants
        .iter()
        .zip(all.iter().map(|figures| median(figures)))
        .filter(|(_, figure)| !figure.is_nan())
        .collect();
    let of = |ours: bool| {
        let chosen = move |role: Role| (role == Role::Logreel) == ours;
        who.iter().filter(move |(contestant, _)| chosen(contestant.role))
    };
    for (ours, figure) in of(true) {
        for (limit, allowed) in of(false) {
            let ratio = workload.unit.ratio(*figure, *allowed);
            let (figure, allowed) = (workload.unit.show(*figure), workload.unit.show(*allowed));
            println!("  {} {figure} / {} {allowed} = {ratio:.2}", ours.name, limit.name);
        }
    }
}
