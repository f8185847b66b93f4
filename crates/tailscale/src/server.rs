//! Whether a control server can be reached from here.

#![forbid(unsafe_code)]

use std::io;
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// A resolver may take longer; then there is nothing to say.
const PATIENCE: Duration = Duration::from_secs(2);

/// What stands in the way to a control server, by its URL; `None` if nothing does, or it is not seen from here.
pub fn obstacle(url: &str) -> Option<String> {
    let (host, port) = host_and_port(url)?;
    let place = (host.to_owned(), port);
    let (sender, receiver) = mpsc::channel();
    // The thread ends when the resolver does; nobody waits for it.
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

/// A URL without a scheme is not one for tailscaled either.
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
    fn a_server_that_refuses_is_said_with_the_reason_and_one_that_answers_is_not() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        assert_eq!(obstacle(&url), None);
        drop(listener);
        let said = obstacle(&url).unwrap();
        assert!(said.contains(&url) && said.contains("refused"), "{said}");
    }

    #[test]
    fn a_name_that_does_not_resolve_is_said() {
        // An empty label: no resolver is asked.
        let said = obstacle("https://a..b").unwrap();
        assert!(said.contains("TAILSCALE_LOGIN_SERVER"), "{said}");
    }
}
