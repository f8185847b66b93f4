//! One node of the tailnet: tailscaled, from its start to its logout.

#![forbid(unsafe_code)]

use crate::client::Client;
use crate::daemon::Daemon;
use crate::events::Events;
use crate::local_api;
use crate::lost::{self, Lost};
use crate::programs::{self, Programs};
use crate::ready::{self, NotReady};
use crate::settings::Settings;
use crate::start_error::{failed, StartError};
use crate::status::{self, Status};
use crate::sys::port::PortHold;
use crate::sys::process::{self, Pid};
use crate::temp_dir::TempDir;
use std::os::fd::RawFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::{Duration, Instant};
use tailchain_core::config::tailscaled::{SEARCH_VARIABLE, SOCKET_VARIABLE};
use tailchain_diagnostics::report;

/// The polling interval for states that cannot be waited for.
pub(crate) const STEP: Duration = Duration::from_millis(100);
/// How long tailscaled may take to log out. Heroku's 30 seconds leave a little more than this after the drain.
pub(crate) const LOGOUT: Duration = Duration::from_secs(5);
/// How long to wait for a process after SIGKILL.
pub(crate) const KILLED: Duration = Duration::from_secs(1);

/// Whether a node is in the tailnet.
pub enum Health {
    Fine,
    /// By `tailscale down`, hence on purpose.
    Stopped,
    Lost(Lost),
}

pub struct Node<'s> {
    pub(crate) settings: &'s Settings,
    pub(crate) programs: Programs,
    pub(crate) temp_dir: TempDir,
    pub(crate) socket: PathBuf,
    pub(crate) daemon: Option<Daemon>,
    /// Held from the first start on, so that no other process can take the port when tailscaled ends.
    pub(crate) hold: Option<PortHold>,
}

