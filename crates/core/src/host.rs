//! The target of a connection: a host (name or address) and a port.

#![forbid(unsafe_code)]

use core::fmt;
use std::net::{IpAddr, SocketAddr};

/// A host name: 1 to 255 bytes (the limit of SOCKS5, RFC 1928 section 5) of UTF-8 without blanks and control
/// characters. Stored in ASCII lower case (RFC 4343) and without a trailing dot.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HostName(Box<str>);

/// Why a text is not a host name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadHostName {
    Empty,
    /// Two dots at the end: after stripping one, parsing the result again would give another name.
    EmptyLabel,
    /// Over 255 bytes.
    TooLong,
    /// A blank, a control character or a byte that is not UTF-8.
    BadCharacter,
}

impl HostName {
    pub const MAX: usize = 255;

    pub fn new(text: &[u8]) -> Result<HostName, BadHostName> {
        let text = text.strip_suffix(b".").unwrap_or(text);
        if text.is_empty() {
            return Err(BadHostName::Empty);
        }
        if text.ends_with(b".") {
            return Err(BadHostName::EmptyLabel);
        }
        if text.len() > Self::MAX {
            return Err(BadHostName::TooLong);
        }
        let text = core::str::from_utf8(text).map_err(|_| BadHostName::BadCharacter)?;
        if text.bytes().any(|b| b <= b' ' || b == 0x7f) {
            return Err(BadHostName::BadCharacter);
        }
        Ok(HostName(text.to_ascii_lowercase().into_boxed_str()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is a valid host name by the rules of getaddrinfo(3) and gethostbyname(3): glibc's res_hnok; musl accepts
    /// non-ASCII labels. A name of only digits and dots is a malformed address: no top-level domain is numeric (RFC 1123
    /// section 2.1).
    pub fn is_well_formed(&self) -> bool {
        /// The longest name that fits into a DNS message (RFC 1035 section 2.3.4).
        const LONGEST: usize = 253;
        let is_host_char = |b: u8| {
            let is_accepted = cfg!(target_env = "musl") && !b.is_ascii();
            b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_') || is_accepted
        };
        let is_label =
            |label: &str| (1..=63).contains(&label.len()) && label.bytes().all(is_host_char);
        let is_digit_or_dot = |b: u8| b.is_ascii_digit() || b == b'.';
        self.0.len() <= LONGEST
            && self.0.split('.').all(is_label)
            && !self.0.starts_with('-')
            && !self.0.bytes().all(is_digit_or_dot)
    }

    /// Whether this name is `suffix` or a subdomain of it. A leading dot of `suffix` is ignored.
    pub fn is_within(&self, suffix: &str) -> bool {
        let suffix = suffix.strip_prefix('.').unwrap_or(suffix);
        match self.0.strip_suffix(suffix) {
            Some(rest) => rest.is_empty() || rest.ends_with('.'),
            None => false,
        }
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A name that the proxy resolves, or an address. An IPv4-mapped IPv6 address is stored as IPv4.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Host {
    Name(HostName),
    Ip(IpAddr),
}

impl Host {
    /// Parses a numeric address, with or without square brackets, else a name.
    pub fn parse(text: &str) -> Result<Host, BadHostName> {
        let bare = text
            .strip_prefix('[')
            .and_then(|t| t.strip_suffix(']'))
            .unwrap_or(text);
        match bare.parse::<IpAddr>() {
            Ok(ip) => Ok(Host::Ip(ip.to_canonical())),
            Err(_) => HostName::new(text.as_bytes()).map(Host::Name),
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Host::Name(name) => name.fmt(f),
            Host::Ip(ip) => ip.fmt(f),
        }
    }
}

/// The destination of a proxy request.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    pub host: Host,
    pub port: u16,
}

impl From<SocketAddr> for Target {
    fn from(address: SocketAddr) -> Target {
        Target {
            host: Host::Ip(address.ip().to_canonical()),
            port: address.port(),
        }
    }
}

/// `host:port`, an IPv6 address in square brackets.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Ip(IpAddr::V6(ip)) => write!(f, "[{ip}]:{}", self.port),
            host => write!(f, "{host}:{}", self.port),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parsing_a_host_name_is_idempotent() {
        for text in ["db", "DB.example.", "a..b", ".db", "\u{e9}.example"] {
            let name = HostName::new(text.as_bytes()).unwrap();
            assert_eq!(HostName::new(name.as_str().as_bytes()), Ok(name), "{text}");
        }
    }

    #[test]
    fn well_formed_names_are_those_that_libc_looks_up() {
        let long = "x".repeat(63);
        let longest = format!("{long}.{long}.{long}.{}", "x".repeat(61));
        for text in [
            "db",
            "a_b.c-d",
            "a.-b",
            "1x",
            "0x8",
            "4.3.2.1.example",
            &long,
            &longest,
        ] {
            assert!(
                HostName::new(text.as_bytes()).unwrap().is_well_formed(),
                "{text}"
            );
        }
        let (longer, too_long) = (long + "x", longest + "x");
        let others = [
            "secret.corp:5432",
            "a..b",
            ".db",
            "-a",
            "0.1.1.~1",
            "*.db",
            "a@b",
            "a%b",
            "a/b",
            "08",
            "256.1.1.1",
            "1.2.3.4.5",
            &longer,
            &too_long,
        ];
        for text in others {
            assert!(
                !HostName::new(text.as_bytes()).unwrap().is_well_formed(),
                "{text}"
            );
        }
        let not_ascii = HostName::new("\u{e9}.example".as_bytes()).unwrap();
        assert_eq!(not_ascii.is_well_formed(), cfg!(target_env = "musl"));
    }

    #[test]
    fn a_name_must_end_with_a_label() {
        for text in ["", "."] {
            assert_eq!(HostName::new(text.as_bytes()), Err(BadHostName::Empty));
        }
        for text in ["..", "db..", "db..."] {
            assert_eq!(HostName::new(text.as_bytes()), Err(BadHostName::EmptyLabel));
        }
    }
}
