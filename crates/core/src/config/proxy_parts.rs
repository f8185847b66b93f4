//! The parts that proxy lines and proxy URLs have in common.

#![forbid(unsafe_code)]

use super::error::Problem;
use super::{Credentials, Endpoint, Proxy, ProxyKind, Secret};
use crate::host::Host;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// A parsed proxy, with a property that applies to the whole configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Listed {
    pub proxy: Proxy,
    /// The type makes the proxy resolve names (`socks5h`, `socks4a`), as in curl's URLs.
    pub remote_names: bool,
}

/// RFC 1929 section 2: the length fields of user and password are one byte.
const CREDENTIAL_MAX: usize = 255;

/// `sun_path` of unix(7) without the final NUL.
const UNIX_PATH_MAX: usize = 107;

/// The kind, and whether the type makes the proxy resolve names.
pub(super) fn parse_kind(word: &[u8]) -> Result<(ProxyKind, bool), Problem> {
    match word {
        b"socks5" => Ok((ProxyKind::Socks5, false)),
        b"socks5h" => Ok((ProxyKind::Socks5, true)),
        b"socks4" => Ok((ProxyKind::Socks4, false)),
        b"socks4a" => Ok((ProxyKind::Socks4, true)),
        b"http" => Ok((ProxyKind::Http, false)),
        b"raw" => Ok((ProxyKind::Raw, false)),
        b"https" => Err(Problem::new(
            "TLS to a proxy is not supported",
            "use http, or a local forwarder that adds TLS",
        )),
        _ => Err(Problem::new(
            "this is not a proxy type",
            "expected socks5, socks5h, socks4, socks4a, http or raw",
        )),
    }
}

/// A numeric address or a host name.
pub(super) fn parse_host(text: &[u8]) -> Result<Host, Problem> {
    let wrong = || {
        Problem::new(
            "the host is neither an IP address nor a host name",
            "expected e.g. 127.0.0.1, [::1] or proxy.example",
        )
    };
    let text = core::str::from_utf8(text).map_err(|_| wrong())?;
    let host = Host::parse(text).map_err(|_| wrong())?;
    if let Host::Name(name) = &host {
        // A numeric last label means a mistyped address, e.g. 127.0.0.300: no top-level domain is numeric.
        let last = name.as_str().rsplit('.').next().unwrap_or_default();
        let is_number = last.bytes().all(|b| b.is_ascii_digit());
        let has_empty_label = name.as_str().split('.').any(str::is_empty);
        if is_number || has_empty_label || text.contains([':', '/', '@', '[', ']', '#']) {
            return Err(wrong());
        }
    }
    Ok(host)
}

/// 1 to 65535.
pub(super) fn parse_port(text: &[u8]) -> Result<u16, Problem> {
    let wrong = || Problem::new("the port is wrong", "expected a number from 1 to 65535");
    let text = core::str::from_utf8(text).map_err(|_| wrong())?;
    if !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(wrong());
    }
    match text.parse() {
        Ok(0) | Err(_) => Err(wrong()),
        Ok(port) => Ok(port),
    }
}

/// Parses the path after `unix:`.
pub(super) fn parse_unix(path: &[u8]) -> Result<Endpoint, Problem> {
    if path.first() != Some(&b'/') || path.len() > UNIX_PATH_MAX || path.contains(&0) {
        return Err(Problem::new(
            "the path of the unix socket is wrong",
            format!("expected unix: and an absolute path of at most {UNIX_PATH_MAX} bytes"),
        ));
    }
    Ok(Endpoint::Unix(PathBuf::from(OsStr::from_bytes(path))))
}

pub(super) fn credentials(
    kind: ProxyKind,
    user: &[u8],
    password: &[u8],
) -> Result<Credentials, Problem> {
    if user.is_empty() || user.len() > CREDENTIAL_MAX || password.len() > CREDENTIAL_MAX {
        return Err(Problem::new(
            "the user or the password has a wrong length",
            format!("a user has 1 to {CREDENTIAL_MAX} bytes, a password at most {CREDENTIAL_MAX}"),
        ));
    }
    match kind {
        // SOCKS4 terminates the user with a NUL.
        ProxyKind::Socks4 if user.contains(&0) => Err(Problem::new(
            "a SOCKS4 user cannot contain a NUL byte",
            "remove it",
        )),
        // RFC 7617 section 2: the first colon ends the user.
        ProxyKind::Http if user.contains(&b':') => Err(Problem::new(
            "the user of an HTTP proxy cannot contain a colon",
            "write USER and PASSWORD as separate words",
        )),
        _ => Ok(Credentials {
            user: user.into(),
            password: Secret::new(password),
        }),
    }
}
