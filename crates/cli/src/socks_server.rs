//! The embedded SOCKS5 server (RFC 1928, RFC 1929): CONNECT only, with a name table of its own.
//!
//! Its reply codes are exact, so that tests can see how a client handles each of them.

#![forbid(unsafe_code)]

use async_trait::async_trait;
use socks5_server::auth::{Auth, NoAuth, Password};
use socks5_server::proto::handshake::Method;
use socks5_server::proto::{Address, Error, ProtocolError, Reply, Response};
use socks5_server::{Command, IncomingConnection, Server};
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};

/// How the server handles requests.
#[derive(Default)]
pub struct Rules {
    /// User and password that clients must give; `None`: no authentication.
    pub credentials: Option<(String, String)>,
    /// Overrides of the system's resolver: a name (in lower case) or an address, and the address to connect to. A port
    /// replaces the requested one.
    pub names: HashMap<String, (IpAddr, Option<u16>)>,
    /// Hosts that get this reply and no connection.
    pub replies: HashMap<String, Reply>,
    /// The pause before each reply.
    pub delay: Duration,
    /// The time limit for connecting to a target.
    pub connect_timeout: Duration,
}

/// Receives one line for each request.
pub type Log = dyn Fn(String) + Send + Sync;

/// Serves until accepting fails.
pub async fn serve(listener: TcpListener, rules: Arc<Rules>, log: Arc<Log>) -> io::Error {
    let server = Server::new(listener, Arc::new(ClientAuth::new(&rules)));
    loop {
        match server.accept().await {
            Ok((connection, _)) => {
                let (rules, log) = (rules.clone(), log.clone());
                tokio::spawn(async move {
                    // An error concerns this client only: it disconnected, or its request was invalid.
                    let _ = serve_client(connection, &rules, &*log).await;
                });
            }
            // Out of fds: wait until clients disconnect.
            Err(error) if matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE)) => {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => return error,
        }
    }
}

/// Authentication, or none. The output is whether the client is accepted.
enum ClientAuth {
    NotRequired(NoAuth),
    Password(Password),
}

impl ClientAuth {
    fn new(rules: &Rules) -> ClientAuth {
        match &rules.credentials {
            None => ClientAuth::NotRequired(NoAuth),
            Some((user, password)) => ClientAuth::Password(Password::new(
                user.clone().into_bytes(),
                password.clone().into_bytes(),
            )),
        }
    }
}

#[async_trait]
impl Auth for ClientAuth {
    type Output = bool;

    fn as_handshake_method(&self) -> Method {
        match self {
            ClientAuth::NotRequired(method) => method.as_handshake_method(),
            ClientAuth::Password(method) => method.as_handshake_method(),
        }
    }

    async fn execute(&self, stream: &mut TcpStream) -> bool {
        match self {
            ClientAuth::NotRequired(_) => true,
            ClientAuth::Password(method) => method.execute(stream).await.unwrap_or(false),
        }
    }
}

type Incoming = IncomingConnection<bool, socks5_server::connection::state::NeedAuthenticate>;

async fn serve_client(connection: Incoming, rules: &Rules, log: &Log) -> Result<(), Error> {
    let (connection, allowed) = connection
        .authenticate()
        .await
        .map_err(|(error, _)| error)?;
    if !allowed {
        log("REFUSED a client with a wrong user or password".to_owned());
        return Ok(());
    }
    match connection.wait().await {
        Ok(Command::Connect(request, address)) => {
            let wanted = wanted(&address);
            let answer = reach(&wanted, rules).await;
            tokio::time::sleep(rules.delay).await;
            log(line(&wanted, &answer));
            let (reply, bound) = match &answer {
                Ok((target, _)) => (Reply::Succeeded, target.local_addr()?),
                Err(reply) => (*reply, SocketAddr::from(([0, 0, 0, 0], 0))),
            };
            let replied = request.reply(reply, Address::SocketAddress(bound)).await;
            let mut client = replied.map_err(|(error, _)| error)?;
            if let Ok((mut target, _)) = answer {
                let ended = tokio::io::copy_bidirectional(&mut client, &mut target).await;
                // Pass a reset on: without it the other side would read an end of file.
                if ended.is_err() {
                    target.set_zero_linger()?;
                    client.get_mut().set_zero_linger()?;
                }
                ended?;
            }
            Ok(())
        }
        Ok(Command::Bind(request, _)) => {
            let refusal = request.reply(Reply::CommandNotSupported, Address::unspecified());
            refusal.await.map_err(|(error, _)| error)?;
            Ok(())
        }
        Ok(Command::Associate(request, _)) => {
            let refusal = request.reply(Reply::CommandNotSupported, Address::unspecified());
            refusal.await.map_err(|(error, _)| error)?;
            Ok(())
        }
        Err((error, mut stream)) => {
            if let Some(reply) = refusal_of(&error) {
                Response::new(reply, Address::unspecified())
                    .write_to(&mut stream)
                    .await?;
                stream.shutdown().await?;
            }
            Err(error)
        }
    }
}

