//! Dial HOST PORT through the proxies of a proxychains.conf, on a socket that this program owns, and print the first
//! bytes that the target sends.
//!
//! `cargo run --package tailchain-core --example dial -- CONFIG HOST PORT`
//!
//! The preload library's hooks, its helper and the supervisor do the same for a connection: make a [`Dial`], give a
//! [`Driver`] a socket, and wait as the driver says.
#![allow(clippy::print_stdout)]

use std::error::Error;
use std::path::PathBuf;
use std::time::Duration;
use tailchain_core::dial::driver::{Driver, Mode, Progress, Wait};
use tailchain_core::dial::endpoint::Family;
use tailchain_core::dial::Dial;
use tailchain_core::errno::Errno;
use tailchain_core::host::{Host, HostName, Target};
use tailchain_core::load::load;
use tailchain_core::own_fds::{OwnFds, RegisteredFd};
use tailchain_core::router::{Libc, Router};
use tailchain_core::sys;

fn main() -> Result<(), Box<dyn Error>> {
    static OWN_FDS: OwnFds = OwnFds::new();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [config, host, port] = arguments.as_slice() else {
        return Err("usage: dial CONFIG HOST PORT".into());
    };
    let config = load(Some(&PathBuf::from(config)), &|_| None)?.config;
    let router = Router::new(config, |name| std::env::var_os(name));
    let target = Target {
        host: match host.parse() {
            Ok(ip) => Host::Ip(ip),
            Err(_) => Host::Name(HostName::new(host.as_bytes()).map_err(|_| "not a host name")?),
        },
        port: port.parse()?,
    };

    let socket = sys::socket(libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_NONBLOCK, 0)?;
    let dial = Dial::new(
        &router.config,
        target,
        router.chain_seed(),
        &router,
        sys::now(),
    );
    let mut driver = Driver::new(
        dial,
        socket.fd(),
        Family::Inet,
        Mode::NonBlocking,
        &Libc,
        &OWN_FDS,
    );
    // For a unix-socket proxy, or one with only IPv6 addresses, the tunnel is on a socket of that family.
    let tunnel = finish(&mut driver)?;
    let fd = tunnel.as_ref().map_or(socket.fd(), |tunnel| tunnel.fd());
    sys::set_nonblocking(fd, false)?;
    let mut first = [0; 512];
    let length = sys::receive(fd, &mut first, false)?;
    println!(
        "{}",
        String::from_utf8_lossy(first.get(..length).unwrap_or_default()).trim_end()
    );
    Ok(())
}

/// Drives the dial to its end: the driver itself never sleeps.
fn finish(driver: &mut Driver<'_>) -> Result<Option<RegisteredFd>, Errno> {
    let mut progress = driver.advance();
    loop {
        progress = match progress {
            Progress::Opened(_) => driver.advance(),
            Progress::Finished(outcome) => return outcome.result.map(|()| outcome.replacement),
            Progress::Wait(Wait {
                fd,
                events,
                deadline,
                ..
            }) => {
                let timeout: Duration = deadline.saturating_sub(sys::now());
                match sys::poll_one(fd, events, Some(timeout))? {
                    true => driver.on_ready(),
                    false => driver.on_timeout(),
                }
            }
        };
    }
}
