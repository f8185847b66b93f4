//! getaddrinfo(3).
use hooks::real;

/// The hooks of this file.
pub mod hooks {
    use crate::hook::boundary::{current, hooks};
    use crate::hook::resolve::addrinfo;
    use core::ffi::{c_char, c_int};
    use libc::addrinfo as AddrInfo;

    hooks! {
        find current;

        /// getaddrinfo(3): a name that the proxy is to resolve gets a fake address.
        ///
        /// Not async-signal-safe, like libc's. After fork: as before. After vfork: not allowed, as libc's.
        fn getaddrinfo(node: *const c_char, service: *const c_char, hints: *const AddrInfo, result: *mut *mut AddrInfo) -> c_int
            = addrinfo::getaddrinfo, fails libc::EAI_SYSTEM;
    }
}

#[cfg(target_env = "gnu")]
use super::idn;
use super::{addrinfo_list as list, answer, digits, is_address_to_getaddrinfo, Answer};
use crate::hook::boundary::Verdict;
use crate::state::state;
#[cfg(target_env = "gnu")]
use core::ffi::CStr;
use core::ffi::{c_char, c_int};
use core::mem::MaybeUninit;
use libc::addrinfo;
use std::net::IpAddr;
#[cfg(target_env = "gnu")]
use tailchain_core::config::Dns;
use tailchain_core::errno::Errno;
use tailchain_core::host::HostName;
use tailchain_core::hosts::KnownHost;
use tailchain_core::sys::SockAddr;

/// The body of the hook.
///
/// # Safety
/// As getaddrinfo(3).
pub unsafe fn getaddrinfo(
    node: *const c_char,
    service: *const c_char,
    hints: *const addrinfo,
    result: *mut *mut addrinfo,
) -> Verdict<c_int> {
    // SAFETY: the program's own arguments.
    let (family, flags) = match unsafe { hints.as_ref() } {
        Some(hints) => (hints.ai_family, hints.ai_flags),
        None => (libc::AF_UNSPEC, libc::AI_V4MAPPED | libc::AI_ADDRCONFIG),
    };
    if !asks(family, flags) {
        return Verdict::Real;
    }
    // SAFETY: as above.
    let host = match unsafe { answer_in_dns_form(node, flags) } {
        Err(code) => return Verdict::Return(code),
        Ok(answer) => answer,
    };
    let (name, digits) = match host {
        Answer::Local => return Verdict::Real,
        Answer::DirectName(name) => {
            // SAFETY: as above.
            return unsafe { direct_name(&name, node, service, hints, result) };
        }
        Answer::TableFull => return Verdict::Return(libc::EAI_AGAIN),
        Answer::NoName => return Verdict::Return(libc::EAI_NONAME),
        Answer::Known(name, host) => match share_of_libc(host, family, flags) {
            Share::All => return Verdict::Real,
            Share::None => return Verdict::Return(libc::EAI_NONAME),
            Share::Address(ip) => (name, digits(ip)),
        },
        Answer::Fake(host) => {
            let digits = list::digits(&host, family);
            (host.name, digits)
        }
    };
    // SAFETY: all zeroes is a valid addrinfo.
    let mut numeric: addrinfo = unsafe { MaybeUninit::zeroed().assume_init() };
    // SAFETY: as above.
    if let Some(hints) = unsafe { hints.as_ref() } {
        numeric.ai_socktype = hints.ai_socktype;
        numeric.ai_protocol = hints.ai_protocol;
    }
    numeric.ai_family = family;
    // AI_ADDRCONFIG asks about the machine's own addresses: of no meaning for one that only the proxy uses.
    numeric.ai_flags = flags & !libc::AI_ADDRCONFIG | libc::AI_NUMERICHOST;
    // SAFETY: as above.
    let Some(code) = (unsafe { real::getaddrinfo(digits.as_ptr(), service, &numeric, result) })
    else {
        return Verdict::Fail(Errno::ENOSYS);
    };
    if code == 0 {
        // SAFETY: libc made the list just now, from malloc, and freeaddrinfo will free it.
        unsafe {
            list::complete(*result, name.as_str(), flags);
        }
    }
    Verdict::Return(code)
}

/// What libc may answer of a request for a name of /etc/hosts: where it does not find the family there, it asks a server.
pub enum Share {
    All,
    None,
    /// This address in digits.
    Address(IpAddr),
}

pub fn share_of_libc(host: KnownHost, family: c_int, flags: c_int) -> Share {
    let is_mapped = flags & libc::AI_V4MAPPED != 0;
    let wants_both = is_mapped && flags & libc::AI_ALL != 0;
    match (family, host.v4, host.v6) {
        // musl looks for both in the file before it asks.
        (libc::AF_INET6, ..) if is_mapped && cfg!(target_env = "musl") => Share::All,
        (libc::AF_INET, None, _) => Share::None,
        (libc::AF_INET6, None, Some(v6)) if wants_both => Share::Address(v6.into()),
        (libc::AF_INET6, Some(v4), None) if is_mapped => Share::Address(v4.into()),
        (libc::AF_INET6, _, None) => Share::None,
        _ => Share::All,
    }
}

/// Whether such a request may ask a server.
pub fn asks(family: c_int, flags: c_int) -> bool {
    matches!(family, libc::AF_UNSPEC | libc::AF_INET | libc::AF_INET6)
        && flags & libc::AI_NUMERICHOST == 0
}

/// Look at a `node` argument, in the form that DNS has it in.
///
/// # Safety
/// `node` is NULL or a C string.
pub unsafe fn answer_in_dns_form(node: *const c_char, flags: c_int) -> Result<Answer, c_int> {
    let is_address = is_address_to_getaddrinfo;
    #[cfg(target_env = "gnu")]
    if !node.is_null() && state().config.dns != Dns::Local {
        // SAFETY: the caller's contract.
        let encoded = idn::encoded(unsafe { CStr::from_ptr(node) }, flags)?;
        // SAFETY: a C string.
        return Ok(unsafe { answer(encoded.as_ptr(), is_address) });
    }
    // musl knows no AI_IDN, and refuses it.
    let _ = flags;
    // SAFETY: the caller's contract.
    Ok(unsafe { answer(node, is_address) })
}

/// libc's own answer, with its addresses remembered.
///
/// # Safety
/// As getaddrinfo(3).
unsafe fn direct_name(
    name: &HostName,
    node: *const c_char,
    service: *const c_char,
    hints: *const addrinfo,
    result: *mut *mut addrinfo,
) -> Verdict<c_int> {
    // SAFETY: the program's own arguments.
    let Some(code) = (unsafe { real::getaddrinfo(node, service, hints, result) }) else {
        return Verdict::Fail(Errno::ENOSYS);
    };
    if code == 0 {
        // SAFETY: libc made the list just now.
        let mut next = unsafe { *result };
        // SAFETY: as above; the last entry's ai_next is NULL.
        while let Some(entry) = unsafe { next.as_ref() } {
            // SAFETY: libc's own address, of that length.
            let address = unsafe { SockAddr::copy_from(entry.ai_addr, entry.ai_addrlen) };
            if let Some(address) = address.and_then(|address| address.inet()) {
                state().remember(address.ip(), name);
            }
            next = entry.ai_next;
        }
    }
    Verdict::Return(code)
}
