//! The state machine of one connection. Time is passed in (as CLOCK_MONOTONIC); nothing here does I/O.

#![forbid(unsafe_code)]

use crate::chain::{Blame, ChainSeed, Planner};
use crate::config::{ChainKind, Config, Endpoint, Proxy, ProxyDown};
use crate::errno::Errno;
use crate::host::{Host, HostName, Target};
use crate::local_api::{self, Failure as LookupFailure, Lookup, Resolution};
use crate::proto::{Failure, Step, Tunnel};
use crate::route;
use std::path::Path;
use std::time::Duration;

/// What the driver must do next.
#[derive(Debug)]
pub enum Action<'a> {
    /// Ask tailscaled on this unix socket for the target's addresses: [`Dial::lookup_request`], and its whole answer,
    /// [`Dial::looked_up`], or [`Dial::cannot_look_up`].
    LookUp(&'a Path),
    /// Connect the socket to the first proxy, or directly to the target, dissolving an earlier connect first; then
    /// [`Dial::connected`] or [`Dial::refused`] or [`Dial::busy`].
    Connect(&'a Endpoint),
    /// Write; then [`Dial::sent`].
    Send(&'a [u8]),
    /// Read at most this many bytes; then [`Dial::received`] or [`Dial::closed`].
    Read(usize),
    /// Peek at up to this many bytes (MSG_PEEK); [`Dial::peeked`] returns how many to consume.
    Peek(usize),
    /// Wait for the deadline.
    Sleep,
    /// The socket is connected to the target.
    Finished(Result<(), Errno>),
}

/// The outcome of an attempt with one path of proxies, for the log.
#[derive(Debug)]
pub struct Attempt<'a> {
    pub chain: ChainKind,
    pub path: &'a [&'a Proxy],
    pub target: &'a Target,
    pub end: AttemptEnd<'a>,
}

#[derive(Debug)]
pub enum AttemptEnd<'a> {
    Connected,
    /// The first proxy cannot be reached.
    Unreachable(Errno),
    Failed(&'a Failure, Errno),
    /// The first proxy is down; the connection goes directly to the target.
    WentDirect(Errno),
}

/// Receives the progress of a dial.
pub trait Report {
    fn attempt(&self, attempt: &Attempt<'_>);

    /// A round robin chain skipped a dead proxy and took the next one instead: the next connection must begin after
    /// that one.
    fn skipped_dead_proxy(&self) {}

    /// Too few live proxies are left for another path, after at least one path was tried.
    fn out_of_proxies(&self) {}

    /// A recent answer of tailscaled about this name.
    fn known_resolution(&self, _name: &HostName, _now: Duration) -> Option<Resolution> {
        None
    }

    /// An answer of tailscaled about a name, valid until the given time.
    fn resolved(&self, _name: &HostName, _resolution: &Resolution, _until: Duration) {}

    /// The proxy could not connect to a name for which tailscaled had no address either.
    fn not_resolved(&self, _name: &HostName, _resolution: &Resolution) {}
}

/// Pause between two tries of a first proxy that refuses TCP (`proxy_wait`) or has no room: short, since loopback
/// answers at once, and growing no further than this.
const WAIT_STEP: Duration = Duration::from_millis(100);
/// Pause before a general failure is tried again (`proxy_retry`).
const RETRY_STEP: Duration = Duration::from_millis(50);
/// How long tailscaled may take to resolve a name. Its own limit is 10 s; the dial itself comes after that.
const LOOKUP: Duration = Duration::from_secs(5);

enum Phase<'c> {
    LookUp(&'c Path, Box<Lookup>),
    Connect,
    Tunnel(Tunnel<'c>),
    Sleep,
    /// A pause before the same proxy is tried again; `deadline` ends the whole connect.
    Busy(Duration),
    /// The first proxy is down, and `proxy_down direct` is set: connecting to the target itself.
    Direct(Endpoint),
    Finished(Result<(), Errno>),
}

/// One connection being established; see the module's documentation.
pub struct Dial<'c> {
    config: &'c Config,
    target: Target,
    /// tailscaled's answer about the target's name, with `tailscale_socket`.
    resolution: Option<Resolution>,
    /// The index of the resolved address that the proxy is asked for.
    address: usize,
    report: &'c (dyn Report + Sync),
    planner: Planner<'c>,
    path: Vec<&'c Proxy>,
    phase: Phase<'c>,
    /// When this phase times out, or a sleep ends.
    deadline: Duration,
    /// A first proxy that refuses TCP is retried until then (`proxy_wait`).
    wait_until: Duration,
    retries: u32,
    /// When the request of this attempt was sent: how long the proxy took to fail tells what its reply means.
    attempt_began: Duration,
}

impl<'c> Dial<'c> {
    pub fn new(
        config: &'c Config,
        target: Target,
        seed: ChainSeed,
        report: &'c (dyn Report + Sync),
        now: Duration,
    ) -> Dial<'c> {
        let mut planner = Planner::new(config.chain, &config.proxies, seed);
        let path = planner.next_path();
        let mut dial = Dial {
            config,
            target,
            resolution: None,
            address: 0,
            report,
            planner,
            path: Vec::new(),
            phase: Phase::Finished(Err(Errno::ECONNREFUSED)),
            deadline: now,
            wait_until: now + config.wait,
            retries: config.retry,
            attempt_began: now,
        };
        if let Some(path) = path {
            dial.path = path;
            dial.look_up(now);
        }
        dial
    }

