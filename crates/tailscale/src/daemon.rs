//! tailscaled as a child process.

#![forbid(unsafe_code)]

use crate::credentials;
use crate::lost::{self, Lost};
use crate::programs::Programs;
use crate::settings::Settings;
use crate::sys::process::Pid;
use crate::sys::{child, signals, sigterm_shield};
use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, PipeReader};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use tailchain_diagnostics::report;

/// Lines of its log that are kept to explain a failure.
const KEPT: usize = 20;

/// Where it keeps what its log needs. Left to itself it looks for a place outside of the directories that it was given, and
/// ends where none can be written, as in a container with a read-only root.
const LOGS_VARIABLE: &str = "TS_LOGS_DIR";

/// What is kept of its log.
#[derive(Default)]
struct Log {
    last: VecDeque<String>,
    lost: Option<Lost>,
}

pub struct Daemon {
    pub pid: Pid,
    /// How it ended, once it has.
    pub ended: Option<ExitStatus>,
    log: Arc<Mutex<Log>>,
    reader: Option<JoinHandle<()>>,
}

impl Daemon {
    /// # Errors
    ///
    /// The program cannot be run.
    pub fn start(
        programs: &Programs,
        settings: &Settings,
        socket: &Path,
        files: &Path,
    ) -> io::Result<Daemon> {
        let (reader, writer) = io::pipe()?;
        let http_proxy = settings.http_proxy.as_ref();
        let http_proxy =
            http_proxy.map(|address| format!("--outbound-http-proxy-listen={address}"));
        let mut command = Command::new(&programs.daemon);
        command
            .arg("--tun=userspace-networking")
            .arg(format!("--socks5-server={}", settings.listener.bound()))
            .arg(option("--statedir=", files))
            .arg(option("--socket=", socket))
            .arg(format!("--verbose={}", settings.verbose))
            .args(http_proxy)
            .args(&settings.daemon_extra_args)
            .stdin(Stdio::null())
            .stdout(writer.try_clone()?)
            .stderr(writer)
            // A key on the terminal is for the program.
            .process_group(0);
        if settings.state.is_none() {
            // Nothing on the disk: an ephemeral node logs out when tailscaled ends.
            command.arg("--state=mem:");
        }
        if std::env::var_os(LOGS_VARIABLE).is_none() {
            command.env(LOGS_VARIABLE, files);
        }
        without_our_variables(&mut command);
        signals::unblock_in(&mut command);
        sigterm_shield::against_sigterm(&mut command);
        child::end_with_us(&mut command, libc::SIGINT);
        let pid = command.spawn()?.id();
        // It holds the writing end: the log would have no end.
        drop(command);
        let log = Arc::new(Mutex::new(Log::default()));
        let (kept, shown) = (Arc::clone(&log), settings.verbose > 0);
        Ok(Daemon {
            pid: pid.try_into().map_err(io::Error::other)?,
            ended: None,
            log,
            reader: Some(thread::spawn(move || follow(reader, &kept, shown))),
        })
    }

    /// What its log has said about this since it was asked last.
    pub fn lost(&self) -> Option<Lost> {
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        log.lost.take()
    }

    /// The last lines that it wrote, once it has ended.
    pub fn last_words(&mut self) -> String {
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
        let log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        log.last.iter().map(|line| format!("\n  {line}")).collect()
    }
}

/// What is not for Tailscale's programs: secrets go another way, and nothing is preloaded.
pub fn without_our_variables(command: &mut Command) {
    for name in credentials::names().chain(["LD_PRELOAD"]) {
        command.env_remove(name);
    }
}

pub fn option(name: &str, path: &Path) -> std::ffi::OsString {
    let mut option = std::ffi::OsString::from(name);
    option.push(path);
    option
}

fn follow(log: PipeReader, kept: &Mutex<Log>, shown: bool) {
    for line in BufReader::new(log).split(b'\n') {
        let Ok(line) = line else { return };
        let line = String::from_utf8_lossy(&line).into_owned();
        if shown {
            report::relay(format_args!("tailscaled: {line}"));
        }
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lost) = lost::told_by(&line) {
            kept.lost = Some(lost);
        }
        if kept.last.len() == KEPT {
            kept.last.pop_front();
        }
        kept.last.push_back(line);
    }
}
