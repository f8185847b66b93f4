//! The resolver functions. A name that the proxy is to resolve gets a fake address, and libc builds the answer
//! for that numeric address itself: hints, services, lists and buffers keep libc's own meaning.

pub mod addrinfo;
pub mod hostent;
mod idn;
pub mod nameinfo;
pub mod query;

use crate::state::{state, Fake, State};
use core::ffi::{c_char, c_int, CStr};
use std::ffi::CString;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use tailchain_core::config::Dns;
use tailchain_core::host::{BadHostName, HostName};
use tailchain_core::route::{self, NamePolicy, NameReason, Route};

/// h_errno (netdb.h).
const HOST_NOT_FOUND: c_int = 1;
const TRY_AGAIN: c_int = 2;
const NO_RECOVERY: c_int = 3;
/// See errno.
const NETDB_INTERNAL: c_int = -1;

extern "C" {
    fn __h_errno_location() -> *mut c_int;
}

fn set_h_errno(value: c_int) {
    // SAFETY: libc returns a valid pointer to this thread's h_errno.
    unsafe { *__h_errno_location() = value }
}

/// What to do about a name.
pub enum Answer {
    /// libc resolves it.
    Local,
    /// libc resolves it, and what it finds is connected to directly, or is where a proxy listens.
    Watched(HostName),
    /// The proxy does: the program is told this address.
    Fake(FakeHost),
    /// The table cannot take it: fail, for libc would ask a name server.
    NoRoom,
    /// No host can be called so, and libc might ask a name server all the same.
    NoName,
}

/// A name and the addresses that stand for it.
pub struct FakeHost {
    pub name: HostName,
    pub v4: Ipv4Addr,
    pub v6: Ipv6Addr,
}

impl FakeHost {
    /// The address that a caller gets who asks for `family`: IPv6 when he wants nothing else.
    pub fn digits(&self, family: c_int) -> CString {
        match family {
            libc::AF_INET6 => digits(self.v6.into()),
            _ => digits(self.v4.into()),
        }
    }
}

/// Look at a `node` argument. `is_address` says what the function takes for an address.
///
/// # Safety
/// `node` is NULL or a C string.
pub unsafe fn answer(node: *const c_char, is_address: fn(&CStr) -> bool) -> Answer {
    let state = state();
    let libc_resolves_all = state.config.dns == Dns::Local
        && state.config.local_domains.is_empty()
        && !state.has_named_proxy();
    if node.is_null() || libc_resolves_all {
        return Answer::Local;
    }
    // SAFETY: the caller's contract.
    let text = unsafe { CStr::from_ptr(node) };
    if is_address(text) {
        return Answer::Local;
    }
    match HostName::new(text.to_bytes()) {
        Ok(name) => answer_for(state, name),
        Err(BadHostName::Empty) => Answer::Local,
        Err(BadHostName::EmptyLabel | BadHostName::TooLong | BadHostName::BadCharacter) => {
            Answer::NoName
        }
    }
}

/// Look at a name.
pub fn answer_for(state: &State, name: HostName) -> Answer {
    match route::name_policy(&state.config, &name, &mut |name| state.knows(name)) {
        NamePolicy::Local(NameReason::LocalDomain(_)) => Answer::Watched(name),
        NamePolicy::Local(_) if route::names_a_proxy(&state.config, &name) => Answer::Watched(name),
        NamePolicy::Local(_) => Answer::Local,
        NamePolicy::Remote => match state.assign(&name) {
            Some(id) => Answer::Fake(FakeHost {
                v4: state.fakes.address_v4(id),
                v6: state.fakes.address_v6(id),
                name,
            }),
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

/// Look at an address. Who may connect to it directly may also ask about it.
pub fn reverse(state: &State, ip: IpAddr) -> Reverse {
    if state.config.dns == Dns::Local {
        return Reverse::Local;
    }
    // A rule for one port only does not make the whole address direct.
    let address = SocketAddr::new(ip, 0);
    let is_direct = || matches!(state.route(address), Route::Direct { .. });
    match state.fake_name(address) {
        Fake::Name(name) => Reverse::Name(name),
        Fake::Unknown => Reverse::Unknown,
        Fake::No if state.knows_address(ip) || is_direct() => Reverse::Local,
        Fake::No => Reverse::Unknown,
    }
}

fn digits(ip: IpAddr) -> CString {
    CString::new(ip.to_string()).unwrap_or_default()
}

/// Whether gethostbyname(3) and its relatives take it for an address, or for nothing: everything with a colon, and digits
/// and dots. To them, other than to inet_aton(3), `0xcafe` is a name.
pub fn is_address_to_gethostbyname(text: &CStr) -> bool {
    let text = text.to_bytes();
    let digits = text.iter().all(|&b| b.is_ascii_digit() || b == b'.');
    text.contains(&b':') || digits && text.first() != Some(&b'.') && text.last() != Some(&b'.')
}

/// Whether getaddrinfo(3) takes it for an address: everything with a colon, and what inet_aton(3) accepts.
pub fn is_address_to_getaddrinfo(text: &CStr) -> bool {
    extern "C" {
        fn inet_aton(text: *const c_char, address: *mut libc::in_addr) -> c_int;
    }
    let mut address = libc::in_addr { s_addr: 0 };
    // SAFETY: a C string, and room for an address.
    text.to_bytes().contains(&b':') || unsafe { inet_aton(text.as_ptr(), &mut address) } != 0
}
