//! Why a tunnel failed: in words, as an errno, and whose fault it is.

#![forbid(unsafe_code)]

use crate::chain::Blame;
use crate::errno::Errno;
use core::fmt;
use core::time::Duration;
use socks5_proto::Reply;

/// tailscaled answers every failed dial with a general failure and gives up a dial after 5 s. One that took
/// nearly as long was a timeout.
const SLOW_DIAL: Duration = Duration::from_millis(4500);

/// A tunnel that did not come to stand. `Display` is one clause for a log line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The position in the path of the proxy whose answer was awaited, or that could not be asked.
    pub hop: usize,
    pub kind: FailureKind,
    /// The proxy had answered a greeting, and then nothing more came: what it was asked to connect to is the
    /// likelier culprit of a timeout.
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
    /// What came is not the protocol.
    Nonsense(&'static str),
    /// The connection ended before the tunnel stood.
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
    /// A failure of which nothing is known about what was asked before.
    pub fn new(hop: usize, kind: FailureKind) -> Failure {
        Failure {
            hop,
            kind,
            asked: false,
        }
    }

    /// What `connect` reports. `elapsed` is the time since the request, or since the tunnel was begun; only a
    /// SOCKS5 general failure looks at it.
    pub fn errno(&self, elapsed: Duration) -> Errno {
        match &self.kind {
            FailureKind::Reply(reply) => reply_errno(*reply, elapsed),
            FailureKind::UnassignedReply(_) => Errno::ECONNREFUSED,
            FailureKind::Socks4(code) => socks4_errno(*code),
            FailureKind::Http { status, reason } => reason
                .as_deref()
                .and_then(reason_errno)
                .unwrap_or_else(|| status_errno(*status)),
            FailureKind::AuthRefused | FailureKind::NoAcceptableMethod { .. } => Errno::EACCES,
            FailureKind::Nonsense(_) | FailureKind::Closed => Errno::ECONNRESET,
            FailureKind::TimedOut => Errno::ETIMEDOUT,
            FailureKind::TooLong(_) => Errno::EINVAL,
            FailureKind::NoIpv6 => Errno::EAFNOSUPPORT,
            FailureKind::Unsupported(_) => Errno::EOPNOTSUPP,
        }
    }

    /// Whether the proxy only said that it did not work, not why: another try may succeed (`proxy_retry`).
    ///
    /// That is SOCKS5 reply 1, SOCKS4 reply 91, and HTTP 500, 502, 503 without a reason that names an errno.
    pub fn is_general(&self) -> bool {
        match &self.kind {
            FailureKind::Reply(Reply::GeneralFailure) | FailureKind::Socks4(91) => true,
            FailureKind::Http {
                status: 500 | 502 | 503,
                reason,
            } => reason.as_deref().and_then(reason_errno).is_none(),
            _ => false,
        }
    }

    /// Whether a proxy answered, and the answer was no (proxychains' `<--denied`); else it did not answer in time
    /// or in order.
    pub fn is_denial(&self) -> bool {
        match &self.kind {
            FailureKind::Reply(_)
            | FailureKind::UnassignedReply(_)
            | FailureKind::Socks4(_)
            | FailureKind::Http { .. }
            | FailureKind::AuthRefused
            | FailureKind::NoAcceptableMethod { .. }
            | FailureKind::NoIpv6 => true,
            FailureKind::Nonsense(_)
            | FailureKind::Closed
            | FailureKind::TimedOut
            | FailureKind::TooLong(_)
            | FailureKind::Unsupported(_) => false,
        }
    }

    /// Who is dead, in a path of `path_len` proxies.
    ///
    /// A proxy that says it cannot reach the next one accuses that one, the last proxy accuses the target. A
    /// proxy that refuses to serve us, speaks nonsense or closes is itself at fault. Silence is the next one's
    /// fault where the proxy had just answered a greeting, and else its own: with SOCKS4 and HTTP a proxy that
    /// hangs looks like a target that does, and the other proxies deserve a try.
    pub fn blame(&self, path_len: usize) -> Blame {
        if self.is_its_own_fault() {
            return Blame::Hop(self.hop);
        }
        match self.hop.saturating_add(1) {
            next if next < path_len => Blame::Hop(next),
            _ => Blame::Target,
        }
    }

    fn is_its_own_fault(&self) -> bool {
        match &self.kind {
            FailureKind::Reply(reply) => matches!(
                reply,
                Reply::CommandNotSupported | Reply::AddressTypeNotSupported
            ),
            FailureKind::UnassignedReply(_) => false,
            // 92 and 93: it wants an identd here, or one that says otherwise.
            FailureKind::Socks4(code) => *code != 91,
            // It wants credentials, is no proxy, does not know CONNECT, or is busy itself.
            FailureKind::Http { status, .. } => matches!(
                status,
                0..=399 | 400 | 401 | 405 | 407 | 408 | 429 | 501 | 505
            ),
            FailureKind::TimedOut => !self.asked,
            FailureKind::AuthRefused
            | FailureKind::NoAcceptableMethod { .. }
            | FailureKind::Nonsense(_)
            | FailureKind::Closed
            | FailureKind::TooLong(_)
            | FailureKind::NoIpv6
            | FailureKind::Unsupported(_) => true,
        }
    }
}

