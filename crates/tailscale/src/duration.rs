//! Durations as Go writes them (`time.ParseDuration`): `90s`, `1m30s`, `1.5h`, `0`.

#![forbid(unsafe_code)]

use std::time::Duration;

/// `ms` comes before `m`, its prefix.
const UNITS: [(&str, f64); 8] = [
    ("ns", 1e-9),
    ("us", 1e-6),
    ("µs", 1e-6),
    ("μs", 1e-6),
    ("ms", 1e-3),
    ("s", 1.0),
    ("m", 60.0),
    ("h", 3600.0),
];

/// `None` if `text` is malformed, negative or too long for a `Duration`.
pub fn parse(text: &str) -> Option<Duration> {
    let text = text.strip_prefix('+').unwrap_or(text);
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut rest = text;
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, behind) = rest.split_at(end);
        let (unit, factor) = UNITS
            .into_iter()
            .find(|(unit, _)| behind.starts_with(unit))?;
        seconds += number.parse::<f64>().ok()? * factor;
        rest = behind.strip_prefix(unit)?;
    }
    match text.is_empty() {
        true => None,
        false => Duration::try_from_secs_f64(seconds).ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_go_accepts_is_accepted() {
        for (text, millis) in [
            ("0", 0),
            ("0s", 0),
            ("+5s", 5000),
            ("90s", 90_000),
            ("1m30s", 90_000),
            ("1.5h", 5_400_000),
            (".5s", 500),
            ("2h45m0.5s", 9_900_500),
            ("300ms", 300),
            ("1000us", 1),
            ("1000µs", 1),
        ] {
            assert_eq!(parse(text), Some(Duration::from_millis(millis)), "{text}");
        }
    }

    #[test]
    fn what_go_refuses_is_refused() {
        for text in [
            "", "+", "5", "s", "-5s", "5 s", "1d", "5s3", "1..5s", ".s", "1e400s",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
