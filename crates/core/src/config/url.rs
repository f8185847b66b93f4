//! A proxy as a URL: `TYPE://[USER:PASSWORD@]HOST:PORT` or `TYPE://[USER:PASSWORD@]unix:/PATH`.

#![forbid(unsafe_code)]

use super::error::Problem;
use super::proxy_parts::{credentials, parse_host, parse_kind, parse_port, parse_unix, Listed};
use super::{Credentials, Endpoint, Proxy, ProxyKind};
use crate::host::Target;
use std::borrow::Cow;

/// The syntax of a URL depends on where it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    /// As in proxychains-ng: user and password are literal, the port is required.
    File,
    /// As in curl: percent-encoding is decoded (RFC 3986 section 2.1), the port is optional, and so is the type (default
    /// `http`).
    Environment,
}

const SYNTAX: &str = "expected TYPE://[USER:PASSWORD@]HOST:PORT, e.g. socks5h://127.0.0.1:1055";

pub(super) fn is_url(word: &[u8]) -> bool {
    split_once(word, b"://").is_some()
}

pub(super) fn parse(url: &[u8], dialect: Dialect) -> Result<Listed, Problem> {
    let (kind, rest) = match split_once(url, b"://") {
        Some(parts) => parts,
        None if dialect == Dialect::Environment => (b"http".as_slice(), url),
        None => return Err(Problem::new("this is not a URL", SYNTAX)),
    };
    let (kind, remote_names) = parse_kind(kind)?;
    let (login, host_port) = split_login(rest);
    let credentials = match login {
        Some(login) => Some(parse_login(login, kind, dialect)?),
        None => None,
    };
    let endpoint = parse_endpoint(host_port, kind, dialect)?;
    Ok(Listed {
        proxy: Proxy {
            kind,
            endpoint,
            credentials,
        },
        remote_names,
    })
}

/// A password may contain an `@`, so the last `@` ends the login. (The path of a unix socket may contain one, too; then
/// there is no login.)
fn split_login(rest: &[u8]) -> (Option<&[u8]>, &[u8]) {
    match rest.iter().rposition(|b| *b == b'@') {
        Some(at) if !rest.starts_with(b"unix:") => {
            let (login, host_port) = rest.split_at(at);
            (Some(login), host_port.get(1..).unwrap_or_default())
        }
        _ => (None, rest),
    }
}

fn parse_login(login: &[u8], kind: ProxyKind, dialect: Dialect) -> Result<Credentials, Problem> {
    let (user, password) = split_once(login, b":").unwrap_or((login, b""));
    if kind == ProxyKind::Socks4 && !password.is_empty() {
        return Err(Problem::new(
            "SOCKS4 has no password",
            "write the user alone, or use socks5",
        ));
    }
    let (user, password) = (decoded(user, dialect)?, decoded(password, dialect)?);
    credentials(kind, &user, &password)
}

fn parse_endpoint(
    host_port: &[u8],
    kind: ProxyKind,
    dialect: Dialect,
) -> Result<Endpoint, Problem> {
    if let Some(path) = host_port.strip_prefix(b"unix:") {
        return parse_unix(&decoded(path, dialect)?);
    }
    let host_port = host_port.strip_suffix(b"/").unwrap_or(host_port);
    // Skip the colons inside the brackets of an IPv6 address.
    let after_brackets = host_port
        .iter()
        .rposition(|b| *b == b']')
        .map_or(0, |at| at + 1);
    let colon = host_port
        .iter()
        .rposition(|b| *b == b':')
        .filter(|at| *at >= after_brackets);
    let (host, port) = match colon {
        Some(at) => {
            let (host, port) = host_port.split_at(at);
            (host, parse_port(port.get(1..).unwrap_or_default())?)
        }
        None if dialect == Dialect::Environment => (host_port, default_port(kind)),
        None => return Err(Problem::new("the port is missing", SYNTAX)),
    };
    let host = parse_host(host)?;
    Ok(Endpoint::Tcp(Target { host, port }))
}

fn default_port(kind: ProxyKind) -> u16 {
    match kind {
        ProxyKind::Http => 8080,
        ProxyKind::Socks5 | ProxyKind::Socks4 | ProxyKind::Raw => 1080,
    }
}

fn decoded(text: &[u8], dialect: Dialect) -> Result<Cow<'_, [u8]>, Problem> {
    match dialect {
        Dialect::File => Ok(Cow::Borrowed(text)),
        Dialect::Environment => percent_decoded(text).map(Cow::Owned),
    }
}

fn percent_decoded(text: &[u8]) -> Result<Vec<u8>, Problem> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.iter();
    while let Some(&byte) = bytes.next() {
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let mut digit = || bytes.next().and_then(|b| char::from(*b).to_digit(16));
        match (digit(), digit()) {
            (Some(high), Some(low)) => out.push((high << 4 | low) as u8),
            _ => {
                return Err(Problem::new(
                    "a % is not followed by two hexadecimal digits",
                    "write a literal % as %25",
                ))
            }
        }
    }
    Ok(out)
}

