//! gethostbyname(3), gethostbyaddr(3) and their relatives.
//!
//! libc is asked for the fake address in digits and so fills the hostent itself; only `h_name` is put in place.

use super::{answer, digits, is_address_to_gethostbyname, set_h_errno, Answer, Reverse};
use super::{HOST_NOT_FOUND, NETDB_INTERNAL, TRY_AGAIN};
use crate::hook::boundary::Verdict;
use crate::state::state;
use core::cell::UnsafeCell;
use core::ffi::{c_char, c_int, c_void, CStr};
use core::ptr;
use hooks::real;
use libc::{hostent, size_t, socklen_t};
use std::ffi::CString;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use tailchain_core::errno::Errno;
use tailchain_core::host::HostName;
use tailchain_core::sys;

/// The hooks of this file.
pub mod hooks {
    use crate::hook::boundary::{current, hooks};
    use crate::hook::resolve::hostent;
    use core::ffi::{c_char, c_int, c_void};
    use libc::{hostent as HostEnt, size_t, socklen_t};

    hooks! {
        find current;

        /// gethostbyname(3): as getaddrinfo, IPv4.
        ///
        /// Not async-signal-safe; after fork and vfork: as getaddrinfo.
        fn gethostbyname(name: *const c_char) -> *mut HostEnt
            = hostent::gethostbyname, fails hostent::failed();

        /// gethostbyname2(3): as getaddrinfo.
        ///
        /// Not async-signal-safe; after fork and vfork: as getaddrinfo.
        fn gethostbyname2(name: *const c_char, family: c_int) -> *mut HostEnt
            = hostent::gethostbyname2, fails hostent::failed();

        /// gethostbyname_r(3): as getaddrinfo, IPv4.
        ///
        /// Not async-signal-safe; after fork and vfork: as getaddrinfo.
        fn gethostbyname_r(name: *const c_char, entry: *mut HostEnt, buffer: *mut c_char, size: size_t, result: *mut *mut HostEnt, h_errno: *mut c_int) -> c_int
            = hostent::gethostbyname_r, fails {
                // SAFETY: the program's own arguments.
                unsafe { hostent::failed_r(result, h_errno) }
            };

        /// gethostbyname2_r(3): as getaddrinfo.
        ///
        /// Not async-signal-safe; after fork and vfork: as getaddrinfo.
        fn gethostbyname2_r(name: *const c_char, family: c_int, entry: *mut HostEnt, buffer: *mut c_char, size: size_t, result: *mut *mut HostEnt, h_errno: *mut c_int) -> c_int
            = hostent::gethostbyname2_r, fails {
                // SAFETY: the program's own arguments.
                unsafe { hostent::failed_r(result, h_errno) }
            };

        /// gethostbyaddr(3): as getnameinfo.
        ///
        /// Not async-signal-safe; after fork and vfork: as getaddrinfo.
        fn gethostbyaddr(address: *const c_void, length: socklen_t, family: c_int) -> *mut HostEnt
            = hostent::gethostbyaddr, fails hostent::failed();

        /// gethostbyaddr_r(3): as getnameinfo.
        ///
        /// Not async-signal-safe; after fork and vfork: as getaddrinfo.
        fn gethostbyaddr_r(address: *const c_void, length: socklen_t, family: c_int, entry: *mut HostEnt, buffer: *mut c_char, size: size_t, result: *mut *mut HostEnt, h_errno: *mut c_int) -> c_int
            = hostent::gethostbyaddr_r, fails {
                // SAFETY: the program's own arguments.
                unsafe { hostent::failed_r(result, h_errno) }
            };
    }
}

/// Where the functions without `_r` keep the name. Like libc's own result it is overwritten by the next call,
/// from whatever thread (gethostbyname(3), MT-Unsafe race).
struct StaticName(UnsafeCell<[u8; HostName::MAX + 1]>);
// SAFETY: callers of these functions must not call them from two threads at once.
unsafe impl Sync for StaticName {}
static NAME: StaticName = StaticName(UnsafeCell::new([0; HostName::MAX + 1]));

