//! getaddrinfo(3).
use hooks::real;

/// The hooks of this file.
pub mod hooks {
    use crate::hook::boundary::{current, hooks};
    use crate::hook::given::GivenHost;
    use crate::hook::resolve::addrinfo;
    use core::ffi::{c_char, c_int};
    use libc::addrinfo as AddrInfo;

    hooks! {
        find current;

        /// getaddrinfo(3): a name that the proxy is to resolve gets a fake IP.
        ///
        /// Not async-signal-safe, like libc's. After fork: as before. After vfork: not allowed, as libc's.
        fn getaddrinfo(node: *const c_char, service: *const c_char, hints: *const AddrInfo, result: *mut *mut AddrInfo) -> c_int
            = addrinfo::getaddrinfo, fails libc::EAI_SYSTEM,
            reads given: GivenHost = GivenHost::new(node, hints),
            real real::getaddrinfo(given.node.pointer().cast(), service, given.hints_pointer(), result);
    }
}

#[cfg(target_env = "gnu")]
use super::idn;
use super::{addrinfo_list as list, answer, canonical, digits, is_address_to_getaddrinfo};
use super::{loopback, resolves_all_locally, Answer};
use crate::hook::boundary::Verdict;
use crate::hook::given::GivenHost;
use crate::state::state;
use core::ffi::{c_char, c_int, CStr};
use core::mem::MaybeUninit;
use core::ptr;
use libc::addrinfo;
use std::borrow::Cow;
use std::net::IpAddr;
#[cfg(target_env = "gnu")]
use tailchain_core::config::Dns;
use tailchain_core::errno::Errno;
use tailchain_core::host::HostName;
use tailchain_core::hosts::KnownHost;
use tailchain_core::route;
use tailchain_core::sys::SockAddr;

/// The body of the hook.
///
/// # Safety
/// As getaddrinfo(3).
pub unsafe fn getaddrinfo(
    given: &mut GivenHost,
    _node: *const c_char,
    service: *const c_char,
    _hints: *const addrinfo,
    result: *mut *mut addrinfo,
) -> Verdict<c_int> {
    if resolves_all_locally() {
        return Verdict::Real;
    }
    // SAFETY: the program's own arguments.
    let hints = unsafe { given.hints() };
    let (family, flags) = match &hints {
        Some(hints) => (hints.ai_family, hints.ai_flags),
        None => (libc::AF_UNSPEC, libc::AI_V4MAPPED | libc::AI_ADDRCONFIG),
    };
    if !may_query(family, flags) {
        return Verdict::Real;
    }
    // SAFETY: as above.
    let text = match unsafe { given.node.text() } {
        Ok(Some(text)) => text,
        Ok(None) => return Verdict::Real,
        Err(errno) => return Verdict::Fail(errno),
    };
    let numeric = numeric_hints(hints.as_ref(), family, flags);
    let fails = |code| {
        // SAFETY: as above.
        unsafe { fails_after_its_arguments(code, service, &numeric) }
    };
    let (text, found) = match answer_in_dns_form(text, flags) {
        Err(code) => return fails(code),
        Ok(answer) => answer,
    };
    let canonical = canonical(&text);
    let address = match found {
        Answer::Local => return Verdict::Real,
        Answer::DirectName(name) => {
            // SAFETY: as above.
            return unsafe { direct_name(&name, given, service, result) };
        }
        Answer::TableFull => return fails(libc::EAI_AGAIN),
        Answer::NoName => return fails(libc::EAI_NONAME),
        Answer::Loopback(_) => loopback(family),
        Answer::Known(name, host) => match share_of_libc(&name, host, family, flags) {
            Share::All => return Verdict::Real,
            Share::None => return fails(libc::EAI_NONAME),
            Share::Address(ip) => ip,
        },
        Answer::Fake(host) => host.address(family),
    };
    let digits = list::digits(address, &canonical);
    // SAFETY: as above.
    let Some(code) = (unsafe { real::getaddrinfo(digits.as_ptr(), service, &numeric, result) })
    else {
        return Verdict::Fail(Errno::ENOSYS);
    };
    if code == 0 {
        // SAFETY: libc just allocated the list with malloc, and freeaddrinfo will free it.
        unsafe { list::complete(*result, &canonical, flags) };
    }
    Verdict::Return(code)
}

