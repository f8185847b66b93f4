//! HTTP CONNECT: RFC 9110 section 9.3.6, sent as HTTP/1.0 so that no proxy keeps the connection alive.

#![forbid(unsafe_code)]

use super::base64;
use super::failure::FailureKind;
use super::request::{Progress, Request};

/// The longest reply header that is accepted.
const HEADER_LIMIT: usize = 64 * 1024;

/// How many bytes to peek at first. Nearly every header is shorter.
const PEEK: usize = 2048;

const PREFIX: &[u8] = b"HTTP/";

/// The header in which tailscaled says why it could not connect (`cmd/tailscaled`, its HTTP proxy handler).
const TAILSCALE_ERROR: &[u8] = b"Tailscale-Connect-Error";

/// The longest reason that is kept, in bytes.
const REASON_LIMIT: usize = 200;

pub(super) fn start(request: Request<'_>, out: &mut Vec<u8>) -> Result<usize, FailureKind> {
    let to = request.to.to_string();
    for part in ["CONNECT ", &to, " HTTP/1.0\r\nHost: ", &to, "\r\n"] {
        out.extend_from_slice(part.as_bytes());
    }
    if let Some(credentials) = request.credentials {
        if credentials.user.contains(&b':') {
            // The first colon ends the user (RFC 7617 section 2).
            return Err(FailureKind::Unsupported("a colon in an HTTP user"));
        }
        let pair = [&*credentials.user, credentials.password.reveal()].join(&b':');
        out.extend_from_slice(b"Proxy-Authorization: Basic ");
        base64::encode(&pair, out);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"\r\n");
    Ok(PEEK)
}

/// How many of the bytes `seen` are part of the header that began with `reply`: all of them, or those up to the end of
/// the first empty line. A line ends with LF, which a CR may precede (RFC 9112 section 2.2).
pub(super) fn header_part(reply: &[u8], seen: &[u8]) -> usize {
    let (mut before, mut last) = match reply {
        [.., before, last] => (*before, *last),
        // Too short to end a line, see `PREFIX`.
        _ => (0, 0),
    };
    for (at, byte) in seen.iter().enumerate() {
        if matches!(
            (before, last, *byte),
            (_, b'\n', b'\n') | (b'\n', b'\r', b'\n')
        ) {
            return at + 1;
        }
        (before, last) = (last, *byte);
    }
    seen.len()
}

/// `reply` never extends beyond the end of the header: [`header_part`] ensures that.
pub(super) fn on_reply(reply: &[u8]) -> Result<Progress, FailureKind> {
    if !reply.iter().zip(PREFIX).all(|(a, b)| a == b) {
        return Err(FailureKind::InvalidReply("a reply that is not HTTP"));
    }
    if !(reply.ends_with(b"\n\n") || reply.ends_with(b"\n\r\n")) {
        return match HEADER_LIMIT.saturating_sub(reply.len()) {
            0 => Err(FailureKind::InvalidReply("an HTTP header of over 64 KiB")),
            room => Ok(Progress::NeedMore(room.min(PEEK))),
        };
    }
    match status(reply) {
        None => Err(FailureKind::InvalidReply("an HTTP reply without a status")),
        Some(200..=299) => Ok(Progress::Established),
        Some(status) => Err(FailureKind::Http {
            status,
            reason: reason(reply),
        }),
    }
}

/// The three digits after the version (RFC 9112 section 4).
fn status(header: &[u8]) -> Option<u16> {
    let line = header.split(|b| *b == b'\n').next()?;
    let word = line
        .trim_ascii_end()
        .split(|b| *b == b' ')
        .filter(|word| !word.is_empty())
        .nth(1)?;
    match word {
        [a @ b'1'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9'] => Some(
            [a, b, c]
                .iter()
                .fold(0, |n, digit| n * 10 + u16::from(**digit - b'0')),
        ),
        _ => None,
    }
}

/// The text of tailscaled's header, sanitized for the log: it is untrusted.
fn reason(header: &[u8]) -> Option<Box<str>> {
    let value = header.split(|b| *b == b'\n').find_map(|line| {
        let colon = line.iter().position(|b| *b == b':')?;
        let (name, value) = line.split_at_checked(colon)?;
        name.eq_ignore_ascii_case(TAILSCALE_ERROR)
            .then(|| value.get(1..).unwrap_or_default().trim_ascii())
    })?;
    let text: String = value
        .iter()
        .take(REASON_LIMIT)
        .map(|b| match b {
            b' '..=b'~' => char::from(*b),
            _ => '?',
        })
        .collect();
    (!text.is_empty()).then(|| text.into_boxed_str())
}
