//! The embedded SOCKS5 server (RFC 1928, RFC 1929): CONNECT only, with a name table of its own.
//!
//! Its reply codes tell the truth about what went wrong, so that tests can see what a client makes of each.

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

/// What the server does with those who ask.
#[derive(Default)]
pub struct Rules {
    /// User and password that are asked for; without them anybody may come in.
    pub credentials: Option<(String, String)>,
    /// Where a name (in lower case) or an address leads instead of the system's answer; a port replaces the
    /// one that was asked for.
    pub names: HashMap<String, (IpAddr, Option<u16>)>,
    /// Hosts that get this reply and no connection.
    pub replies: HashMap<String, Reply>,
    /// Waited before each reply to a request.
    pub delay: Duration,
    /// How long a connection to a target may take.
    pub connect_timeout: Duration,
}

/// What became of one request: the line of the log.
pub type Log = dyn Fn(String) + Send + Sync;

/// Serves until accepting fails.
pub async fn serve(listener: TcpListener, rules: Arc<Rules>, log: Arc<Log>) -> io::Error {
    let server = Server::new(listener, Arc::new(Gate::new(&rules)));
    loop {
        match server.accept().await {
            Ok((connection, _)) => {
                let (rules, log) = (rules.clone(), log.clone());
                tokio::spawn(async move {
                    // The client went away or talks nonsense: it was told, and nobody else cares.
                    let _ = attend(connection, &rules, &*log).await;
                });
            }
            // Out of descriptors: those who are here will leave.
            Err(error) if matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE)) => {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => return error,
        }
    }
}

/// One type for both ways of letting people in; its answer is whether they may.
enum Gate {
    Open(NoAuth),
    Locked(Password),
}

impl Gate {
    fn new(rules: &Rules) -> Gate {
        match &rules.credentials {
            None => Gate::Open(NoAuth),
            Some((user, password)) => Gate::Locked(Password::new(
                user.clone().into_bytes(),
                password.clone().into_bytes(),
            )),
        }
    }
}

#[async_trait]
impl Auth for Gate {
    type Output = bool;

    fn as_handshake_method(&self) -> Method {
        match self {
            Gate::Open(gate) => gate.as_handshake_method(),
            Gate::Locked(gate) => gate.as_handshake_method(),
        }
    }

    async fn execute(&self, stream: &mut TcpStream) -> bool {
        match self {
            Gate::Open(_) => true,
            Gate::Locked(gate) => gate.execute(stream).await.unwrap_or(false),
        }
    }
}

type Incoming = IncomingConnection<bool, socks5_server::connection::state::NeedAuthenticate>;

async fn attend(connection: Incoming, rules: &Rules, log: &Log) -> Result<(), Error> {
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
                tokio::io::copy_bidirectional(&mut client, &mut target).await?;
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

/// What a malformed request is told; `None` when the client is no longer there to be told.
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
                // A relay must not hold small packets back for those at its ends.
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

/// RFC 1928 section 6. What it has no word for is a general failure.
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
