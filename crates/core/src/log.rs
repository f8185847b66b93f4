//! The log: one line, one write(2), to the program's stderr or to `log_file`.
//!
//! Text lines are those of proxychains-ng; JSON lines have a fixed set of keys. Nothing is written with `quiet_mode` or
//! `-q`, nor if fd 2 is no longer the stderr that the program started with: it may be one of the program's sockets by
//! now. A line is dropped if writing it would block (`sys::Stderr`). Secrets cannot be logged: they do not implement
//! `Display`.

use crate::chain::Blame;
use crate::config::{ChainKind, Config, LogFormat, Proxy};
use crate::dial::{Attempt, AttemptEnd, Report};
use crate::errno::Errno;
use crate::sys::{self, Stderr};
use std::ffi::CString;
use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt;

/// The prefix of every text line.
const PREFIX: &str = "[proxychains] ";

pub struct Log {
    quiet: bool,
    format: LogFormat,
    file: Option<CString>,
    /// `None` if stderr is not to be written to.
    stderr: Option<Stderr>,
}

impl Log {
    /// Creates the log that `config` describes. Call it early: it remembers which file stderr is.
    pub fn new(config: &Config) -> Log {
        Log {
            quiet: config.quiet,
            format: config.log_format,
            file: config
                .log_file
                .as_ref()
                .and_then(|path| CString::new(path.as_os_str().as_bytes()).ok()),
            stderr: Stderr::at_start(),
        }
    }

    /// Whether messages are discarded.
    pub fn is_silent(&self) -> bool {
        self.file.is_none() && (self.quiet || self.stderr.is_none())
    }

    /// A message that is not about a connection.
    pub fn message(&self, text: &str) {
        if self.is_silent() {
            return;
        }
        let mut line = String::with_capacity(text.len() + 32);
        match self.format {
            LogFormat::Text => {
                line.push_str(PREFIX);
                // The text may contain untrusted input: it must not forge a line or control the terminal.
                line.extend(text.chars().map(|c| if c.is_control() { '?' } else { c }));
            }
            LogFormat::Json => {
                line.push_str("{\"event\":\"message\"");
                json_text(&mut line, "text", text);
                line.push('}');
            }
        }
        self.write(line);
    }

    fn write(&self, mut line: String) {
        line.push('\n');
        if let Some(path) = &self.file {
            // Opened for each line, so that no fd of ours stays open in the program.
            if let Ok(file) = sys::open_append(path) {
                sys::append_line(&file, line.as_bytes());
            }
        } else if let Some(stderr) = self.stderr.filter(|_| !self.quiet) {
            stderr.write(line.as_bytes());
        }
    }
}

impl Report for Log {
    fn attempt(&self, attempt: &Attempt<'_>) {
        if self.is_silent() {
            return;
        }
        self.write(match self.format {
            LogFormat::Text => text_line(attempt),
            LogFormat::Json => json_line(attempt),
        });
    }

    fn out_of_proxies(&self) {
        match self.format {
            _ if self.is_silent() => {}
            // As in proxychains-ng: between empty lines and without the prefix.
            LogFormat::Text => self.write("\n!!!need more proxies!!!".to_owned()),
            LogFormat::Json => self.message("need more proxies"),
        }
    }
}

fn kind(chain: ChainKind) -> &'static str {
    match chain {
        ChainKind::Strict => "Strict",
        ChainKind::Dynamic => "Dynamic",
        ChainKind::Random { .. } => "Random",
        ChainKind::RoundRobin { .. } => "Round Robin",
    }
}

/// `[proxychains] Strict chain  ...  127.0.0.1:1055  ...  db.example:5432  ...  OK`
fn text_line(attempt: &Attempt<'_>) -> String {
    let mut line = String::with_capacity(128);
    // Writing to a String cannot fail.
    let _ = write!(line, "{PREFIX}{} chain", kind(attempt.chain));
    let hop = |line: &mut String, proxy: &Proxy| {
        let _ = write!(line, "  ...  {}", proxy.endpoint);
    };
    match &attempt.end {
        AttemptEnd::Connected => {
            attempt.path.iter().for_each(|proxy| hop(&mut line, proxy));
            let _ = write!(line, "  ...  {}  ...  OK", attempt.target);
        }
        AttemptEnd::Unreachable(_) => {
            attempt
                .path
                .iter()
                .take(1)
                .for_each(|proxy| hop(&mut line, proxy));
            line.push_str("  ...  timeout");
        }
        AttemptEnd::WentDirect(errno) => {
            attempt
                .path
                .iter()
                .take(1)
                .for_each(|proxy| hop(&mut line, proxy));
            let _ = write!(
                line,
                "  ...  down ({errno}); {} is connected to directly",
                attempt.target
            );
        }
        AttemptEnd::Failed(failure, _) => {
            let reached = failure.hop + 1;
            attempt
                .path
                .iter()
                .take(reached)
                .for_each(|proxy| hop(&mut line, proxy));
            match attempt.path.get(reached) {
                Some(next) => hop(&mut line, next),
                None => {
                    let _ = write!(line, "  ...  {}", attempt.target);
                }
            }
            line.push_str(if failure.is_denial() {
                " <--denied"
            } else {
                " <--socket error or timeout!"
            });
        }
    }
    line
}

fn json_line(attempt: &Attempt<'_>) -> String {
    let mut line = String::with_capacity(256);
    let (result, errno, failure) = match &attempt.end {
        AttemptEnd::Connected => ("connected", None, None),
        AttemptEnd::Unreachable(errno) => ("unreachable", Some(*errno), None),
        AttemptEnd::WentDirect(errno) => ("direct", Some(*errno), None),
        AttemptEnd::Failed(failure, errno) => ("failed", Some(*errno), Some(failure)),
    };
    line.push_str("{\"event\":\"connect\"");
    json_text(&mut line, "chain", kind(attempt.chain));
    line.push_str(",\"path\":[");
    for (n, proxy) in attempt.path.iter().enumerate() {
        if n > 0 {
            line.push(',');
        }
        json_string(&mut line, &proxy.endpoint.to_string());
    }
    line.push(']');
    json_text(&mut line, "target", &attempt.target.to_string());
    json_text(&mut line, "result", result);
    if let Some(errno) = errno {
        json_errno(&mut line, errno);
    }
    if let Some(failure) = failure {
        let _ = write!(line, ",\"hop\":{}", failure.hop);
        json_text(&mut line, "reason", &failure.to_string());
        let dead = matches!(failure.blame(attempt.path.len()), Blame::Hop(_));
        let _ = write!(line, ",\"proxy_at_fault\":{dead}");
    }
    line.push('}');
    line
}

fn json_errno(line: &mut String, errno: Errno) {
    json_text(line, "errno", &errno.to_string());
}

fn json_text(line: &mut String, key: &str, text: &str) {
    let _ = write!(line, ",\"{key}\":");
    json_string(line, text);
}

/// Writes a JSON string (RFC 8259 section 7). Hand-written, to keep a JSON library out of every process.
fn json_string(line: &mut String, text: &str) {
    line.push('"');
    for c in text.chars() {
        match c {
            '"' => line.push_str("\\\""),
            '\\' => line.push_str("\\\\"),
            c if c < ' ' => {
                let _ = write!(line, "\\u{:04x}", c as u32);
            }
            c => line.push(c),
        }
    }
    line.push('"');
}