/// The reply to a malformed request; `None` if the client has disconnected.
fn refusal_of(error: &Error) -> Option<Reply> {
    match error {
        Error::Protocol(ProtocolError::InvalidCommand { .. }) => Some(Reply::CommandNotSupported),
        Error::Protocol(ProtocolError::InvalidAddressTypeInRequest { .. }) => {
            Some(Reply::AddressTypeNotSupported)
        }
        _ => None,
    }
}

struct Wanted {
    host: String,
    port: u16,
}

fn wanted(address: &Address) -> Wanted {
    match address {
        Address::SocketAddress(address) => Wanted {
            host: address.ip().to_string(),
            port: address.port(),
        },
        Address::DomainAddress(name, port) => {
            let name = String::from_utf8_lossy(name).to_ascii_lowercase();
            Wanted {
                host: name.trim_end_matches('.').to_owned(),
                port: *port,
            }
        }
    }
}

async fn reach(wanted: &Wanted, rules: &Rules) -> Result<(TcpStream, SocketAddr), Reply> {
    if let Some(reply) = rules.replies.get(&wanted.host) {
        return Err(*reply);
    }
    let mut failure = Reply::HostUnreachable;
    for address in addresses(wanted, rules).await? {
        match tokio::time::timeout(rules.connect_timeout, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                // Whether to delay small packets is for the client and the target to decide.
                let _ = stream.set_nodelay(true);
                return Ok((stream, address));
            }
            Ok(Err(error)) => failure = reply_to(&error),
            Err(_) => failure = Reply::TtlExpired,
        }
    }
    Err(failure)
}

async fn addresses(wanted: &Wanted, rules: &Rules) -> Result<Vec<SocketAddr>, Reply> {
    if let Some((ip, port)) = rules.names.get(&wanted.host) {
        return Ok(vec![SocketAddr::new(*ip, port.unwrap_or(wanted.port))]);
    }
    match tokio::net::lookup_host((wanted.host.as_str(), wanted.port)).await {
        Ok(found) => Ok(found.collect()),
        Err(_) => Err(Reply::HostUnreachable),
    }
}

/// RFC 1928 section 6. An error without a code of its own is a general failure.
fn reply_to(error: &io::Error) -> Reply {
    match error.raw_os_error() {
        Some(libc::ECONNREFUSED) => Reply::ConnectionRefused,
        Some(libc::ENETUNREACH) => Reply::NetworkUnreachable,
        Some(libc::EHOSTUNREACH) => Reply::HostUnreachable,
        Some(libc::ETIMEDOUT) => Reply::TtlExpired,
        Some(libc::EACCES | libc::EPERM) => Reply::ConnectionNotAllowed,
        _ => Reply::GeneralFailure,
    }
}

