//! A few threads that use a broker as a program does, once for every schedule.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout, reason = "these are tests")]

mod closing;
mod durability;
mod groups;
mod producers;
mod reading;
mod runs;
mod segments;

use runs::run;

macro_rules! models {
    ($($module:ident: $($model:ident)+;)+) => {$($(
        #[test]
        fn $model() {
            run(stringify!($model), $module::$model);
        }
    )+)+};
}

models! {
    reading: publish_and_read wakeups topics_that_come;
    durability: group_commit group_commit_over_rolls commits_beside_sends;
    producers: deliveries_awaited sends_awaited two_idempotent_producers
        one_producer_of_many_threads;
    segments: readers_beside_deletion readers_beside_retention readers_beside_compaction;
    closing: close_races close_beside_appends close_in_a_callback last_handles;
    groups: joining_and_leaving;
}
