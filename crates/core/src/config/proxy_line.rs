//! A line of the proxy list: `TYPE HOST PORT [USER PASSWORD]`, `TYPE unix:/PATH [USER PASSWORD]` or a URL.

#![forbid(unsafe_code)]

use super::error::Problem;
use super::proxy_parts::{self, credentials, parse_host, parse_port, parse_unix, Listed};
use super::url::{self, Dialect};
use super::{Endpoint, Proxy, ProxyKind};
use crate::host::Target;

/// Parses a line; the optional problem is a warning about words that probably do not have the intended effect.
pub(super) fn parse(line: &[u8]) -> Result<(Listed, Option<Problem>), Problem> {
    let words: Vec<&[u8]> = line
        .split(u8::is_ascii_whitespace)
        .filter(|word| !word.is_empty())
        .collect();
    match words.as_slice() {
        [url, rest @ ..] if url::is_url(url) => Ok((
            url::parse(url, Dialect::File)?,
            trailing_words_note(&[], rest),
        )),
        [kind, host, rest @ ..] => {
            let (kind, remote_names) = parse_kind(kind)?;
            let (endpoint, rest) = parse_endpoint(host, rest)?;
            let (login, extra) = rest.split_at(rest.len().min(2));
            let credentials = match login {
                [] => None,
                [user] => Some(credentials(kind, user, b"")?),
                [user, password, ..] => Some(credentials(kind, user, password)?),
            };
            let proxy = Proxy {
                kind,
                endpoint,
                credentials,
            };
            let listed = Listed {
                proxy,
                remote_names,
            };
            Ok((listed, trailing_words_note(login, extra)))
        }
        words => {
            // Report a wrong type first: the line may be a directive below `[ProxyList]`.
            words.first().map_or(Ok(()), |w| parse_kind(w).map(drop))?;
            Err(Problem::new(
                "the host is missing",
                "expected TYPE HOST PORT [USER PASSWORD]",
            ))
        }
    }
}
/// Adds a hint to the error: in a file, the unknown word may be a directive.
/// Adds a hint to the error: in a file, the unknown word may be a directive.
fn parse_kind(word: &[u8]) -> Result<(ProxyKind, bool), Problem> {
    proxy_parts::parse_kind(word).map_err(|mut problem| {
        if word != b"https" {
            problem
                .expected
                .push_str(" (directives belong before [ProxyList])");
        }
        problem
    })
}

/// The endpoint, and the remaining words.
fn parse_endpoint<'w, 'l>(
    host: &[u8],
    rest: &'w [&'l [u8]],
) -> Result<(Endpoint, &'w [&'l [u8]]), Problem> {
    if let Some(path) = host.strip_prefix(b"unix:") {
        return Ok((parse_unix(path)?, rest));
    }
    let host = parse_host(host)?;
    let Some((port, rest)) = rest.split_first() else {
        return Err(Problem::new(
            "the port is missing",
            "expected TYPE HOST PORT [USER PASSWORD]",
        ));
    };
    let port = parse_port(port)?;
    Ok((Endpoint::Tcp(Target { host, port }), rest))
}

