//! The handshake with one hop, whatever its protocol.

#![forbid(unsafe_code)]

use super::failure::FailureKind;
use super::request::{Progress, Request};
use super::{http, socks4, socks5::Socks5};
use crate::config::ProxyKind;

/// Where the handshake with one hop stands.
pub(super) enum Handshake {
    Socks5(Socks5),
    Socks4,
    Http,
}

impl Handshake {
    /// Writes the first message to `out` and returns how many bytes of the reply to ask for first. `None` for a raw
    /// proxy, which has no handshake.
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

    /// `reply` is everything that has been received of the awaited reply.
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

    /// Whether the end of a reply shows only in its bytes, so that they must be peeked at before they are read.
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

    /// Whether the hop has answered already, and only its reply to the connect request is awaited.
    pub fn is_greeted(&self) -> bool {
        match self {
            Handshake::Socks5(socks5) => socks5.is_greeted(),
            Handshake::Socks4 | Handshake::Http => false,
        }
    }
}
