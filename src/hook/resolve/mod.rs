//! The resolver functions. A name that the proxy is to resolve gets a fake IP, and libc builds the answer for that
//! numeric address itself, so hints, services, lists and buffers keep libc's semantics.

pub mod addrinfo;
#[cfg(target_env = "gnu")]
pub mod addrinfo_a;
mod addrinfo_list;
pub mod hostent;
#[cfg(target_env = "gnu")]
mod idn;
pub mod nameinfo;
pub mod query;

use crate::state::state;
use core::ffi::{c_char, c_int, c_void, CStr};
use std::ffi::CString;
use tailchain_core::config::Dns;
use tailchain_core::host::{BadHostName, HostName};
use tailchain_core::hosts::Spelling;

pub use tailchain_core::router::names::{digits, loopback, Answer, Reverse};

/// h_errno (netdb.h).
const HOST_NOT_FOUND: c_int = 1;
const TRY_AGAIN: c_int = 2;
const NO_RECOVERY: c_int = 3;
const NO_DATA: c_int = 4;
/// The reason is in errno.
const NETDB_INTERNAL: c_int = -1;

extern "C" {
    fn __h_errno_location() -> *mut c_int;
}

fn set_h_errno(value: c_int) {
    // SAFETY: libc returns a valid pointer to this thread's h_errno.
    unsafe { *__h_errno_location() = value }
}

/// Whether libc resolves all names, and the hooks have nothing to do.
fn resolves_all_locally() -> bool {
    let state = state();
    state.config.dns == Dns::Local
        && state.config.local_domains.is_empty()
        && !state.has_named_proxy()
}

/// Decides on a host. `is_address` says whether the called function takes the text as a numeric address.
fn answer(text: &CStr, is_address: fn(&CStr) -> bool) -> Answer {
    if is_address(text) {
        return Answer::Local;
    }
    let bytes = text.to_bytes();
    match HostName::new(bytes) {
        Ok(name) => state().answer_for_host(name, Spelling::of(bytes)),
        Err(BadHostName::Empty) => Answer::Local,
        Err(BadHostName::EmptyLabel | BadHostName::TooLong | BadHostName::BadCharacter) => {
            Answer::NoName
        }
    }
}

/// The canonical name of a host: as requested, without a trailing dot.
fn canonical(text: &CStr) -> CString {
    let bytes = text.to_bytes();
    CString::new(bytes.strip_suffix(b".").unwrap_or(bytes)).unwrap_or_default()
}

/// Whether gethostbyname(3) and its variants resolve or reject the text without a query: digits and dots, and IPv6
/// addresses. Unlike inet_aton(3), they take `0xcafe` as a name.
#[cfg(target_env = "gnu")]
pub fn is_address_to_gethostbyname(text: &CStr) -> bool {
    let bytes = text.to_bytes();
    let digits = bytes.iter().all(|&b| b.is_ascii_digit() || b == b'.');
    digits && bytes.first() != Some(&b'.') && bytes.last() != Some(&b'.') || is_ipv6(text)
}

/// musl implements them by getaddrinfo(3).
#[cfg(not(target_env = "gnu"))]
pub use is_address_to_getaddrinfo as is_address_to_gethostbyname;

/// Whether getaddrinfo(3) takes the text as a numeric address: what inet_aton(3) accepts, except for text after a
/// blank, and IPv6 addresses, with or without a scope.
pub fn is_address_to_getaddrinfo(text: &CStr) -> bool {
    extern "C" {
        fn inet_aton(text: *const c_char, address: *mut libc::in_addr) -> c_int;
    }
    let bytes = text.to_bytes();
    if let Some(end) = bytes.iter().position(|&b| b == b'%') {
        let address = bytes.get(..end).unwrap_or_default();
        return CString::new(address).is_ok_and(|address| is_ipv6(&address));
    }
    let is_blank = |&b: &u8| b.is_ascii_whitespace() || b == 0x0b;
    let mut address = libc::in_addr { s_addr: 0 };
    // SAFETY: a C string, and room for an address.
    let mut is_ipv4 = || unsafe { inet_aton(text.as_ptr(), &mut address) } != 0;
    is_ipv6(text) || !bytes.iter().any(is_blank) && is_ipv4()
}

fn is_ipv6(text: &CStr) -> bool {
    extern "C" {
        fn inet_pton(family: c_int, text: *const c_char, address: *mut c_void) -> c_int;
    }
    let mut address = [0u8; 16];
    // SAFETY: a C string, and room for an address.
    unsafe { inet_pton(libc::AF_INET6, text.as_ptr(), address.as_mut_ptr().cast()) == 1 }
}
