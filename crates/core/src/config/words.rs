//! Splits a directive line into words, and parses the values of directives.

#![forbid(unsafe_code)]

use super::error::Problem;
use std::time::Duration;

/// poll(2) takes milliseconds in a C int.
const MS_MAX: u64 = i32::MAX as u64;

/// A warning about a valid line, if any.
pub(super) type Note = Option<Problem>;

/// A line before `[ProxyList]`: `KEYWORD VALUE...`, `KEYWORD = VALUE` or `KEYWORD=VALUE`.
pub(super) struct Words<'l> {
    pub keyword: &'l str,
    /// `None` if the line is not UTF-8, which no directive accepts.
    values: Option<Vec<&'l str>>,
}

impl<'l> Words<'l> {
    /// Splits a line. The note warns about a trailing comment, which is cut off.
    pub fn split(line: &'l [u8]) -> (Words<'l>, Note) {
        let end = line
            .iter()
            .position(|b| b.is_ascii_whitespace() || *b == b'=')
            .unwrap_or(line.len());
        let (keyword, rest) = line.split_at(end);
        let rest = rest.trim_ascii_start();
        let rest = rest.strip_prefix(b"=").unwrap_or(rest);
        let keyword = core::str::from_utf8(keyword).unwrap_or_default();
        let Ok(rest) = core::str::from_utf8(rest) else {
            let words = Words {
                keyword,
                values: None,
            };
            return (words, None);
        };
        let mut values: Vec<&str> = rest.split_ascii_whitespace().collect();
        let comment = values.iter().position(|word| word.starts_with('#'));
        let note = comment.map(|at| {
            values.truncate(at);
            Problem::new(
                "proxychains-ng accepts a comment only at the start of a line",
                "put the comment on a line of its own",
            )
        });
        let values = Some(values);
        (Words { keyword, values }, note)
    }

    fn values(&self) -> Result<&[&'l str], Problem> {
        self.values
            .as_deref()
            .ok_or_else(|| Problem::new("the line is not UTF-8", "save the file as UTF-8"))
    }

    pub fn flag(&self, set: impl FnOnce()) -> Result<Note, Problem> {
        match self.values()? {
            [] => {
                set();
                Ok(None)
            }
            _ => Err(Problem::new(
                "this directive takes no value",
                "remove the text after it",
            )),
        }
    }

    pub fn one(&self, expected: &str) -> Result<&'l str, Problem> {
        match self.values()? {
            [value] => Ok(value),
            [] => Err(Problem::new(
                "the value is missing",
                expected_text(expected),
            )),
            _ => Err(Problem::new(
                "there is more than one value",
                expected_text(expected),
            )),
        }
    }

    pub fn two(&self, expected: &str) -> Result<(&'l str, &'l str), Problem> {
        match self.values()? {
            [first, second] => Ok((first, second)),
            values => Err(Problem::new(
                format!("there are {} values instead of 2", values.len()),
                expected_text(expected),
            )),
        }
    }

    /// A decimal integer.
    pub fn number(&self, min: u64, max: u64, what: &str) -> Result<u64, Problem> {
        let expected = format!("{what}, a number from {min} to {max}");
        let text = self.one(&expected)?;
        let digits = text.bytes().all(|b| b.is_ascii_digit());
        let number = text
            .parse()
            .ok()
            .filter(|n| digits && (min..=max).contains(n));
        number.ok_or_else(|| Problem::new("the value is wrong", expected_text(&expected)))
    }

    pub fn milliseconds(&self, min: u64) -> Result<Duration, Problem> {
        self.number(min, MS_MAX, "milliseconds")
            .map(Duration::from_millis)
    }

    pub fn choice<T: Copy>(&self, choices: &[(&str, T)]) -> Result<T, Problem> {
        let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
        let expected = names.join(" or ");
        let text = self.one(&expected)?;
        choices
            .iter()
            .find(|(name, _)| *name == text)
            .map(|(_, value)| *value)
            .ok_or_else(|| Problem::new("the value is wrong", expected_text(&expected)))
    }
}

fn expected_text(what: &str) -> String {
    format!("expected {what}")
}
