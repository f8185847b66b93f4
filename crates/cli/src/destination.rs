//! A host, or a host and a port, as a user types them.

#![forbid(unsafe_code)]

use tailchain_core::host::{Host, Target};

/// `HOST`: a name or an address.
///
/// # Errors
///
/// `text` is neither. The message does not repeat the rest of a URL, which may contain a password.
pub fn host(text: &str) -> Result<Host, String> {
    if let Some((_, rest)) = text.split_once("://") {
        let host = host_of_url(rest);
        return Err(format!("this is a URL; write the host alone: {host}"));
    }
    let neither = || format!("`{text}` is neither a host name nor an address");
    match Host::parse(text).map_err(|_| neither())? {
        Host::Name(name) if name.as_str().contains(['/', ':', '@', '[', ']']) => Err(neither()),
        host => Ok(host),
    }
}

/// `HOST` with its port beside it, or `HOST:PORT`.
///
/// # Errors
///
/// As [`host()`], or the port is missing or invalid.
pub fn host_and_port(text: &str, port: Option<u16>) -> Result<Target, String> {
    let error = match (host(text), port) {
        (Ok(host), Some(port)) => return Ok(Target { host, port }),
        (Ok(host), None) => {
            return Err(format!(
                "{host}: the port is missing; write it after the host, e.g. {host} 443"
            ))
        }
        (Err(error), _) => error,
    };
    match text.rsplit_once(':') {
        Some((name, digits)) if port.is_none() && !text.contains("://") => {
            let host = host(name)?;
            let port = digits.parse().map_err(|_| {
                format!("`{text}`: the port is wrong; expected a number from 0 to 65535")
            })?;
            Ok(Target { host, port })
        }
        _ => Err(error),
    }
}

/// `rest` is what follows `TYPE://`.
fn host_of_url(rest: &str) -> &str {
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let place = authority.rsplit('@').next().unwrap_or_default();
    let in_brackets = place.strip_prefix('[').and_then(|p| p.split(']').next());
    in_brackets.unwrap_or_else(|| place.split(':').next().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_is_a_word_of_its_own_or_follows_a_colon() {
        for (text, port, target) in [
            ("db.ts.net", Some(5432), "db.ts.net:5432"),
            ("db.ts.net:5432", None, "db.ts.net:5432"),
            ("192.0.2.1:0", None, "192.0.2.1:0"),
            ("fd7a::1", Some(1), "[fd7a::1]:1"),
            ("[fd7a::1]", Some(1), "[fd7a::1]:1"),
            ("[fd7a::1]:5432", None, "[fd7a::1]:5432"),
        ] {
            assert_eq!(host_and_port(text, port).unwrap().to_string(), target);
        }
    }

    #[test]
    fn the_message_says_how_to_write_host_and_port() {
        for (text, port, told) in [
            ("db", None, "db: the port is missing; "),
            ("fd7a::1", None, "fd7a::1: the port is missing; "),
            ("db:", None, "`db:`: the port is wrong; "),
            ("db:65536", None, "`db:65536`: the port is wrong; "),
            ("db:1", Some(1), "`db:1` is neither "),
            ("a b:1", None, "`a b` is neither "),
            ("ann@db:1", None, "`ann@db` is neither "),
            ("db/x", Some(1), "`db/x` is neither "),
            ("", None, "`` is neither "),
            (":1", None, "`` is neither "),
        ] {
            let error = host_and_port(text, port).unwrap_err();
            assert!(error.starts_with(told), "{text}: {error}");
        }
    }

    #[test]
    fn of_a_url_only_the_host_is_repeated() {
        for (url, host) in [
            ("https://db.ts.net", "db.ts.net"),
            ("https://db.ts.net:443/x?y", "db.ts.net"),
            ("postgres://ann:s3c@ret@db.ts.net/x", "db.ts.net"),
            ("http://[fd7a::1]:80/", "fd7a::1"),
        ] {
            for port in [None, Some(80)] {
                let told = format!("this is a URL; write the host alone: {host}");
                assert_eq!(host_and_port(url, port).unwrap_err(), told);
            }
        }
    }
}
