//! Probes a proxy: is it reachable, and does it speak the configured protocol?

#![forbid(unsafe_code)]

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::time::Duration;
use tailchain_core::config::{Credentials, Endpoint, Proxy, ProxyKind};
use tailchain_core::host::Host;

const SHORTEST: Duration = Duration::from_millis(1);

/// What a successful probe has shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    SpeaksProtocol,
    /// The proxy accepted the connection. Its protocol has no greeting, and a request would need a target.
    TakesConnections,
}

#[derive(Debug)]
pub enum Failure {
    Unresolvable(io::Error),
    Unreachable(io::Error),
    /// The proxy accepted the connection, and then sent no reply or closed it.
    Silent(io::Error),
    /// The first byte of the reply is not one of the protocol.
    OtherProtocol(u8),
    WantsPassword,
    WrongPassword,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Unresolvable(error) => {
                write!(
                    f,
                    "its name cannot be resolved ({error}); correct it or write a numeric address"
                )
            }
            Failure::Unreachable(error) => {
                write!(
                    f,
                    "nothing answers there ({error}); start the proxy or correct the address"
                )
            }
            Failure::Silent(error) => {
                write!(f, "it accepts the connection but does not answer ({error}); check its port and type")
            }
            Failure::OtherProtocol(byte) => {
                write!(f, "it speaks another protocol (its reply begins with byte {byte}); correct the type or the port")
            }
            Failure::WantsPassword => f.write_str(
                "it requires a user and password; write both after the port in its line",
            ),
            Failure::WrongPassword => {
                f.write_str("it does not accept this user and password; correct its line")
            }
        }
    }
}

/// Connects to `proxy` directly and sends the protocol's greeting, but no request for a target.
///
/// # Errors
///
/// The failure, with advice.
pub fn probe(proxy: &Proxy, connect: Duration, read: Duration) -> Result<Answer, Failure> {
    // std rejects a time limit of 0.
    let (connect, read) = (connect.max(SHORTEST), read.max(SHORTEST));
    let mut stream = open(&proxy.endpoint, connect)?;
    stream.limit(read).map_err(Failure::Silent)?;
    match proxy.kind {
        ProxyKind::Socks5 => greet_socks5(&mut *stream, proxy.credentials.as_ref()),
        ProxyKind::Http => greet_http(&mut *stream),
        ProxyKind::Socks4 | ProxyKind::Raw => Ok(Answer::TakesConnections),
    }
}

trait Stream: Read + Write {
    fn limit(&self, time: Duration) -> io::Result<()>;
}

impl Stream for TcpStream {
    fn limit(&self, time: Duration) -> io::Result<()> {
        self.set_read_timeout(Some(time))
    }
}

impl Stream for UnixStream {
    fn limit(&self, time: Duration) -> io::Result<()> {
        self.set_read_timeout(Some(time))
    }
}

fn open(endpoint: &Endpoint, timeout: Duration) -> Result<Box<dyn Stream>, Failure> {
    let target = match endpoint {
        Endpoint::Unix(path) => {
            let stream = UnixStream::connect(path).map_err(Failure::Unreachable)?;
            return Ok(Box::new(stream));
        }
        Endpoint::Tcp(target) => target,
    };
    let addresses = match &target.host {
        Host::Ip(ip) => vec![(*ip, target.port).into()],
        Host::Name(name) => {
            let found = (name.as_str(), target.port).to_socket_addrs();
            found.map_err(Failure::Unresolvable)?.collect()
        }
    };
    let mut failure = io::ErrorKind::NotFound.into();
    for address in addresses {
        match TcpStream::connect_timeout(&address, timeout) {
            Ok(stream) => return Ok(Box::new(stream)),
            Err(error) => failure = error,
        }
    }
    Err(Failure::Unreachable(failure))
}

/// RFC 1928 section 3; with a password, RFC 1929 section 2.
fn greet_socks5(stream: &mut dyn Stream, login: Option<&Credentials>) -> Result<Answer, Failure> {
    const NO_LOGIN: u8 = 0;
    const PASSWORD: u8 = 2;
    let greeting: &[u8] = match login {
        Some(_) => &[5, 2, NO_LOGIN, PASSWORD],
        None => &[5, 1, NO_LOGIN],
    };
    let [version, method] = ask(stream, greeting)?;
    match (version, method, login) {
        (5, NO_LOGIN, _) => Ok(Answer::SpeaksProtocol),
        (5, PASSWORD, Some(login)) => log_in(stream, login),
        (5, _, Some(_)) => Err(Failure::WrongPassword),
        (5, _, None) => Err(Failure::WantsPassword),
        _ => Err(Failure::OtherProtocol(version)),
    }
}

