//! The tunnel: the talk with every hop of a path in turn, without I/O.
//!
//! A driver asks [`Tunnel::step`] what to do, does it on the socket, and reports. Every step but the last two
//! names bytes that move, and a report of no bytes counts as an end of file, so a driver cannot spin.

#![forbid(unsafe_code)]

use super::failure::{Failure, FailureKind};
use super::http;
use super::talk::{Ask, Heard, Talk};
use crate::config::{Endpoint, Proxy};
use crate::host::Target;

/// What the driver has to do next.
#[derive(Debug, PartialEq, Eq)]
pub enum Step<'a> {
    /// Write these bytes, or some of them, and report with [`Tunnel::sent`].
    Send(&'a [u8]),
    /// Read at most so many bytes, all of which belong to the proxy's reply; report with [`Tunnel::received`].
    Take(usize),
    /// Look at up to so many bytes without taking them (`MSG_PEEK`) and report with [`Tunnel::peeked`], which
    /// says how many of them to take off the socket.
    Peek(usize),
    /// The tunnel stands: what follows on the socket belongs to the program.
    Done,
    /// The socket is of no more use.
    Fail(Failure),
}

/// One connection's way through a chain of proxies.
///
/// It neither implements `Debug` nor `Clone`: what it is about to send may hold a password.
pub struct Tunnel<'c> {
    path: Vec<&'c Proxy>,
    target: Target,
    hop: usize,
    pipelined: bool,
    /// The message to send; empty once it is sent.
    out: Vec<u8>,
    sent: usize,
    /// What has come of the reply that is awaited.
    reply: Vec<u8>,
    state: State,
}

enum State {
    /// Once `out` is sent, so many more bytes of the reply are wanted.
    Talking {
        talk: Talk,
        want: usize,
    },
    Done,
    Failed(Failure),
}

