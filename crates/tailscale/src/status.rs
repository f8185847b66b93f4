//! The relevant part of `tailscale status --json`.

#![forbid(unsafe_code)]

use serde_json::Value;

#[derive(Debug, PartialEq, Eq)]
pub struct Status {
    pub state: String,
    /// The name and the first address of this node, if it has them.
    pub node: String,
    /// The name in this node's certificates, or else its DNS name.
    pub domain: String,
    /// Whether the node key has an expiry date; an expired key has one.
    pub has_key_expiry: bool,
    /// Warnings of tailscaled.
    pub health: Vec<String>,
}

/// `None` if `text` is not a status in JSON.
pub fn parse(text: &[u8]) -> Option<Status> {
    let value: Value = serde_json::from_slice(text).ok()?;
    let own = value.get("Self");
    let name = own.and_then(|own| own.get("DNSName")?.as_str());
    let address = value.pointer("/TailscaleIPs/0").and_then(Value::as_str);
    let node: Vec<&str> = [name.map(|name| name.trim_end_matches('.')), address]
        .into_iter()
        .flatten()
        .filter(|text| !text.is_empty())
        .collect();
    let expiry = own.and_then(|own| own.get("KeyExpiry")?.as_str());
    let health = value.get("Health").and_then(Value::as_array);
    let domain = value.pointer("/CertDomains/0").and_then(Value::as_str);
    let domain = domain.or(name).unwrap_or_default();
    Some(Status {
        domain: domain.trim_end_matches('.').to_owned(),
        state: value.get("BackendState")?.as_str()?.to_owned(),
        node: node.join(", "),
        has_key_expiry: expiry.is_some(),
        health: health
            .into_iter()
            .flatten()
            .filter_map(|line| Some(line.as_str()?.to_owned()))
            .collect(),
    })
}

/// Whether an HTTP status is a permanent error: 4xx except timeout, too early and too many requests.
pub fn is_final(code: &str) -> bool {
    code.len() == 3 && code.starts_with('4') && !["408", "425", "429"].contains(&code)
}

impl Status {
    pub fn is_running(&self) -> bool {
        self.state == "Running"
    }

    /// The control server's permanent refusal of the login. tailscaled retries it like a temporary failure, and `tailscale
    /// up` goes on waiting without a message.
    pub fn refusal(&self) -> Option<&str> {
        self.health.iter().find_map(|line| {
            let (_, answer) = line.split_once("register request: ")?;
            let code = answer.strip_prefix("http ")?.split(':').next()?;
            is_final(code).then_some(answer)
        })
    }

    /// Why the node is not running, and what to do.
    pub fn obstacle(&self) -> String {
        let advice = match self.state.as_str() {
            "NeedsLogin" | "NoState" => {
                "the control server has not accepted the node; check the auth key and that the server can be reached"
            }
            "NeedsMachineAuth" => {
                "the node waits for approval in the admin console; approve it, or use a pre-approved key"
            }
            "Starting" => "the login was accepted but the network map has not arrived; check the connection",
            _ => "look at its health",
        };
        let mut text = format!("its state is {}: {advice}", self.state);
        for line in &self.health {
            text.push_str("\n  ");
            text.push_str(line);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn state_node_and_health_are_read() {
        let text = br#"{"BackendState":"Running","TailscaleIPs":["100.64.0.1","fd7a::1"],
            "Self":{"DNSName":"web-1.tail.ts.net."},"Health":["slow"]}"#;
        let status = parse(text).unwrap();
        assert!(status.is_running());
        assert_eq!(status.node, "web-1.tail.ts.net, 100.64.0.1");
        assert_eq!(status.health, ["slow"]);
    }

    #[test]
    fn only_a_permanent_error_is_a_refusal() {
        let refusal = |error: &str| {
            let status = Status {
                state: "NeedsLogin".to_owned(),
                node: String::new(),
                domain: String::new(),
                has_key_expiry: false,
                health: vec![
                    "slow".to_owned(),
                    format!("You are logged out. The last login error was: {error}"),
                ],
            };
            status.refusal().map(ToOwned::to_owned)
        };
        assert_eq!(
            refusal("register request: http 401: AuthKey expired").as_deref(),
            Some("http 401: AuthKey expired")
        );
        for passing in [
            "register request: http 429: later",
            "register request: http 503: down",
            "register request: EOF",
            "fetch control key: http 404",
        ] {
            assert_eq!(refusal(passing), None, "{passing}");
        }
    }

    #[test]
    fn missing_fields_are_optional() {
        let text = br#"{"BackendState":"NeedsMachineAuth","TailscaleIPs":null,"Health":null}"#;
        let status = parse(text).unwrap();
        assert_eq!(status.node, "");
        assert!(
            status.obstacle().contains("approve"),
            "{}",
            status.obstacle()
        );
        assert_eq!(parse(b"not json"), None);
    }
}
