//! A client for DNS queries on tailscaled's LocalAPI: HTTP on a unix socket.
//!
//! The LocalAPI also resolves names of split DNS routes and 4via6 names. tailscaled's proxies do not: they know MagicDNS
//! names only and use the machine's resolver for the rest. The LocalAPI serves root, tailscaled's user and the operator
//! (`tailscale set --operator`). In tailscaled 1.102: `ipn/localapi`, `serveDNSQuery`.

#![forbid(unsafe_code)]

mod json;
mod lookup;

pub use lookup::{failed, Lookup, Resolution, Unanswered};

use crate::errno::Errno;
use crate::host::HostName;
use crate::proto::base64;
use core::fmt;
use std::fmt::Write as _;

/// The JSON member of the response that holds the DNS message in base64.
const MESSAGE: &[u8] = b"Bytes";

/// The query type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    A,
    Aaaa,
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Kind::A => "A",
            Kind::Aaaa => "AAAA",
        }
    }
}

/// The HTTP request that queries `name`. HTTP/1.0, so the response ends with the connection and is not chunked.
pub fn request(name: &HostName, kind: Kind) -> Vec<u8> {
    let mut text = String::from("GET /localapi/v0/dns-query?name=");
    for byte in name.as_str().bytes() {
        match byte {
            b'0'..=b'9' | b'a'..=b'z' | b'-' | b'.' | b'_' => text.push(char::from(byte)),
            // Writing to a String cannot fail.
            _ => drop(write!(text, "%{byte:02X}")),
        }
    }
    text.push_str("&type=");
    text.push_str(kind.as_str());
    text.push_str(" HTTP/1.0\r\nHost: local-tailscaled.sock\r\n\r\n");
    text.into_bytes()
}

/// Why a LocalAPI request failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// connect(2), send(2) or recv(2) on the socket failed.
    Io(Errno),
    /// HTTP 403: this user is not permitted.
    Denied,
    /// A status other than 200, e.g. 404 from a tailscaled that is too old.
    Status(u16),
    /// The response is invalid.
    Malformed,
    TimedOut,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Io(errno) => errno.fmt(f),
            Failure::Denied => f.write_str(
                "it lets root, its own user and the operator ask: run `tailscale set --operator=USER`",
            ),
            Failure::Status(status) => write!(f, "it answered HTTP {status}"),
            Failure::Malformed => f.write_str("it sent an invalid answer"),
            Failure::TimedOut => f.write_str("it did not answer in time"),
        }
    }
}

/// The DNS message in a response.
///
/// # Errors
///
/// The response has another status than 200 or contains no message.
pub fn dns_message(response: &[u8]) -> Result<Vec<u8>, Failure> {
    const END: &[u8] = b"\r\n\r\n";
    let head = response
        .windows(END.len())
        .position(|window| window == END)
        .ok_or(Failure::Malformed)?;
    match status(response).ok_or(Failure::Malformed)? {
        200 => {}
        403 => return Err(Failure::Denied),
        status => return Err(Failure::Status(status)),
    }
    let body = response.get(head + END.len()..).unwrap_or_default();
    json::string_member(body, MESSAGE)
        .and_then(base64::decode)
        .ok_or(Failure::Malformed)
}

/// `HTTP/1.x NNN …`
fn status(response: &[u8]) -> Option<u16> {
    let rest = response.strip_prefix(b"HTTP/1.")?;
    let (version, rest) = rest.split_first()?;
    let (digits, rest) = rest.strip_prefix(b" ")?.split_at_checked(3)?;
    let is_well_formed = version.is_ascii_digit()
        && digits.iter().all(u8::is_ascii_digit)
        && matches!(rest.first(), Some(b' ' | b'\r'));
    is_well_formed.then(|| str::from_utf8(digits).ok()?.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request_for(name: &str, kind: Kind) -> String {
        let name = HostName::new(name.as_bytes()).unwrap();
        String::from_utf8(request(&name, kind)).unwrap()
    }

    #[test]
    fn names_are_percent_encoded_in_the_request() {
        let ordinary = request_for("DB-1.corp_x", Kind::Aaaa);
        assert_eq!(
            ordinary,
            "GET /localapi/v0/dns-query?name=db-1.corp_x&type=AAAA HTTP/1.0\r\nHost: local-tailscaled.sock\r\n\r\n"
        );
        let escaped = request_for("a&type=A#%é+b", Kind::A);
        assert!(
            escaped.starts_with(
                "GET /localapi/v0/dns-query?name=a%26type%3Da%23%25%C3%A9%2Bb&type=A HTTP/1.0\r\n"
            ),
            "{escaped}"
        );
    }

    #[test]
    fn only_a_200_response_with_a_message_is_accepted() {
        let ok = b"HTTP/1.0 200 OK\r\nA: b\r\n\r\n{\"Bytes\":\"AAE=\",\"Resolvers\":null}\n";
        assert_eq!(dns_message(ok), Ok(vec![0, 1]));
        for (text, failure) in [
            ("HTTP/1.1 403 Forbidden\r\n\r\nno", Failure::Denied),
            ("HTTP/1.0 500 X\r\n\r\nno", Failure::Status(500)),
            ("HTTP/1.0 404\r\n\r\n", Failure::Status(404)),
            ("HTTP/1.0 200 OK\r\n\r\n", Failure::Malformed),
            (
                "HTTP/1.0 200 OK\r\n\r\n{\"Bytes\":\"A\"}",
                Failure::Malformed,
            ),
            ("HTTP/1.0 200 OK\r\n", Failure::Malformed),
            ("HTTP/1.0 2000 OK\r\n\r\n", Failure::Malformed),
            ("HTTP/1.0 +20 OK\r\n\r\n", Failure::Malformed),
            ("SSH-2.0-x\r\n\r\n", Failure::Malformed),
            ("", Failure::Malformed),
        ] {
            assert_eq!(dns_message(text.as_bytes()), Err(failure), "{text:?}");
        }
    }
}
