//! Detects that a node has left the tailnet while tailscaled runs.

#![forbid(unsafe_code)]

use crate::status::{is_final, Status};
use std::fmt;

#[derive(Debug, PartialEq, Eq)]
pub enum Lost {
    /// By `tailscale logout`, or removed by an admin.
    LoggedOut,
    /// The node key has expired, or an admin has expired it.
    Expired,
    /// The control server has removed the node: e.g. an ephemeral one that was suspended for long.
    Unknown(String),
}

/// The loss that a status shows; `None` if the node is in the tailnet, or logging in.
pub fn from_status(status: &Status) -> Option<Lost> {
    match (status.state.as_str(), status.has_key_expiry) {
        ("NeedsLogin", true) => Some(Lost::Expired),
        ("NeedsLogin", false) => Some(Lost::LoggedOut),
        _ => None,
    }
}

/// The loss that a line of tailscaled's log shows.
pub fn from_log_line(line: &str) -> Option<Lost> {
    let (_, answer) = line.split_once("PollNetMap: initial fetch failed ")?;
    is_final(answer.split(':').next()?).then(|| Lost::Unknown(answer.to_owned()))
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Lost::LoggedOut => f.write_str("this machine was logged out of the tailnet"),
            Lost::Expired => f.write_str("the key of this machine has expired or was revoked"),
            Lost::Unknown(answer) => {
                write!(
                    f,
                    "the control server does not know this machine any more ({answer})"
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status;

    fn lost(json: &str) -> Option<Lost> {
        from_status(&status::parse(json.as_bytes()).unwrap())
    }

    #[test]
    fn a_node_that_needs_a_login_is_lost() {
        assert_eq!(
            lost(r#"{"BackendState":"NeedsLogin","Self":{}}"#),
            Some(Lost::LoggedOut)
        );
        let expired =
            r#"{"BackendState":"NeedsLogin","Self":{"KeyExpiry":"2026-11-25T09:43:51Z"}}"#;
        assert_eq!(lost(expired), Some(Lost::Expired));
        for state in ["Running", "Starting", "Stopped", "NoState"] {
            let json = format!(r#"{{"BackendState":"{state}","Self":{{}}}}"#);
            assert_eq!(lost(&json), None, "{state}");
        }
    }

    #[test]
    fn a_node_that_the_control_server_rejects_is_lost() {
        let line = "2026/11/25 09:47:46 Received error: PollNetMap: initial fetch failed 404: node not found";
        let text = from_log_line(line).unwrap().to_string();
        assert!(text.ends_with("(404: node not found)"), "{text}");
        for passing in [
            "Received error: PollNetMap: initial fetch failed 503: later",
            "Received error: PollNetMap: initial fetch failed 429: slowly",
            "Received error: PollNetMap: EOF",
            "Received error: fetch control key: 404",
        ] {
            assert_eq!(from_log_line(passing), None, "{passing}");
        }
    }
}
