//! The tunnel: the handshake with every hop of a path in turn, without I/O.
//!
//! A driver asks [`Tunnel::step`] what to do, does it on the socket, and reports the result. Every step but the last
//! two moves bytes, and a report of zero bytes means end of file, so a driver cannot spin.

#![forbid(unsafe_code)]

use super::failure::{Failure, FailureKind};
use super::handshake::Handshake;
use super::request::{Progress, Request};
use crate::config::{Endpoint, Proxy};
use crate::host::Target;

/// What the driver has to do next.
#[derive(Debug, PartialEq, Eq)]
pub enum Step<'a> {
    /// Write these bytes, or as many of them as the socket takes; report with [`Tunnel::sent`].
    Send(&'a [u8]),
    /// Read at most this many bytes, all of which are part of the proxy's reply; report with [`Tunnel::received`].
    Read(usize),
    /// Peek at up to this many bytes (`MSG_PEEK`); report with [`Tunnel::peeked`], which returns how many of them to
    /// read.
    Peek(usize),
    /// The tunnel is established: whatever follows on the socket belongs to the program.
    Done,
    /// Close the socket: it is of no further use.
    Fail(Failure),
}

/// One connection through a chain of proxies.
///
/// It implements neither `Debug` nor `Clone`: what it is about to send may hold a password.
pub struct Tunnel<'c> {
    path: Vec<&'c Proxy>,
    target: Target,
    hop: usize,
    pipelined: bool,
    /// The message to send; empty once it is sent.
    out: Vec<u8>,
    sent: usize,
    /// What has been received of the current reply.
    reply: Vec<u8>,
    state: State,
}

enum State {
    InHandshake {
        handshake: Handshake,
        /// How many more bytes of the reply to read, once `out` is sent.
        want: usize,
    },
    Done,
    Failed(Failure),
}

impl<'c> Tunnel<'c> {
    /// A tunnel through `path`, first hop first, to `target`. The connection to the first hop is established already.
    ///
    /// An empty path fails: it would be a connection that bypasses the proxies.
    ///
    /// `pipelined` sends a SOCKS5 greeting and the request in one segment if no user is given, which saves a round trip
    /// for each such hop. RFC 1928 section 3 has the client wait for the method selection, and a proxy that reads the
    /// greeting with one large `recv` loses the request: hence an option (`proxy_pipeline`).
    pub fn new(path: &[&'c Proxy], target: Target, pipelined: bool) -> Tunnel<'c> {
        let mut tunnel = Tunnel {
            path: path.to_vec(),
            target,
            hop: 0,
            pipelined,
            // Large enough for any SOCKS message without a long name.
            out: Vec::with_capacity(64),
            sent: 0,
            reply: Vec::with_capacity(64),
            state: State::Done,
        };
        if path.is_empty() {
            let kind = FailureKind::Unsupported("a chain without a proxy");
            tunnel.state = State::Failed(Failure::new(0, kind));
        } else {
            tunnel.start(0);
        }
        tunnel
    }

    /// What to do next; does not change the state.
    pub fn step(&self) -> Step<'_> {
        match &self.state {
            State::Done => Step::Done,
            State::Failed(failure) => Step::Fail(failure.clone()),
            State::InHandshake { handshake, want } => match self.out.get(self.sent..) {
                Some(rest) if !rest.is_empty() => Step::Send(rest),
                _ if handshake.peeks() => Step::Peek(*want),
                _ => Step::Read(*want),
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

    /// These bytes, at most as many as [`Step::Read`] asked for, were read; none means end of file.
    pub fn received(&mut self, bytes: &[u8]) {
        match &self.state {
            State::Done | State::Failed(_) => {}
            State::InHandshake { .. } if bytes.is_empty() => self.closed(),
            // The driver has read bytes that belong to the program: the stream is corrupt.
            State::InHandshake { want, .. } if bytes.len() > *want => {
                self.fail(FailureKind::InvalidReply("more bytes than were asked for"));
            }
            State::InHandshake { .. } => {
                self.reply.extend_from_slice(bytes);
                self.on_reply();
            }
        }
    }

    /// These bytes, at most as many as [`Step::Peek`] asked for, are readable; none means end of file.
    ///
    /// Returns how many of them to read from the socket. They count as received: do not report them again.
    pub fn peeked(&mut self, bytes: &[u8]) -> usize {
        let part = match &self.state {
            State::InHandshake { handshake, .. } if handshake.peeks() => {
                handshake.reply_part(&self.reply, bytes)
            }
            _ => return 0,
        };
        if bytes.is_empty() {
            self.closed();
            return 0;
        }
        self.reply.extend(bytes.iter().take(part));
        self.on_reply();
        part
    }

    /// The connection ended or was reset before the tunnel was established.
    pub fn closed(&mut self) {
        self.fail(FailureKind::Closed);
    }

    /// The reply, or the rest of it, did not arrive in time.
    pub fn timed_out(&mut self) {
        self.fail(FailureKind::TimedOut);
    }

    /// The position in the path of the proxy whose reply is awaited, or was awaited last.
    pub fn hop(&self) -> usize {
        self.hop
    }

    /// Starts the handshake with the first hop from `hop` on that has one.
    fn start(&mut self, mut hop: usize) {
        self.out.clear();
        self.sent = 0;
        loop {
            self.reply.clear();
            let Some(proxy) = self.path.get(hop) else {
                self.state = State::Done;
                return;
            };
            self.hop = hop;
            let started = request(&self.path, &self.target, hop).and_then(|request| {
                Handshake::start(proxy.kind, request, self.pipelined, &mut self.out)
                    .map_err(|kind| Failure::new(hop, kind))
            });
            match started {
                Ok(None) => hop += 1,
                Ok(Some((handshake, want))) => {
                    self.state = State::InHandshake { handshake, want };
                    return;
                }
                Err(failure) => {
                    self.state = State::Failed(failure);
                    return;
                }
            }
        }
    }

    /// Processes what has been received of the reply.
    fn on_reply(&mut self) {
        let State::InHandshake { handshake, want } = &mut self.state else {
            return;
        };
        let progress = request(&self.path, &self.target, self.hop).and_then(|request| {
            handshake
                .on_reply(&self.reply, request, &mut self.out)
                .map_err(|kind| Failure::new(self.hop, kind))
        });
        match progress {
            Ok(Progress::NeedMore(n)) => *want = n,
            Ok(Progress::NextReply(n)) => {
                self.reply.clear();
                *want = n;
            }
            Ok(Progress::Established) => self.start(self.hop + 1),
            Err(failure) => self.state = State::Failed(failure),
        }
    }

    /// Only the first failure counts, and an established tunnel cannot fail.
    fn fail(&mut self, kind: FailureKind) {
        let asked = match &self.state {
            State::InHandshake { handshake, .. } => {
                handshake.is_greeted() && self.out.is_empty() && self.reply.is_empty()
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

/// The request to the proxy at `hop`.
fn request<'a>(path: &[&'a Proxy], target: &'a Target, hop: usize) -> Result<Request<'a>, Failure> {
    let to = match path.get(hop + 1).map(|next| &next.endpoint) {
        None => target,
        Some(Endpoint::Tcp(next)) => next,
        Some(Endpoint::Unix(_)) => {
            let kind = FailureKind::Unsupported("a unix socket that is not the first of its chain");
            return Err(Failure::new(hop + 1, kind));
        }
    };
    let credentials = path.get(hop).and_then(|proxy| proxy.credentials.as_ref());
    Ok(Request { credentials, to })
}
