//! Why a tunnel failed, and which proxy is at fault. As an errno: `errno`. As text: `text`.

#![forbid(unsafe_code)]

mod errno;
mod text;

use crate::chain::Blame;
use socks5_proto::Reply;

/// A tunnel that was not established. `Display` is one clause for a log line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The position in the path of the proxy whose reply was awaited, or that could not be asked.
    pub hop: usize,
    pub kind: FailureKind,
    /// The proxy had replied to the greeting, and nothing of its reply to the request had arrived: a timeout is then
    /// more likely the fault of what it was asked to connect to.
    pub asked: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// A SOCKS5 reply other than success (RFC 1928 section 6).
    Reply(Reply),
    /// A SOCKS5 reply code that the RFC leaves unassigned.
    UnassignedReply(u8),
    /// A SOCKS4 reply other than 90, granted.
    Socks4(u8),
    /// An HTTP status other than 2xx.
    Http {
        status: u16,
        /// What `Tailscale-Connect-Error` said: printable, of bounded length.
        reason: Option<Box<str>>,
    },
    /// The user and password were refused (RFC 1929).
    AuthRefused,
    /// None of the authentication methods offered will do.
    NoAcceptableMethod {
        password_offered: bool,
    },
    /// What the proxy sent is not valid in its protocol.
    InvalidReply(&'static str),
    /// The connection ended before the tunnel was established.
    Closed,
    TimedOut,
    /// Over the 255 bytes that SOCKS can carry.
    TooLong(&'static str),
    /// SOCKS4 has no room for an IPv6 address.
    NoIpv6,
    /// Something else that the protocol cannot carry.
    Unsupported(&'static str),
}

impl Failure {
    /// A failure with nothing known about the requests before it.
    pub fn new(hop: usize, kind: FailureKind) -> Failure {
        Failure {
            hop,
            kind,
            asked: false,
        }
    }

    /// Whether the proxy gave no specific reason: a retry may succeed (`proxy_retry`).
    ///
    /// That is SOCKS5 reply 1, SOCKS4 reply 91, and HTTP 500, 502, 503 without a reason that names an errno.
    pub fn is_general(&self) -> bool {
        match &self.kind {
            FailureKind::Reply(Reply::GeneralFailure) | FailureKind::Socks4(91) => true,
            FailureKind::Http {
                status: 500 | 502 | 503,
                reason,
            } => reason.as_deref().and_then(errno::of_reason).is_none(),
            _ => false,
        }
    }

    /// Whether proxychains-ng logs it as `<--denied`, which it uses when the proxy itself refuses. It logs a SOCKS5
    /// failure reply as `<--socket error or timeout!`, like a proxy that does not answer.
    pub fn is_denial(&self) -> bool {
        match &self.kind {
            FailureKind::Socks4(_)
            | FailureKind::Http { .. }
            | FailureKind::AuthRefused
            | FailureKind::NoAcceptableMethod { .. }
            | FailureKind::NoIpv6 => true,
            FailureKind::Reply(_)
            | FailureKind::UnassignedReply(_)
            | FailureKind::InvalidReply(_)
            | FailureKind::Closed
            | FailureKind::TimedOut
            | FailureKind::TooLong(_)
            | FailureKind::Unsupported(_) => false,
        }
    }

    /// Who is at fault, in a path of `path_len` proxies.
    ///
    /// If a proxy cannot reach the next one, that one is; if the last proxy cannot reach the target, the target is. A
    /// proxy that refuses to serve us, sends an invalid reply or closes is at fault itself. A timeout is the fault of
    /// the next hop if the proxy had just replied to the greeting, and else its own: with SOCKS4 and HTTP, a proxy that
    /// hangs cannot be distinguished from a target that does, and the other proxies deserve a try.
    pub fn blame(&self, path_len: usize) -> Blame {
        if self.is_own_fault() {
            return Blame::Hop(self.hop);
        }
        match self.hop.saturating_add(1) {
            next if next < path_len => Blame::Hop(next),
            _ => Blame::Target,
        }
    }

    fn is_own_fault(&self) -> bool {
        match &self.kind {
            FailureKind::Reply(reply) => matches!(
                reply,
                Reply::CommandNotSupported | Reply::AddressTypeNotSupported
            ),
            FailureKind::UnassignedReply(_) => false,
            // 92 and 93: it requires an identd here, or one that gives another answer.
            FailureKind::Socks4(code) => *code != 91,
            // It requires credentials, is no proxy, does not support CONNECT, or is overloaded.
            FailureKind::Http { status, .. } => matches!(
                status,
                0..=399 | 400 | 401 | 405 | 407 | 408 | 429 | 501 | 505
            ),
            FailureKind::TimedOut => !self.asked,
            FailureKind::AuthRefused
            | FailureKind::NoAcceptableMethod { .. }
            | FailureKind::InvalidReply(_)
            | FailureKind::Closed
            | FailureKind::TooLong(_)
            | FailureKind::NoIpv6
            | FailureKind::Unsupported(_) => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::errno::Errno;
    use core::time::Duration;
    use socks5_proto::Reply as R;

    const SOON: Duration = Duration::from_millis(20);

    /// Who is at fault when the first of two proxies fails.
    const ITSELF: Blame = Blame::Hop(0);
    const NEXT: Blame = Blame::Hop(1);

    fn http(status: u16, reason: Option<&str>) -> FailureKind {
        FailureKind::Http {
            status,
            reason: reason.map(Into::into),
        }
    }

    #[test]
    fn every_failure_has_its_errno_its_culprit_and_its_generality() {
        use FailureKind::*;
        let table = [
            (Reply(R::GeneralFailure), Errno::ECONNREFUSED, NEXT, true),
            (Reply(R::ConnectionNotAllowed), Errno::EACCES, NEXT, false),
            (
                Reply(R::NetworkUnreachable),
                Errno::ENETUNREACH,
                NEXT,
                false,
            ),
            (Reply(R::HostUnreachable), Errno::EHOSTUNREACH, NEXT, false),
            (
                Reply(R::ConnectionRefused),
                Errno::ECONNREFUSED,
                NEXT,
                false,
            ),
            (Reply(R::TtlExpired), Errno::ETIMEDOUT, NEXT, false),
            (
                Reply(R::CommandNotSupported),
                Errno::EOPNOTSUPP,
                ITSELF,
                false,
            ),
            (
                Reply(R::AddressTypeNotSupported),
                Errno::EAFNOSUPPORT,
                ITSELF,
                false,
            ),
            (UnassignedReply(9), Errno::ECONNREFUSED, NEXT, false),
            (UnassignedReply(255), Errno::ECONNREFUSED, NEXT, false),
            (Socks4(91), Errno::ECONNREFUSED, NEXT, true),
            (Socks4(92), Errno::EACCES, ITSELF, false),
            (Socks4(93), Errno::EACCES, ITSELF, false),
            (Socks4(0), Errno::ECONNREFUSED, ITSELF, false),
            (http(302, None), Errno::ECONNREFUSED, ITSELF, false),
            (http(400, None), Errno::ECONNREFUSED, ITSELF, false),
            (http(403, None), Errno::EACCES, NEXT, false),
            (http(404, None), Errno::ECONNREFUSED, NEXT, false),
            (http(405, None), Errno::ECONNREFUSED, ITSELF, false),
            (http(407, None), Errno::EACCES, ITSELF, false),
            (http(500, None), Errno::ECONNREFUSED, NEXT, true),
            (http(501, None), Errno::ECONNREFUSED, ITSELF, false),
            (http(502, None), Errno::ECONNREFUSED, NEXT, true),
            (http(503, None), Errno::ECONNREFUSED, NEXT, true),
            (http(504, None), Errno::ETIMEDOUT, NEXT, false),
            (AuthRefused, Errno::EACCES, ITSELF, false),
            (
                NoAcceptableMethod {
                    password_offered: true,
                },
                Errno::EACCES,
                ITSELF,
                false,
            ),
            (InvalidReply("x"), Errno::ECONNRESET, ITSELF, false),
            (Closed, Errno::ECONNRESET, ITSELF, false),
            (TimedOut, Errno::ETIMEDOUT, ITSELF, false),
            (TooLong("x"), Errno::EINVAL, ITSELF, false),
            (NoIpv6, Errno::EAFNOSUPPORT, ITSELF, false),
            (Unsupported("x"), Errno::EOPNOTSUPP, ITSELF, false),
        ];
        for (kind, errno, blame, general) in table {
            let first = Failure::new(0, kind.clone());
            assert_eq!(first.errno(SOON), errno, "{kind:?}");
            assert_eq!(first.blame(2), blame, "{kind:?}");
            assert_eq!(first.is_general(), general, "{kind:?}");
            let last = Failure::new(1, kind.clone()).blame(2);
            let expected = if blame == NEXT {
                Blame::Target
            } else {
                Blame::Hop(1)
            };
            assert_eq!(last, expected, "{kind:?}");
        }
    }

    #[test]
    fn a_timeout_after_a_greeting_accuses_the_next_one() {
        let failure = Failure {
            hop: 0,
            kind: FailureKind::TimedOut,
            asked: true,
        };
        assert_eq!(failure.blame(2), NEXT);
        assert_eq!(failure.blame(1), Blame::Target);
    }

    #[test]
    fn a_denial_is_what_proxychains_calls_one() {
        for (kind, denial) in [
            (FailureKind::Reply(R::ConnectionRefused), false),
            (FailureKind::Socks4(91), true),
            (http(403, None), true),
            (FailureKind::AuthRefused, true),
            (FailureKind::Closed, false),
            (FailureKind::TimedOut, false),
            (FailureKind::InvalidReply("x"), false),
        ] {
            assert_eq!(
                Failure::new(0, kind.clone()).is_denial(),
                denial,
                "{kind:?}"
            );
        }
    }
}