impl<'c> Tunnel<'c> {
    /// A tunnel through `path`, first hop first, to `target`. The connection to the first hop stands already.
    ///
    /// An empty path fails: a connection that nobody proxies is not made here (it would be a leak).
    ///
    /// `pipelined` sends a SOCKS5 greeting and the request in one segment where no user is given, which saves a
    /// round trip for each such hop. RFC 1928 section 3 has the client wait for the chosen method, and a proxy
    /// that reads the greeting with one large `recv` loses the request: hence an option (`proxy_pipeline`).
    pub fn new(path: &[&'c Proxy], target: Target, pipelined: bool) -> Tunnel<'c> {
        let mut tunnel = Tunnel {
            path: path.to_vec(),
            target,
            hop: 0,
            pipelined,
            // Enough for all of SOCKS but long names: they do not grow byte by byte.
            out: Vec::with_capacity(64),
            sent: 0,
            reply: Vec::with_capacity(64),
            state: State::Done,
        };
        if path.is_empty() {
            let kind = FailureKind::Unsupported("a chain without a proxy");
            tunnel.state = State::Failed(Failure::new(0, kind));
        } else {
            tunnel.begin(0);
        }
        tunnel
    }

    /// What to do next; asking changes nothing.
    pub fn step(&self) -> Step<'_> {
        match &self.state {
            State::Done => Step::Done,
            State::Failed(failure) => Step::Fail(failure.clone()),
            State::Talking { talk, want } => match self.out.get(self.sent..) {
                Some(rest) if !rest.is_empty() => Step::Send(rest),
                _ if talk.is_peeked() => Step::Peek(*want),
                _ => Step::Take(*want),
            },
        }
    }

    /// The first `n` bytes of [`Step::Send`] were written.
    pub fn sent(&mut self, n: usize) {
        self.sent = self.sent.saturating_add(n);
        if self.sent >= self.out.len() {
            self.out.clear();
            self.sent = 0;
        }
    }

    /// These bytes, at most as many as [`Step::Take`] asked for, were read; none means end of file.
    pub fn received(&mut self, bytes: &[u8]) {
        match &self.state {
            State::Done | State::Failed(_) => {}
            State::Talking { .. } if bytes.is_empty() => self.closed(),
            // A driver that reads on has taken bytes of the program, and the stream is no longer whole.
            State::Talking { want, .. } if bytes.len() > *want => {
                self.fail(FailureKind::Nonsense("more bytes than were asked for"));
            }
            State::Talking { .. } => {
                self.reply.extend_from_slice(bytes);
                self.hear();
            }
        }
    }

    /// These bytes, at most as many as [`Step::Peek`] asked for, can be read; none means end of file.
    ///
    /// Gives how many of them to take off the socket. They count as received: do not report them again.
    pub fn peeked(&mut self, bytes: &[u8]) -> usize {
        match &self.state {
            State::Talking { talk, .. } if talk.is_peeked() => {}
            _ => return 0,
        }
        if bytes.is_empty() {
            self.closed();
            return 0;
        }
        let belonging = http::belonging(&self.reply, bytes);
        self.reply.extend(bytes.iter().take(belonging));
        self.hear();
        belonging
    }

    /// The connection ended or was reset before the tunnel stood.
    pub fn closed(&mut self) {
        self.fail(FailureKind::Closed);
    }

    /// The reply, or the rest of it, did not come in time.
    pub fn timed_out(&mut self) {
        self.fail(FailureKind::TimedOut);
    }

    /// The position in the path of the proxy whose reply is awaited, or was awaited last.
    pub fn hop(&self) -> usize {
        self.hop
    }

    /// Turns to the first hop from `hop` on that has to be told something.
    fn begin(&mut self, mut hop: usize) {
        self.out.clear();
        self.sent = 0;
        loop {
            self.reply.clear();
            let Some(proxy) = self.path.get(hop) else {
                self.state = State::Done;
                return;
            };
            self.hop = hop;
            let opened = ask(&self.path, &self.target, hop).and_then(|ask| {
                Talk::open(proxy.kind, ask, self.pipelined, &mut self.out)
                    .map_err(|kind| Failure::new(hop, kind))
            });
            match opened {
                Ok(None) => hop += 1,
                Ok(Some((talk, want))) => {
                    self.state = State::Talking { talk, want };
                    return;
                }
                Err(failure) => {
                    self.state = State::Failed(failure);
                    return;
                }
            }
        }
    }

    /// Goes on with what the reply says so far.
    fn hear(&mut self) {
        let State::Talking { talk, want } = &mut self.state else {
            return;
        };
        let heard = ask(&self.path, &self.target, self.hop).and_then(|ask| {
            talk.hear(&self.reply, ask, &mut self.out)
                .map_err(|kind| Failure::new(self.hop, kind))
        });
        match heard {
            Ok(Heard::More(n)) => *want = n,
            Ok(Heard::Next(n)) => {
                self.reply.clear();
                *want = n;
            }
            Ok(Heard::Open) => self.begin(self.hop + 1),
            Err(failure) => self.state = State::Failed(failure),
        }
    }

    /// The first failure is the one that counts, and a tunnel that stands fails no more.
    fn fail(&mut self, kind: FailureKind) {
        let asked = match &self.state {
            State::Talking { talk, .. } => {
                talk.is_greeted() && self.out.is_empty() && self.reply.is_empty()
            }
            State::Done | State::Failed(_) => return,
        };
        self.state = State::Failed(Failure {
            hop: self.hop,
            kind,
            asked,
        });
    }
}

/// What the proxy at `hop` is asked for.
fn ask<'a>(path: &[&'a Proxy], target: &'a Target, hop: usize) -> Result<Ask<'a>, Failure> {
    let to = match path.get(hop + 1).map(|next| &next.endpoint) {
        None => target,
        Some(Endpoint::Tcp(next)) => next,
        Some(Endpoint::Unix(_)) => {
            let kind = FailureKind::Unsupported("a unix socket that is not the first of its chain");
            return Err(Failure::new(hop + 1, kind));
        }
    };
    let credentials = path.get(hop).and_then(|proxy| proxy.credentials.as_ref());
    Ok(Ask { credentials, to })
}
