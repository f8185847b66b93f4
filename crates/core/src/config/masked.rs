//! Text of a configuration as it is shown in messages: safe to print, with everything that may be a password masked.

#![forbid(unsafe_code)]

use super::proxy_parts;
use std::net::IpAddr;

/// The maximum number of characters of a line in a message.
const MAX_SHOWN: usize = 100;

/// Makes untrusted bytes safe to print on a terminal: replaces control characters, truncates long text.
pub(super) fn sanitized(text: &[u8]) -> String {
    // A character has at most 4 bytes, so nothing that is shown is cut off here.
    let text = String::from_utf8_lossy(text.get(..MAX_SHOWN * 4).unwrap_or(text));
    let mut out: String = text
        .chars()
        .take(MAX_SHOWN)
        .map(|c| if c.is_control() { '?' } else { c })
        .collect();
    if text.chars().nth(MAX_SHOWN).is_some() {
        out.push_str("...");
    }
    out
}

/// A line of the proxy list with everything that may be a password replaced by `***`. Lines are printed because they are
/// malformed, so anything that is not certainly harmless is masked.
pub(super) fn sanitized_proxy(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line);
    if split_scheme(&text).is_some() {
        sanitized_url(&text)
    } else {
        sanitized(masked_words(&text).as_bytes())
    }
}

/// As [`sanitized_proxy`], for a line below `[ProxyList]`. A line that does not begin with a proxy type may be anything,
/// e.g. the rest of a line that was wrapped before its password: unless its third word is a port, only its first word is
/// shown.
pub(super) fn sanitized_listed(line: &[u8]) -> String {
    let words: Vec<&[u8]> = line
        .split(u8::is_ascii_whitespace)
        .filter(|word| !word.is_empty())
        .collect();
    let is_port = |word: &[u8]| word.iter().all(u8::is_ascii_digit);
    match words.as_slice() {
        [kind, _, port, ..] if is_port(port) && !is_kind(kind) => sanitized_proxy(line),
        [first, _, ..] if !is_kind(first) && !is_url(first) => {
            let first = masked_word(&String::from_utf8_lossy(first));
            sanitized(format!("{first} ***").as_bytes())
        }
        _ => sanitized_proxy(line),
    }
}

/// As [`sanitized_proxy`], for an item of a list of URLs. The item may lack a scheme, and may be part of a password that
/// contains a comma.
pub(super) fn sanitized_url(url: &str) -> String {
    let out = match split_scheme(url) {
        Some((scheme, rest)) => format!("{scheme}://{}", masked_authority(rest)),
        None => masked_authority(url),
    };
    sanitized(out.as_bytes())
}

/// Splits off the scheme. A `://` may also occur in a password, so the text before it must be a valid scheme (RFC 3986
/// section 3.1).
fn split_scheme(text: &str) -> Option<(&str, &str)> {
    let is_plain = |scheme: &str| {
        let plain = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
        scheme.chars().all(plain)
    };
    text.split_once("://")
        .filter(|(scheme, _)| is_plain(scheme))
}

fn masked_authority(text: &str) -> String {
    let Some((login, place)) = text.rsplit_once('@') else {
        return masked_endpoint(text);
    };
    let place = masked_endpoint(place);
    match login.split_once(':') {
        Some((user, _)) => format!("{user}:***@{place}"),
        None => format!("{login}@{place}"),
    }
}

/// Masks `HOST`, `HOST:PORT` or `unix:/PATH`. An invalid port may be a password whose `@` was mistyped, or the part of one
/// before a comma.
fn masked_endpoint(text: &str) -> String {
    let is_plain = |text: &str| {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-._[]:/%".contains(c);
        text.chars().all(plain)
    };
    let is_address = text.parse::<IpAddr>().is_ok();
    let is_unix = text.starts_with("unix:/") && is_plain(text);
    let after_brackets = text.rfind(']').unwrap_or(0);
    let port = text
        .rfind(':')
        .filter(|at| *at > after_brackets)
        .and_then(|at| text.split_at_checked(at));
    match port {
        _ if is_address || is_unix => text.to_owned(),
        None if is_plain(text) && is_address_or_without_colon(text) => text.to_owned(),
        Some((host, port)) if is_plain(host) && is_address_or_without_colon(host) => {
            let digits = port.strip_suffix('/').unwrap_or(port);
            match digits.bytes().skip(1).all(|b| b.is_ascii_digit()) {
                true => text.to_owned(),
                false => format!("{host}:***"),
            }
        }
        _ => "***".to_owned(),
    }
}

