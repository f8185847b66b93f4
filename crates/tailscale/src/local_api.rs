//! tailscaled's LocalAPI: HTTP on its unix socket, as used by the command `tailscale`. It starts no process, so it is cheap
//! enough to be called every few seconds.

#![forbid(unsafe_code)]

use crate::status::{self, Status};
use serde_json::Value;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// The limit of each read and write. tailscaled answers in milliseconds; if it hangs, signals must still be handled.
const PATIENCE: Duration = Duration::from_secs(1);
/// A status without peers has a few thousand bytes.
const LONGEST: u64 = 1 << 20;

/// With HTTP 1.0 the body is not chunked and ends with the connection.
const STATUS: &[u8] =
    b"GET /localapi/v0/status?peers=false HTTP/1.0\r\nHost: local-tailscaled.sock\r\n\r\n";

/// # Errors
///
/// tailscaled cannot be reached, or its answer is invalid.
pub fn status(socket: &Path) -> io::Result<Status> {
    let answer = ask(socket, STATUS)?;
    body(&answer)
        .and_then(status::parse)
        .ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// The first message of the bus (`ipn.NotifyInitialNetMap`) has the network map with the DNS settings. Where tailscaled
/// does not configure the machine's DNS, no smaller answer has them.
const NETWORK_MAP: &[u8] =
    b"GET /localapi/v0/watch-ipn-bus?mask=8 HTTP/1.0\r\nHost: local-tailscaled.sock\r\n\r\n";
/// The map has some 2 KiB for each peer.
const LONGEST_MAP: u64 = 256 << 20;

/// The search domains of the tailnet: its own, and those of the admin console.
///
/// # Errors
///
/// tailscaled cannot be reached, or has no network map.
pub fn search_domains(socket: &Path) -> io::Result<Vec<String>> {
    let mut stream = connect(socket)?;
    stream.write_all(NETWORK_MAP)?;
    let lines = BufReader::new(stream.take(LONGEST_MAP)).split(b'\n');
    for line in lines {
        let line = line?;
        if !line.starts_with(b"{") {
            continue;
        }
        let domains = domains_of(&line);
        return domains.ok_or_else(|| io::ErrorKind::InvalidData.into());
    }
    Err(io::ErrorKind::UnexpectedEof.into())
}

fn domains_of(message: &[u8]) -> Option<Vec<String>> {
    let message: Value = serde_json::from_slice(message).ok()?;
    let domains = message.pointer("/NetMap/DNS/Domains")?.as_array()?.iter();
    Some(
        domains
            .filter_map(Value::as_str)
            .map(|domain| domain.trim_matches('.').to_owned())
            // A shell evaluates them.
            .filter(|domain| {
                let is_usual = |byte| matches!(byte, b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'_');
                !domain.is_empty() && domain.bytes().all(is_usual)
            })
            .collect(),
    )
}

/// # Errors
///
/// tailscaled cannot be reached, or rejects `config`; the error has its reason.
pub fn set_serve_config(socket: &Path, config: &[u8]) -> io::Result<()> {
    let mut request = format!(
        "POST /localapi/v0/serve-config HTTP/1.0\r\nHost: local-tailscaled.sock\r\nContent-Length: {}\r\n\r\n",
        config.len()
    )
    .into_bytes();
    request.extend_from_slice(config);
    let answer = ask(socket, &request)?;
    match body(&answer) {
        Some(_) => Ok(()),
        None => {
            let text = String::from_utf8_lossy(&answer);
            let reason = text.lines().last().unwrap_or_default();
            Err(io::Error::other(reason.to_owned()))
        }
    }
}

fn ask(socket: &Path, request: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = connect(socket)?;
    stream.write_all(request)?;
    let mut answer = Vec::new();
    stream.take(LONGEST).read_to_end(&mut answer)?;
    Ok(answer)
}

fn connect(socket: &Path) -> io::Result<UnixStream> {
    let stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// The body of a response with status 200.
fn body(answer: &[u8]) -> Option<&[u8]> {
    const END: &[u8] = b"\r\n\r\n";
    let at = answer.windows(END.len()).position(|window| window == END)?;
    let (head, body) = answer.split_at(at);
    let code = head.split(|byte| *byte == b' ').nth(1)?;
    (code == b"200").then(|| body.get(END.len()..))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn search_domains_are_those_of_the_network_map() {
        let message = br#"{"Version":"1.102","NetMap":{"Peers":[],"DNS":{"Domains":["x.ts.net","corp.example.","$(x)"]}}}"#;
        let domains = domains_of(message).unwrap();
        assert_eq!(domains, ["x.ts.net", "corp.example"]);
        assert_eq!(domains_of(br#"{"Version":"1.102"}"#), None);
    }

    #[test]
    fn only_a_successful_response_has_a_body() {
        assert_eq!(
            body(b"HTTP/1.0 200 OK\r\nA: b\r\n\r\n{}"),
            Some(b"{}".as_slice())
        );
        for other in [
            b"HTTP/1.0 403 Forbidden\r\n\r\n{}".as_slice(),
            b"HTTP/1.0 200 OK\r\n",
            b"",
        ] {
            assert_eq!(body(other), None);
        }
    }
}
