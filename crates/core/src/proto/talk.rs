//! The conversation with one hop, whatever its protocol.

#![forbid(unsafe_code)]

use super::failure::FailureKind;
use super::{http, socks4, socks5::Socks5};
use crate::config::{Credentials, ProxyKind};
use crate::host::Target;

/// What one hop is asked for.
#[derive(Clone, Copy)]
pub(super) struct Ask<'a> {
    pub credentials: Option<&'a Credentials>,
    /// The next hop, or the target.
    pub to: &'a Target,
}

/// What the part of a reply that has come so far means.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// It is not whole: so many more bytes are wanted (see [`Talk::is_peeked`] for which kind of wanting).
    More(usize),
    /// It is whole, and what it is answered with has been written; the next reply wants so many bytes first.
    Next(usize),
    /// The hop is connected to what it was asked for; the reply ended here.
    Open,
}

pub(super) enum Talk {
    Socks5(Socks5),
    Socks4,
    Http,
}

impl Talk {
    /// Writes the first message to `out` and gives the number of reply bytes to begin with. `None` for a raw
    /// proxy, to which nothing is said.
    pub fn open(
        kind: ProxyKind,
        ask: Ask<'_>,
        pipelined: bool,
        out: &mut Vec<u8>,
    ) -> Result<Option<(Talk, usize)>, FailureKind> {
        Ok(Some(match kind {
            ProxyKind::Raw => return Ok(None),
            ProxyKind::Socks5 => {
                let (socks5, want) = Socks5::open(ask, pipelined, out)?;
                (Talk::Socks5(socks5), want)
            }
            ProxyKind::Socks4 => (Talk::Socks4, socks4::open(ask, out)?),
            ProxyKind::Http => (Talk::Http, http::open(ask, out)?),
        }))
    }

    /// `reply` is everything that has come of the reply awaited now.
    pub fn hear(
        &mut self,
        reply: &[u8],
        ask: Ask<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Heard, FailureKind> {
        match self {
            Talk::Socks5(socks5) => socks5.hear(reply, ask, out),
            Talk::Socks4 => socks4::hear(reply),
            Talk::Http => http::hear(reply),
        }
    }

    /// Whether the end of a reply shows only in its bytes, so that they must be looked at before they are taken.
    pub fn is_peeked(&self) -> bool {
        matches!(self, Talk::Http)
    }

    /// Whether the hop has answered something already and only its last answer, about what it was asked to
    /// connect to, is awaited.
    pub fn is_greeted(&self) -> bool {
        match self {
            Talk::Socks5(socks5) => socks5.is_greeted(),
            Talk::Socks4 | Talk::Http => false,
        }
    }
}
