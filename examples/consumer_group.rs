//! Members of a consumer group come and go, and four partitions move between them: the classic
//! demonstration, in one process.
//!
//! ```text
//! cargo run --release --example consumer_group
//! ```
//!
//! Each member is a thread that polls. One by one five of them join; the fifth has nothing to do
//! until another dies without a word. Nothing is lost on the way.
#![allow(clippy::print_stdout, reason = "a program that tells what it does")]

use std::collections::BTreeSet;
use std::error::Error;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use logreel::{
    Broker, ConsumerGroup, ErrorKind, NewTopic, OffsetReset, ProducerRecord, WakeupHandle,
};

const PATIENCE: Duration = Duration::from_secs(20);
const JOBS_PER_STEP: i32 = 100;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// A member that polls on a thread of its own.
struct Member {
    stop: WakeupHandle,
    thread: JoinHandle<Outcome<()>>,
}

impl Member {
    fn start(group: &ConsumerGroup, name: &str, done: mpsc::Sender<String>) -> Outcome<Self> {
        let settings = group.member().client_id(name).enable_auto_commit(false);
        let consumer = settings.auto_offset_reset(OffsetReset::Earliest).build()?;
        consumer.subscribe(["jobs"])?;
        let stop = consumer.wakeup_handle();
        let thread = thread::spawn(move || {
            loop {
                let jobs = match consumer.poll(Duration::MAX) {
                    Ok(jobs) => jobs,
                    // Dies here: the consumer is dropped, nothing is committed or closed.
                    Err(error) if error.kind() == ErrorKind::Wakeup => return Ok(()),
                    Err(error) => return Err(error.into()),
                };
                for job in &jobs {
                    done.send(String::from_utf8_lossy(job.value().unwrap_or_default()).into())?;
                }
                // Done first, committed then: at least once. While the group changes a commit may
                // be refused; whoever gets the partition does the jobs again.
                match consumer.commit() {
                    Err(error) if error.is_rebalance() => {}
                    committed => committed?,
                }
            }
        });
        Ok(Self { stop, thread })
    }

    fn end(self) -> Outcome<()> {
        self.stop.wakeup();
        self.thread.join().map_err(|_| "a member panicked")?
    }
}

fn main() -> Outcome<()> {
    let broker = Broker::in_memory();
    broker.create_topic(NewTopic::new("jobs").partitions(4))?;
    let group = broker.group("workers");
    let producer = broker.producer().build()?;
    let (done, finished) = mpsc::channel();
    let mut sent = 0;
    let mut seen = BTreeSet::new();
    let mut send_and_wait = || -> Outcome<()> {
        for number in sent..sent + JOBS_PER_STEP {
            let record = ProducerRecord::to("jobs").partition(number % 4);
            producer.send(record.value(number.to_string())).forget();
        }
        producer.flush(PATIENCE)?;
        sent += JOBS_PER_STEP;
        while seen.len() < usize::try_from(sent)? {
            seen.insert(finished.recv_timeout(PATIENCE)?);
        }
        println!("{sent} jobs were sent, all of them were done");
        Ok(())
    };

    let mut members = Vec::new();
    let shares: [&[usize]; 5] = [&[4], &[2, 2], &[2, 1, 1], &[1, 1, 1, 1], &[1, 1, 1, 1, 0]];
    for (count, wanted) in (1..).zip(shares) {
        members.push(Member::start(&group, &format!("m{count}"), done.clone())?);
        show(&group, count, wanted)?;
        send_and_wait()?;
    }

    println!("m1 dies");
    members.remove(0).end()?;
    show(&group, 4, &[1, 1, 1, 1])?;
    send_and_wait()?;
    members.into_iter().try_for_each(Member::end)
}

/// Waits until the group is in balance, prints who has what, and checks it.
fn show(group: &ConsumerGroup, members: usize, wanted: &[usize]) -> Outcome<()> {
    let description = group.wait_stable(members, PATIENCE)?;
    let mut shares = Vec::new();
    for member in &description.members {
        let numbers: Vec<String> =
            member.assignment.iter().map(|tp| tp.partition().to_string()).collect();
        print!("{}: [{}]  ", member.client_id, numbers.join(" "));
        shares.push(numbers.len());
    }
    println!();
    if shares != wanted {
        return Err(format!("the shares are {shares:?}, not {wanted:?}").into());
    }
    Ok(())
}