    fn look_up(&mut self, now: Duration) {
        if let (Some(socket), Host::Name(name)) = (&self.config.tailscale_socket, &self.target.host)
        {
            self.resolution = self.report.known_resolution(name, now);
            let lookup = match self.resolution {
                Some(_) => None,
                None => Lookup::new(name, &self.config.tailscale_search),
            };
            if let Some(lookup) = lookup {
                self.phase = Phase::LookUp(socket, Box::new(lookup));
                self.deadline = now + LOOKUP.min(self.config.connect_timeout);
                return;
            }
        }
        self.begin(now);
    }

    /// The request to send to tailscaled.
    pub fn lookup_request(&self) -> Vec<u8> {
        match &self.phase {
            Phase::LookUp(_, lookup) => lookup.request(),
            _ => Vec::new(),
        }
    }

    /// tailscaled's complete answer.
    pub fn looked_up(&mut self, response: &[u8], now: Duration) {
        if let Phase::LookUp(_, lookup) = &mut self.phase {
            if let Some((resolution, kept)) = lookup.on_response(response) {
                self.resolved(resolution, kept, now);
            }
        }
    }

    /// tailscaled cannot be asked: the proxy gets the name.
    pub fn cannot_look_up(&mut self, failure: LookupFailure, now: Duration) {
        let (resolution, kept) = local_api::failed(failure);
        self.resolved(resolution, kept, now);
    }

    fn resolved(&mut self, resolution: Resolution, kept: Duration, now: Duration) {
        if let Host::Name(name) = &self.target.host {
            self.report.resolved(name, &resolution, now + kept);
        }
        self.resolution = Some(resolution);
        self.begin(now);
    }

    /// What the last proxy is asked to connect to.
    fn destination(&self) -> Target {
        match &self.resolution {
            Some(Resolution::Addresses(addresses)) => match addresses.get(self.address) {
                Some(ip) => Target {
                    host: Host::Ip(*ip),
                    port: self.target.port,
                },
                None => self.target.clone(),
            },
            _ => self.target.clone(),
        }
    }

    fn has_further_address(&self) -> bool {
        match &self.resolution {
            Some(Resolution::Addresses(addresses)) => self.address + 1 < addresses.len(),
            _ => false,
        }
    }

    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Whether several replies may be outstanding (`proxy_pipeline`).
    pub fn is_pipelined(&self) -> bool {
        self.config.pipeline
    }

