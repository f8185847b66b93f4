//! gethostbyname(3), gethostbyaddr(3) and their variants.
//!
//! libc looks up the fake IP as a numeric address and so fills the hostent itself; only `h_name` is replaced.

use super::{
    answer, canonical, digits, is_address_to_gethostbyname, loopback, resolves_all_locally,
};
use super::{set_h_errno, Answer, Reverse, HOST_NOT_FOUND, NETDB_INTERNAL, TRY_AGAIN};
use crate::hook::boundary::Verdict;
use crate::hook::given::GivenBytes;
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
use tailchain_core::route;
use tailchain_core::sys;

/// The hooks of this file.
pub mod hooks {
    use crate::hook::boundary::{current, hooks};
    use crate::hook::given::GivenBytes;
    use crate::hook::resolve::hostent;
    use core::ffi::{c_char, c_int, c_void};
    use libc::{hostent as HostEnt, size_t, socklen_t};

    hooks! {
        find current;

        /// gethostbyname(3): as getaddrinfo, IPv4.
        ///
        /// Not async-signal-safe; after fork and vfork: as getaddrinfo.
        fn gethostbyname(name: *const c_char) -> *mut HostEnt
            = hostent::gethostbyname, fails hostent::failed(),
            reads given: GivenBytes = GivenBytes::new(name.cast()),
            real real::gethostbyname(given.pointer().cast());

        /// gethostbyname2(3): as getaddrinfo.
        ///
        /// Not async-signal-safe; after fork and vfork: as getaddrinfo.
        fn gethostbyname2(name: *const c_char, family: c_int) -> *mut HostEnt
            = hostent::gethostbyname2, fails hostent::failed(),
            reads given: GivenBytes = GivenBytes::new(name.cast()),
            real real::gethostbyname2(given.pointer().cast(), family);

        /// gethostbyname_r(3): as getaddrinfo, IPv4.
        ///
        /// Not async-signal-safe; after fork and vfork: as getaddrinfo.
        fn gethostbyname_r(name: *const c_char, entry: *mut HostEnt, buffer: *mut c_char, size: size_t, result: *mut *mut HostEnt, h_errno: *mut c_int) -> c_int
            = hostent::gethostbyname_r, fails {
                // SAFETY: the program's own arguments.
                unsafe { hostent::failed_r(result, h_errno) }
            },
            reads given: GivenBytes = GivenBytes::new(name.cast()),
            real real::gethostbyname_r(given.pointer().cast(), entry, buffer, size, result, h_errno);

        /// gethostbyname2_r(3): as getaddrinfo.
        ///
        /// Not async-signal-safe; after fork and vfork: as getaddrinfo.
        fn gethostbyname2_r(name: *const c_char, family: c_int, entry: *mut HostEnt, buffer: *mut c_char, size: size_t, result: *mut *mut HostEnt, h_errno: *mut c_int) -> c_int
            = hostent::gethostbyname2_r, fails {
                // SAFETY: the program's own arguments.
                unsafe { hostent::failed_r(result, h_errno) }
            },
            reads given: GivenBytes = GivenBytes::new(name.cast()),
            real real::gethostbyname2_r(given.pointer().cast(), family, entry, buffer, size, result, h_errno);

        /// gethostbyaddr(3): as getnameinfo.
        ///
        /// Not async-signal-safe; after fork and vfork: as getaddrinfo.
        fn gethostbyaddr(address: *const c_void, length: socklen_t, family: c_int) -> *mut HostEnt
            = hostent::gethostbyaddr, fails hostent::failed(),
            reads given: GivenBytes = GivenBytes::new(address.cast()),
            real real::gethostbyaddr(given.pointer().cast(), length, family);

        /// gethostbyaddr_r(3): as getnameinfo.
        ///
        /// Not async-signal-safe; after fork and vfork: as getaddrinfo.
        fn gethostbyaddr_r(address: *const c_void, length: socklen_t, family: c_int, entry: *mut HostEnt, buffer: *mut c_char, size: size_t, result: *mut *mut HostEnt, h_errno: *mut c_int) -> c_int
            = hostent::gethostbyaddr_r, fails {
                // SAFETY: the program's own arguments.
                unsafe { hostent::failed_r(result, h_errno) }
            },
            reads given: GivenBytes = GivenBytes::new(address.cast()),
            real real::gethostbyaddr_r(given.pointer().cast(), length, family, entry, buffer, size, result, h_errno);
    }
}

