//! `tailchain proxy`: the embedded SOCKS5 server on a port of its own.

use crate::socks_server::{self, Rules};
use socks5_server::proto::Reply;
use std::net::{IpAddr, SocketAddr};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tailchain_diagnostics::report;
use tokio::net::TcpListener;

/// Run a SOCKS5 server for tests and experiments
///
/// The first line on stdout is "listening on ADDRESS:PORT".
#[derive(clap::Args)]
pub struct Args {
    /// Address to listen on; with port 0 the kernel chooses the port
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:0")]
    listen: SocketAddr,

    /// Require clients to authenticate as this user (RFC 1929)
    #[arg(long, requires = "password")]
    user: Option<String>,

    /// The password of that user
    #[arg(long, requires = "user")]
    password: Option<String>,

    /// Connect to this address for NAME; a PORT replaces the requested one. May be repeated
    #[arg(long = "name", value_name = "NAME=ADDRESS[:PORT]", value_parser = name_rule)]
    names: Vec<(String, (IpAddr, Option<u16>))>,

    /// Reply to requests for HOST with this SOCKS5 reply code, 1 to 8, without connecting. May be repeated
    #[arg(long = "reply", value_name = "HOST=CODE", value_parser = reply_rule)]
    replies: Vec<(String, Reply)>,

    /// The same as --reply HOST=2, "not allowed". May be repeated
    #[arg(long = "deny", value_name = "HOST")]
    denied: Vec<String>,

    /// Milliseconds to wait before each reply
    #[arg(long, value_name = "MS", default_value_t = 0)]
    delay: u64,

    /// Time limit for connecting to a target, in milliseconds (tailscaled: 5000)
    #[arg(long, value_name = "MS", default_value_t = 5000)]
    connect_timeout: u64,

    /// Print a line for each request
    #[arg(long)]
    log: bool,

    /// Exit when the process that started this one ends
    #[arg(long)]
    with_parent: bool,
}

pub fn run(args: Args) -> ExitCode {
    if args.with_parent {
        if let Err(error) = end_with_parent() {
            return report::fail(format_args!("--with-parent: {error}"));
        }
    }
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return report::fail(format_args!("cannot start the event loop: {error}")),
    };
    runtime.block_on(listen(args))
}

async fn listen(args: Args) -> ExitCode {
    let listener = match TcpListener::bind(args.listen).await {
        Ok(listener) => listener,
        Err(error) => {
            return report::fail(format_args!("cannot listen on {}: {error}", args.listen))
        }
    };
    match listener.local_addr() {
        Ok(address) => report::say(format_args!("listening on {address}")),
        Err(error) => {
            return report::fail(format_args!(
                "cannot get the address of the listening socket: {error}"
            ))
        }
    }
    let log: Arc<socks_server::Log> = match args.log {
        true => Arc::new(|line: String| report::say(line)),
        false => Arc::new(|_: String| {}),
    };
    let error = socks_server::serve(listener, Arc::new(rules(args)), log).await;
    report::fail(format_args!("cannot accept connections: {error}"))
}

fn rules(args: Args) -> Rules {
    let denied = args
        .denied
        .into_iter()
        .map(|host| (host.to_ascii_lowercase(), Reply::ConnectionNotAllowed));
    Rules {
        credentials: args.user.zip(args.password),
        names: args.names.into_iter().collect(),
        replies: args.replies.into_iter().chain(denied).collect(),
        delay: Duration::from_millis(args.delay),
        connect_timeout: Duration::from_millis(args.connect_timeout),
    }
}

fn name_rule(text: &str) -> Result<(String, (IpAddr, Option<u16>)), String> {
    let (name, place) = text.split_once('=').ok_or("expected NAME=ADDRESS[:PORT]")?;
    let place = match (place.parse::<SocketAddr>(), place.parse::<IpAddr>()) {
        (Ok(place), _) => (place.ip(), Some(place.port())),
        (_, Ok(address)) => (address, None),
        _ => return Err(format!("`{place}` is no numeric ADDRESS or ADDRESS:PORT")),
    };
    Ok((name.to_ascii_lowercase(), place))
}

fn reply_rule(text: &str) -> Result<(String, Reply), String> {
    let (host, code) = text.split_once('=').ok_or("expected HOST=CODE")?;
    let reply = code
        .parse::<u8>()
        .ok()
        .and_then(|code| Reply::try_from(code).ok());
    match reply.filter(|reply| *reply != Reply::Succeeded) {
        Some(reply) => Ok((host.to_ascii_lowercase(), reply)),
        None => Err(format!(
            "`{code}` is no reply code of a failure, 1 to 8 (RFC 1928 section 6)"
        )),
    }
}

/// Asks the kernel for SIGKILL when the parent ends (PR_SET_PDEATHSIG(2const)).
fn end_with_parent() -> std::io::Result<()> {
    // SAFETY: this option takes one integer and touches no memory of ours.
    let set = unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
    if set == -1 {
        return Err(std::io::Error::last_os_error());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_leads_to_an_address_with_or_without_a_port() {
        let here = IpAddr::from([127, 0, 0, 1]);
        assert_eq!(
            name_rule("Db=127.0.0.1"),
            Ok(("db".to_owned(), (here, None)))
        );
        assert_eq!(
            name_rule("db=127.0.0.1:80"),
            Ok(("db".to_owned(), (here, Some(80))))
        );
        assert_eq!(name_rule("db=[::1]:80").map(|rule| rule.1 .1), Ok(Some(80)));
        assert!(name_rule("db=elsewhere").is_err());
        assert!(name_rule("db").is_err());
    }

    #[test]
    fn only_a_failure_can_be_asked_for() {
        assert_eq!(
            reply_rule("db=5"),
            Ok(("db".to_owned(), Reply::ConnectionRefused))
        );
        assert!(reply_rule("db=0").is_err());
        assert!(reply_rule("db=9").is_err());
    }
}