/// The caller's hints, for a numeric address.
fn numeric_hints(hints: Option<&addrinfo>, family: c_int, flags: c_int) -> addrinfo {
    // SAFETY: all zeroes is a valid addrinfo.
    let mut numeric: addrinfo = unsafe { MaybeUninit::zeroed().assume_init() };
    if let Some(hints) = hints {
        numeric.ai_socktype = hints.ai_socktype;
        numeric.ai_protocol = hints.ai_protocol;
    }
    numeric.ai_family = family;
    // AI_ADDRCONFIG looks at the machine's own addresses, which say nothing about an address that only the proxy uses.
    numeric.ai_flags = flags & !libc::AI_ADDRCONFIG | libc::AI_NUMERICHOST;
    numeric
}

/// Fails with `code`, unless libc rejects the flags, the socket type or the service: libc looks at the host last.
///
/// # Safety
/// As getaddrinfo(3).
unsafe fn fails_after_its_arguments(
    code: c_int,
    service: *const c_char,
    numeric: &addrinfo,
) -> Verdict<c_int> {
    let address = digits(loopback(numeric.ai_family));
    let mut list = ptr::null_mut();
    // SAFETY: the caller's contract.
    match unsafe { real::getaddrinfo(address.as_ptr(), service, numeric, &mut list) } {
        Some(0) => {
            // SAFETY: libc has just allocated the list.
            unsafe { libc::freeaddrinfo(list) };
            Verdict::Return(code)
        }
        Some(earlier) => Verdict::Return(earlier),
        None => Verdict::Fail(Errno::ENOSYS),
    }
}

/// What libc may answer for a name in /etc/hosts. Without an entry of the requested family libc would ask a DNS server.
pub enum Share {
    All,
    None,
    /// Only this numeric address.
    Address(IpAddr),
}

pub fn share_of_libc(name: &HostName, host: KnownHost, family: c_int, flags: c_int) -> Share {
    if !host.has(family) && route::is_localhost(name) {
        return Share::Address(loopback(family));
    }
    let is_mapped = flags & libc::AI_V4MAPPED != 0;
    let wants_both = is_mapped && flags & libc::AI_ALL != 0;
    match (family, host.v4, host.v6) {
        // musl looks for both families in the file before it queries a server.
        (libc::AF_INET6, ..) if is_mapped && cfg!(target_env = "musl") => Share::All,
        (libc::AF_INET, None, _) => Share::None,
        (libc::AF_INET6, None, Some(v6)) if wants_both => Share::Address(v6.into()),
        (libc::AF_INET6, Some(v4), None) if is_mapped => Share::Address(v4.into()),
        (libc::AF_INET6, _, None) => Share::None,
        _ => Share::All,
    }
}

/// Whether such a request may query a server.
pub fn may_query(family: c_int, flags: c_int) -> bool {
    matches!(family, libc::AF_UNSPEC | libc::AF_INET | libc::AF_INET6)
        && flags & libc::AI_NUMERICHOST == 0
}

/// Decides on a host, in the form that DNS uses. Returns that form and the decision.
///
/// # Errors
/// The code of getaddrinfo(3).
pub fn answer_in_dns_form(text: &CStr, flags: c_int) -> Result<(Cow<'_, CStr>, Answer), c_int> {
    #[cfg(target_env = "gnu")]
    let text = match state().config.dns {
        Dns::Local => Cow::Borrowed(text),
        Dns::Remote => idn::encoded(text, flags)?,
    };
    // musl does not know AI_IDN, and rejects it.
    #[cfg(not(target_env = "gnu"))]
    let text = {
        let _ = flags;
        Cow::Borrowed(text)
    };
    let answer = answer(&text, is_address_to_getaddrinfo);
    Ok((text, answer))
}

/// libc's own answer, whose addresses are recorded for the name.
///
/// # Safety
/// As getaddrinfo(3).
unsafe fn direct_name(
    name: &HostName,
    given: &GivenHost,
    service: *const c_char,
    result: *mut *mut addrinfo,
) -> Verdict<c_int> {
    let (node, hints) = (given.node.pointer().cast(), given.hints_pointer());
    // SAFETY: the program's own arguments.
    let Some(code) = (unsafe { real::getaddrinfo(node, service, hints, result) }) else {
        return Verdict::Fail(Errno::ENOSYS);
    };
    if code == 0 {
        // SAFETY: libc has just allocated the list.
        let mut next = unsafe { *result };
        // SAFETY: as above; the last entry's ai_next is NULL.
        while let Some(entry) = unsafe { next.as_ref() } {
            // SAFETY: libc's own address, of this length.
            let address = unsafe { SockAddr::copy_from(entry.ai_addr, entry.ai_addrlen) };
            if let Some(address) = address.and_then(|address| address.inet()) {
                state().remember(address.ip(), name);
            }
            next = entry.ai_next;
        }
    }
    Verdict::Return(code)
}
