//! `auto.offset.reset`: where to begin without a position.

use std::str::FromStr;
use std::time::Duration;

use crate::error::{Error, Result};

/// Where to begin when there is no committed offset, or when the position is out of range
/// (`auto.offset.reset`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OffsetReset {
    /// At the log start.
    Earliest,
    /// At the end: only what comes from now on.
    #[default]
    Latest,
    /// Nowhere: `poll` fails, nothing is skipped.
    None,
    /// At the first record whose timestamp is not older than this, by the broker's clock; at the
    /// end when there is none. As a key `by_duration:` and an ISO-8601 duration of days, hours,
    /// minutes and seconds (KIP-1106): `by_duration:P1DT12H`.
    ByDuration(Duration),
}

/// Reads a value of `auto.offset.reset`.
///
/// ```
/// use std::time::Duration;
/// use logreel::OffsetReset;
/// assert_eq!("earliest".parse::<OffsetReset>()?, OffsetReset::Earliest);
/// let hour = OffsetReset::ByDuration(Duration::from_secs(3600));
/// assert_eq!("by_duration:PT1H".parse::<OffsetReset>()?, hour);
/// # Ok::<(), logreel::Error>(())
/// ```
impl FromStr for OffsetReset {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::parse(text).ok_or_else(|| {
            let wanted = "one of earliest, latest, none, by_duration:<ISO-8601> is needed";
            Error::invalid_config("auto.offset.reset", text, wanted)
        })
    }
}

impl OffsetReset {
    /// The policy with this name; `None` for anything else.
    pub(super) fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "earliest" => Self::Earliest,
            "latest" => Self::Latest,
            "none" => Self::None,
            _ => Self::ByDuration(parse_duration(name.strip_prefix("by_duration:")?)?),
        })
    }
}

/// `PnDTnHnMn.nS`, as Java's `Duration` reads it, but never negative.
fn parse_duration(text: &str) -> Option<Duration> {
    let text = text.to_ascii_uppercase();
    let text = text.strip_prefix('P')?;
    let (date, time) = match text.split_once('T') {
        Some((_, "")) => return None,
        Some(parts) => parts,
        None => (text, ""),
    };
    let (days, rest_of_date) = part(date, 'D');
    let (hours, time) = part(time, 'H');
    let (minutes, time) = part(time, 'M');
    let (seconds, rest_of_time) = part(time, 'S');
    let parts = [(days, 24 * 60 * 60), (hours, 60 * 60), (minutes, 60)];
    let empty = seconds.is_none() && parts.iter().all(|(number, _)| number.is_none());
    if empty || !rest_of_date.is_empty() || !rest_of_time.is_empty() {
        return None;
    }
    let mut total = match seconds {
        Some(seconds) => {
            let (whole, fraction) = seconds.split_once(['.', ',']).unwrap_or((seconds, ""));
            let digits = fraction.len() <= 9 && fraction.bytes().all(|b| b.is_ascii_digit());
            let nanos = format!("{fraction:0<9}").parse().ok().filter(|_| digits)?;
            Duration::new(whole.parse().ok()?, nanos)
        }
        None => Duration::ZERO,
    };
    for (number, unit) in parts {
        let number: u64 = number.map_or(Some(0), |number| number.parse().ok())?;
        total = total.checked_add(Duration::from_secs(number.checked_mul(unit)?))?;
    }
    Some(total)
}

/// The number before a unit, and what follows.
fn part(text: &str, unit: char) -> (Option<&str>, &str) {
    text.split_once(unit).map_or((None, text), |(number, rest)| (Some(number), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_java_reads_them() {
        let seconds = |text| OffsetReset::parse(&format!("by_duration:{text}"));
        for (text, millis) in [
            ("PT0S", 0),
            ("P1D", 86_400_000),
            ("P1DT12H", 129_600_000),
            ("PT1H30M", 5_400_000),
            ("pt1.5s", 1500),
            ("PT2,25S", 2250),
            ("P2DT3H4M5.006S", 183_845_006),
            ("PT90M", 5_400_000),
            ("PT1.S", 1000),
        ] {
            let wanted = OffsetReset::ByDuration(Duration::from_millis(millis));
            assert_eq!(seconds(text), Some(wanted), "{text}");
        }
        for text in [
            "",
            "P",
            "PT",
            "P1",
            "P1DT",
            "PT-1S",
            "-PT1S",
            "P1W",
            "P1M",
            "PT1M1H",
            "1D",
            "PT1.5H",
            "PT.5S",
            "PT1.1234567890S",
            "P1D ",
            "PTS",
            "P99999999999999999999D",
            "P18446744073709551615D",
        ] {
            assert_eq!(seconds(text), None, "{text}");
        }
    }
}