/// RFC 1928 section 6, as a kernel would have put it.
fn reply_errno(reply: Reply, elapsed: Duration) -> Errno {
    match reply {
        Reply::GeneralFailure if elapsed >= SLOW_DIAL => Errno::ETIMEDOUT,
        Reply::GeneralFailure | Reply::ConnectionRefused => Errno::ECONNREFUSED,
        Reply::ConnectionNotAllowed => Errno::EACCES,
        Reply::NetworkUnreachable => Errno::ENETUNREACH,
        Reply::HostUnreachable => Errno::EHOSTUNREACH,
        Reply::TtlExpired => Errno::ETIMEDOUT,
        Reply::CommandNotSupported => Errno::EOPNOTSUPP,
        Reply::AddressTypeNotSupported => Errno::EAFNOSUPPORT,
        // No failure has this reply.
        Reply::Succeeded => Errno::EIO,
    }
}

/// 91 rejected or failed; 92 no identd reached; 93 identd names another user.
fn socks4_errno(code: u8) -> Errno {
    match code {
        92 | 93 => Errno::EACCES,
        _ => Errno::ECONNREFUSED,
    }
}

/// RFC 9110 section 15.
fn status_errno(status: u16) -> Errno {
    match status {
        403 | 407 => Errno::EACCES,
        504 => Errno::ETIMEDOUT,
        _ => Errno::ECONNREFUSED,
    }
}

/// The errno behind the text of a `Tailscale-Connect-Error`, which ends in the words of Go's or gVisor's network
/// stack. `None` where they are not known.
fn reason_errno(reason: &str) -> Option<Errno> {
    const WORDS: [(&str, Errno); 12] = [
        ("refused", Errno::ECONNREFUSED),
        ("timed out", Errno::ETIMEDOUT),
        ("timeout", Errno::ETIMEDOUT),
        ("deadline exceeded", Errno::ETIMEDOUT),
        ("no such host", Errno::EHOSTUNREACH),
        ("no route to host", Errno::EHOSTUNREACH),
        ("host is unreachable", Errno::EHOSTUNREACH),
        ("host is down", Errno::EHOSTUNREACH),
        ("network is unreachable", Errno::ENETUNREACH),
        ("connection reset", Errno::ECONNRESET),
        ("not permitted", Errno::EACCES),
        ("permission denied", Errno::EACCES),
    ];
    let reason = reason.to_ascii_lowercase();
    WORDS
        .iter()
        .find(|(words, _)| reason.contains(words))
        .map(|(_, errno)| *errno)
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.kind.fmt(f)
    }
}

impl fmt::Display for FailureKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FailureKind::Reply(reply) => write!(f, "refused by the proxy: {}", reply_text(*reply)),
            FailureKind::UnassignedReply(code) => {
                write!(f, "refused by the proxy: unassigned SOCKS5 reply {code}")
            }
            FailureKind::Socks4(91) => f.write_str("refused by the proxy: rejected or failed"),
            FailureKind::Socks4(92) => {
                f.write_str("refused by the proxy: it reached no identd on this machine")
            }
            FailureKind::Socks4(93) => {
                f.write_str("refused by the proxy: the identd of this machine names another user")
            }
            FailureKind::Socks4(code) => {
                write!(f, "refused by the proxy: unassigned SOCKS4 reply {code}")
            }
            FailureKind::Http {
                status: 407,
                reason: None,
            } => f.write_str("refused by the proxy: HTTP 407, check user and password"),
            FailureKind::Http { status, reason } => {
                write!(f, "refused by the proxy: HTTP {status}")?;
                match reason {
                    Some(reason) => write!(f, ", {reason}"),
                    None => Ok(()),
                }
            }
            FailureKind::AuthRefused => f.write_str("user and password were refused by the proxy"),
            FailureKind::NoAcceptableMethod {
                password_offered: false,
            } => f.write_str("the proxy wants authentication: give it a user and a password"),
            FailureKind::NoAcceptableMethod {
                password_offered: true,
            } => f.write_str("the proxy wants another authentication than user and password"),
            FailureKind::Nonsense(what) => write!(f, "the proxy sent {what}"),
            FailureKind::Closed => f.write_str("the proxy closed the connection"),
            FailureKind::TimedOut => f.write_str("the proxy did not answer in time"),
            FailureKind::TooLong(what) => write!(f, "{what} is longer than 255 bytes"),
            FailureKind::NoIpv6 => f.write_str("SOCKS4 cannot carry an IPv6 address"),
            FailureKind::Unsupported(what) => write!(f, "not possible: {what}"),
        }
    }
}

