//! The crate brings no runtime: what a user builds with every feature has none in it.

use std::collections::BTreeSet;
use std::process::Command;

/// The names of all packages that the crate is built with, on every platform.
fn packages(edges: &str) -> BTreeSet<String> {
    let mut tree = Command::new(env!("CARGO"));
    tree.current_dir(env!("CARGO_MANIFEST_DIR"));
    tree.args(["tree", "--locked", "--offline", "--all-features", "--target", "all"]);
    tree.args(["--edges", edges, "--prefix", "none", "--format", "{p}"]);
    let output = tree.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect()
}

fn runtimes(packages: &BTreeSet<String>) -> Vec<&String> {
    let names = ["tokio", "smol", "mio", "polling", "pollster", "blocking", "monoio", "glommio"];
    let is_one = |name: &&String| {
        let starts = ["tokio-", "async-", "futures-executor", "embassy"];
        names.contains(&name.as_str()) || starts.iter().any(|start| name.starts_with(start))
    };
    packages.iter().filter(is_one).collect()
}

#[test]
fn there_is_no_runtime_among_the_dependencies() {
    let built = packages("normal,build");
    // So that the question was understood.
    assert!(built.contains("logreel") && built.contains("bytes"), "{built:?}");
    assert!(built.contains("futures-core") && built.contains("serde_json"), "{built:?}");
    assert_eq!(runtimes(&built), Vec::<&String>::new());
    let tests = packages("normal,build,dev");
    assert!(runtimes(&tests).len() > 5, "those of these tests would be found: {tests:?}");
}
