//! A failure as text, for a log line.

#![forbid(unsafe_code)]

use super::{Failure, FailureKind};
use core::fmt;
use socks5_proto::Reply;

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
            FailureKind::InvalidReply(what) => write!(f, "the proxy sent {what}"),
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

    #[test]
    fn a_failure_says_what_happened_in_a_clause() {
        for (kind, text) in [
            (
                FailureKind::Reply(Reply::ConnectionNotAllowed),
                "refused by the proxy: connection not allowed",
            ),
            (
                FailureKind::Http {
                    status: 500,
                    reason: Some("connection was refused".into()),
                },
                "refused by the proxy: HTTP 500, connection was refused",
            ),
            (
                FailureKind::InvalidReply("a reply that is not HTTP"),
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
