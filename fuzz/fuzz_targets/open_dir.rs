#![cfg_attr(fuzzing, no_main)]

#[macro_use]
mod shim;
#[path = "open_dir_body.rs"]
mod body;
mod script;

fuzz_main!(body::run);
