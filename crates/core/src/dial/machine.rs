//! The state machine of one connection. Time is passed in (as CLOCK_MONOTONIC); nothing here does I/O.

#![forbid(unsafe_code)]

use crate::chain::{Blame, Draw, Planner};
use crate::config::{ChainKind, Config, Endpoint, Proxy, ProxyDown};
use crate::errno::Errno;
use crate::host::Target;
use crate::proto::{Failure, Step, Tunnel};
use crate::route;
use std::time::Duration;

/// What the driver must do next.
#[derive(Debug)]
pub enum Action<'a> {
    /// Connect the socket to the first proxy, afresh if it was connected before; then [`Dial::connected`]
    /// or [`Dial::refused`] or [`Dial::busy`].
    Connect(&'a Endpoint),
    /// Write; then [`Dial::sent`].
    Send(&'a [u8]),
    /// Read at most so many bytes; then [`Dial::received`] or [`Dial::closed`].
    Take(usize),
    /// Look at up to so many bytes (MSG_PEEK), [`Dial::peeked`] says how many to take.
    Peek(usize),
    /// Nothing, until the deadline.
    Sleep,
    Finished(Outcome),
}

/// How dialling ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The tunnel stands.
    Connected,
    /// The first proxy is down and `proxy_down direct` is set: connect to the target itself.
    Direct,
    Failed(Errno),
}

/// What became of one path of proxies, for the log.
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
    /// The first proxy is down; the target is connected to directly.
    WentDirect(Errno),
}

/// Who is told of attempts.
pub trait Report {
    fn attempt(&self, attempt: &Attempt<'_>);

    /// A round robin chain leaves out a dead proxy and takes a further one in its place: the next connection has to
    /// begin after that one.
    fn passed_over(&self) {}

    /// Too many proxies are dead for another path, and others were tried before.
    fn out_of_proxies(&self) {}
}

/// Pause between two tries of a first proxy that refuses TCP (`proxy_wait`) or has no room: short, since loopback
/// answers at once, and growing no further than this.
const WAIT_STEP: Duration = Duration::from_millis(100);
/// Pause before a general failure is tried again (`proxy_retry`).
const RETRY_STEP: Duration = Duration::from_millis(50);

enum Phase<'c> {
    Connect,
    Tunnel(Tunnel<'c>),
    Sleep,
    /// Until the same is tried again; connecting times out then.
    Busy(Duration),
    Finished(Outcome),
}

/// One connection being made. See the module's documentation.
pub struct Dial<'c> {
    config: &'c Config,
    target: Target,
    report: &'c (dyn Report + Sync),
    planner: Planner<'c>,
    path: Vec<&'c Proxy>,
    phase: Phase<'c>,
    /// When this phase times out, or a sleep ends.
    deadline: Duration,
    /// Until when a first proxy that refuses TCP is tried again.
    wait_until: Duration,
    retries: u32,
    /// When the request of this attempt was begun: how long a failing proxy took tells what it means.
    attempt_began: Duration,
}

