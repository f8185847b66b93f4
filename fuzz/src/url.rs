//! Proxies as URLs, `ALL_PROXY`, and the exceptions of `NO_PROXY`. Input: the two, separated by a line feed.

use std::fmt::Write;
use std::os::unix::ffi::OsStrExt;
use tailchain_core::config::environment::from_url;
use tailchain_core::config::{Endpoint, Proxy};

pub fn run(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else {
        return;
    };
    let (urls, exceptions) = match text.split_once('\n') {
        Some((urls, exceptions)) => (urls, Some(exceptions)),
        None => (text, None),
    };
    never_shows_a_password(urls);
    match from_url(urls, "ALL_PROXY", exceptions) {
        Err(error) => check_message(&error.to_string()),
        Ok((config, warnings)) => {
            assert!(!config.proxies.is_empty());
            for warning in &warnings {
                check_message(&warning.to_string());
            }
            let written: Vec<String> = config.proxies.iter().map(to_url).collect();
            let (again, _) = from_url(&written.join(","), "ALL_PROXY", None)
                .unwrap_or_else(|error| panic!("{written:?}: {error}"));
            assert_eq!(again.proxies, config.proxies, "{written:?}");
            let (without, _) = from_url(urls, "ALL_PROXY", None).expect("it was read just now");
            assert_eq!(
                without.proxies, config.proxies,
                "exceptions change no proxy"
            );
        }
    }
}

/// A diagnostic is short and has no control characters.
fn check_message(message: &str) {
    assert!(message.len() < 1000, "{message}");
    assert!(!message.chars().any(char::is_control), "{message:?}");
}

/// With a known password in the text: what surrounds it.
fn never_shows_a_password(text: &str) {
    const PASSWORD: &str = "Pa55W0rd";
    let middle = text.char_indices().nth(text.chars().count() / 2);
    let (head, tail) = text.split_at(middle.map_or(0, |(at, _)| at));
    // A comma in a user ends its URL: what follows is another URL, which has no password.
    let head = head.replace(',', "");
    // After this the password is part of a path, if a comma in it cuts off what would follow the last @.
    let is_path = head.contains("@unix:");
    if is_path || head.contains(PASSWORD) || tail.contains(PASSWORD) {
        return;
    }
    let urls = format!("socks5://user{head}:{PASSWORD}{tail}@proxy.example:1080");
    let told = match from_url(&urls, "ALL_PROXY", None) {
        Err(error) => format!("{error} {error:?}"),
        Ok((config, warnings)) => format!("{config:?} {warnings:?}"),
    };
    assert!(!told.contains(PASSWORD), "{urls:?}: {told}");
}

/// As it can be written in `ALL_PROXY`, with every character escaped that may be.
fn to_url(proxy: &Proxy) -> String {
    let mut url = format!("{}://", proxy.kind.keyword());
    if let Some(credentials) = &proxy.credentials {
        escape(&mut url, &credentials.user);
        if !credentials.password.reveal().is_empty() {
            url.push(':');
            escape(&mut url, credentials.password.reveal());
        }
        url.push('@');
    }
    match &proxy.endpoint {
        // In upper case: a host called `unix` would begin a path.
        Endpoint::Tcp(target) => url.push_str(&target.to_string().to_ascii_uppercase()),
        Endpoint::Unix(path) => {
            url.push_str("unix:");
            escape(&mut url, path.as_os_str().as_bytes());
        }
    }
    url
}

fn escape(url: &mut String, bytes: &[u8]) {
    for byte in bytes {
        write!(url, "%{byte:02X}").expect("a string takes all");
    }
}
