//! One node of the tailnet: tailscaled, from its start until it has logged out.

#![forbid(unsafe_code)]

use super::client::Client;
use super::daemon::Daemon;
use super::events::Events;
use super::folder::Folder;
use super::programs::{self, Programs};
use super::settings::Settings;
use super::status::{self, Status};
use super::{login, ready};
use crate::report;
use crate::sys::process::{self, Pid};
use crate::sys::shield;
use std::fmt;
use std::fs;
use std::io;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

/// Between two looks at something that tells nobody when it changes.
const STEP: Duration = Duration::from_millis(100);
/// Between two looks at a login that takes its time.
const LOOK: Duration = Duration::from_secs(2);
/// For tailscaled to log out. What is left of Heroku's 30 seconds after the drain is a little more.
pub(super) const LOGOUT: Duration = Duration::from_secs(5);
/// For a client that is killed to be gone.
pub(super) const KILLED: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub enum StartError {
    Failed(String),
    /// Somebody asked us to end, or the watched process is gone.
    Interrupted,
}

impl From<io::Error> for StartError {
    fn from(error: io::Error) -> StartError {
        StartError::Failed(error.to_string())
    }
}

/// What stands in the way, and what to do.
fn failed(reason: impl fmt::Display) -> StartError {
    StartError::Failed(reason.to_string())
}

pub struct Node<'s> {
    settings: &'s Settings,
    programs: Programs,
    folder: Folder,
    socket: PathBuf,
    daemon: Option<Daemon>,
}

