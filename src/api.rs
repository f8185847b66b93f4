//! The C API, for the preloaded program or a debugger. The functions are found with dlsym(3).
//!
//! `include/tailchain.h` is generated from this file. None of these functions does I/O; all may be called from any
//! thread. Strings are UTF-8, NUL-terminated, and owned by the library.

use crate::counters::{counted, Counter};
use crate::hook;
use crate::pending::PENDING;
use crate::state::state;
use core::ffi::{c_char, c_int, CStr};
use once_cell::race::OnceBox;
use std::ffi::CString;
use std::net::SocketAddr;
use tailchain_core::errno::Errno;
use tailchain_core::host::Host;
use tailchain_core::route::{self, Dialled, NamePolicy, Route};
use tailchain_core::sys;

/// How many connections of this process took each route. A forked child starts with its parent's values.
///
/// Later versions may add fields at the end: see `tailchain_count`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct tailchain_counters {
    /// Tunnels that were established.
    pub proxied: u64,
    /// TCP connections that a rule left to libc.
    pub direct: u64,
    /// Refused by a rule, e.g. a fake IP that stands for no name.
    pub refused: u64,
    /// Tunnels that could not be established.
    pub failed: u64,
    /// File descriptors with a pending non-blocking connect.
    pub pending: u64,
}

/// How a connection would be routed.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum tailchain_route {
    /// Not proxied.
    TAILCHAIN_DIRECT = 0,
    /// Through the proxies.
    TAILCHAIN_CHAIN = 1,
    /// It would fail.
    TAILCHAIN_REFUSE = 2,
}

/// The library's version, e.g. "0.1.0".
#[no_mangle]
pub extern "C" fn tailchain_version() -> *const c_char {
    concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast()
}

/// The configuration in force: the path of a file, or the name of the environment variable (with a `$`) that held a
/// proxy URL. Never NULL: a process whose configuration cannot be loaded does not run.
#[no_mangle]
pub extern "C" fn tailchain_config() -> *const c_char {
    static SOURCE: OnceBox<CString> = OnceBox::new();
    SOURCE
        .get_or_init(|| Box::new(CString::new(state().source()).unwrap_or_default()))
        .as_ptr()
}

/// How a connection to `host` (a name or a numeric address) and `port` would be routed.
///
/// The reason, a line of text, is written to `reason`, truncated to `size` bytes and always NUL-terminated; `reason`
/// may be NULL when `size` is 0. Returns a `tailchain_route`, or -1 with errno EINVAL when `host` is NULL or not a
/// valid host.
///
/// A name that libc resolves is TAILCHAIN_DIRECT, since only its address decides: resolve it and ask again with the
/// address.
///
/// # Safety
/// `host` is NULL or a C string; `reason` is writable for `size` bytes.
#[no_mangle]
pub unsafe extern "C" fn tailchain_explain(
    host: *const c_char,
    port: u16,
    reason: *mut c_char,
    size: usize,
) -> c_int {
    let answer = std::panic::catch_unwind(|| {
        if host.is_null() {
            return None;
        }
        // SAFETY: the caller's contract.
        let host = unsafe { CStr::from_ptr(host) }.to_str().ok()?;
        Some(explain(Host::parse(host).ok()?, port))
    });
    let Ok(Some((route, text))) = answer else {
        sys::set_errno(Errno::EINVAL.raw());
        return -1;
    };
    if size > 0 && !reason.is_null() {
        let length = text.len().min(size - 1);
        // SAFETY: the caller's contract; length + 1 is at most size.
        unsafe {
            core::ptr::copy_nonoverlapping(text.as_ptr().cast::<c_char>(), reason, length);
            *reason.add(length) = 0;
        }
    }
    route as c_int
}

fn explain(host: Host, port: u16) -> (tailchain_route, String) {
    let state = state();
    let route = match &host {
        Host::Name(name) => {
            match route::name_policy(&state.config, name, &mut |name| state.knows(name)) {
                NamePolicy::Local(reason) => {
                    let text = format!("resolved by libc ({reason}); the address rules decide");
                    return (tailchain_route::TAILCHAIN_DIRECT, text);
                }
                NamePolicy::Remote => route::decide(&state.config, Dialled::Name(name, port), &[]),
            }
        }
        Host::Ip(ip) => state.route(SocketAddr::new(*ip, port)),
    };
    match route {
        Route::Direct { reason, .. } => (tailchain_route::TAILCHAIN_DIRECT, reason.to_string()),
        Route::Refuse(errno, refusal) => (
            tailchain_route::TAILCHAIN_REFUSE,
            format!("{errno}: {refusal}"),
        ),
        Route::Chain(target) => {
            let mut text = String::from("through");
            for proxy in &state.config.proxies {
                text.push(' ');
                text.push_str(&proxy.endpoint.to_string());
            }
            text.push_str(&format!(" to {target}"));
            (tailchain_route::TAILCHAIN_CHAIN, text)
        }
    }
}

/// Write the counters, and return the library's `sizeof(tailchain_counters)`.
///
/// `size` is the caller's `sizeof(tailchain_counters)`; exactly `size` bytes are written. Later versions may add
/// counters at the end. A caller that was compiled with an older header gets the counters that it knows. For one that
/// was compiled with a newer header, the counters that the library lacks are 0, and the returned size is less than
/// `size`.
///
/// # Safety
/// `counters` is NULL (nothing is written) or writable for `size` bytes.
#[no_mangle]
pub unsafe extern "C" fn tailchain_count(counters: *mut tailchain_counters, size: usize) -> usize {
    let now = tailchain_counters {
        proxied: counted(Counter::Proxied),
        direct: counted(Counter::Direct),
        refused: counted(Counter::Refused),
        failed: counted(Counter::Failed),
        pending: PENDING.count() as u64,
    };
    let known = size_of::<tailchain_counters>();
    if !counters.is_null() {
        let common = size.min(known);
        let to = counters.cast::<u8>();
        // SAFETY: the caller's contract; `common` is at most `size`, and at most the size of `now`, whose fields leave no
        // padding.
        unsafe {
            core::ptr::copy_nonoverlapping((&raw const now).cast::<u8>(), to, common);
            to.add(common).write_bytes(0, size - common);
        }
    }
    known
}

/// The names of the interposed libc functions, separated by spaces.
#[no_mangle]
pub extern "C" fn tailchain_hooks() -> *const c_char {
    static HOOKS: OnceBox<CString> = OnceBox::new();
    HOOKS
        .get_or_init(|| {
            let names = hook::table::NAMES.concat().join(" ");
            Box::new(CString::new(names).unwrap_or_default())
        })
        .as_ptr()
}
