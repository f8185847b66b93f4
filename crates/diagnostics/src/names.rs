//! Tests whether tailscaled resolves names for this user.

#![forbid(unsafe_code)]

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;
use tailchain_core::errno::Errno;
use tailchain_core::host::HostName;
use tailchain_core::local_api::{failed, Failure, Lookup, Resolution, Unanswered};

/// A name that tailscaled answers itself, without asking a name server (`dnsSymbolicFQDN`).
const KNOWN: &str = "magicdns.localhost-tailscale-daemon";
/// For each read and write.
const PATIENCE: Duration = Duration::from_secs(5);
const LONGEST: u64 = 1 << 20;

/// Asks tailscaled on `socket` for a name that it knows.
///
/// # Errors
///
/// The reason why tailscaled gave no address.
pub fn probe(socket: &Path) -> Result<(), Unanswered> {
    let name = HostName::new(KNOWN.as_bytes());
    let malformed = Unanswered::Failure(Failure::Malformed);
    let Some(mut lookup) = name.ok().and_then(|name| Lookup::new(&name, &[])) else {
        return Err(malformed);
    };
    loop {
        let answered = match ask(socket, &lookup.request()) {
            Ok(answer) => lookup.on_response(&answer),
            Err(error) => Some(failed(failure(&error))),
        };
        match answered {
            None => {}
            Some((Resolution::Addresses(_), _)) => return Ok(()),
            Some((Resolution::NoSuchName, _)) => return Err(malformed),
            Some((Resolution::Unknown(why), _)) => return Err(why),
        }
    }
}

fn ask(socket: &Path, request: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(request)?;
    let mut answer = Vec::new();
    stream.take(LONGEST).read_to_end(&mut answer)?;
    Ok(answer)
}

fn failure(error: &io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Failure::TimedOut,
        _ => Failure::Io(error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)),
    }
}
