//! Finds the process that listens on a TCP address of this machine, in /proc (proc_pid_net(5)).

#![forbid(unsafe_code)]

use crate::sys::process::Pid;
use std::fmt;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

const TABLES: [&str; 2] = ["/proc/net/tcp", "/proc/net/tcp6"];
/// The kernel's TCP_LISTEN (include/net/tcp_states.h).
const LISTEN: &str = "0A";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    uid: u32,
    inode: u64,
}

/// The owner of the socket that accepts connections to `address`; `None` if /proc does not show it.
pub fn of(address: SocketAddr) -> Option<Owner> {
    let tables = TABLES
        .iter()
        .filter_map(|path| fs::read_to_string(path).ok());
    let rows: Vec<(SocketAddr, Owner)> = tables.flat_map(|table| listeners(&table)).collect();
    let has_port = |bound: &SocketAddr| bound.port() == address.port();
    let exact = rows.iter().find(|(bound, _)| *bound == address);
    let wildcard = || {
        rows.iter()
            .find(|(bound, _)| has_port(bound) && bound.ip().is_unspecified())
    };
    exact.or_else(wildcard).map(|(_, owner)| *owner)
}

impl Owner {
    /// Whether this process has the socket open; `None` without permission to look.
    pub fn is(self, pid: Pid) -> Option<bool> {
        has(&Path::new("/proc").join(pid.to_string()), self.inode)
    }

    /// The process that has the socket open, among those that we have permission to look at.
    fn process(self) -> Option<(Pid, String)> {
        let directories = fs::read_dir("/proc").ok()?;
        directories.flatten().find_map(|directory| {
            let pid = directory.file_name().to_str()?.parse().ok()?;
            let path = directory.path();
            let name = fs::read_to_string(path.join("comm")).unwrap_or_default();
            has(&path, self.inode)?.then(|| (pid, name.trim_end().to_owned()))
        })
    }
}

/// "python3, process 4711 of user 1000"
impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.process() {
            Some((pid, name)) => write!(f, "{name}, process {pid} of user {}", self.uid),
            None => write!(f, "a process of user {}", self.uid),
        }
    }
}

fn has(process: &Path, inode: u64) -> Option<bool> {
    let wanted = format!("socket:[{inode}]");
    let fds = fs::read_dir(process.join("fd")).ok()?;
    Some(
        fds.flatten()
            .filter_map(|fd| fs::read_link(fd.path()).ok())
            .any(|link| link.as_os_str() == wanted.as_str()),
    )
}

fn listeners(table: &str) -> Vec<(SocketAddr, Owner)> {
    table.lines().skip(1).filter_map(listener).collect()
}

/// `sl local_address rem_address st tx:rx tr:when retrnsmt uid timeout inode …`
fn listener(row: &str) -> Option<(SocketAddr, Owner)> {
    let mut words = row.split_ascii_whitespace().skip(1);
    let local = words.next()?;
    if words.nth(1)? != LISTEN {
        return None;
    }
    let uid = words.nth(3)?.parse().ok()?;
    let inode = words.nth(1)?.parse().ok()?;
    Some((address(local)?, Owner { uid, inode }))
}

/// Parses an address: words of four bytes in host byte order, and the port.
fn address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let words: Option<Vec<[u8; 4]>> = (0..ip.len())
        .step_by(8)
        .map(|at| {
            Some(
                u32::from_str_radix(ip.get(at..at + 8)?, 16)
                    .ok()?
                    .to_ne_bytes(),
            )
        })
        .collect();
    let ip = match words?.as_slice() {
        [word] => IpAddr::V4(Ipv4Addr::from(*word)),
        [a, b, c, d] => {
            let octets: [u8; 16] = [*a, *b, *c, *d].concat().try_into().ok()?;
            IpAddr::V6(Ipv6Addr::from(octets)).to_canonical()
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    fn own() -> Pid {
        std::process::id().try_into().unwrap()
    }

    #[test]
    fn a_listener_of_ours_is_found_and_named() {
        for (bound, asked) in [("127.0.0.2:0", "127.0.0.2"), ("0.0.0.0:0", "127.0.0.1")] {
            let listener = TcpListener::bind(bound).unwrap();
            let port = listener.local_addr().unwrap().port();
            let owner = of(SocketAddr::new(asked.parse().unwrap(), port)).unwrap();
            assert_eq!(owner.is(own()), Some(true), "{bound}");
            assert!(!owner.is(1).unwrap_or(false), "{bound}");
            let text = owner.to_string();
            assert!(text.contains(&format!("process {}", own())), "{text}");
        }
    }

    #[test]
    fn a_port_without_a_listener_has_no_owner() {
        let listener = TcpListener::bind("127.0.0.2:0").unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        assert_eq!(of(address), None);
    }

    #[test]
    fn a_row_of_the_kernels_table_is_parsed() {
        let row = "   0: 0200007F:041F 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 4711 1 0 100 0 0 10 0";
        let (address, owner) = listener(row).unwrap();
        assert_eq!(address.to_string(), "127.0.0.2:1055");
        assert_eq!((owner.uid, owner.inode), (1000, 4711));
        let six = "   1: 00000000000000000000000001000000:041F 00000000000000000000000000000000:0000 0A 0:0 0:0 0 7 0 8 1";
        assert_eq!(listener(six).unwrap().0.to_string(), "[::1]:1055");
        assert_eq!(listener(&row.replace(" 0A ", " 01 ")), None);
    }
}
