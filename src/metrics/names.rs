//! Metrics as names and numbers.

use std::time::Duration;

use super::histogram::Latency;

/// A metric's value, by what is told of it.
pub(super) enum Value<'a> {
    Count(u64),
    Seconds(Duration),
    /// A ratio, told in percent.
    Percent(f64),
    Times(&'a Latency),
}

/// The numbers of metrics, each with its name.
pub(super) fn numbers(values: Vec<(&'static str, Value<'_>)>) -> std::vec::IntoIter<(String, f64)> {
    let mut numbers = Vec::with_capacity(values.len() * 2);
    for (name, value) in values {
        match value {
            Value::Count(count) => numbers.push((name.to_owned(), float(count))),
            Value::Seconds(time) => numbers.push((name.to_owned(), time.as_secs_f64())),
            Value::Percent(ratio) => numbers.push((name.to_owned(), ratio * 100.0)),
            Value::Times(latency) => {
                let mut tell =
                    |what: &str, number| numbers.push((format!("{name}:{what}"), number));
                let millis = |time: Option<Duration>| time.unwrap_or_default().as_secs_f64() * 1e3;
                tell("Count", float(latency.count()));
                tell("Mean", millis(latency.mean()));
                tell("Max", millis(latency.max()));
                tell("50thPercentile", millis(latency.quantile(0.5)));
                tell("99thPercentile", millis(latency.quantile(0.99)));
                tell("999thPercentile", millis(latency.quantile(0.999)));
            }
        }
    }
    numbers.into_iter()
}

#[expect(clippy::cast_precision_loss, reason = "whoever collects metrics takes floats")]
fn float(count: u64) -> f64 {
    count as f64
}