/// An IPv6 address in brackets, or a name. Brackets around anything else may be part of a password.
fn is_address_or_without_colon(host: &str) -> bool {
    let host = host.strip_suffix('/').unwrap_or(host);
    let inner = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
    inner.is_some_and(|inner| inner.parse::<IpAddr>().is_ok()) || !host.contains(':')
}

/// Masks `TYPE HOST PORT USER PASS`: the first four words are harmless if the third is a port.
fn masked_words(text: &str) -> String {
    let mut shown: Vec<&str> = text.split_ascii_whitespace().collect();
    let is_port = |word: &&str| word.bytes().all(|b| b.is_ascii_digit());
    let is_unix = shown.get(1).is_some_and(|word| word.starts_with("unix:"));
    let harmless = match shown.get(2) {
        _ if is_unix => 3,
        Some(word) if is_port(word) => 4,
        _ => 2,
    };
    if shown.len() > harmless {
        shown.truncate(harmless);
        shown.push("***");
    }
    let words: Vec<String> = shown.into_iter().map(masked_word).collect();
    words.join(" ")
}

fn is_kind(word: &[u8]) -> bool {
    proxy_parts::parse_kind(word).is_ok()
}

fn is_url(word: &[u8]) -> bool {
    split_scheme(&String::from_utf8_lossy(word)).is_some()
}

fn masked_word(word: &str) -> String {
    if word.contains(['@', ':']) {
        masked_authority(word)
    } else {
        word.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_proxy_line_without_a_type_only_the_first_word_is_shown() {
        for (line, shown) in [
            ("bogus s3cret", "bogus ***"),
            ("bogus s3cret more", "bogus ***"),
            ("bogus socks5://user:s3cret@127.0.0.1:1080", "bogus ***"),
            (
                "sock5 127.0.0.1 1080 user s3cret",
                "sock5 127.0.0.1 1080 user ***",
            ),
            ("socks5 127.0.0.1 s3cret", "socks5 127.0.0.1 ***"),
            ("socks5://user:s3cret@h:1", "socks5://user:***@h:1"),
            ("strict_chain", "strict_chain"),
        ] {
            assert_eq!(sanitized_listed(line.as_bytes()), shown);
        }
    }

    #[test]
    fn passwords_are_masked_in_malformed_lines() {
        for line in [
            "socks5 127.0.0.1 1080 user s3cret",
            "socks5 127.0.0.1 1080 user s3cret s3cret",
            "socks5 127.0.0.1 user s3cret",
            "socks5 127.0.0.1 s3cret",
            "socks5 user:s3cret@127.0.0.1 1080",
            "socks5 unix:/run/p.sock user s3cret",
            "socks5://user:s3cret@127.0.0.1:1080",
            "socks5://user:s3cret@s3cret@127.0.0.1:1080",
            "socks5://user:s3cret@127.0.0.1:port",
            "socks5://user:s3cret#127.0.0.1:1080",
            "socks5://user:s3cret:127.0.0.1:1080",
            "user:s3cret@127.0.0.1:1080",
            "user:s3cret",
            "socks5 user:s3cret 127.0.0.1 1080",
            "socks5://user:s3cret",
            "socks5://user:pass@word:s3cret",
            "socks5://[user:s3cret",
            "socks5://user]:s3cret",
            "socks5://[user:s3cret]",
            "socks5://[user:s3cret]:99999",
            "socks5://user:x@[user:s3cret::1]:1080/]:port",
            "user:s3cret://x@127.0.0.1:1080",
            "user:x://s3cret",
            "socks5 127.0.0.1 99999 user s3cret://x",
            "socks5 127.0.0.1 99999 user x://s3cret",
        ] {
            let shown = sanitized_proxy(line.as_bytes());
            assert!(!shown.contains("s3cret"), "{line} -> {shown}");
            assert!(shown.contains("***"), "{line} -> {shown}");
        }
    }

    #[test]
    fn text_without_secrets_is_shown_unchanged() {
        for line in [
            "socks5 127.0.0.1 99999",
            "socks5 127.0.0.1 1080 user",
            "socks5://127.0.0.1:99999",
            "socks5h://[fd7a::1]:1055",
            "socks5h://[fd7a::1]",
            "socks5h://[fd7a::1]/",
            "socks5 fd7a::ab 99999",
            "socks5://127.0.0.1:99999/",
            "socks5://unix:/run/p.sock",
            "socks5 unix:/run/p.sock",
            "http",
        ] {
            assert_eq!(sanitized_proxy(line.as_bytes()), line);
        }
    }

    #[test]
    fn shown_text_is_short_and_has_no_control_characters() {
        let shown = sanitized(&[b"\x1b[2J".as_slice(), &[b'x'; 5000]].concat());
        assert!(shown.len() < 110 && shown.ends_with("..."));
        assert!(!shown.contains('\x1b'));
    }
}
