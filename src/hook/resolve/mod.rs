//! The resolver functions. A name that the proxy is to resolve gets a fake address, and libc builds the answer
//! for that numeric address itself: hints, services, lists and buffers keep libc's own meaning.

pub mod addrinfo;
pub mod hostent;
pub mod nameinfo;

use crate::state::{state, Fake, State};
use core::ffi::{c_char, c_int, CStr};
use std::ffi::CString;
use std::net::{IpAddr, SocketAddr};
use tailchain_core::config::Dns;
use tailchain_core::host::HostName;
use tailchain_core::route::{self, NamePolicy, NameReason};

/// What to do about a name.
pub enum Answer {
    /// libc resolves it.
    Local,
    /// libc resolves it, and what it finds is to be connected to directly.
    Watched(HostName),
    /// With this address in digits.
    Fake {
        name: HostName,
        v4: CString,
        v6: CString,
    },
    /// The table cannot take it: fail, for libc would ask a name server.
    NoRoom,
}

/// Look at a `node` argument.
///
/// # Safety
/// `node` is NULL or a C string.
pub unsafe fn answer(node: *const c_char) -> Answer {
    let state = state();
    let libc_resolves_all = state.config.dns == Dns::Local && state.config.local_domains.is_empty();
    if node.is_null() || libc_resolves_all {
        return Answer::Local;
    }
    // SAFETY: the caller's contract.
    let text = unsafe { CStr::from_ptr(node) };
    if is_numeric(text) {
        return Answer::Local;
    }
    // What is no name at all is libc's to refuse; it asks nobody about it.
    let Ok(name) = HostName::new(text.to_bytes()) else {
        return Answer::Local;
    };
    match route::name_policy(&state.config, &name, &mut |name| state.knows(name)) {
        NamePolicy::Local(NameReason::LocalDomain(_)) => Answer::Watched(name),
        NamePolicy::Local(_) => Answer::Local,
        NamePolicy::Remote => match state.names().assign(&name) {
            Some(id) => Answer::Fake {
                v4: digits(state.fakes.address_v4(id).into()),
                v6: digits(state.fakes.address_v6(id).into()),
                name,
            },
            None => Answer::NoRoom,
        },
    }
}

/// What to do about an address that is to become a name.
pub enum Reverse {
    /// libc may look it up: nobody outside is asked.
    Local,
    Name(HostName),
    /// Not known here, and a name server must not be asked.
    Unknown,
}

/// Look at an address.
pub fn reverse(state: &State, ip: IpAddr) -> Reverse {
    if state.config.dns == Dns::Local {
        return Reverse::Local;
    }
    match state.fake_name(SocketAddr::new(ip, 0)) {
        Fake::Name(name) => Reverse::Name(name),
        Fake::Unknown => Reverse::Unknown,
        Fake::No if state.knows_address(ip) => Reverse::Local,
        Fake::No => Reverse::Unknown,
    }
}

fn digits(ip: IpAddr) -> CString {
    CString::new(ip.to_string()).unwrap_or_default()
}

/// Whether libc takes it for an address: everything with a colon, and what inet_aton(3) accepts.
fn is_numeric(text: &CStr) -> bool {
    extern "C" {
        fn inet_aton(text: *const c_char, address: *mut libc::in_addr) -> c_int;
    }
    let mut address = libc::in_addr { s_addr: 0 };
    // SAFETY: a C string, and room for an address.
    text.to_bytes().contains(&b':') || unsafe { inet_aton(text.as_ptr(), &mut address) } != 0
}
