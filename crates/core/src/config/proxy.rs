//! One proxy of the list.

#![forbid(unsafe_code)]

use crate::host::Target;
use core::fmt;
use std::path::PathBuf;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyKind {
    Socks5,
    /// SOCKS4, or 4a if the target is a name.
    Socks4,
    Http,
    /// A TCP forwarder: no handshake.
    Raw,
}

impl ProxyKind {
    /// The keyword in a config file.
    pub fn keyword(self) -> &'static str {
        match self {
            ProxyKind::Socks5 => "socks5",
            ProxyKind::Socks4 => "socks4",
            ProxyKind::Http => "http",
            ProxyKind::Raw => "raw",
        }
    }
}

/// Where a proxy listens. Only the first proxy of a chain can be a unix socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    Tcp(Target),
    Unix(PathBuf),
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Endpoint::Tcp(target) => target.fmt(f),
            Endpoint::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// A password, which must never be printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Box<[u8]>);

impl Secret {
    pub fn new(text: impl Into<Box<[u8]>>) -> Secret {
        Secret(text.into())
    }

    pub fn reveal(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// User and password, 1 to 255 bytes and 0 to 255 bytes (RFC 1929 section 2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    pub user: Box<[u8]>,
    pub password: Secret,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proxy {
    pub kind: ProxyKind,
    pub endpoint: Endpoint,
    pub credentials: Option<Credentials>,
}
