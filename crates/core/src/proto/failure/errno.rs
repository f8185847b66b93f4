//! Maps a failure to the errno that `connect` reports.

#![forbid(unsafe_code)]

use super::{Failure, FailureKind};
use crate::errno::Errno;
use core::time::Duration;
use socks5_proto::Reply;

/// tailscaled replies to every failed dial with a general failure, and abandons a dial after 5 s. A failure that took
/// nearly as long was a timeout.
const SLOW_DIAL: Duration = Duration::from_millis(4500);

impl Failure {
    /// What `connect` reports. `elapsed` is the time since the request, or since the tunnel was begun; it matters only
    /// for a SOCKS5 general failure.
    pub fn errno(&self, elapsed: Duration) -> Errno {
        match &self.kind {
            FailureKind::Reply(reply) => reply_errno(*reply, elapsed),
            FailureKind::UnassignedReply(_) => Errno::ECONNREFUSED,
            FailureKind::Socks4(code) => socks4_errno(*code),
            FailureKind::Http { status, reason } => reason
                .as_deref()
                .and_then(of_reason)
                .unwrap_or_else(|| status_errno(*status)),
            FailureKind::AuthRefused | FailureKind::NoAcceptableMethod { .. } => Errno::EACCES,
            FailureKind::InvalidReply(_) | FailureKind::Closed => Errno::ECONNRESET,
            FailureKind::TimedOut => Errno::ETIMEDOUT,
            FailureKind::TooLong(_) => Errno::EINVAL,
            FailureKind::NoIpv6 => Errno::EAFNOSUPPORT,
            FailureKind::Unsupported(_) => Errno::EOPNOTSUPP,
        }
    }
}

/// RFC 1928 section 6, as the errno that a kernel would give.
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

/// The errno behind the text of a `Tailscale-Connect-Error`, which ends in the words of Go's or gVisor's network stack.
/// `None` if they are unknown.
pub(super) fn of_reason(reason: &str) -> Option<Errno> {
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

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_millis(20);

    #[test]
    fn only_a_general_failure_that_came_late_is_a_timeout() {
        let general = Failure::new(0, FailureKind::Reply(Reply::GeneralFailure));
        assert_eq!(general.errno(SLOW_DIAL), Errno::ETIMEDOUT);
        assert_eq!(
            general.errno(SLOW_DIAL - Duration::from_millis(1)),
            Errno::ECONNREFUSED
        );
        let refused = Failure::new(0, FailureKind::Reply(Reply::ConnectionRefused));
        assert_eq!(refused.errno(SLOW_DIAL), Errno::ECONNREFUSED);
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
            ("operation not permitted", Errno::EACCES),
            (
                "dial tcp 10.0.0.1:9: connect: permission denied",
                Errno::EACCES,
            ),
        ] {
            let failure = Failure::new(
                0,
                FailureKind::Http {
                    status: 500,
                    reason: Some(reason.into()),
                },
            );
            assert_eq!(failure.errno(SOON), errno, "{reason}");
            assert!(!failure.is_general(), "{reason}");
        }
        let unknown = Failure::new(
            0,
            FailureKind::Http {
                status: 500,
                reason: Some("something went wrong".into()),
            },
        );
        assert_eq!(unknown.errno(SOON), Errno::ECONNREFUSED);
        assert!(unknown.is_general());
    }
}