/// Put `name` into libc's static result.
///
/// # Safety
/// `entry` is NULL or libc's static hostent.
unsafe fn named(entry: *mut hostent, name: &HostName) -> *mut hostent {
    // SAFETY: the caller's contract.
    if let Some(entry) = unsafe { entry.as_mut() } {
        let buffer = NAME.0.get().cast::<u8>();
        let bytes = name.as_str().as_bytes();
        // SAFETY: a name has at most MAX bytes.
        unsafe {
            ptr::copy_nonoverlapping(bytes.as_ptr(), buffer, bytes.len());
            *buffer.add(bytes.len()) = 0;
        }
        // SAFETY: libc filled it.
        unsafe { call(entry, buffer.cast()) };
    }
    entry
}

/// The host is called `name` from now on.
///
/// # Safety
/// libc filled `entry`.
unsafe fn call(entry: &mut hostent, name: *mut c_char) {
    entry.h_name = name;
    // musl's first alias is the name.
    #[cfg(target_env = "musl")]
    // SAFETY: the caller's contract.
    if let Some(alias) = unsafe { entry.h_aliases.as_mut() } {
        *alias = name;
    }
}

/// What a hook returns that fails.
pub fn failed() -> *mut hostent {
    set_h_errno(NETDB_INTERNAL);
    ptr::null_mut()
}

/// What a hook with `_r` returns that fails: the errno. Programs look at the result, too.
///
/// # Safety
/// As gethostbyname_r(3).
pub unsafe fn failed_r(result: *mut *mut hostent, h_errno: *mut c_int) -> c_int {
    // SAFETY: the caller's contract.
    unsafe {
        *result = ptr::null_mut();
        *h_errno = NETDB_INTERNAL;
    }
    sys::errno()
}

/// The body of the hook.
///
/// # Safety
/// As gethostbyname(3).
pub unsafe fn gethostbyname(name: *const c_char) -> Verdict<*mut hostent> {
    // SAFETY: passed on.
    unsafe { by_name(name, libc::AF_INET) }
}

/// The body of the hook.
///
/// # Safety
/// As gethostbyname2(3).
pub unsafe fn gethostbyname2(name: *const c_char, family: c_int) -> Verdict<*mut hostent> {
    // SAFETY: passed on.
    unsafe { by_name(name, family) }
}

/// # Safety
/// As gethostbyname2(3).
unsafe fn by_name(name: *const c_char, family: c_int) -> Verdict<*mut hostent> {
    // SAFETY: passed on.
    match unsafe { numeric(name, family) } {
        Numeric::Local => Verdict::Real,
        Numeric::DirectName(direct_name) => {
            // SAFETY: the program's own argument; libc returns its static hostent.
            let Some(entry) = (unsafe { real::gethostbyname2(name, family) }) else {
                return Verdict::Fail(Errno::ENOSYS);
            };
            // SAFETY: as above.
            unsafe { remember(entry, &direct_name) };
            Verdict::Return(entry)
        }
        Numeric::TableFull => {
            set_h_errno(TRY_AGAIN);
            Verdict::Return(ptr::null_mut())
        }
        Numeric::NoName => {
            set_h_errno(HOST_NOT_FOUND);
            Verdict::Return(ptr::null_mut())
        }
        Numeric::Fake(name, digits) => {
            // SAFETY: a C string; libc returns its static hostent.
            let entry = unsafe { real::gethostbyname2(digits.as_ptr(), family) };
            // SAFETY: as above.
            Verdict::of_value(entry.map(|entry| unsafe { named(entry, &name) }))
        }
    }
}

/// Remember the addresses of a name: `Answer::DirectName`.
///
/// # Safety
/// `entry` is NULL or a hostent that libc filled.
unsafe fn remember(entry: *mut hostent, name: &HostName) {
    // SAFETY: the caller's contract.
    let Some(entry) = (unsafe { entry.as_ref() }) else {
        return;
    };
    let mut next = entry.h_addr_list;
    loop {
        // SAFETY: the list ends with a NULL pointer.
        let bytes = unsafe { *next };
        if bytes.is_null() {
            return;
        }
        // SAFETY: h_length bytes of an address of that family.
        let ip = unsafe { address(bytes.cast(), entry.h_length as socklen_t, entry.h_addrtype) };
        if let Some(ip) = ip {
            state().remember(ip, name);
        }
        // SAFETY: not beyond the NULL that ends the list.
        next = unsafe { next.add(1) };
    }
}

