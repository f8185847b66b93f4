//! `tailchain resolve`: the addresses that a program gets for a name, and the name of a fake IP.

#![forbid(unsafe_code)]

use crate::{configuration, destination, names};
use std::collections::BTreeSet;
use std::net::{IpAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::process::ExitCode;
use tailchain_core::config::Config;
use tailchain_core::fake_ip::FakeNet;
use tailchain_core::host::{Host, HostName};
use tailchain_core::route::{self, NamePolicy};
use tailchain_diagnostics::report;

/// Print the addresses that a program gets for a name, one per line
///
/// A name that the proxy resolves gets fake IPs, first IPv4, then IPv6. Every program of the same user can connect
/// to them. Given a fake IP, the command prints its name.
#[derive(clap::Args)]
pub struct Args {
    /// A host name or an address
    name: String,

    /// The configuration [default: the one that a program started here would use]
    #[arg(short, value_name = "FILE")]
    file: Option<PathBuf>,

    /// First print a line, starting with #, that tells what resolves the name and why
    #[arg(long)]
    why: bool,
}

pub fn run(args: &Args) -> ExitCode {
    let loaded = match configuration::load(args.file.as_deref()) {
        Ok(loaded) => loaded,
        Err(error) => return report::fail(error),
    };
    let found = |host| match host {
        Host::Name(name) => of_name(&loaded.config, &name),
        Host::Ip(ip) => of_address(&loaded.config, ip),
    };
    match destination::host(&args.name).and_then(found) {
        Ok(found) => {
            if args.why {
                report::say(format_args!("# {}", found.why));
            }
            found.lines.iter().for_each(report::say);
            ExitCode::SUCCESS
        }
        Err(reason) => report::fail(reason),
    }
}

struct Found {
    why: String,
    lines: Vec<String>,
}

fn of_name(config: &Config, name: &HostName) -> Result<Found, String> {
    match route::name_policy(config, name, &mut names::is_known_here) {
        NamePolicy::Remote => {
            let id = names::table().assign(name).ok_or_else(|| {
                format!("{name}: the name table is full or cannot be opened; check XDG_RUNTIME_DIR, /dev/shm and /tmp")
            })?;
            let net = FakeNet::new(config.fake_subnet);
            Ok(Found {
                why: format!(
                    "{name}: resolved by the proxy (proxy_dns); the addresses are fake IPs"
                ),
                lines: vec![
                    net.address_v4(id).to_string(),
                    net.address_v6(id).to_string(),
                ],
            })
        }
        NamePolicy::Local(reason) => {
            let found = (name.as_str(), 0).to_socket_addrs();
            let found = found.map_err(|error| names::unresolved(config, name, &reason, &error))?;
            let addresses: BTreeSet<IpAddr> = found.map(|address| address.ip()).collect();
            Ok(Found {
                why: format!("{name}: resolved here: {reason}"),
                lines: addresses.iter().map(IpAddr::to_string).collect(),
            })
        }
    }
}

fn of_address(config: &Config, ip: IpAddr) -> Result<Found, String> {
    if !names::is_fake(config, ip) {
        return Ok(Found {
            why: format!("{ip}: already an address"),
            lines: vec![ip.to_string()],
        });
    }
    match names::name_of(config, ip) {
        Some(name) => Ok(Found {
            why: format!("{ip}: the fake IP of a name that the proxy resolves"),
            lines: vec![name.to_string()],
        }),
        None => Err(format!(
            "{ip}: in the range of remote_dns_subnet, but stands for no name"
        )),
    }
}