/// The name for the functions without `_r`. Like libc's static result it is overwritten by the next call from any
/// thread (gethostbyname(3), MT-Unsafe race).
struct StaticName(UnsafeCell<[u8; HostName::MAX + 1]>);
// SAFETY: by their contract these functions must not be called from two threads at once.
unsafe impl Sync for StaticName {}
static NAME: StaticName = StaticName(UnsafeCell::new([0; HostName::MAX + 1]));

/// Puts `name` into libc's static result.
///
/// # Safety
/// `entry` is NULL or libc's static hostent.
unsafe fn with_name(entry: *mut hostent, name: &CStr) -> *mut hostent {
    // SAFETY: the caller's contract.
    if let Some(entry) = unsafe { entry.as_mut() } {
        let buffer = NAME.0.get().cast::<u8>();
        let bytes = name.to_bytes_with_nul();
        // SAFETY: a name has at most MAX bytes.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), buffer, bytes.len()) };
        // SAFETY: libc filled it.
        unsafe { set_name(entry, buffer.cast()) };
    }
    entry
}

/// Sets `h_name`.
///
/// # Safety
/// libc filled `entry`.
unsafe fn set_name(entry: &mut hostent, name: *mut c_char) {
    entry.h_name = name;
    // In musl the first alias is the name.
    #[cfg(target_env = "musl")]
    // SAFETY: the caller's contract.
    if let Some(alias) = unsafe { entry.h_aliases.as_mut() } {
        *alias = name;
    }
}

/// The result of a failed hook.
pub fn failed() -> *mut hostent {
    set_h_errno(NETDB_INTERNAL);
    ptr::null_mut()
}

/// The result of a failed `_r` hook: the errno. Sets `*result` to NULL too, since programs check it.
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
pub unsafe fn gethostbyname(given: &mut GivenBytes, _name: *const c_char) -> Verdict<*mut hostent> {
    // SAFETY: passed on.
    unsafe { by_name(given, libc::AF_INET) }
}

/// The body of the hook.
///
/// # Safety
/// As gethostbyname2(3).
pub unsafe fn gethostbyname2(
    given: &mut GivenBytes,
    _name: *const c_char,
    family: c_int,
) -> Verdict<*mut hostent> {
    // SAFETY: passed on.
    unsafe { by_name(given, family) }
}

/// # Safety
/// As gethostbyname2(3).
unsafe fn by_name(given: &mut GivenBytes, family: c_int) -> Verdict<*mut hostent> {
    // SAFETY: passed on.
    match unsafe { numeric(given, family) } {
        Numeric::Local => Verdict::Real,
        Numeric::Fails(errno) => Verdict::Fail(errno),
        Numeric::DirectName(direct_name) => {
            // SAFETY: the program's own argument; libc returns its static hostent.
            let Some(entry) = (unsafe { real::gethostbyname2(given.pointer().cast(), family) })
            else {
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
        Numeric::Address(name, ip) => {
            // SAFETY: a C string; libc returns its static hostent.
            match unsafe { real::gethostbyname2(digits(ip).as_ptr(), family) } {
                // SAFETY: as above.
                Some(entry) => Verdict::Return(unsafe { with_name(entry, &name) }),
                None => Verdict::Fail(Errno::ENOSYS),
            }
        }
    }
}

/// Records the addresses of a name: `Answer::DirectName`.
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
        // SAFETY: not beyond the terminating NULL.
        next = unsafe { next.add(1) };
    }
}

enum Numeric {
    Local,
    Fails(Errno),
    DirectName(HostName),
    TableFull,
    NoName,
    /// The name of the host, and its address.
    Address(CString, IpAddr),
}