impl<'s> Node<'s> {
    /// # Errors
    ///
    /// Tailscale is not installed, or there is no place for its files.
    pub fn new(settings: &'s Settings) -> Result<Node<'s>, String> {
        let programs = programs::find(
            settings.programs.as_deref(),
            std::env::var_os("PATH").as_deref(),
            std::env::current_exe().ok().as_deref(),
        );
        let programs = programs.map_err(|error| error.to_string())?;
        let folder = Folder::new().map_err(|error| error.to_string())?;
        let socket = match &settings.socket {
            Some(path) => path.clone(),
            None => folder.path().join("tailscaled.sock"),
        };
        Ok(Node {
            settings,
            programs,
            folder,
            socket,
            daemon: None,
        })
    }

    /// tailscaled, unless it is not there or has ended.
    fn living(&self) -> Option<&Daemon> {
        self.daemon.as_ref().filter(|daemon| daemon.ended.is_none())
    }

    pub fn is_alive(&self) -> bool {
        self.living().is_some()
    }

    /// How tailscaled ended, if it has: one line.
    pub fn end(&self) -> Option<String> {
        let status = self.daemon.as_ref()?.ended?;
        Some(format!("tailscaled ended ({status})"))
    }

    /// Whether the tailscaled that listens on `TAILSCALE_SOCKET` is one that somebody started before us, and ready.
    pub fn runs_already(&mut self, events: &mut Events) -> Result<bool, StartError> {
        if self.settings.socket.is_none() || UnixStream::connect(&self.socket).is_err() {
            return Ok(false);
        }
        let until = Some(Instant::now() + Duration::from_secs(10));
        let status = self.status(events, until, None)?;
        Ok(status.is_some_and(|status| status.is_running())
            && ready::answers(self.settings.port).is_ok())
    }

    /// Starts tailscaled, logs in and waits until its proxy can be used. After a failure nothing is left.
    ///
    /// # Errors
    ///
    /// Why it did not come up within the time that the settings give.
    pub fn start(&mut self, events: &mut Events) -> Result<(), StartError> {
        let began = Instant::now();
        let until = self.settings.timeout.map(|timeout| began + timeout);
        let up = self.bring_up(events, until);
        match up {
            Ok(status) => {
                report::complain(format_args!(
                    "Tailscale is up after {:.1} s ({}), SOCKS5 on 127.0.0.1:{}",
                    began.elapsed().as_secs_f64(),
                    status.node,
                    self.settings.port
                ));
                Ok(())
            }
            Err(error) => {
                self.stop(events);
                Err(error)
            }
        }
    }

    fn bring_up(
        &mut self,
        events: &mut Events,
        until: Option<Instant>,
    ) -> Result<Status, StartError> {
        let port = self.settings.port;
        if !ready::is_free(port)? {
            return Err(failed(format_args!(
                "port {port} of 127.0.0.1 is taken by another program; end it, or choose another port with TAILSCALE_SOCKS5_PORT"
            )));
        }
        self.start_daemon()?;
        self.wait_for_socket(events, until)?;
        self.log_in(events, until)?;
        self.wait_for_proxy(events, until)
    }

    fn start_daemon(&mut self) -> Result<(), StartError> {
        let state = match &self.settings.state {
            Some(path) => path.clone(),
            None => self.folder.path().join("state"),
        };
        for folder in [Some(state.as_path()), self.socket.parent()]
            .into_iter()
            .flatten()
        {
            fs::create_dir_all(folder).map_err(|error| {
                failed(format_args!("cannot make {}: {error}", folder.display()))
            })?;
        }
        let started = Daemon::start(&self.programs, self.settings, &self.socket, &state);
        let path = self.programs.daemon.display();
        self.daemon =
            Some(started.map_err(|error| failed(format_args!("cannot run {path}: {error}")))?);
        Ok(())
    }

    fn wait_for_socket(
        &mut self,
        events: &mut Events,
        until: Option<Instant>,
    ) -> Result<(), StartError> {
        loop {
            if UnixStream::connect(&self.socket).is_ok() {
                break;
            }
            if is_over(until) {
                return Err(failed(
                    "tailscaled does not open its socket in time; raise TAILSCALE_TIMEOUT",
                ));
            }
            self.pause(events)?;
        }
        // It has installed its handlers by now.
        match self.living() {
            Some(daemon) if !shield::is_in_place(daemon.pid) => report::complain(
                "tailscaled cannot be kept from SIGTERM here (no seccomp): where everything is signalled at once, it ends with the program",
            ),
            _ => (),
        }
        Ok(())
    }

    fn log_in(&mut self, events: &mut Events, until: Option<Instant>) -> Result<(), StartError> {
        let key = self
            .folder
            .secret("auth-key", self.settings.auth_key.reveal())?;
        let words = || {
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            login::arguments(self.settings, key.path(), left.map(|left| left.max(STEP)))
        };
        let mut client = self.client(&words())?;
        let mut next_look = Instant::now() + LOOK;
        loop {
            let output = client.output();
            if login::asks_for_a_browser(&output) {
                self.end_client(client, events)?;
                return Err(failed(
                    "the control server does not accept the auth key and asks for a login by browser; make a new key",
                ));
            }
            match client.ended {
                Some(status) if status.success() => return Ok(()),
                Some(_) if login::is_to_be_tried_again(&output) && !is_over(until) => {
                    self.step(events, &mut [], Instant::now() + LOOK)?;
                    client = self.client(&words())?;
                }
                Some(_) => {
                    let complaint = login::complaint(&output, self.settings);
                    return Err(self.login_failure(&complaint, events, until));
                }
                // tailscale has the same limit; this is for one that does not keep it.
                None if is_over(until.map(|until| until + KILLED)) => {
                    let complaint = login::complaint(&output, self.settings);
                    self.end_client(client, events)?;
                    return Err(self.login_failure(&complaint, events, until));
                }
                None if is_over(Some(next_look)) => {
                    let limit = Some(Instant::now() + LOOK);
                    let status = self.status(events, limit, Some(&mut client))?;
                    if let Some(refusal) = status.as_ref().and_then(Status::refusal) {
                        self.end_client(client, events)?;
                        return Err(failed(format_args!("cannot log in: {refusal}")));
                    }
                    next_look = Instant::now() + LOOK;
                }
                None => self.step(events, &mut [&mut client], Instant::now() + STEP)?,
            }
        }
    }

    fn login_failure(
        &mut self,
        complaint: &str,
        events: &mut Events,
        until: Option<Instant>,
    ) -> StartError {
        if !is_over(until) {
            return failed(format_args!("cannot log in: {complaint}"));
        }
        let state = match self.status(events, Some(Instant::now() + KILLED), None) {
            Ok(Some(status)) => status.obstacle(),
            Ok(None) => complaint.to_owned(),
            Err(error) => return error,
        };
        let limit = self.settings.timeout.unwrap_or_default().as_secs_f64();
        failed(format_args!(
            "not logged in after {limit} s (TAILSCALE_TIMEOUT); {state}"
        ))
    }

    fn wait_for_proxy(
        &mut self,
        events: &mut Events,
        until: Option<Instant>,
    ) -> Result<Status, StartError> {
        let mut obstacle = "it does not tell its state".to_owned();
        loop {
            let limit = until.unwrap_or_else(|| Instant::now() + Duration::from_secs(10));
            let status = self.status(events, Some(limit), None)?;
            match status {
                Some(status) if status.is_running() => match ready::answers(self.settings.port) {
                    Ok(()) => return Ok(status),
                    Err(failure) => {
                        obstacle = format!("its proxy on port {}: {failure}", self.settings.port);
                    }
                },
                Some(status) => obstacle = status.obstacle(),
                // It was killed because the time is over: what was in the way before still is.
                None => (),
            }
            if is_over(until) {
                let limit = self.settings.timeout.unwrap_or_default().as_secs_f64();
                return Err(failed(format_args!(
                    "tailscaled is not ready after {limit} s (TAILSCALE_TIMEOUT); {obstacle}"
                )));
            }
            self.pause(events)?;
        }
    }

    /// `None` when it cannot be told. A client that runs `beside` may end meanwhile.
    fn status(
        &mut self,
        events: &mut Events,
        until: Option<Instant>,
        mut beside: Option<&mut Client>,
    ) -> Result<Option<Status>, StartError> {
        let words = ["status", "--json", "--peers=false"].map(Into::into);
        let mut client = self.client(&words)?;
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
        // It treats SIGINT as SIGTERM, which is kept from it.
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
    }

    /// Keep what is to know about a child that has ended.
    pub fn note(&mut self, ended: Option<(Pid, ExitStatus)>) {
        if let (Some((pid, status)), Some(daemon)) = (ended, &mut self.daemon) {
            if daemon.pid == pid {
                daemon.ended = Some(status);
            }
        }
    }

    fn pause(&mut self, events: &mut Events) -> Result<(), StartError> {
        self.step(events, &mut [], Instant::now() + STEP)
    }

    /// Wait until something happens that matters to a start, such as the end of one of `clients`.
    fn step(
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
                "{end}; its last words:{}",
                daemon.last_words()
            ))),
            _ => Ok(()),
        }
    }

    fn client(&self, words: &[std::ffi::OsString]) -> Result<Client, StartError> {
        Client::start(
            &self.programs.client,
            &self.socket,
            words,
            self.folder.path(),
        )
        .map_err(|error| {
            failed(format_args!(
                "cannot run {}: {error}",
                self.programs.client.display()
            ))
        })
    }

    fn end_client(&mut self, mut client: Client, events: &mut Events) -> Result<(), StartError> {
        process::signal(client.pid, libc::SIGKILL);
        let until = Instant::now() + KILLED;
        while client.ended.is_none() && !is_over(Some(until)) {
            self.step(events, &mut [&mut client], until)?;
        }
        Ok(())
    }
}

fn is_over(until: Option<Instant>) -> bool {
    until.is_some_and(|until| Instant::now() >= until)
}
