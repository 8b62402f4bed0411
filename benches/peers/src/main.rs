//! Runs the workloads side by side and prints what they came to.
//!
//!     cargo run --release --manifest-path benches/peers/Cargo.toml -- table
//!
//! `--only NAME` runs one workload, `--rounds N` so many rounds (7), `--test` each once with few
//! records, `--no-peers` leaves the others out, `--text` prints reports in place of the table.

#[path = "../../work/mod.rs"]
mod work;

use work::Scale;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let value = |name: &str| {
        let at = args.iter().position(|arg| arg == name)?;
        args.get(at + 1).cloned()
    };
    let scale = Scale::from_args();
    let rounds = match scale {
        Scale::Test => 1,
        Scale::Full => value("--rounds").map_or(7, |n| n.parse().expect("a number of rounds")),
    };
    let only = value("--only");
    for (name, make) in work::all() {
        if only.as_ref().is_some_and(|only| only != name) {
            continue;
        }
        let measured = make(scale).measure(rounds);
        println!("{name}: {}", measured.report());
    }
}
