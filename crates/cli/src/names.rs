//! What the commands know about names: the local ones, and those behind fake IPs.

#![forbid(unsafe_code)]

use std::io;
use std::net::IpAddr;
use tailchain_core::config::{Config, Dns};
use tailchain_core::fake_ip::FakeNet;
use tailchain_core::host::HostName;
use tailchain_core::hosts::{self, HostsFile};
use tailchain_core::name_table::NameTable;
use tailchain_core::route::NameReason;

/// The name table of this user.
pub fn table() -> NameTable {
    NameTable::open(&|name| std::env::var_os(name))
}

/// Whether `ip` is in the range of the fake IPs.
pub fn is_fake(config: &Config, ip: IpAddr) -> bool {
    config.dns == Dns::Remote && FakeNet::new(config.fake_subnet).contains(ip)
}

/// The name of a fake IP.
pub fn name_of(config: &Config, ip: IpAddr) -> Option<HostName> {
    let id = FakeNet::new(config.fake_subnet).id_of(ip)?;
    table().name_of(id)
}

/// Whether libc resolves the name without asking a name server.
pub fn is_known_here(name: &HostName) -> bool {
    HostsFile::new("/etc/hosts").names().contains(name) || hosts::own_name().as_ref() == Some(name)
}

/// The message for a name that libc could not resolve.
pub fn unresolved(
    config: &Config,
    name: &HostName,
    reason: &NameReason<'_>,
    error: &io::Error,
) -> String {
    // Short names are completed by MagicDNS, which libc does not ask.
    let short = config.allow_list.tailnet_only && !name.as_str().contains('.');
    let hint = match reason {
        NameReason::NotAllowed(_) if short => {
            format!("; with tailnet_only write the full name, e.g. {name}.TAILNET.ts.net")
        }
        _ => String::new(),
    };
    format!("{name}: resolved here ({reason}), which failed: {error}{hint}")
}