enum Numeric {
    Local,
    DirectName(HostName),
    TableFull,
    NoName,
    Fake(HostName, CString),
}

/// # Safety
/// `name` is NULL or a C string.
unsafe fn numeric(name: *const c_char, family: c_int) -> Numeric {
    if !matches!(family, libc::AF_INET | libc::AF_INET6) {
        return Numeric::Local;
    }
    // SAFETY: passed on.
    match unsafe { answer(name, is_address_to_gethostbyname) } {
        Answer::Local => Numeric::Local,
        Answer::Known(_, host) if host.has(family) => Numeric::Local,
        Answer::Known(..) => Numeric::NoName,
        Answer::DirectName(name) => Numeric::DirectName(name),
        Answer::TableFull => Numeric::TableFull,
        Answer::NoName => Numeric::NoName,
        Answer::Fake(host) => {
            let digits = host.digits(family);
            Numeric::Fake(host.name, digits)
        }
    }
}

/// The arguments that all `_r` functions end with.
#[derive(Clone, Copy)]
struct OutBuf {
    entry: *mut hostent,
    buffer: *mut c_char,
    size: size_t,
    result: *mut *mut hostent,
    h_errno: *mut c_int,
}

impl OutBuf {
    /// Have libc fill it for an address in digits, and put the name in front.
    ///
    /// # Safety
    /// As gethostbyname2_r(3).
    unsafe fn fill(self, name: &HostName, digits: &CStr, family: c_int) -> Verdict<c_int> {
        let taken = name.as_str().len() + 1;
        if self.size < taken {
            // SAFETY: the caller's contract. musl gives no reason.
            return unsafe {
                let reason = match cfg!(target_env = "musl") {
                    true => *self.h_errno,
                    false => NETDB_INTERNAL,
                };
                self.fail(libc::ERANGE, reason)
            };
        }
        // SAFETY: the caller's contract; the buffer is longer than what is taken from it.
        unsafe {
            ptr::copy_nonoverlapping(name.as_str().as_ptr().cast(), self.buffer, taken - 1);
            *self.buffer.add(taken - 1) = 0;
            let code = real::gethostbyname2_r(
                digits.as_ptr(),
                family,
                self.entry,
                self.buffer.add(taken),
                self.size - taken,
                self.result,
                self.h_errno,
            );
            if code == Some(0) && !(*self.result).is_null() {
                call(&mut *self.entry, self.buffer);
            }
            Verdict::of_value(code)
        }
    }

    /// # Safety
    /// As gethostbyname2_r(3).
    unsafe fn fail(self, code: c_int, h_errno: c_int) -> Verdict<c_int> {
        // SAFETY: the caller's contract.
        unsafe {
            *self.result = ptr::null_mut();
            *self.h_errno = h_errno;
        }
        Verdict::Return(code)
    }
}

/// The body of the hook.
///
/// # Safety
/// As gethostbyname_r(3).
pub unsafe fn gethostbyname_r(
    name: *const c_char,
    entry: *mut hostent,
    buffer: *mut c_char,
    size: size_t,
    result: *mut *mut hostent,
    h_errno: *mut c_int,
) -> Verdict<c_int> {
    // SAFETY: passed on.
    unsafe { gethostbyname2_r(name, libc::AF_INET, entry, buffer, size, result, h_errno) }
}