impl<'c> Dial<'c> {
    pub fn new(
        config: &'c Config,
        target: Target,
        draw: Draw,
        report: &'c (dyn Report + Sync),
        now: Duration,
    ) -> Dial<'c> {
        let mut planner = Planner::new(config.chain, &config.proxies, draw);
        let path = planner.next_path();
        let mut dial = Dial {
            config,
            target,
            report,
            planner,
            path: Vec::new(),
            phase: Phase::Finished(Outcome::Failed(Errno::ECONNREFUSED)),
            deadline: now,
            wait_until: now + config.wait,
            retries: config.retry,
            attempt_began: now,
        };
        if let Some(path) = path {
            dial.path = path;
            dial.begin(now);
        }
        dial
    }

    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Whether more than one answer may be on its way (`proxy_pipeline`).
    pub fn is_pipelined(&self) -> bool {
        self.config.pipeline
    }

    pub fn action(&self) -> Action<'_> {
        match &self.phase {
            Phase::Connect => match self.path.first() {
                Some(first) => Action::Connect(&first.endpoint),
                None => Action::Finished(Outcome::Failed(Errno::ECONNREFUSED)),
            },
            Phase::Tunnel(tunnel) => match tunnel.step() {
                Step::Send(bytes) => Action::Send(bytes),
                Step::Take(n) => Action::Take(n),
                Step::Peek(n) => Action::Peek(n),
                // advance() leaves neither of them standing.
                Step::Done => Action::Finished(Outcome::Connected),
                Step::Fail(_) => Action::Finished(Outcome::Failed(Errno::ECONNRESET)),
            },
            Phase::Sleep | Phase::Busy(_) => Action::Sleep,
            Phase::Finished(outcome) => Action::Finished(*outcome),
        }
    }

    /// When [`Dial::expired`] is due, as CLOCK_MONOTONIC. Of no meaning once finished.
    pub fn deadline(&self) -> Duration {
        self.deadline
    }

    /// The TCP connection to the first proxy stands.
    pub fn connected(&mut self, now: Duration) {
        self.attempt_began = now;
        self.phase = Phase::Tunnel(Tunnel::new(
            &self.path,
            self.target.clone(),
            self.config.pipeline,
        ));
        self.await_reply(now);
        self.advance(now);
    }

    /// The TCP connection to the first proxy may be there already. If this side speaks first, [`Dial::action`] is that
    /// greeting from now on: [`Dial::sent`] when it could be sent, for then there is a connection, else
    /// [`Dial::not_yet_connected`].
    pub fn try_greeting(&mut self, now: Duration) -> bool {
        let tunnel = Tunnel::new(&self.path, self.target.clone(), self.config.pipeline);
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

    /// The first proxy cannot be reached.
    pub fn refused(&mut self, errno: Errno, now: Duration) {
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
            self.phase = Phase::Finished(Outcome::Direct);
            return;
        }
        self.tell(AttemptEnd::Unreachable(errno));
        // A unix socket that is not there is a proxy that is not there.
        let errno = if errno == Errno::ENOENT {
            Errno::ECONNREFUSED
        } else {
            errno
        };
        self.go_on(next, blame, errno, now);
    }

    /// The first proxy is there and has no room for a connection: to be tried again for as long as connecting may take.
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

    /// How many of these bytes to take from the socket; they count as received.
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
    pub fn expired(&mut self, now: Duration) {
        match &mut self.phase {
            Phase::Connect => self.refused(Errno::ETIMEDOUT, now),
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

    /// End it here and now: the driver could not go on.
    pub fn abandon(&mut self, errno: Errno) {
        self.phase = Phase::Finished(Outcome::Failed(errno));
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

    /// Look at where the tunnel stands.
    fn advance(&mut self, now: Duration) {
        let Phase::Tunnel(tunnel) = &self.phase else {
            return;
        };
        match tunnel.step() {
            Step::Done => {
                self.tell(AttemptEnd::Connected);
                self.phase = Phase::Finished(Outcome::Connected);
            }
            Step::Fail(failure) => self.failed(failure, now),
            Step::Send(_) | Step::Take(_) | Step::Peek(_) => {}
        }
    }

    fn failed(&mut self, failure: Failure, now: Duration) {
        let errno = failure.errno(now.saturating_sub(self.attempt_began));
        self.tell(AttemptEnd::Failed(&failure, errno));
        if failure.is_general() && self.retries > 0 {
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
                    self.report.passed_over();
                }
                self.path = path;
                self.begin(now);
            }
            None => {
                // A strict chain has but one path: there is no other to be missed.
                if chain != ChainKind::Strict && blame != Blame::Target {
                    self.report.out_of_proxies();
                }
                self.phase = Phase::Finished(Outcome::Failed(errno));
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
