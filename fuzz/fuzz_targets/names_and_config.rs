#![cfg_attr(fuzzing, no_main)]

#[macro_use]
mod shim;
#[path = "names_and_config_body.rs"]
mod body;
mod script;

fuzz_main!(body::run);
