//! Makes one target of a body: libFuzzer's under `cargo fuzz`, else a program that replays the
//! files and directories given as arguments, which builds on stable.

macro_rules! fuzz_main {
    ($run:path) => {
        #[cfg(fuzzing)]
        libfuzzer_sys::fuzz_target!(|data: &[u8]| $run(data));

        #[cfg(not(fuzzing))]
        fn main() -> std::io::Result<()> {
            let mut paths: Vec<std::path::PathBuf> =
                std::env::args_os().skip(1).map(Into::into).collect();
            let mut replayed = 0;
            while let Some(path) = paths.pop() {
                if path.is_dir() {
                    for entry in std::fs::read_dir(&path)? {
                        paths.push(entry?.path());
                    }
                } else {
                    // Named before it runs: after a crash the last line says which file it was.
                    eprintln!("{}", path.display());
                    $run(&std::fs::read(&path)?);
                    replayed += 1;
                }
            }
            eprintln!("replayed {replayed} files");
            Ok(())
        }
    };
}