/// # Safety
/// The name is NULL or a C string.
unsafe fn numeric(given: &mut GivenBytes, family: c_int) -> Numeric {
    if !matches!(family, libc::AF_INET | libc::AF_INET6) || resolves_all_locally() {
        return Numeric::Local;
    }
    // SAFETY: the caller's contract.
    let text = match unsafe { given.text() } {
        Ok(Some(text)) => text,
        Ok(None) => return Numeric::Local,
        Err(errno) => return Numeric::Fails(errno),
    };
    let address = |ip| Numeric::Address(canonical(text), ip);
    match answer(text, is_address_to_gethostbyname) {
        Answer::Local => Numeric::Local,
        Answer::Known(_, host) if host.has(family) => Numeric::Local,
        Answer::Known(name, _) if !route::is_localhost(&name) => Numeric::NoName,
        Answer::Known(..) | Answer::Loopback(_) => address(loopback(family)),
        Answer::DirectName(name) => Numeric::DirectName(name),
        Answer::TableFull => Numeric::TableFull,
        Answer::NoName => Numeric::NoName,
        Answer::Fake(host) => address(host.address(family)),
    }
}

/// The last arguments of all `_r` functions.
#[derive(Clone, Copy)]
struct OutBuf {
    entry: *mut hostent,
    buffer: *mut c_char,
    size: size_t,
    result: *mut *mut hostent,
    h_errno: *mut c_int,
}

impl OutBuf {
    /// Has libc fill the hostent for a numeric address, with the name at the start of the buffer.
    ///
    /// # Safety
    /// As gethostbyname2_r(3).
    unsafe fn fill(self, name: &CStr, ip: IpAddr, family: c_int) -> Verdict<c_int> {
        let name = name.to_bytes_with_nul();
        // libc puts pointers behind the name, and does not align them for a numeric address.
        let end = self.buffer.wrapping_add(name.len());
        let taken = name.len() + end.align_offset(align_of::<*mut c_char>());
        if self.size < taken {
            // SAFETY: the caller's contract.
            return unsafe { self.fail(libc::ERANGE, self.reason_of_erange()) };
        }
        let buffer = self.buffer.wrapping_add(taken);
        // SAFETY: the caller's contract; the part taken for the name is within the buffer.
        let code = unsafe {
            real::gethostbyname2_r(
                digits(ip).as_ptr(),
                family,
                self.entry,
                buffer,
                self.size - taken,
                self.result,
                self.h_errno,
            )
        };
        // SAFETY: as above.
        unsafe {
            if code == Some(0) && !(*self.result).is_null() {
                ptr::copy_nonoverlapping(name.as_ptr().cast(), self.buffer, name.len());
                set_name(&mut *self.entry, self.buffer);
            }
        }
        match code {
            Some(code) => Verdict::Return(code),
            None => Verdict::Fail(Errno::ENOSYS),
        }
    }

    /// musl does not set h_errno with ERANGE.
    ///
    /// # Safety
    /// As gethostbyname2_r(3).
    unsafe fn reason_of_erange(self) -> c_int {
        match cfg!(target_env = "musl") {
            // SAFETY: the caller's contract.
            true => unsafe { *self.h_errno },
            false => NETDB_INTERNAL,
        }
    }