fn reply_text(reply: Reply) -> &'static str {
    match reply {
        Reply::Succeeded => "succeeded",
        Reply::GeneralFailure => "general failure",
        Reply::ConnectionNotAllowed => "connection not allowed",
        Reply::NetworkUnreachable => "network unreachable",
        Reply::HostUnreachable => "host unreachable",
        Reply::ConnectionRefused => "connection refused",
        Reply::TtlExpired => "TTL expired",
        Reply::CommandNotSupported => "command not supported",
        Reply::AddressTypeNotSupported => "address type not supported",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_millis(20);
    const LATE: Duration = SLOW_DIAL;

    /// Whom a failure of the first of two proxies accuses.
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
            (
                Reply(super::Reply::GeneralFailure),
                Errno::ECONNREFUSED,
                NEXT,
                true,
            ),
            (
                Reply(super::Reply::ConnectionNotAllowed),
                Errno::EACCES,
                NEXT,
                false,
            ),
            (
                Reply(super::Reply::NetworkUnreachable),
                Errno::ENETUNREACH,
                NEXT,
                false,
            ),
            (
                Reply(super::Reply::HostUnreachable),
                Errno::EHOSTUNREACH,
                NEXT,
                false,
            ),
            (
                Reply(super::Reply::ConnectionRefused),
                Errno::ECONNREFUSED,
                NEXT,
                false,
            ),
            (
                Reply(super::Reply::TtlExpired),
                Errno::ETIMEDOUT,
                NEXT,
                false,
            ),
            (
                Reply(super::Reply::CommandNotSupported),
                Errno::EOPNOTSUPP,
                ITSELF,
                false,
            ),
            (
                Reply(super::Reply::AddressTypeNotSupported),
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
            (Nonsense("x"), Errno::ECONNRESET, ITSELF, false),
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
    fn only_a_general_failure_that_came_late_is_a_timeout() {
        let general = Failure::new(0, FailureKind::Reply(Reply::GeneralFailure));
        assert_eq!(general.errno(LATE), Errno::ETIMEDOUT);
        assert_eq!(
            general.errno(LATE - Duration::from_millis(1)),
            Errno::ECONNREFUSED
        );
        let refused = Failure::new(0, FailureKind::Reply(Reply::ConnectionRefused));
        assert_eq!(refused.errno(LATE), Errno::ECONNREFUSED);
    }

    #[test]
    fn a_reason_of_tailscale_decides_and_makes_the_failure_particular() {
        for (reason, errno) in [
            (
                "connect tcp 100.64.0.2:9: connection was refused",
                Errno::ECONNREFUSED,
            ),
            (
                "dial tcp 127.0.0.1:9: connect: connection refused",
                Errno::ECONNREFUSED,
            ),
            (
                "connect tcp 100.64.0.2:9: operation timed out",
                Errno::ETIMEDOUT,
            ),
            ("dial tcp 100.64.0.2:9: i/o timeout", Errno::ETIMEDOUT),
            ("context deadline exceeded", Errno::ETIMEDOUT),
            ("lookup db: no such host", Errno::EHOSTUNREACH),
            (
                "connect tcp 100.64.0.2:9: No route to host",
                Errno::EHOSTUNREACH,
            ),
            (
                "connect tcp 100.64.0.2:9: host is down",
                Errno::EHOSTUNREACH,
            ),
            (
                "connect tcp 100.64.0.2:9: network is unreachable",
                Errno::ENETUNREACH,
            ),
            ("connection reset by peer", Errno::ECONNRESET),
        ] {
            let failure = Failure::new(0, http(500, Some(reason)));
            assert_eq!(failure.errno(SOON), errno, "{reason}");
            assert!(!failure.is_general(), "{reason}");
        }
        let unknown = Failure::new(0, http(500, Some("something went wrong")));
        assert_eq!(unknown.errno(SOON), Errno::ECONNREFUSED);
        assert!(unknown.is_general());
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
    fn a_failure_says_what_happened_in_a_clause() {
        for (kind, text) in [
            (
                FailureKind::Reply(Reply::ConnectionNotAllowed),
                "refused by the proxy: connection not allowed",
            ),
            (
                http(500, Some("connection was refused")),
                "refused by the proxy: HTTP 500, connection was refused",
            ),
            (
                FailureKind::Nonsense("a reply that is not HTTP"),
                "the proxy sent a reply that is not HTTP",
            ),
            (
                FailureKind::TooLong("the user"),
                "the user is longer than 255 bytes",
            ),
        ] {
            assert_eq!(Failure::new(0, kind).to_string(), text);
        }
    }
}