fn trailing_words_note(login: &[&[u8]], extra: &[&[u8]]) -> Option<Problem> {
    const COMMENT: &str = "put the comment on a line of its own";
    if login.first().is_some_and(|word| word.starts_with(b"#")) {
        return Some(Problem::new(
            "a comment must begin at the start of a line; this one is taken as user and password",
            COMMENT,
        ));
    }
    let first = extra.first()?;
    Some(Problem::new(
        "the words at the end are ignored",
        match first.starts_with(b"#") {
            true => COMMENT,
            false => "remove them; a user or password cannot contain a blank here",
        },
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxy(line: &str) -> Proxy {
        parse(line.as_bytes()).unwrap().0.proxy
    }

    #[test]
    fn every_type_is_accepted() {
        for (word, kind, remote_names) in [
            ("socks5", ProxyKind::Socks5, false),
            ("socks5h", ProxyKind::Socks5, true),
            ("socks4", ProxyKind::Socks4, false),
            ("socks4a", ProxyKind::Socks4, true),
            ("http", ProxyKind::Http, false),
            ("raw", ProxyKind::Raw, false),
        ] {
            let line = format!("{word}\t127.0.0.1 \t 1080");
            let (listed, trailing_words_note) = parse(line.as_bytes()).unwrap();
            assert_eq!(listed.proxy.kind, kind);
            assert_eq!(listed.remote_names, remote_names);
            assert_eq!(listed.proxy.endpoint.to_string(), "127.0.0.1:1080");
            assert_eq!(
                (listed.proxy.credentials, trailing_words_note),
                (None, None)
            );
        }
    }

    #[test]
    fn hosts_may_be_addresses_names_and_unix_sockets() {
        for (line, endpoint) in [
            ("socks5 ::1 1080", "[::1]:1080"),
            ("socks5 [fd7a::1] 1080", "[fd7a::1]:1080"),
            ("socks5 Proxy.Example 1080", "proxy.example:1080"),
            ("socks5 unix:/run/p.sock", "unix:/run/p.sock"),
        ] {
            assert_eq!(proxy(line).endpoint.to_string(), endpoint, "{line}");
        }
    }

    #[test]
    fn user_and_password_follow_the_endpoint() {
        for line in [
            "socks5 127.0.0.1 1080 lamer secret",
            "socks5 unix:/p lamer secret",
        ] {
            let login = proxy(line).credentials.unwrap();
            assert_eq!(&*login.user, b"lamer");
            assert_eq!(login.password.reveal(), b"secret");
        }
        let login = proxy("socks4 127.0.0.1 1080 lamer").credentials.unwrap();
        assert_eq!(login.password.reveal(), b"");
    }

    #[test]
    fn a_password_need_not_be_utf8_and_ends_at_255_bytes() {
        let line = |n| [b"socks5 ::1 1 u ".as_slice(), &vec![0xff; n]].concat();
        let login = parse(&line(255)).unwrap().0.proxy.credentials.unwrap();
        assert_eq!(login.password.reveal(), [0xff; 255]);
        assert!(parse(&line(256)).is_err());
    }

    #[test]
    fn a_trailing_comment_is_parsed_as_by_proxychains_ng_with_a_warning() {
        let (listed, trailing_words_note) = parse(b"socks5 ::1 1080 # tor").unwrap();
        assert_eq!(&*listed.proxy.credentials.unwrap().user, b"#");
        assert!(trailing_words_note
            .unwrap()
            .what
            .contains("user and password"));
        let (_, trailing_words_note) = parse(b"socks5 ::1 1080 u p more").unwrap();
        assert!(trailing_words_note.unwrap().what.contains("ignored"));
        let (_, trailing_words_note) = parse(b"socks5://[::1]:1080 # tor").unwrap();
        assert!(trailing_words_note.unwrap().what.contains("ignored"));
    }

    #[test]
    fn the_error_for_a_directive_below_the_heading_says_where_it_belongs() {
        let expected = |line: &str| parse(line.as_bytes()).unwrap_err().expected;
        for line in ["proxy_dns", "chain_len = 2"] {
            assert!(
                expected(line).ends_with("(directives belong before [ProxyList])"),
                "{line}"
            );
        }
        for line in ["https ::1 443", "socks6://[::1]:1080"] {
            assert!(!expected(line).contains("[ProxyList]"), "{line}");
        }
    }

    #[test]
    fn the_error_for_a_malformed_line_names_the_part() {
        for (line, what) in [
            ("socks5", "host is missing"),
            ("socks5 127.0.0.1", "port is missing"),
            ("socks5 127.0.0.1 0", "port is wrong"),
            ("socks5 127.0.0.1 65536", "port is wrong"),
            ("socks5 127.0.0.1 +1", "port is wrong"),
            ("socks5 127.0.0.1 lamer secret", "port is wrong"),
            ("socks5 127.0.0.300 1080", "neither"),
            ("socks5 proxy..example 1080", "neither"),
            ("socks5 .proxy.example 1080", "neither"),
            ("socks5://proxy..example:1080", "neither"),
            ("socks5 127.0.0.1:1080 1080", "neither"),
            ("socks5 user@host 1080", "neither"),
            ("socks5 unix:relative", "unix socket"),
            ("socks6 127.0.0.1 1080", "proxy type"),
            ("SOCKS5 127.0.0.1 1080", "proxy type"),
            ("https 127.0.0.1 443", "TLS"),
            ("proxy_dns", "proxy type"),
            ("[ProxyList]", "proxy type"),
            ("http ::1 8080 a:b c", "colon"),
        ] {
            let problem = parse(line.as_bytes()).unwrap_err();
            assert!(problem.what.contains(what), "{line}: {}", problem.what);
        }
    }
}
