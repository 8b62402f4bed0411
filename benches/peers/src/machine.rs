//! What was measured on: figures without their machine say nothing.

use std::path::Path;
use std::process::Command;

use nix::sys::statvfs::statvfs;

/// When, where and how this runs, as a sentence.
pub fn described(command: &str) -> String {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let file = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let field = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default();
        line.split_once(':').map_or_else(String::new, |(_, value)| value.trim().to_owned())
    };
    let cpu = field(&file("/proc/cpuinfo"), "model name");
    let memory: f64 = field(&file("/proc/meminfo"), "MemTotal")
        .split_whitespace()
        .next()
        .and_then(|kib| kib.parse().ok())
        .unwrap_or_default();
    format!(
        "{date}, {cores} cores ({cpu}), {memory:.0} GiB, {file_system}, Linux {kernel}, {rustc}, \
         `{command}`",
        date = output("date", &["-u", "+%-d %B %Y"]),
        memory = memory / f64::from(1 << 20),
        file_system = file_system(&std::env::temp_dir()),
        kernel = file("/proc/sys/kernel/osrelease").trim(),
        rustc = output("rustc", &["--version"]).split(" (").next().unwrap_or_default(),
    )
}

fn output(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output();
    let said = output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    said.unwrap_or_else(|_| format!("{program} unknown"))
}

/// The kind of file system that a directory is on.
fn file_system(dir: &Path) -> String {
    let dir = dir.canonicalize().unwrap_or_else(|_| dir.to_owned());
    let mounts = std::fs::read_to_string("/proc/mounts").unwrap_or_default();
    let holds =
        |line: &&str| line.split_whitespace().nth(1).is_some_and(|mount| dir.starts_with(mount));
    let length = |line: &&str| line.split_whitespace().nth(1).map_or(0, str::len);
    let mount = mounts.lines().filter(holds).max_by_key(length);
    let kind = mount.and_then(|line| line.split_whitespace().nth(2));
    kind.unwrap_or("an unknown file system").to_owned()
}

/// Bytes that can still be written in a directory.
pub fn free_space(dir: &Path) -> u64 {
    statvfs(dir).map_or(0, |stat| stat.blocks_available() * stat.fragment_size())
}
