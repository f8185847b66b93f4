//! `tailchain run`: Tailscale around one command, where no start script does it.

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
/// With an auth key in TAILSCALE_AUTH_KEY, or what takes its place: starts tailscaled in userspace mode, waits until its
/// proxy can be used, runs the command as `proxychains4` does, passes signals on to it, and stops tailscaled
/// when it has ended. Without a key, or with TAILCHAIN_BYPASS, the command runs without a proxy. The exit
/// status is the command's own, 128 and the signal's number if a signal ended it, 1 when Tailscale does not
/// come up.
#[derive(clap::Args)]
#[command(after_help = table::help())]
pub struct Args {
    /// The configuration [default: the one that the command would get; if there is none, the shipped one]
    #[arg(short, value_name = "FILE")]
    file: Option<PathBuf>,

    /// The command and its arguments
    #[arg(trailing_var_arg = true, required = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// For the command to be gone after SIGKILL.
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
    let told = |error: io::Error| error.to_string();
    // Before anything is started: a configuration that cannot be used is an error at once.
    let configuration = launcher.configuration(args.file.as_deref(), settings.listener)?;
    process::hide_memory();
    let mut events = Events::new().map_err(told)?;
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
    let kept = supervise(&mut node, &mut events, settings.drain);
    if !events.is_gone() {
        report::complain(format_args!(
            "the command did not end within {} s (TAILSCALE_DRAIN_TIMEOUT) and is killed",
            settings.drain.as_secs_f64()
        ));
    }
    node.stop(&mut events);
    if !events.is_gone() {
        process::signal(pid, libc::SIGKILL);
        let until = Instant::now() + KILLED;
        while !events.is_gone() && Instant::now() < until {
            events.next(Some(until)).map_err(told)?;
        }
    }
    kept.map_err(told)?;
    Ok(events.status().map_or(ExitCode::FAILURE, code))
}

/// What the command finds in its environment besides ours: where tailscaled and its proxy are, and no secret.
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

/// On a dyno the start script may have done it already.
fn start(node: &mut Node<'_>, events: &mut Events) -> Result<(), StartError> {
    match node.runs_already(events)? {
        true => Ok(()),
        false => node.start(events),
    }
}

/// As a shell has it.
fn code(status: ExitStatus) -> ExitCode {
    let code = match (status.code(), status.signal()) {
        (Some(code), _) => code,
        (None, signal) => 128 + signal.unwrap_or_default(),
    };
    u8::try_from(code).map_or(ExitCode::FAILURE, ExitCode::from)
}