fn split_once<'t>(text: &'t [u8], mark: &[u8]) -> Option<(&'t [u8], &'t [u8])> {
    let at = text.windows(mark.len()).position(|w| w == mark)?;
    let (before, after) = text.split_at(at);
    Some((before, after.get(mark.len()..)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn endpoint(url: &str, dialect: Dialect) -> String {
        let listed = parse(url.as_bytes(), dialect).unwrap();
        listed.proxy.endpoint.to_string()
    }

    fn login(url: &str, dialect: Dialect) -> (String, String) {
        let login = parse(url.as_bytes(), dialect).unwrap().proxy.credentials;
        let login = login.unwrap();
        let text = |b: &[u8]| String::from_utf8(b.to_vec()).unwrap();
        (text(&login.user), text(login.password.reveal()))
    }

    #[test]
    fn a_url_has_host_and_port() {
        for (url, expected) in [
            ("socks5://127.0.0.1:1055", "127.0.0.1:1055"),
            ("socks5://127.0.0.1:1055/", "127.0.0.1:1055"),
            ("http://proxy.example:3128", "proxy.example:3128"),
            ("socks5h://[fd7a::1]:1055", "[fd7a::1]:1055"),
            ("socks5://unix:/run/p.sock", "unix:/run/p.sock"),
            ("socks5://u:p@unix:/run/p.sock", "unix:/run/p.sock"),
            ("socks5://unix:/run/a@b.sock", "unix:/run/a@b.sock"),
            ("socks5://u:p@127.0.0.1:1", "127.0.0.1:1"),
        ] {
            assert_eq!(endpoint(url, Dialect::File), expected);
            assert_eq!(endpoint(url, Dialect::Environment), expected);
        }
    }

    #[test]
    fn in_the_environment_type_and_port_are_optional() {
        for (url, expected) in [
            ("socks5h://localhost", "localhost:1080"),
            ("socks5://[::1]", "[::1]:1080"),
            ("http://proxy.example/", "proxy.example:8080"),
            ("proxy.example:3128", "proxy.example:3128"),
        ] {
            assert_eq!(endpoint(url, Dialect::Environment), expected);
            assert!(parse(url.as_bytes(), Dialect::File).is_err(), "{url}");
        }
    }

    #[test]
    fn a_login_is_literal_in_a_file_and_percent_decoded_in_the_environment() {
        let url = "socks5://us%65r:p%40ss:@word@127.0.0.1:1";
        let as_is = ("us%65r".to_owned(), "p%40ss:@word".to_owned());
        assert_eq!(login(url, Dialect::File), as_is);
        let decoded = ("user".to_owned(), "p@ss:@word".to_owned());
        assert_eq!(login(url, Dialect::Environment), decoded);
    }

    #[test]
    fn socks4_has_a_user_and_no_password() {
        let user = login("socks4://u@127.0.0.1:1", Dialect::File);
        assert_eq!(user, ("u".to_owned(), String::new()));
        assert!(parse(b"socks4://u:p@127.0.0.1:1", Dialect::File).is_err());
    }

    #[test]
    fn malformed_urls_are_refused() {
        for url in [
            "://127.0.0.1:1",
            "socks5://",
            "socks5://:1080",
            "socks5://127.0.0.1:",
            "socks5://127.0.0.1:0",
            "socks5://127.0.0.1:65536",
            "socks5://127.0.0.1:1055/path",
            "socks5://[::1:1055",
            "socks5://[::1]1055",
            "socks5://@127.0.0.1:1055",
            "socks5://:p@127.0.0.1:1055",
            "socks5://unix:p.sock",
            "ftp://127.0.0.1:1055",
            "https://127.0.0.1:443",
        ] {
            assert!(parse(url.as_bytes(), Dialect::File).is_err(), "{url}");
            let in_environment = parse(url.as_bytes(), Dialect::Environment);
            assert!(in_environment.is_err(), "{url}");
        }
        for url in ["socks5://u:%4@h:1", "socks5://u:%zz@h:1", "socks5://u%@h:1"] {
            let in_environment = parse(url.as_bytes(), Dialect::Environment);
            assert!(in_environment.is_err(), "{url}");
        }
    }

    proptest! {
        #[test]
        fn parsing_any_bytes_does_not_panic(url in proptest::collection::vec(any::<u8>(), 0..60)) {
            let url = [b"socks5://".as_slice(), &url].concat();
            let _ = parse(&url, Dialect::File);
            let _ = parse(&url, Dialect::Environment);
        }

        #[test]
        fn any_login_survives_percent_encoding(
            user in proptest::collection::vec(any::<u8>(), 1..20),
            password in proptest::collection::vec(any::<u8>(), 0..20),
        ) {
            let encoded = |b: &[u8]| b.iter().map(|b| format!("%{b:02x}")).collect::<String>();
            let url = format!("socks5://{}:{}@h:1", encoded(&user), encoded(&password));
            let login = parse(url.as_bytes(), Dialect::Environment).unwrap().proxy.credentials;
            let login = login.unwrap();
            prop_assert_eq!(&*login.user, user.as_slice());
            prop_assert_eq!(login.password.reveal(), password.as_slice());
        }
    }
}
