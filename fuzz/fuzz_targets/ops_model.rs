#![cfg_attr(fuzzing, no_main)]

#[macro_use]
mod shim;
#[path = "ops_model_body.rs"]
mod body;
mod script;

fuzz_main!(body::run);