impl<'s> Node<'s> {
    /// # Errors
    ///
    /// Tailscale is not installed, or no directory for its files can be made.
    pub fn new(settings: &'s Settings) -> Result<Node<'s>, String> {
        let programs = programs::find(
            settings.programs.as_deref(),
            std::env::var_os("PATH").as_deref(),
            std::env::current_exe().ok().as_deref(),
        );
        let programs = programs.map_err(|error| error.to_string())?;
        let temp_dir = TempDir::new().map_err(|error| error.to_string())?;
        let socket = match &settings.socket {
            Some(path) => path.clone(),
            None => temp_dir.path().join("tailscaled.sock"),
        };
        for line in &settings.without_effect {
            report::complain(format_args!("warning: {line}"));
        }
        Ok(Node {
            settings,
            programs,
            temp_dir,
            socket,
            daemon: None,
            hold: None,
        })
    }

    /// tailscaled, if it runs.
    pub(crate) fn living(&self) -> Option<&Daemon> {
        self.daemon.as_ref().filter(|daemon| daemon.ended.is_none())
    }

    pub fn is_alive(&self) -> bool {
        self.living().is_some()
    }

    /// One line that says how tailscaled ended, if it has.
    pub fn end(&self) -> Option<String> {
        let status = self.daemon.as_ref()?.ended?;
        Some(format!("tailscaled ended ({status})"))
    }

    /// Whether a tailscaled that another process has started listens on `TAILSCALE_SOCKET`, and is ready.
    pub fn runs_already(&mut self, events: &mut Events) -> Result<bool, StartError> {
        if self.settings.socket.is_none() {
            return Ok(false);
        }
        let Ok(stream) = UnixStream::connect(&self.socket) else {
            return Ok(false);
        };
        let tailscaled = process::peer(&stream).ok();
        let until = Some(Instant::now() + Duration::from_secs(10));
        let status = self.status(events, until, None)?;
        if !status.is_some_and(|status| status.is_running()) {
            return Ok(false);
        }
        match ready::answers(self.settings.listener, tailscaled) {
            Err(failure @ NotReady::Foreign(_)) => Err(failed(format_args!(
                "the proxy on {}: {failure}",
                self.settings.listener
            ))),
            answer => Ok(answer.is_ok()),
        }
    }

    /// The variables that let programs ask tailscaled for addresses ([`tailchain_core::local_api`]).
    pub fn variables(&self) -> Vec<(&'static str, String)> {
        let socket = std::path::absolute(&self.socket).unwrap_or_else(|_| self.socket.clone());
        let mut variables = vec![(SOCKET_VARIABLE, socket.display().to_string())];
        variables.extend(search_domains(&self.socket));
        variables
    }

    /// Checks whether the node is still in the tailnet.
    pub fn health(&self) -> Health {
        if let Some(lost) = self.living().and_then(Daemon::lost) {
            return Health::Lost(lost);
        }
        // A failure may be temporary. If tailscaled has ended, SIGCHLD reports it.
        match local_api::status(&self.socket) {
            Ok(status) if status.state == "Stopped" => Health::Stopped,
            Ok(status) => lost::from_status(&status).map_or(Health::Fine, Health::Lost),
            Err(_) => Health::Fine,
        }
    }

    /// The output of `tailscale status`; `None` if it is invalid or too late. Meanwhile the client `beside` may end.
    pub(crate) fn status(
        &mut self,
        events: &mut Events,
        until: Option<Instant>,
        mut beside: Option<&mut Client>,
    ) -> Result<Option<Status>, StartError> {
        let words = ["status", "--json", "--peers=false"].map(Into::into);
        let mut client = self.client(&words, Vec::new())?;
        while client.ended.is_none() {
            if is_over(until) {
                self.end_client(client, events)?;
                return Ok(None);
            }
            let mut both: Vec<&mut Client> = beside.as_deref_mut().into_iter().collect();
            both.push(&mut client);
            self.step(events, &mut both, Instant::now() + STEP)?;
        }
        Ok(status::parse(client.output().as_bytes()))
    }

    /// Stops tailscaled, which logs an ephemeral node out.
    pub fn stop(&mut self, events: &mut Events) {
        // tailscaled is shielded from SIGTERM and treats SIGINT alike.
        for (signal, limit) in [(libc::SIGINT, LOGOUT), (libc::SIGKILL, KILLED)] {
            let Some(daemon) = self.living() else { break };
            process::signal(daemon.pid, signal);
            let until = Instant::now() + limit;
            while self.is_alive() && !is_over(Some(until)) {
                match events.next(Some(until)) {
                    Ok(ended) => self.note(ended),
                    Err(_) => break,
                }
            }
        }
        self.daemon = None;
        // If the address cannot be held until the next start, that start reports it.
        if let Some(hold) = &self.hold {
            let _ = hold.close();
        }
    }

    /// Records the exit status of tailscaled if it is the child that has ended.
    pub fn note(&mut self, ended: Option<(Pid, ExitStatus)>) {
        if let (Some((pid, status)), Some(daemon)) = (ended, &mut self.daemon) {
            if daemon.pid == pid {
                daemon.ended = Some(status);
            }
        }
    }

    pub(crate) fn pause(&mut self, events: &mut Events) -> Result<(), StartError> {
        self.step(events, &mut [], Instant::now() + STEP)
    }

    /// Waits for the next event, e.g. the end of one of `clients`. Fails if tailscaled has ended or the start is interrupted.
    pub(crate) fn step(
        &mut self,
        events: &mut Events,
        clients: &mut [&mut Client],
        until: Instant,
    ) -> Result<(), StartError> {
        let ended = events.next(Some(until))?;
        self.note(ended);
        for client in clients {
            match ended {
                Some((pid, status)) if pid == client.pid => client.ended = Some(status),
                _ => (),
            }
        }
        if events.stop().is_some() || events.is_gone() {
            return Err(StartError::Interrupted);
        }
        match (self.end(), &mut self.daemon) {
            (Some(end), Some(daemon)) => Err(failed(format_args!(
                "{end}; the last lines of its log:{}",
                daemon.last_log_lines()
            ))),
            _ => Ok(()),
        }
    }

    pub(crate) fn client(
        &self,
        words: &[std::ffi::OsString],
        fds: Vec<RawFd>,
    ) -> Result<Client, StartError> {
        Client::start(
            &self.programs.client,
            &self.socket,
            words,
            self.temp_dir.path(),
            fds,
        )
        .map_err(|error| {
            failed(format_args!(
                "cannot run {}: {error}",
                self.programs.client.display()
            ))
        })
    }

    pub(crate) fn end_client(
        &mut self,
        mut client: Client,
        events: &mut Events,
    ) -> Result<(), StartError> {
        process::signal(client.pid, libc::SIGKILL);
        let until = Instant::now() + KILLED;
        while client.ended.is_none() && !is_over(Some(until)) {
            self.step(events, &mut [&mut client], until)?;
        }
        Ok(())
    }
}

/// The variable with the tailnet's search domains, unless the user has set it. Without the domains only the short names of
/// the tailnet itself resolve, by the proxy.
pub fn search_domains(socket: &Path) -> Option<(&'static str, String)> {
    if std::env::var_os(SEARCH_VARIABLE).is_some() {
        return None;
    }
    let domains = local_api::search_domains(socket).ok()?;
    Some((SEARCH_VARIABLE, domains.join(",")))
}

pub(crate) fn is_over(until: Option<Instant>) -> bool {
    until.is_some_and(|until| Instant::now() >= until)
}
