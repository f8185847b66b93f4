//! Configuration errors and warnings: the position, the problem and a remedy.

#![forbid(unsafe_code)]

use super::Source;
use core::fmt;

/// An error or warning about a configuration. Displayed as "SOURCE:LINE: `TEXT`: PROBLEM; REMEDY".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    pub source: Source,
    /// Counted from 1; `None` if the problem is not in a single line.
    pub line: Option<u32>,
    /// The offending text, truncated and with passwords masked; empty if something is missing.
    pub text: String,
    pub problem: String,
    /// What was expected, or what to do.
    pub expected: String,
}

/// The configuration cannot be used: the program must not be started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError(pub Diagnostic);

/// The configuration can be used, but is probably not what its author meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning(pub Diagnostic);

impl std::error::Error for ConfigError {}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.source)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if !self.text.is_empty() {
            write!(f, ": `{}`", self.text)?;
        }
        write!(f, ": {}; {}", self.problem, self.expected)
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::File(path) => write!(f, "{}", path.display()),
            Source::Variable(name) => f.write_str(name),
        }
    }
}

/// A [`Diagnostic`] without its position, which the parsers of single values do not know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Problem {
    pub what: String,
    pub expected: String,
}

impl Problem {
    pub fn new(what: impl Into<String>, expected: impl Into<String>) -> Problem {
        Problem {
            what: what.into(),
            expected: expected.into(),
        }
    }

    pub fn at(self, source: &Source, line: Option<u32>, text: String) -> Diagnostic {
        Diagnostic {
            source: source.clone(),
            line,
            text,
            problem: self.what,
            expected: self.expected,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_diagnostic_shows_position_text_problem_and_remedy() {
        let diagnostic = Problem::new("no such chain", "expected a number").at(
            &Source::File("/etc/p.conf".into()),
            Some(7),
            "chain_len x".into(),
        );
        assert_eq!(
            ConfigError(diagnostic).to_string(),
            "/etc/p.conf:7: `chain_len x`: no such chain; expected a number"
        );
    }

    #[test]
    fn a_diagnostic_about_a_variable_has_no_line() {
        let diagnostic = Problem::new("it is empty", "set it").at(
            &Source::Variable("ALL_PROXY"),
            None,
            String::new(),
        );
        assert_eq!(
            Warning(diagnostic).to_string(),
            "ALL_PROXY: it is empty; set it"
        );
    }
}
