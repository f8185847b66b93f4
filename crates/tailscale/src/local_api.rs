//! tailscaled's LocalAPI: HTTP on its unix socket, as the command `tailscale` uses it. No process is started for it, so
//! it can be asked every few seconds.

#![forbid(unsafe_code)]

use crate::status::{self, Status};
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// For each read and write. tailscaled answers in milliseconds; one that hangs must not keep signals waiting.
const PATIENCE: Duration = Duration::from_secs(1);
/// Without peers a status has a few thousand bytes.
const LONGEST: u64 = 1 << 20;

/// HTTP 1.0: the body ends with the connection, and has no chunks.
const STATUS: &[u8] =
    b"GET /localapi/v0/status?peers=false HTTP/1.0\r\nHost: local-tailscaled.sock\r\n\r\n";

/// # Errors
///
/// tailscaled is not there, or its answer is no status.
pub fn status(socket: &Path) -> io::Result<Status> {
    let answer = ask(socket, STATUS)?;
    body(&answer)
        .and_then(status::parse)
        .ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// # Errors
///
/// tailscaled is not there, or does not accept `config`: what it says.
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
            let said = text.lines().last().unwrap_or_default();
            Err(io::Error::other(said.to_owned()))
        }
    }
}

fn ask(socket: &Path, request: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(request)?;
    let mut answer = Vec::new();
    stream.take(LONGEST).read_to_end(&mut answer)?;
    Ok(answer)
}

/// `None` unless the answer is a success.
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
    fn the_body_of_a_success_is_read_and_nothing_else() {
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