fn log_in(stream: &mut dyn Stream, login: &Credentials) -> Result<Answer, Failure> {
    let mut request = vec![1];
    for text in [&login.user[..], login.password.reveal()] {
        // The parser has rejected longer ones.
        request.push(u8::try_from(text.len()).unwrap_or(u8::MAX));
        request.extend(text);
    }
    match ask(stream, &request)? {
        [_, 0] => Ok(Answer::SpeaksProtocol),
        _ => Err(Failure::WrongPassword),
    }
}

/// Any HTTP server answers this. Only a request for a target would show whether it is a proxy.
fn greet_http(stream: &mut dyn Stream) -> Result<Answer, Failure> {
    let start: [u8; 5] = ask(stream, b"OPTIONS * HTTP/1.0\r\n\r\n")?;
    match &start {
        b"HTTP/" => Ok(Answer::SpeaksProtocol),
        [first, ..] => Err(Failure::OtherProtocol(*first)),
    }
}

fn ask<const N: usize>(stream: &mut dyn Stream, question: &[u8]) -> Result<[u8; N], Failure> {
    let mut answer = [0; N];
    let asked = stream
        .write_all(question)
        .and_then(|()| stream.read_exact(&mut answer));
    match asked {
        Ok(()) => Ok(answer),
        // SO_RCVTIMEO reports a timeout as EAGAIN (socket(7)).
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            Err(Failure::Silent(io::ErrorKind::TimedOut.into()))
        }
        Err(error) => Err(Failure::Silent(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{SocketAddr, TcpListener};
    use tailchain_core::config::Secret;
    use tailchain_core::host::Target;

    const PATIENCE: Duration = Duration::from_secs(20);

    /// A server for one client that reads `N` bytes and answers.
    fn server<const N: usize>(answer: &'static [u8]) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            let (mut client, _) = listener.accept().unwrap();
            client.read_exact(&mut [0; N]).unwrap();
            client.write_all(answer).unwrap();
        });
        address
    }

    fn proxy(kind: ProxyKind, address: SocketAddr) -> Proxy {
        Proxy {
            kind,
            endpoint: Endpoint::Tcp(Target::from(address)),
            credentials: None,
        }
    }

    #[test]
    fn a_socks5_proxy_is_known_by_its_greeting() {
        let here = proxy(ProxyKind::Socks5, server::<3>(&[5, 0]));
        assert_eq!(
            probe(&here, PATIENCE, PATIENCE).unwrap(),
            Answer::SpeaksProtocol
        );
    }

    #[test]
    fn a_socks5_proxy_that_wants_a_password_says_so() {
        let here = proxy(ProxyKind::Socks5, server::<3>(&[5, 255]));
        assert!(matches!(
            probe(&here, PATIENCE, PATIENCE),
            Err(Failure::WantsPassword)
        ));
    }

    #[test]
    fn a_wrong_password_is_distinguished_from_a_missing_one() {
        let mut here = proxy(ProxyKind::Socks5, server::<4>(&[5, 2, 1, 1]));
        here.credentials = Some(Credentials {
            user: (*b"u").into(),
            password: Secret::new(*b"p"),
        });
        assert!(matches!(
            probe(&here, PATIENCE, PATIENCE),
            Err(Failure::WrongPassword)
        ));
    }

    #[test]
    fn another_protocol_is_an_error() {
        let web = proxy(
            ProxyKind::Socks5,
            server::<3>(b"HTTP/1.0 400 Bad Request\r\n\r\n"),
        );
        assert!(matches!(
            probe(&web, PATIENCE, PATIENCE),
            Err(Failure::OtherProtocol(b'H'))
        ));
        let mail = proxy(ProxyKind::Http, server::<22>(b"220 mail.example\r\n"));
        assert!(matches!(
            probe(&mail, PATIENCE, PATIENCE),
            Err(Failure::OtherProtocol(b'2'))
        ));
    }

    #[test]
    fn a_silent_server_times_out() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let here = proxy(ProxyKind::Socks5, listener.local_addr().unwrap());
        let failure = probe(&here, PATIENCE, SHORTEST);
        assert!(matches!(failure, Err(Failure::Silent(_))), "{failure:?}");
    }

    #[test]
    fn a_refused_connection_is_unreachable() {
        let address = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        let gone = proxy(ProxyKind::Raw, address);
        assert!(matches!(
            probe(&gone, PATIENCE, PATIENCE),
            Err(Failure::Unreachable(_))
        ));
    }
}
