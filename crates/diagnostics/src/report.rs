//! Output of the subcommands: results on stdout, errors and warnings on stderr, exit status 0 or 1.

#![forbid(unsafe_code)]

use std::fmt::Display;
use std::io::Write;
use std::process::ExitCode;

/// Prints a line on stdout and flushes it. A reader that has gone is not an error.
pub fn say(line: impl Display) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

/// Prints an error or a warning on stderr.
pub fn complain(line: impl Display) {
    let _ = writeln!(std::io::stderr(), "tailchain: {line}");
}

/// As [`complain`]; returns the exit status of a failure.
pub fn fail(line: impl Display) -> ExitCode {
    complain(line);
    ExitCode::FAILURE
}

/// Prints a line of another program on stderr, unchanged.
pub fn relay(line: impl Display) {
    let _ = std::io::stderr().write_all(format!("{line}\n").as_bytes());
}
