//! What every proxy protocol is given and what it answers with: the words that [`super::handshake`] and the
//! protocols share.

#![forbid(unsafe_code)]

use crate::config::Credentials;
use crate::host::Target;

/// What one hop is asked for.
#[derive(Clone, Copy)]
pub(super) struct Request<'a> {
    pub credentials: Option<&'a Credentials>,
    /// The next hop, or the target.
    pub to: &'a Target,
}

/// How far the reply that is awaited has come.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// It is not complete: this many more bytes are wanted.
    NeedMore(usize),
    /// It is complete, and the message that answers it was written; the next reply wants this many bytes first.
    NextReply(usize),
    /// The hop is connected to what it was asked for; the reply ended here.
    Established,
}
