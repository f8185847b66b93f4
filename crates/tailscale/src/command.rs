//! `tailchain tailscale up`: Tailscale beside a process that somebody else starts, such as a dyno's shell.

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
    /// Start tailscaled for as long as a process lives, and come back when its proxy can be used
    ///
    /// For a script that a shell sources before it runs the app: `tailchain tailscale up --watch $$`. tailscaled
    /// is stopped when that process has ended; a SIGTERM to all processes does not end it before. The settings
    /// are those of `tailchain run`. Exit status 1, with the reason, when Tailscale does not come up in time.
    Up {
        /// The process that it is for
        #[arg(long, value_name = "PID")]
        watch: Pid,
    },
    /// Shell commands that put placeholders in the place of secrets and give the tailnet's search domains, for the shell
    /// that runs the app
    #[command(hide = true)]
    Hide,
    /// What `up` leaves behind
    #[command(hide = true)]
    Supervise {
        #[arg(long, value_name = "PID")]
        watch: Pid,
    },
}

/// What the supervisor says to `up` when the proxy can be used.
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

/// The app then inherits no secret. The supervisor has them. And it is told what is known now that the node is up.
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

/// The supervisor gives the reason of a failure itself: its stderr is ours.
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
        // An answer that cannot be read is none.
        let _ = BufReader::new(output).read_line(&mut answer);
    }
    match answer.trim_end() {
        READY => Ok(ExitCode::SUCCESS),
        _ => Ok(ExitCode::FAILURE),
    }
}

fn run_supervisor(watch: Pid) -> Result<ExitCode, String> {
    let told = |error: io::Error| error.to_string();
    let settings =
        Settings::from_env(&|name| std::env::var_os(name)).map_err(|error| error.to_string())?;
    let settings = settings
        .ok_or_else(|| format!("{} is not set: there is nothing to start", KEY_VARIABLE))?;
    process::hide_memory();
    let mut events = Events::new().map_err(told)?;
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
    let kept = supervise(&mut node, &mut events, settings.drain);
    node.stop(&mut events);
    kept.map_err(told)?;
    Ok(ExitCode::SUCCESS)
}
