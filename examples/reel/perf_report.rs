//! The lines of a performance test: rates and latencies, as Kafka's `kafka-producer-perf-test`
//! prints them.
//!
//! Latencies are taken in microseconds, as an append in the same process takes few of them. Where
//! Kafka prints whole milliseconds, so does this.

use std::time::{Duration, Instant};

/// How often a line is printed.
const WINDOW: Duration = Duration::from_secs(5);

/// From how many records percentiles are computed, or up to twice as many.
const SAMPLES: u64 = 500_000;

const MB: f64 = 1024.0 * 1024.0;

/// A whole run, and what of it came after the warmup.
#[derive(Debug)]
pub(crate) struct Report {
    records: u64,
    warmup: u64,
    whole: Stats,
    steady: Option<Stats>,
}

impl Report {
    pub(crate) fn new(records: u64, warmup: u64) -> Self {
        Self { records, warmup, whole: Stats::new(records), steady: None }
    }

    /// The first record behind the warmup is about to be sent.
    pub(crate) fn end_warmup(&mut self) {
        let records = self.records.saturating_sub(self.warmup);
        self.steady.get_or_insert_with(|| Stats::new(records));
    }

    /// Counts the delivery of the record with this number. Answers what is to be printed now.
    pub(crate) fn record(&mut self, number: u64, bytes: u64, latency: Duration) -> Option<String> {
        let is_steady = self.warmup > 0 && number >= self.warmup;
        if is_steady {
            // The thread that sends the first of these may be slower than the others.
            self.end_warmup();
        }
        let window = self.whole.record(bytes, latency);
        let Some(steady) = &mut self.steady else { return window };
        if !is_steady {
            return None;
        }
        let begins = steady.whole.records == steady.window.records;
        let window = steady.record(bytes, latency)?;
        Some(if begins { format!("In steady state.\n{window}") } else { window })
    }

    /// The lines at the end.
    pub(crate) fn end(&mut self) -> String {
        let mut lines = self.whole.end("");
        if let Some(steady) = &mut self.steady {
            lines.push('\n');
            lines.push_str(&steady.end(" steady state"));
        }
        lines
    }
}

#[derive(Debug)]
struct Stats {
    begun: Instant,
    whole: Sums,
    window_begun: Instant,
    window: Sums,
    /// The latency in microseconds of every so many-th record.
    samples: Vec<u32>,
    sample_every: u64,
}

impl Stats {
    fn new(records: u64) -> Self {
        let now = Instant::now();
        Self {
            begun: now,
            whole: Sums::default(),
            window_begun: now,
            window: Sums::default(),
            samples: Vec::new(),
            sample_every: (records / SAMPLES).max(1),
        }
    }

    /// Answers the line of a window that is over.
    fn record(&mut self, bytes: u64, latency: Duration) -> Option<String> {
        if self.whole.records.is_multiple_of(self.sample_every) {
            self.samples.push(u32::try_from(latency.as_micros()).unwrap_or(u32::MAX));
        }
        self.whole.add(bytes, latency);
        self.window.add(bytes, latency);
        let elapsed = self.window_begun.elapsed();
        if elapsed < WINDOW {
            return None;
        }
        let window = std::mem::take(&mut self.window);
        self.window_begun = Instant::now();
        Some(format!(
            "{} records sent, {:.1} records/sec ({:.2} MB/sec), {:.1} ms avg latency, \
             {:.1} ms max latency.",
            window.records,
            window.records_per_second(elapsed),
            window.mb_per_second(elapsed),
            window.average_latency(),
            window.max_latency(),
        ))
    }

    /// The line at the end; `kind` stands behind the number of records.
    fn end(&mut self, kind: &str) -> String {
        let elapsed = self.begun.elapsed();
        self.samples.sort_unstable();
        let [half, most, nearly_all, all_but_few] =
            [500, 950, 990, 999].map(|permille| percentile(&self.samples, permille));
        format!(
            "{}{kind} records sent, {:.6} records/sec ({:.2} MB/sec), {:.2} ms avg latency, \
             {:.2} ms max latency, {half} ms 50th, {most} ms 95th, {nearly_all} ms 99th, \
             {all_but_few} ms 99.9th.",
            self.whole.records,
            self.whole.records_per_second(elapsed),
            self.whole.mb_per_second(elapsed),
            self.whole.average_latency(),
            self.whole.max_latency(),
        )
    }
}

/// In whole milliseconds, of latencies in ascending order; 0 where there are none.
fn percentile(samples: &[u32], permille: usize) -> u32 {
    samples.get(samples.len() * permille / 1000).map_or(0, |micros| micros / 1000)
}

#[derive(Debug, Default)]
struct Sums {
    records: u64,
    bytes: u64,
    latency: Duration,
    longest: Duration,
}

impl Sums {
    fn add(&mut self, bytes: u64, latency: Duration) {
        self.records += 1;
        self.bytes += bytes;
        self.latency += latency;
        self.longest = self.longest.max(latency);
    }

    fn records_per_second(&self, elapsed: Duration) -> f64 {
        self.records as f64 / elapsed.as_secs_f64()
    }

    fn mb_per_second(&self, elapsed: Duration) -> f64 {
        self.bytes as f64 / MB / elapsed.as_secs_f64()
    }

    /// In milliseconds.
    fn average_latency(&self) -> f64 {
        self.latency.as_secs_f64() * 1000.0 / self.records.max(1) as f64
    }

    /// In milliseconds.
    fn max_latency(&self) -> f64 {
        self.longest.as_secs_f64() * 1000.0
    }
}
