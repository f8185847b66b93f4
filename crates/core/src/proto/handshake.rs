//! The handshake with one hop, whatever its protocol.

#![forbid(unsafe_code)]

use super::failure::FailureKind;
use super::request::{Progress, Request};
use super::{http, socks4, socks5::Socks5};
use crate::config::ProxyKind;

/// The state of the handshake with one hop.
pub(super) enum Handshake {
    Socks5(Socks5),
    Socks4,
    Http,
}

impl Handshake {
    /// Writes the first message to `out` and returns how many bytes of the reply to read first. `None` for a raw proxy,
    /// which has no handshake.
    pub fn start(
        kind: ProxyKind,
        request: Request<'_>,
        pipelined: bool,
        out: &mut Vec<u8>,
    ) -> Result<Option<(Handshake, usize)>, FailureKind> {
        Ok(Some(match kind {
            ProxyKind::Raw => return Ok(None),
            ProxyKind::Socks5 => {
                let (socks5, want) = Socks5::start(request, pipelined, out)?;
                (Handshake::Socks5(socks5), want)
            }
            ProxyKind::Socks4 => (Handshake::Socks4, socks4::start(request, out)?),
            ProxyKind::Http => (Handshake::Http, http::start(request, out)?),
        }))
    }

    /// `reply` is all that has been received of the current reply.
    pub fn on_reply(
        &mut self,
        reply: &[u8],
        request: Request<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Progress, FailureKind> {
        match self {
            Handshake::Socks5(socks5) => socks5.on_reply(reply, request, out),
            Handshake::Socks4 => socks4::on_reply(reply),
            Handshake::Http => http::on_reply(reply),
        }
    }

    /// Whether only a reply's content shows where it ends, so that bytes must be peeked at before they are read.
    pub fn peeks(&self) -> bool {
        matches!(self, Handshake::Http)
    }

    /// How many of the peeked bytes `seen`, which follow `reply`, are part of the reply.
    pub fn reply_part(&self, reply: &[u8], seen: &[u8]) -> usize {
        match self {
            Handshake::Http => http::header_part(reply, seen),
            Handshake::Socks5(_) | Handshake::Socks4 => 0,
        }
    }

    /// Whether the hop has replied to the greeting, and only its reply to the request is missing.
    pub fn is_greeted(&self) -> bool {
        match self {
            Handshake::Socks5(socks5) => socks5.is_greeted(),
            Handshake::Socks4 | Handshake::Http => false,
        }
    }
}
