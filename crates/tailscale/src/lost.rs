//! How a node that was up can be out of the tailnet while tailscaled runs.

#![forbid(unsafe_code)]

use crate::status::{is_final, Status};
use std::fmt;

#[derive(Debug, PartialEq, Eq)]
pub enum Lost {
    /// `tailscale logout`, or removed by an admin.
    LoggedOut,
    /// Its node key has expired, or an admin let it expire.
    Expired,
    /// The control server does not know it any more: an ephemeral node that was suspended for long is removed.
    Unknown(String),
}

/// What can be said of a status; `None` when the node is in the tailnet, or on its way.
pub fn found_in(status: &Status) -> Option<Lost> {
    match (status.state.as_str(), status.has_key_expiry) {
        ("NeedsLogin", true) => Some(Lost::Expired),
        ("NeedsLogin", false) => Some(Lost::LoggedOut),
        _ => None,
    }
}

/// What can be said of a line of tailscaled's log.
pub fn told_by(line: &str) -> Option<Lost> {
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
        found_in(&status::parse(json.as_bytes()).unwrap())
    }

    #[test]
    fn a_login_that_is_needed_is_a_node_that_is_lost() {
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
    fn a_machine_that_the_control_server_turns_away_is_lost() {
        let line = "2026/11/25 09:47:46 Received error: PollNetMap: initial fetch failed 404: node not found";
        let said = told_by(line).unwrap().to_string();
        assert!(said.ends_with("(404: node not found)"), "{said}");
        for passing in [
            "Received error: PollNetMap: initial fetch failed 503: later",
            "Received error: PollNetMap: initial fetch failed 429: slowly",
            "Received error: PollNetMap: EOF",
            "Received error: fetch control key: 404",
        ] {
            assert_eq!(told_by(passing), None, "{passing}");
        }
    }
}
