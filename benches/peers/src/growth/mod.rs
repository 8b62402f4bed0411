//! How cost grows: with the log, with partitions, threads and groups, while the log is cleaned,
//! and with what a consumer has not read.

mod latency;
mod log;
mod plot;
mod tail;
mod width;

use std::path::Path;
use std::time::Instant;

use plot::Plot;

use crate::machine;
use crate::work::Scale;

/// Measures everything, or `only` some of it, draws it into `plots` and prints the figures.
pub fn run(scale: Scale, plots: &Path, only: &[String]) {
    let command = "cargo run --release --manifest-path benches/peers/Cargo.toml -- growth";
    println!("## How cost grows\n\n{}.\n", machine::described(command));
    std::fs::create_dir_all(plots).unwrap();
    type Measure = fn(Scale) -> Vec<Plot>;
    // The growing log first: its memory is best measured before anything else has used any.
    let all: [(&str, Measure); 5] = [
        ("log", log::grows),
        ("partitions", width::partitions),
        ("threads", width::threads),
        ("groups", width::groups),
        ("latency", latency::disturbed),
    ];
    for (name, measure) in all {
        if !only.is_empty() && !only.iter().any(|only| only == name) {
            continue;
        }
        let began = Instant::now();
        for plot in measure(scale) {
            plot.draw(plots);
            println!("{}", plot.markdown());
        }
        eprintln!("{name}: {:.1} s", began.elapsed().as_secs_f64());
    }
}

/// Records a second, in thousands.
fn thousands(count: usize, began: Instant) -> f64 {
    count as f64 / began.elapsed().as_secs_f64() / 1e3
}
