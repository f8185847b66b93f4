//! Brings a node up: starts tailscaled, logs in, and waits until the proxy answers.

#![forbid(unsafe_code)]

use crate::daemon::Daemon;
use crate::events::Events;
use crate::login::{self, Login};
use crate::lost::Lost;
use crate::node::{is_over, Node, KILLED, STEP};
use crate::start_error::{failed, StartError};
use crate::status::Status;
use crate::sys::port::PortHold;
use crate::sys::sigterm_shield;
use crate::{owner, ready, server};
use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};
use tailchain_core::config::tailscaled::HOST_VARIABLE;
use tailchain_diagnostics::report;

/// The polling interval for slow steps.
const LOOK: Duration = Duration::from_secs(2);

impl Node<'_> {
    /// Starts tailscaled, logs in and waits until its proxy can be used. On failure tailscaled is stopped.
    ///
    /// # Errors
    ///
    /// The reason why the node did not come up in time.
    pub fn start(&mut self, events: &mut Events) -> Result<(), StartError> {
        let began = Instant::now();
        let until = self.settings.timeout.map(|timeout| began + timeout);
        let up = self.bring_up(events, until);
        match up {
            Ok(status) => {
                report::complain(format_args!(
                    "Tailscale is up after {:.1} s ({}), SOCKS5 on {}",
                    began.elapsed().as_secs_f64(),
                    status.node,
                    self.settings.listener
                ));
                if self.settings.listener.is_open_to_peers() {
                    report::complain(format_args!(
                        "warning: peers in the tailnet can use the SOCKS5 proxy on {}, and through it what only this machine can reach; {HOST_VARIABLE}=127.0.0.2 keeps them out",
                        self.settings.listener
                    ));
                }
                Ok(())
            }
            Err(error) => {
                self.stop(events);
                Err(error)
            }
        }
    }

    /// Logs in again on the running tailscaled, which keeps its `tailscale serve` config and its proxy. A node that the
    /// control server has removed is started anew.
    ///
    /// # Errors
    ///
    /// As [`Node::start`].
    pub fn return_to_tailnet(
        &mut self,
        lost: &Lost,
        events: &mut Events,
    ) -> Result<(), StartError> {
        if let Lost::Unknown(_) = lost {
            self.stop(events);
            return self.start(events);
        }
        let began = Instant::now();
        let until = self.settings.timeout.map(|timeout| began + timeout);
        match self.bring_back(events, until) {
            Ok(status) => {
                report::complain(format_args!(
                    "Tailscale: logged in again after {:.1} s ({})",
                    began.elapsed().as_secs_f64(),
                    status.node
                ));
                Ok(())
            }
            Err(error) => {
                self.stop(events);
                Err(error)
            }
        }
    }

    pub(crate) fn bring_up(
        &mut self,
        events: &mut Events,
        until: Option<Instant>,
    ) -> Result<Status, StartError> {
        self.hold_port()?;
        self.start_daemon()?;
        self.wait_for_socket(events, until)?;
        self.wait_for_listener(events, until)?;
        self.log_in(events, until, Login::First)?;
        self.after_login(events, until)?;
        let status = self.wait_for_proxy(events, until)?;
        // The proxy has answered, so tailscaled listens even if /proc did not show it.
        self.close_hold()?;
        Ok(status)
    }

    /// Reserves the port for tailscaled, which would report a port that is in use only later, in its log.
    fn hold_port(&mut self) -> Result<(), StartError> {
        if let Some(hold) = &self.hold {
            return Ok(hold.share()?);
        }
        let listener = self.settings.listener;
        match PortHold::new(listener.bound()) {
            Ok(hold) => {
                self.hold = Some(hold);
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                let (address, port) = (listener.bound().ip(), listener.bound().port());
                let by = match owner::of(listener.address()) {
                    Some(owner) => owner.to_string(),
                    None => "another program".to_owned(),
                };
                Err(failed(format_args!(
                    "port {port} of {address} is taken by {by}; stop it, or choose another port with TAILSCALE_SOCKS5_PORT"
                )))
            }
            Err(error) => Err(failed(format_args!(
                "cannot use {listener} for tailscaled's proxy: {error}; set TAILSCALE_SOCKS5_HOST to an address of this machine"
            ))),
        }
    }

    fn start_daemon(&mut self) -> Result<(), StartError> {
        let own = self.temp_dir.path().join("state");
        let given = self
            .settings
            .state
            .as_ref()
            .or(self.settings.files.as_ref());
        let files = given.unwrap_or(&own);
        for directory in [Some(files.as_path()), self.socket.parent()]
            .into_iter()
            .flatten()
        {
            // It will contain the node's keys or the socket, so only this user may enter. An existing directory is kept.
            let made = fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(directory);
            made.map_err(|error| {
                failed(format_args!("cannot make {}: {error}", directory.display()))
            })?;
        }
        let started = Daemon::start(&self.programs, self.settings, &self.socket, files);
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
                    "tailscaled did not open its socket in time; increase TAILSCALE_TIMEOUT",
                ));
            }
            self.pause(events)?;
        }
        // By now tailscaled has installed its signal handlers.
        match self.living() {
            Some(daemon) if !sigterm_shield::is_in_place(daemon.pid) => report::complain(
                "tailscaled cannot be shielded from SIGTERM here (no seccomp): a SIGTERM to all processes also stops tailscaled",
            ),
            _ => (),
        }
        Ok(())
    }

    /// tailscaled binds the address of its proxy some time after it opens its socket. If it never does,
    /// [`Node::wait_for_proxy`] reports that.
    fn wait_for_listener(
        &mut self,
        events: &mut Events,
        until: Option<Instant>,
    ) -> Result<(), StartError> {
        let limit = Instant::now() + LOOK;
        while owner::of(self.settings.listener.address()).is_none() {
            if is_over(Some(limit)) || is_over(until) {
                return Ok(());
            }
            self.pause(events)?;
        }
        self.close_hold()
    }

    fn close_hold(&self) -> Result<(), StartError> {
        match &self.hold {
            Some(hold) => Ok(hold.close()?),
            None => Ok(()),
        }
    }

    /// Logs in again on the running tailscaled.
    pub(crate) fn bring_back(
        &mut self,
        events: &mut Events,
        until: Option<Instant>,
    ) -> Result<Status, StartError> {
        self.log_in(events, until, Login::Again)?;
        self.after_login(events, until)?;
        self.wait_for_proxy(events, until)
    }

    fn log_in(
        &mut self,
        events: &mut Events,
        until: Option<Instant>,
        login: Login,
    ) -> Result<(), StartError> {
        let keys = self.settings.credentials.open().map_err(failed)?;
        let words = || {
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            login::arguments(self.settings, &keys, left.map(|left| left.max(STEP)), login)
        };
        let mut client = self.client(&words(), keys.fds())?;
        let mut next_look = Instant::now() + LOOK;
        // The output of the previous attempt, reported if the current one has none.
        let mut previous = String::new();
        loop {
            let output = client.output();
            if login::asks_for_a_browser(&output) {
                self.end_client(client, events)?;
                return Err(failed(
                    "the control server does not accept the auth key and asks for a login with a browser; create a new key",
                ));
            }
            match client.ended {
                Some(status) if status.success() => return Ok(()),
                Some(_) if login::is_to_be_tried_again(&output) && !is_over(until) => {
                    previous = login::complaint(&output, &keys);
                    self.step(events, &mut [], Instant::now() + LOOK)?;
                    client = self.client(&words(), keys.fds())?;
                }
                Some(_) => {
                    let complaint = login::complaint(&output, &keys);
                    return Err(self.login_failure(&complaint, events, until));
                }
                // `tailscale up` has the same time limit; this one is in case it hangs.
                None if is_over(until.map(|until| until + KILLED)) => {
                    let complaint = match output.trim() {
                        "" => previous,
                        output => login::complaint(output, &keys),
                    };
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
            // The API failed before tailscaled was asked to log in.
            Ok(_) if login::is_about_api(complaint) => complaint.to_owned(),
            Ok(Some(status)) => self.obstacle(&status),
            Ok(None) => complaint.to_owned(),
            Err(error) => return error,
        };
        let limit = self.settings.timeout.unwrap_or_default().as_secs_f64();
        failed(format_args!(
            "not logged in after {limit} s (TAILSCALE_TIMEOUT); {state}"
        ))
    }

    /// Why it does not run. tailscaled does not say why the control server cannot be reached.
    fn obstacle(&self, status: &Status) -> String {
        let text = status.obstacle();
        let unreachable = match (&self.settings.login_server, status.state.as_str()) {
            (Some(server), "NeedsLogin" | "NoState") => server::obstacle(server),
            _ => None,
        };
        match unreachable {
            Some(why) => format!("{why}\n  {text}"),
            None => text,
        }
    }

    fn wait_for_proxy(
        &mut self,
        events: &mut Events,
        until: Option<Instant>,
    ) -> Result<Status, StartError> {
        let mut obstacle = "it does not report its state".to_owned();
        loop {
            let limit = until.unwrap_or_else(|| Instant::now() + Duration::from_secs(10));
            let status = self.status(events, Some(limit), None)?;
            let tailscaled = self.living().map(|daemon| daemon.pid);
            match status {
                Some(status) if status.is_running() => {
                    match ready::answers(self.settings.listener, tailscaled) {
                        Ok(()) => return Ok(status),
                        Err(failure) => {
                            obstacle =
                                format!("its proxy on {}: {failure}", self.settings.listener);
                        }
                    }
                }
                Some(status) => obstacle = self.obstacle(&status),
                // The client was killed at the time limit: the previous obstacle still holds.
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
}
