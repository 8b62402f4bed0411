//! Points in time and spans of it, as Kafka's tools read and print them. All in UTC.

use std::time::Duration;

use logreel::OffsetReset;

const DAY: i64 = 24 * 60 * 60 * 1000;

/// Reads `YYYY-MM-DDTHH:mm:SS.sss` with `Z`, an offset such as `+02:00` or `+02`, or nothing, which
/// means UTC; answers milliseconds since 1970.
pub(crate) fn parse(text: &str) -> Result<i64, String> {
    instant(text).ok_or_else(|| "YYYY-MM-DDTHH:mm:SS.sss[+hh:mm|Z] is needed".to_owned())
}

fn instant(text: &str) -> Option<i64> {
    let (date, time) = text.split_once('T')?;
    let (time, zone) = match time.find(['+', '-', 'Z']) {
        Some(at) => time.split_at(at),
        None => (time, "Z"),
    };
    let (year, rest) = number(date, 4)?;
    let (month, rest) = number(rest.strip_prefix('-')?, 2)?;
    let (day, rest_of_date) = number(rest.strip_prefix('-')?, 2)?;
    let (hour, rest) = number(time, 2)?;
    let (minute, rest) = number(rest.strip_prefix(':')?, 2)?;
    let (second, rest) = number(rest.strip_prefix(':')?, 2)?;
    let (milli, rest_of_time) = number(rest.strip_prefix('.')?, 3)?;
    let days = days(year, month, day);
    let is_day = (1..=12).contains(&month) && civil(days) == (year, month, day);
    if !is_day || hour > 23 || minute > 59 || second > 59 || !rest_of_date.is_empty() {
        return None;
    }
    let millis = ((hour * 60 + minute) * 60 + second) * 1000 + milli;
    rest_of_time.is_empty().then_some(days * DAY + millis - offset(zone)?)
}

/// The milliseconds a zone is ahead of UTC.
fn offset(zone: &str) -> Option<i64> {
    let (sign, rest) = match zone.split_at_checked(1)? {
        ("Z", "") => return Some(0),
        ("+", rest) => (1, rest),
        ("-", rest) => (-1, rest),
        _ => return None,
    };
    let (hours, rest) = number(rest, 2)?;
    let (minutes, rest) =
        if rest.is_empty() { (0, "") } else { number(rest.strip_prefix(':')?, 2)? };
    let is_offset = rest.is_empty() && hours <= 23 && minutes <= 59;
    is_offset.then_some(sign * (hours * 60 + minutes) * 60_000)
}

/// The number that these many digits make, and what follows them.
fn number(text: &str, digits: usize) -> Option<(i64, &str)> {
    let (number, rest) = text.split_at_checked(digits)?;
    let is_number = number.bytes().all(|byte| byte.is_ascii_digit());
    Some((number.parse().ok().filter(|_| is_number)?, rest))
}

/// Days from 1970 to a date of the Gregorian calendar. Years are taken to begin in March, so that
/// the leap day comes last.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year) = (year.div_euclid(400), year.rem_euclid(400));
    let month = (month + 9) % 12;
    let of_year = (153 * month + 2) / 5 + day - 1;
    era * 146_097 + year * 365 + year / 4 - year / 100 + of_year - 719_468
}

/// The date so many days after 1970.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (era * 400 + year + i64::from(month <= 2), month, day)
}

/// Prints milliseconds since 1970 as `YYYY-MM-DD HH:mm:SS:sss`.
pub(crate) fn format(millis: i64) -> String {
    let (year, month, day) = civil(millis.div_euclid(DAY));
    let millis = millis.rem_euclid(DAY);
    let (seconds, milli) = (millis / 1000, millis % 1000);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}:{milli:03}")
}

/// Reads `PnDTnHnMnS`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    match format!("by_duration:{text}").parse() {
        Ok(OffsetReset::ByDuration(duration)) => Ok(duration),
        _ => Err("a duration PnDTnHnMnS is needed".to_owned()),
    }
}