fn line(wanted: &Wanted, answer: &Result<(TcpStream, SocketAddr), Reply>) -> String {
    let host = match wanted.host.contains(':') {
        true => format!("[{}]", wanted.host),
        false => wanted.host.clone(),
    };
    match answer {
        Ok((_, address)) => format!("CONNECT {host}:{} -> {address}", wanted.port),
        Err(reply) => format!(
            "CONNECT {host}:{} -> reply {} {reply:?}",
            wanted.port,
            u8::from(*reply)
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncReadExt;
    use tokio::sync::mpsc::{unbounded_channel, UnboundedReceiver};

    async fn listener() -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        (listener, address)
    }

    async fn start(rules: Rules) -> (SocketAddr, UnboundedReceiver<String>) {
        let (listener, address) = listener().await;
        let (send, log) = unbounded_channel();
        let patient = Rules {
            connect_timeout: Duration::from_secs(20),
            ..rules
        };
        tokio::spawn(serve(
            listener,
            Arc::new(patient),
            Arc::new(move |line| send.send(line).unwrap()),
        ));
        (address, log)
    }

    /// A request for `name`, with the greeting before it; the reply code, and the stream after the reply.
    async fn request(server: SocketAddr, command: u8, name: &str, port: u16) -> (u8, TcpStream) {
        let mut stream = TcpStream::connect(server).await.unwrap();
        let mut bytes = vec![5, 1, 0, 5, command, 0, 3, name.len() as u8];
        bytes.extend(name.as_bytes());
        bytes.extend(port.to_be_bytes());
        stream.write_all(&bytes).await.unwrap();
        // The choice of the method, and a reply with an IPv4 address.
        let mut answer = [0; 2 + 10];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(answer[..3], [5, 0, 5]);
        (answer[3], stream)
    }

    #[tokio::test]
    async fn a_reset_by_the_client_is_one_for_the_target() {
        let (target, place) = listener().await;
        let names = [("db.ts.net".to_owned(), (place.ip(), Some(place.port())))].into();
        let (server, _log) = start(Rules {
            names,
            ..Rules::default()
        })
        .await;
        let (code, client) = request(server, 1, "db.ts.net", 5432).await;
        assert_eq!(code, 0);
        let (mut accepted, _) = target.accept().await.unwrap();
        client.set_zero_linger().unwrap();
        drop(client);
        let read = accepted.read(&mut [0]).await;
        assert_eq!(
            read.unwrap_err().kind(),
            std::io::ErrorKind::ConnectionReset
        );
    }

    #[tokio::test]
    async fn a_name_of_the_table_leads_to_its_address_and_port() {
        let (web, place) = listener().await;
        let names = [("db.ts.net".to_owned(), (place.ip(), Some(place.port())))].into();
        let (server, mut log) = start(Rules {
            names,
            ..Rules::default()
        })
        .await;
        let (code, mut client) = request(server, 1, "DB.ts.net", 5432).await;
        assert_eq!(code, 0);
        assert_eq!(
            log.recv().await,
            Some(format!("CONNECT db.ts.net:5432 -> {place}"))
        );

        let (mut target, _) = web.accept().await.unwrap();
        client.write_all(b"ping").await.unwrap();
        let mut heard = [0; 4];
        target.read_exact(&mut heard).await.unwrap();
        assert_eq!(&heard, b"ping");
        drop(target);
        assert_eq!(client.read(&mut heard).await.unwrap(), 0);
    }

    #[tokio::test]
    async fn a_port_that_nobody_listens_on_is_refused() {
        let (gone, place) = listener().await;
        drop(gone);
        let (server, mut log) = start(Rules::default()).await;
        assert_eq!(request(server, 1, "127.0.0.1", place.port()).await.0, 5);
        let line = format!(
            "CONNECT 127.0.0.1:{} -> reply 5 ConnectionRefused",
            place.port()
        );
        assert_eq!(log.recv().await, Some(line));
    }

    #[tokio::test]
    async fn a_host_with_a_reply_of_its_own_gets_it() {
        let replies = [("no.way".to_owned(), Reply::ConnectionNotAllowed)].into();
        let (server, _log) = start(Rules {
            replies,
            ..Rules::default()
        })
        .await;
        assert_eq!(request(server, 1, "no.way", 80).await.0, 2);
    }

    #[tokio::test]
    async fn what_it_cannot_do_is_said_in_the_words_of_the_protocol() {
        let (server, _log) = start(Rules::default()).await;
        for command in [2, 3, 9] {
            assert_eq!(
                request(server, command, "any.name", 80).await.0,
                7,
                "command {command}"
            );
        }
    }

    #[tokio::test]
    async fn a_wrong_password_lets_nobody_in() {
        let credentials = Some(("u".to_owned(), "p".to_owned()));
        let (server, mut log) = start(Rules {
            credentials,
            ..Rules::default()
        })
        .await;
        for (password, status) in [(b'p', 0), (b'x', 255)] {
            let mut stream = TcpStream::connect(server).await.unwrap();
            stream
                .write_all(&[5, 2, 0, 2, 1, 1, b'u', 1, password])
                .await
                .unwrap();
            let mut answer = [0; 4];
            stream.read_exact(&mut answer).await.unwrap();
            assert_eq!(answer, [5, 2, 1, status]);
        }
        assert_eq!(
            log.recv().await.as_deref(),
            Some("REFUSED a client with a wrong user or password")
        );
    }
}
