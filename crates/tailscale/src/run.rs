//! `tailchain run`: runs one command with Tailscale, where there is no start script.

#![forbid(unsafe_code)]

use crate::credentials::placeholders;
use crate::events::Events;
use crate::launcher::Launcher;
use crate::node::Node;
use crate::settings::{table, Reader, Settings, KEY_VARIABLE};
use crate::start_error::StartError;
use crate::supervise::supervise;
use crate::sys::process;
use std::ffi::OsString;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{ExitCode, ExitStatus};
use std::time::{Duration, Instant};
use tailchain_core::load::BYPASS_VARIABLE;
use tailchain_diagnostics::report;

/// Start Tailscale, run a command through it, stop Tailscale
///
/// With an auth key in TAILSCALE_AUTH_KEY, or a setting that replaces it: starts tailscaled in userspace mode, waits until
/// its proxy can be used, runs the command as `proxychains4` does, forwards signals to it, and stops tailscaled
/// after it. Without a key, or with TAILCHAIN_BYPASS, the command runs without a proxy. The exit
/// status is that of the command, 128 plus the signal number if a signal killed it, or 1 if Tailscale does not
/// come up.
#[derive(clap::Args)]
#[command(after_help = table::help())]
pub struct Args {
    /// The configuration [default: the one that the command would use, or else the shipped one]
    #[arg(short, value_name = "FILE")]
    file: Option<PathBuf>,

    /// The command and its arguments
    #[arg(trailing_var_arg = true, required = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// How long to wait for the command after SIGKILL.
const KILLED: Duration = Duration::from_secs(1);

pub fn run(args: &Args) -> ExitCode {
    let launcher = match Launcher::find() {
        Ok(launcher) => launcher,
        Err(error) => return report::fail(error),
    };
    if std::env::var_os(BYPASS_VARIABLE).is_some_and(|reason| !reason.is_empty()) {
        return report::fail(launcher.exec(&args.command, None));
    }
    match Settings::from_env(&|name| std::env::var_os(name)) {
        Ok(Some(settings)) => match with_tailscale(args, &launcher, &settings) {
            Ok(code) => code,
            Err(error) => report::fail(error),
        },
        Ok(None) => {
            let reason = format!("{} is not set", KEY_VARIABLE);
            report::fail(launcher.exec(&args.command, Some(&reason)))
        }
        Err(error) => report::fail(error),
    }
}

fn with_tailscale(
    args: &Args,
    launcher: &Launcher,
    settings: &Settings,
) -> Result<ExitCode, String> {
    let message = |error: io::Error| error.to_string();
    // First, so that an invalid configuration is an error before anything is started.
    let configuration = launcher.configuration(args.file.as_deref(), settings.listener)?;
    process::hide_memory();
    let mut events = Events::new().map_err(message)?;
    let mut node = Node::new(settings)?;
    match start(&mut node, &mut events) {
        Ok(()) => (),
        Err(StartError::Failed(reason)) => return Err(format!("Tailscale: {reason}")),
        Err(StartError::Interrupted) => {
            let signal = events.stop().map_or(libc::SIGTERM, |stop| stop.signal);
            return Ok(code(ExitStatus::from_raw(signal)));
        }
    }
    let child = launcher.spawn(&configuration, &args.command, &environment(settings, &node));
    let pid = match child {
        Ok(pid) => pid,
        Err(error) => {
            node.stop(&mut events);
            return Err(error);
        }
    };
    events.watch_child(pid);
    let supervised = supervise(&mut node, &mut events, settings.drain);
    if !events.is_gone() {
        report::complain(format_args!(
            "the command did not exit within {} s (TAILSCALE_DRAIN_TIMEOUT) and is killed",
            settings.drain.as_secs_f64()
        ));
    }
    node.stop(&mut events);
    if !events.is_gone() {
        process::signal(pid, libc::SIGKILL);
        let until = Instant::now() + KILLED;
        while !events.is_gone() && Instant::now() < until {
            events.next(Some(until)).map_err(message)?;
        }
    }
    supervised.map_err(message)?;
    Ok(events.status().map_or(ExitCode::FAILURE, code))
}

/// Variables to set for the command: the addresses of tailscaled and its proxy, and placeholders for the secrets.
fn environment(settings: &Settings, node: &Node<'_>) -> Vec<(&'static str, String)> {
    let mut variables = Vec::from(settings.listener.variables());
    variables.extend(node.variables());
    if settings.hide_key {
        let hidden = placeholders(&Reader(&|name| std::env::var_os(name)));
        variables.extend(
            hidden
                .into_iter()
                .map(|(name, text)| (name, text.to_owned())),
        );
    }
    variables
}

/// Uses a tailscaled that already runs: on a dyno the start script may have started it.
fn start(node: &mut Node<'_>, events: &mut Events) -> Result<(), StartError> {
    match node.runs_already(events)? {
        true => Ok(()),
        false => node.start(events),
    }
}

/// The exit status as a shell reports it.
fn code(status: ExitStatus) -> ExitCode {
    let code = match (status.code(), status.signal()) {
        (Some(code), _) => code,
        (None, signal) => 128 + signal.unwrap_or_default(),
    };
    u8::try_from(code).map_or(ExitCode::FAILURE, ExitCode::from)
}
