//! How the subcommands talk: results on stdout, complaints on stderr, exit status 0 or 1.

#![forbid(unsafe_code)]

use std::fmt::Display;
use std::io::Write;
use std::process::ExitCode;

/// A line on stdout, there at once for whoever waits for it. A reader that went away is no error of ours.
pub fn say(line: impl Display) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

/// A line on stderr that says what is wrong.
pub fn complain(line: impl Display) {
    let _ = writeln!(std::io::stderr(), "tailchain: {line}");
}

/// [`complain`], and the exit status of a failure.
pub fn fail(line: impl Display) -> ExitCode {
    complain(line);
    ExitCode::FAILURE
}

/// A line of somebody else's, on stderr as it is.
pub fn relay(line: impl Display) {
    let _ = std::io::stderr().write_all(format!("{line}\n").as_bytes());
}