/// The body of the hook.
///
/// # Safety
/// As gethostbyname2_r(3).
pub unsafe fn gethostbyname2_r(
    name: *const c_char,
    family: c_int,
    entry: *mut hostent,
    buffer: *mut c_char,
    size: size_t,
    result: *mut *mut hostent,
    h_errno: *mut c_int,
) -> Verdict<c_int> {
    let out = OutBuf {
        entry,
        buffer,
        size,
        result,
        h_errno,
    };
    // SAFETY: passed on.
    match unsafe { numeric(name, family) } {
        Numeric::Local => Verdict::Real,
        Numeric::DirectName(direct_name) => {
            // SAFETY: the program's own arguments.
            let code = unsafe {
                real::gethostbyname2_r(name, family, entry, buffer, size, result, h_errno)
            };
            if code == Some(0) {
                // SAFETY: libc wrote it just now.
                unsafe { remember(*result, &direct_name) };
            }
            Verdict::of_value(code)
        }
        // SAFETY: the program's own arguments.
        Numeric::TableFull => unsafe { out.fail(libc::EAGAIN, TRY_AGAIN) },
        // SAFETY: as above. 0 with a NULL result: not found, gethostbyname(3).
        Numeric::NoName => unsafe { out.fail(0, HOST_NOT_FOUND) },
        // SAFETY: as above.
        Numeric::Fake(name, digits) => unsafe { out.fill(&name, &digits, family) },
    }
}

/// The address argument of gethostbyaddr.
///
/// # Safety
/// `address` is NULL or readable for `length` bytes.
unsafe fn address(address: *const c_void, length: socklen_t, family: c_int) -> Option<IpAddr> {
    if address.is_null() {
        return None;
    }
    // SAFETY: the caller's contract, for as many bytes as `length` says.
    let (v4, v6) = unsafe {
        let readable = length as usize;
        (
            (readable >= 4).then(|| address.cast::<[u8; 4]>().read()),
            (readable >= 16).then(|| address.cast::<[u8; 16]>().read()),
        )
    };
    match family {
        libc::AF_INET => v4.map(|bytes| Ipv4Addr::from(bytes).into()),
        libc::AF_INET6 => v6.map(|bytes| Ipv6Addr::from(bytes).into()),
        _ => None,
    }
}

/// The body of the hook.
///
/// # Safety
/// As gethostbyaddr(3).
pub unsafe fn gethostbyaddr(
    bytes: *const c_void,
    length: socklen_t,
    family: c_int,
) -> Verdict<*mut hostent> {
    // SAFETY: the program's own arguments.
    let Some(ip) = (unsafe { address(bytes, length, family) }) else {
        return Verdict::Real;
    };
    match state().reverse(ip) {
        Reverse::Local | Reverse::Known(_) => Verdict::Real,
        Reverse::Unknown => {
            set_h_errno(HOST_NOT_FOUND);
            Verdict::Return(ptr::null_mut())
        }
        Reverse::Name(name) => {
            // SAFETY: a C string; libc returns its static hostent.
            let entry = unsafe { real::gethostbyname2(digits(ip).as_ptr(), family) };
            // SAFETY: as above.
            Verdict::of_value(entry.map(|entry| unsafe { named(entry, &name) }))
        }
    }
}

/// The body of the hook.
///
/// # Safety
/// As gethostbyaddr_r(3).
#[allow(clippy::too_many_arguments)]
pub unsafe fn gethostbyaddr_r(
    bytes: *const c_void,
    length: socklen_t,
    family: c_int,
    entry: *mut hostent,
    buffer: *mut c_char,
    size: size_t,
    result: *mut *mut hostent,
    h_errno: *mut c_int,
) -> Verdict<c_int> {
    // SAFETY: the program's own arguments.
    let Some(ip) = (unsafe { address(bytes, length, family) }) else {
        return Verdict::Real;
    };
    let out = OutBuf {
        entry,
        buffer,
        size,
        result,
        h_errno,
    };
    match state().reverse(ip) {
        Reverse::Local | Reverse::Known(_) => Verdict::Real,
        // SAFETY: the program's own arguments. glibc returns ENOENT-like codes here; the result is NULL.
        Reverse::Unknown => unsafe { out.fail(libc::ENOENT, HOST_NOT_FOUND) },
        // SAFETY: as above.
        Reverse::Name(name) => unsafe { out.fill(&name, &digits(ip), family) },
    }
}