    pub fn action(&self) -> Action<'_> {
        match &self.phase {
            Phase::LookUp(socket, _) => Action::LookUp(socket),
            Phase::Connect => match self.path.first() {
                Some(first) => Action::Connect(&first.endpoint),
                None => Action::Finished(Err(Errno::ECONNREFUSED)),
            },
            Phase::Tunnel(tunnel) => match tunnel.step() {
                Step::Send(bytes) => Action::Send(bytes),
                Step::Read(n) => Action::Read(n),
                Step::Peek(n) => Action::Peek(n),
                // advance() never leaves the tunnel in one of these states.
                Step::Done => Action::Finished(Ok(())),
                Step::Fail(_) => Action::Finished(Err(Errno::ECONNRESET)),
            },
            Phase::Sleep | Phase::Busy(_) => Action::Sleep,
            Phase::Direct(target) => Action::Connect(target),
            Phase::Finished(result) => Action::Finished(*result),
        }
    }

    /// When to call [`Dial::on_timeout`], by CLOCK_MONOTONIC. Meaningless once finished.
    pub fn deadline(&self) -> Duration {
        self.deadline
    }

    /// The TCP connection is established: to the first proxy, or directly to the target.
    pub fn connected(&mut self, now: Duration) {
        if let Phase::Direct(_) = self.phase {
            self.phase = Phase::Finished(Ok(()));
            return;
        }
        self.attempt_began = now;
        self.phase = Phase::Tunnel(Tunnel::new(
            &self.path,
            self.destination(),
            self.config.pipeline,
        ));
        self.await_reply(now);
        self.advance(now);
    }

    /// The TCP connection to the first proxy may be established already. If the client speaks first, [`Dial::action`] is
    /// its greeting from now on. Call [`Dial::sent`] if it could be sent, which proves the connection, else
    /// [`Dial::not_yet_connected`].
    pub fn try_greeting(&mut self, now: Duration) -> bool {
        if let Phase::Direct(_) = self.phase {
            return false;
        }
        let tunnel = Tunnel::new(&self.path, self.destination(), self.config.pipeline);
        let speaks_first = matches!(tunnel.step(), Step::Send(_));
        if speaks_first {
            self.attempt_began = now;
            self.phase = Phase::Tunnel(tunnel);
        }
        speaks_first
    }

    /// The greeting could not be sent: connecting goes on, or has failed ([`Dial::refused`]).
    pub fn not_yet_connected(&mut self) {
        self.phase = Phase::Connect;
    }

    /// The first proxy cannot be reached, or directly the target.
    pub fn refused(&mut self, errno: Errno, now: Duration) {
        if let Phase::Direct(_) = self.phase {
            self.phase = Phase::Finished(Err(errno));
            return;
        }
        let refuses = matches!(
            errno,
            Errno::ECONNREFUSED | Errno::ENOENT | Errno::ECONNRESET
        );
        if refuses && now < self.wait_until {
            self.sleep(now, WAIT_STEP.min(self.wait_until - now));
            return;
        }
        let blame = Blame::Hop(0);
        self.planner.report(blame);
        let next = self.planner.next_path();
        let may_go_direct = self.config.proxy_down == ProxyDown::Direct
            && !route::denies_direct(self.config, self.target.port);
        if next.is_none() && refuses && may_go_direct {
            self.tell(AttemptEnd::WentDirect(errno));
            self.phase = Phase::Direct(Endpoint::Tcp(self.target.clone()));
            self.deadline = now + self.config.connect_timeout;
            return;
        }
        self.tell(AttemptEnd::Unreachable(errno));
        // A unix socket that does not exist is a proxy that is down.
        let errno = if errno == Errno::ENOENT {
            Errno::ECONNREFUSED
        } else {
            errno
        };
        self.go_on(next, blame, errno, now);
    }

    /// The first proxy's backlog is full: retried for as long as connecting may take.
    pub fn busy(&mut self, now: Duration) {
        let until = self.deadline;
        if now >= until {
            self.refused(Errno::ETIMEDOUT, now);
            return;
        }
        self.sleep(now, WAIT_STEP.min(until - now));
        self.phase = Phase::Busy(until);
    }

    pub fn sent(&mut self, n: usize, now: Duration) {
        if let Phase::Tunnel(tunnel) = &mut self.phase {
            tunnel.sent(n);
            self.await_reply(now);
        }
        self.advance(now);
    }

    pub fn received(&mut self, bytes: &[u8], now: Duration) {
        if let Phase::Tunnel(tunnel) = &mut self.phase {
            tunnel.received(bytes);
        }
        self.advance(now);
    }

    /// Returns how many of these bytes to consume; they count as received.
    pub fn peeked(&mut self, bytes: &[u8], now: Duration) -> usize {
        let taken = match &mut self.phase {
            Phase::Tunnel(tunnel) => tunnel.peeked(bytes),
            _ => 0,
        };
        self.advance(now);
        taken
    }

    /// The proxy closed or reset the connection.
    pub fn closed(&mut self, now: Duration) {
        if let Phase::Tunnel(tunnel) = &mut self.phase {
            tunnel.closed();
        }
        self.advance(now);
    }

    /// The deadline has passed.
    pub fn on_timeout(&mut self, now: Duration) {
        match &mut self.phase {
            Phase::LookUp(..) => self.cannot_look_up(LookupFailure::TimedOut, now),
            Phase::Connect | Phase::Direct(_) => self.refused(Errno::ETIMEDOUT, now),
            Phase::Tunnel(tunnel) => {
                tunnel.timed_out();
                self.advance(now);
            }
            Phase::Sleep => self.begin(now),
            Phase::Busy(until) => {
                self.deadline = *until;
                self.phase = Phase::Connect;
            }
            Phase::Finished(_) => {}
        }
    }

    /// Fail at once: the driver cannot go on.
    pub fn abandon(&mut self, errno: Errno) {
        self.phase = Phase::Finished(Err(errno));
    }

    fn begin(&mut self, now: Duration) {
        self.phase = Phase::Connect;
        self.deadline = now + self.config.connect_timeout;
    }

    fn sleep(&mut self, now: Duration, pause: Duration) {
        self.phase = Phase::Sleep;
        self.deadline = now + pause;
    }

    fn await_reply(&mut self, now: Duration) {
        self.deadline = now + self.config.read_timeout;
    }

    /// Enter the phase that the tunnel asks for.
    fn advance(&mut self, now: Duration) {
        let Phase::Tunnel(tunnel) = &self.phase else {
            return;
        };
        match tunnel.step() {
            Step::Done => {
                self.tell(AttemptEnd::Connected);
                self.phase = Phase::Finished(Ok(()));
            }
            Step::Fail(failure) => self.failed(failure, now),
            Step::Send(_) | Step::Read(_) | Step::Peek(_) => {}
        }
    }

    fn failed(&mut self, failure: Failure, now: Duration) {
        let took = now.saturating_sub(self.attempt_began);
        // tailscaled gives one reply for every failure (RFC 1928, general failure); the cause of this one is known.
        let is_no_name = self.resolution == Some(Resolution::NoSuchName) && failure.is_general();
        let errno = match is_no_name {
            true => Errno::EHOSTUNREACH,
            false => failure.errno(took),
        };
        self.tell(AttemptEnd::Failed(&failure, errno));
        if failure.is_general() {
            if self.has_further_address() {
                self.address += 1;
                self.begin(now);
                return;
            }
            if let (Host::Name(name), Some(resolution)) = (&self.target.host, &self.resolution) {
                self.report.not_resolved(name, resolution);
            }
        }
        if failure.is_general() && !is_no_name && self.retries > 0 {
            self.retries -= 1;
            self.sleep(now, RETRY_STEP);
            return;
        }
        let blame = failure.blame(self.path.len());
        self.planner.report(blame);
        let next = self.planner.next_path();
        self.go_on(next, blame, errno, now);
    }

    fn go_on(&mut self, next: Option<Vec<&'c Proxy>>, blame: Blame, errno: Errno, now: Duration) {
        let chain = self.config.chain;
        match next {
            Some(path) => {
                if let ChainKind::RoundRobin { .. } = chain {
                    self.report.skipped_dead_proxy();
                }
                self.path = path;
                self.begin(now);
            }
            None => {
                // A strict chain has only one path, so no report of running out.
                if chain != ChainKind::Strict && blame != Blame::Target {
                    self.report.out_of_proxies();
                }
                self.phase = Phase::Finished(Err(errno));
            }
        }
    }

    fn tell(&self, end: AttemptEnd<'_>) {
        self.report.attempt(&Attempt {
            chain: self.config.chain,
            path: &self.path,
            target: &self.target,
            end,
        });
    }
}
