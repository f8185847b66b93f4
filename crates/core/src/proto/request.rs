//! What every proxy protocol gets and what it returns: the types that [`super::handshake`] and the protocols share.

#![forbid(unsafe_code)]

use crate::config::Credentials;
use crate::host::Target;

/// What one hop is asked to connect to, and with which credentials.
#[derive(Clone, Copy)]
pub(super) struct Request<'a> {
    pub credentials: Option<&'a Credentials>,
    /// The next hop, or the target.
    pub to: &'a Target,
}

/// How much of the current reply has been received.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// It is incomplete: read up to this many more bytes.
    NeedMore(usize),
    /// It is complete, and the message that follows has been written; read up to this many bytes of the next reply.
    NextReply(usize),
    /// The hop is connected to what was requested; the reply ended here.
    Established,
}
