//! A few threads that use a broker as a program does, once for every schedule.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout, reason = "these are tests")]

mod runs;

mod reading;

use runs::run;

#[test]
fn publish_and_read() {
    run("publish_and_read", reading::publish_and_read);
}
