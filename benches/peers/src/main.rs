//! Runs the workloads side by side and prints what they came to.
//!
//! ```text
//! cargo run --release --manifest-path benches/peers/Cargo.toml -- table
//! ```
//!
//! `table` prints the table of the README and everything that was measured; with `--write` it
//! puts them into `README.md` and `benches/RESULTS.md`. `growth` measures how cost grows, draws
//! it into `benches/plots` and prints the figures. Without a command each workload is reported as
//! soon as it is done. `--only NAME` runs one workload (may be given more than once), `--rounds
//! N` so many rounds (15), `--test` each once with few records, `--no-peers` leaves the others
//! out.

#[path = "../../work/mod.rs"]
mod work;

mod channels;
mod compete;
mod growth;
mod join;
mod logs;
mod machine;
mod table;

use std::path::Path;
use std::time::Instant;

use work::Scale;

fn main() {
    work::open::measure_if_told();
    let args: Vec<String> = std::env::args().skip(1).collect();
    let has = |name: &str| args.iter().any(|arg| arg == name);
    let values = |name: &str| -> Vec<String> {
        let pairs = args.windows(2).filter(|pair| pair[0] == name);
        pairs.map(|pair| pair[1].clone()).collect()
    };
    let is_table = args.first().is_some_and(|arg| arg == "table");
    let scale = Scale::from_args();
    let rounds = match scale {
        Scale::Test => 1,
        Scale::Full => values("--rounds").pop().map_or(15, |n| n.parse().expect("a number")),
    };
    if args.first().is_some_and(|arg| arg == "growth") {
        let scratch = tempfile::tempdir().unwrap();
        let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plots");
        let plots = if scale == Scale::Test { scratch.path() } else { &kept };
        return growth::run(scale, plots, &values("--only"));
    }
    let only = values("--only");
    let mut all = Vec::new();
    for (name, make) in work::all() {
        if !only.is_empty() && !only.iter().any(|only| only == name) {
            continue;
        }
        let began = Instant::now();
        let mut workload = make(scale);
        if !has("--no-peers") {
            workload = join::join(name, scale, workload);
        }
        let measured = workload.measure(rounds);
        if is_table {
            all.push(measured);
        } else {
            println!("{name}: {}", measured.report());
        }
        eprintln!("{name}: {:.1} s", began.elapsed().as_secs_f64());
    }
    if is_table {
        let command = "cargo run --release --manifest-path benches/peers/Cargo.toml -- table";
        let machine = machine::described(command);
        println!("{}\n{}", table::compact(&machine, &all), table::detailed(&machine, &all));
        if has("--write") {
            table::write(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../..")), &machine, &all);
        }
    }
}
