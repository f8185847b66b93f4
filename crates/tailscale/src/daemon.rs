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

/// The number of log lines that are kept to explain a failure.
const KEPT: usize = 20;

/// The directory for tailscaled's own log state. By default tailscaled looks for one outside of the directories on its
/// command line, and exits if it finds none that is writable, as in a container with a read-only root.
const LOGS_VARIABLE: &str = "TS_LOGS_DIR";

/// What is kept of tailscaled's log.
#[derive(Default)]
struct Log {
    last: VecDeque<String>,
    lost: Option<Lost>,
}

pub struct Daemon {
    pub pid: Pid,
    /// The exit status, once it has ended.
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
            // Ctrl-C on the terminal is for the program alone.
            .process_group(0);
        if settings.state.is_none() {
            // With its state in memory, an ephemeral node logs out when tailscaled ends.
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
        // Close our copy of the write end, or the reader would never see the end of the log.
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

    /// The loss that the log has reported since the last call.
    pub fn lost(&self) -> Option<Lost> {
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        log.lost.take()
    }

    /// The last lines of the log, after tailscaled has ended.
    pub fn last_log_lines(&mut self) -> String {
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
        let log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        log.last.iter().map(|line| format!("\n  {line}")).collect()
    }
}

/// Removes variables that Tailscale's programs must not inherit: the secrets and LD_PRELOAD.
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
        if let Some(lost) = lost::from_log_line(&line) {
            kept.lost = Some(lost);
        }
        if kept.last.len() == KEPT {
            kept.last.pop_front();
        }
        kept.last.push_back(line);
    }
}
