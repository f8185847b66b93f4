//! Tests whether a control server can be reached.

#![forbid(unsafe_code)]

use std::io;
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// If the resolver takes longer than this, the test has no result.
const PATIENCE: Duration = Duration::from_secs(2);

/// Why the control server at `url` cannot be reached; `None` if it can, or if this cannot be determined.
pub fn obstacle(url: &str) -> Option<String> {
    let (host, port) = host_and_port(url)?;
    let place = (host.to_owned(), port);
    let (sender, receiver) = mpsc::channel();
    // The thread is not joined: it ends when the resolver returns.
    thread::spawn(move || sender.send(reach(&place)));
    let failure = receiver.recv_timeout(PATIENCE).ok()?.err()?;
    Some(format!(
        "the control server {url} (TAILSCALE_LOGIN_SERVER) cannot be reached: {failure}"
    ))
}

fn reach(place: &(String, u16)) -> io::Result<()> {
    let (host, port) = place;
    let addresses = (host.as_str(), *port).to_socket_addrs()?;
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for address in addresses {
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(_) => return Ok(()),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// `None` without a scheme, which tailscaled requires too.
fn host_and_port(url: &str) -> Option<(&str, u16)> {
    let (scheme, rest) = url.split_once("://")?;
    let default = match scheme {
        "http" => 80,
        "https" => 443,
        _ => return None,
    };
    let authority = rest.split(['/', '?', '#']).next()?;
    let authority = authority.rsplit('@').next()?;
    let (host, port) = match authority.strip_prefix('[') {
        Some(six) => six.split_once(']')?,
        None => authority.split_once(':').unwrap_or((authority, "")),
    };
    let port = match port.trim_start_matches(':') {
        "" => default,
        digits => digits.parse().ok()?,
    };
    Some((host, port))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn host_and_port_of_a_url() {
        for (url, place) in [
            (
                "https://headscale.example",
                Some(("headscale.example", 443)),
            ),
            ("http://127.0.0.1:8080/", Some(("127.0.0.1", 8080))),
            ("https://u:p@[::1]:444/x", Some(("::1", 444))),
            ("headscale.example", None),
            ("https://x:port", None),
        ] {
            assert_eq!(host_and_port(url), place, "{url}");
        }
    }

    #[test]
    fn only_a_server_that_refuses_is_an_obstacle() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        assert_eq!(obstacle(&url), None);
        drop(listener);
        let text = obstacle(&url).unwrap();
        assert!(text.contains(&url) && text.contains("refused"), "{text}");
    }

    #[test]
    fn a_name_that_does_not_resolve_is_an_obstacle() {
        // An empty label is rejected before any resolver is asked.
        let text = obstacle("https://a..b").unwrap();
        assert!(text.contains("TAILSCALE_LOGIN_SERVER"), "{text}");
    }
}