    /// Not found. libc first checks whether the buffer is large enough for any host.
    ///
    /// # Safety
    /// As gethostbyname2_r(3).
    unsafe fn not_found(self, code: c_int, reason: c_int, family: c_int) -> Verdict<c_int> {
        // SAFETY: the caller's contract.
        match unsafe { self.fill(c"", loopback(family), family) } {
            Verdict::Return(libc::ERANGE) => Verdict::Return(libc::ERANGE),
            // SAFETY: as above.
            _ => unsafe { self.fail(code, reason) },
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
    given: &mut GivenBytes,
    name: *const c_char,
    entry: *mut hostent,
    buffer: *mut c_char,
    size: size_t,
    result: *mut *mut hostent,
    h_errno: *mut c_int,
) -> Verdict<c_int> {
    // SAFETY: passed on.
    unsafe {
        gethostbyname2_r(
            given,
            name,
            libc::AF_INET,
            entry,
            buffer,
            size,
            result,
            h_errno,
        )
    }
}

/// The body of the hook.
///
/// # Safety
/// As gethostbyname2_r(3).
#[allow(clippy::too_many_arguments)]
pub unsafe fn gethostbyname2_r(
    given: &mut GivenBytes,
    _name: *const c_char,
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
    match unsafe { numeric(given, family) } {
        Numeric::Local => Verdict::Real,
        Numeric::Fails(errno) => Verdict::Fail(errno),
        Numeric::DirectName(direct_name) => {
            // SAFETY: the program's own arguments.
            let name = given.pointer().cast();
            // SAFETY: as above.
            let code = unsafe {
                real::gethostbyname2_r(name, family, entry, buffer, size, result, h_errno)
            };
            if code == Some(0) {
                // SAFETY: libc has just written it.
                unsafe { remember(*result, &direct_name) };
            }
            Verdict::of_value(code)
        }
        // SAFETY: the program's own arguments.
        Numeric::TableFull => unsafe { out.not_found(libc::EAGAIN, TRY_AGAIN, family) },
        // SAFETY: as above. 0 with a NULL result: not found, gethostbyname(3).
        Numeric::NoName => unsafe { out.not_found(0, HOST_NOT_FOUND, family) },
        // SAFETY: as above.
        Numeric::Address(name, ip) => unsafe { out.fill(&name, ip, family) },
    }
}

fn spelled(name: &HostName) -> CString {
    CString::new(name.as_str()).unwrap_or_default()
}

/// The address argument of gethostbyaddr(3).
///
/// # Safety
/// It is NULL or readable for `length` bytes.
unsafe fn given_address(
    given: &mut GivenBytes,
    length: socklen_t,
    family: c_int,
) -> Option<IpAddr> {
    /// libc reads at most this many bytes.
    const LONGEST: usize = size_of::<Ipv6Addr>();
    let length = LONGEST.min(length as usize);
    // SAFETY: the caller's contract.
    let bytes = unsafe { given.bytes(length) }.ok()??;
    // SAFETY: a slice is readable for its length.
    unsafe { address(bytes.as_ptr().cast(), length as socklen_t, family) }
}

/// An address of `length` bytes.
///
/// # Safety
/// `address` is NULL or readable for `length` bytes.
unsafe fn address(address: *const c_void, length: socklen_t, family: c_int) -> Option<IpAddr> {
    if address.is_null() {
        return None;
    }
    // SAFETY: the caller's contract, for `length` bytes.
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
    given: &mut GivenBytes,
    _bytes: *const c_void,
    length: socklen_t,
    family: c_int,
) -> Verdict<*mut hostent> {
    // SAFETY: the program's own arguments.
    let Some(ip) = (unsafe { given_address(given, length, family) }) else {
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
            match unsafe { real::gethostbyname2(digits(ip).as_ptr(), family) } {
                // SAFETY: as above.
                Some(entry) => Verdict::Return(unsafe { with_name(entry, &spelled(&name)) }),
                None => Verdict::Fail(Errno::ENOSYS),
            }
        }
    }
}

/// The body of the hook.
///
/// # Safety
/// As gethostbyaddr_r(3).
#[allow(clippy::too_many_arguments)]
pub unsafe fn gethostbyaddr_r(
    given: &mut GivenBytes,
    _bytes: *const c_void,
    length: socklen_t,
    family: c_int,
    entry: *mut hostent,
    buffer: *mut c_char,
    size: size_t,
    result: *mut *mut hostent,
    h_errno: *mut c_int,
) -> Verdict<c_int> {
    // SAFETY: the program's own arguments.
    let Some(ip) = (unsafe { given_address(given, length, family) }) else {
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
        Reverse::Unknown => unsafe { out.not_found(libc::ENOENT, HOST_NOT_FOUND, family) },
        // SAFETY: as above.
        Reverse::Name(name) => unsafe { out.fill(&spelled(&name), ip, family) },
    }
}
