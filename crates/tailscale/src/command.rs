//! `tailchain tailscale up`: runs Tailscale beside an existing process, e.g. a dyno's shell.

#![forbid(unsafe_code)]

use crate::credentials::placeholders;
use crate::events::Events;
use crate::node::{search_domains, Node};
use crate::settings::{Reader, Settings, KEY_VARIABLE};
use crate::start_error::StartError;
use crate::supervise::supervise;
use crate::sys::child;
use crate::sys::process::{self, Pid};
use std::io::{self, BufRead, BufReader};
use std::process::{Command, ExitCode, Stdio};
use tailchain_diagnostics::report;

/// Start Tailscale beside another process
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Subcommand,
}

#[derive(clap::Subcommand)]
enum Subcommand {
    /// Start tailscaled for the lifetime of a process, and return when its proxy can be used
    ///
    /// For a script that a shell sources before it runs the app: `tailchain tailscale up --watch $$`. tailscaled
    /// is stopped after that process has ended, not by a SIGTERM that is sent to all processes. The settings
    /// are those of `tailchain run`. If Tailscale does not come up in time, the reason is printed and the exit status is 1.
    Up {
        /// The process that uses Tailscale
        #[arg(long, value_name = "PID")]
        watch: Pid,
    },
    /// Print shell commands for the shell that runs the app: they replace secrets by placeholders and set the tailnet's
    /// search domains
    #[command(hide = true)]
    Hide,
    /// The background process of `up`
    #[command(hide = true)]
    Supervise {
        #[arg(long, value_name = "PID")]
        watch: Pid,
    },
}

/// The line that the supervisor sends to `up` when the proxy can be used.
const READY: &str = "ready";

pub fn run(args: &Args) -> ExitCode {
    let done = match args.command {
        Subcommand::Hide => hide(),
        Subcommand::Up { watch } => up(watch),
        Subcommand::Supervise { watch } => run_supervisor(watch),
    };
    match done {
        Ok(code) => code,
        Err(reason) => report::fail(format_args!("Tailscale: {reason}")),
    }
}

/// Only the supervisor keeps the secrets; the app does not inherit them. The search domains are known now that the node
/// is up.
fn hide() -> Result<ExitCode, String> {
    let environment = |name: &str| std::env::var_os(name);
    let settings = Settings::from_env(&environment).map_err(|error| error.to_string())?;
    let socket = settings
        .as_ref()
        .and_then(|settings| settings.socket.as_deref());
    if let Some((name, domains)) = socket.and_then(search_domains) {
        report::say(format_args!("export {name}={domains}"));
    }
    if settings.is_some_and(|settings| settings.hide_key) {
        for (name, placeholder) in placeholders(&Reader(&environment)) {
            report::say(format_args!("export {name}={placeholder}"));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The supervisor inherits stderr and prints the reason of a failure itself.
fn up(watch: Pid) -> Result<ExitCode, String> {
    let own = std::env::current_exe()
        .map_err(|error| format!("cannot find this command itself: {error}"))?;
    let mut command = Command::new(&own);
    command
        .args(["tailscale", "supervise", "--watch", &watch.to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    child::detach(&mut command);
    let supervisor = command.spawn();
    let mut supervisor =
        supervisor.map_err(|error| format!("cannot run {}: {error}", own.display()))?;
    let mut answer = String::new();
    if let Some(output) = supervisor.stdout.take() {
        // A read error counts as failure: `answer` stays empty.
        let _ = BufReader::new(output).read_line(&mut answer);
    }
    match answer.trim_end() {
        READY => Ok(ExitCode::SUCCESS),
        _ => Ok(ExitCode::FAILURE),
    }
}

fn run_supervisor(watch: Pid) -> Result<ExitCode, String> {
    let message = |error: io::Error| error.to_string();
    let settings =
        Settings::from_env(&|name| std::env::var_os(name)).map_err(|error| error.to_string())?;
    let settings = settings
        .ok_or_else(|| format!("{} is not set: there is nothing to start", KEY_VARIABLE))?;
    process::hide_memory();
    let mut events = Events::new().map_err(message)?;
    let watched = events.watch(watch);
    watched.map_err(|error| format!("cannot watch process {watch}: {error}"))?;
    let mut node = Node::new(&settings)?;
    let started = match node.runs_already(&mut events) {
        Ok(true) => {
            report::complain(format_args!(
                "Tailscale is up already, SOCKS5 on {}",
                settings.listener
            ));
            report::say(READY);
            return Ok(ExitCode::SUCCESS);
        }
        Ok(false) => node.start(&mut events),
        Err(error) => Err(error),
    };
    match started {
        Ok(()) => report::say(READY),
        Err(StartError::Failed(reason)) => return Err(reason),
        Err(StartError::Interrupted) => return Ok(ExitCode::FAILURE),
    }
    let supervised = supervise(&mut node, &mut events, settings.drain);
    node.stop(&mut events);
    supervised.map_err(message)?;
    Ok(ExitCode::SUCCESS)
}
