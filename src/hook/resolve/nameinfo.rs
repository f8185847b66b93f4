//! getnameinfo(3).

use super::Reverse;
use crate::hook::boundary::Verdict;
use crate::hook::given::GivenAddress;
use crate::state::state;
use core::ffi::{c_char, c_int};
use core::ptr;
use hooks::real;
use libc::{sockaddr, socklen_t};
use tailchain_core::errno::Errno;
use tailchain_core::sys::SockAddr;

/// The hooks of this file.
pub mod hooks {
    use crate::hook::boundary::{current, hooks};
    use crate::hook::given::GivenAddress;
    use crate::hook::resolve::nameinfo;
    use core::ffi::{c_char, c_int};
    use libc::{sockaddr, socklen_t};

    hooks! {
        find current;

        /// getnameinfo(3): a fake IP gets its name back; other addresses are not looked up at a DNS server.
        ///
        /// Not async-signal-safe; after fork and vfork: as getaddrinfo.
        fn getnameinfo(address: *const sockaddr, length: socklen_t, host: *mut c_char, host_size: socklen_t, service: *mut c_char, service_size: socklen_t, flags: c_int) -> c_int
            = nameinfo::getnameinfo, fails libc::EAI_SYSTEM,
            reads given: GivenAddress = GivenAddress::new(address, length),
            real real::getnameinfo(given.pointer(), length, host, host_size, service, service_size, flags);
    }
}

/// The body of the hook. The service part is always libc's.
///
/// # Safety
/// As getnameinfo(3).
#[allow(clippy::too_many_arguments)]
pub unsafe fn getnameinfo(
    given: &mut GivenAddress,
    _address: *const sockaddr,
    length: socklen_t,
    host: *mut c_char,
    host_size: socklen_t,
    service: *mut c_char,
    service_size: socklen_t,
    flags: c_int,
) -> Verdict<c_int> {
    if host.is_null() || host_size == 0 || flags & libc::NI_NUMERICHOST != 0 {
        return Verdict::Real;
    }
    // SAFETY: the program's own arguments: libc too relies on the pointer.
    let address = unsafe { given.read(|_, _| true) };
    let Some(ip) = address.and_then(SockAddr::inet) else {
        return Verdict::Real;
    };
    let address = given.pointer();
    match state().reverse(ip.ip()) {
        Reverse::Local | Reverse::Known(_) => Verdict::Real,
        Reverse::Unknown if flags & libc::NI_NAMEREQD != 0 => Verdict::Return(libc::EAI_NONAME),
        Reverse::Unknown => {
            let numeric = flags | libc::NI_NUMERICHOST;
            // SAFETY: the program's own arguments.
            let code = unsafe {
                real::getnameinfo(
                    address,
                    length,
                    host,
                    host_size,
                    service,
                    service_size,
                    numeric,
                )
            };
            code.map_or(Errno::ENOSYS.into(), Verdict::Return)
        }
        Reverse::Name(name) => {
            let bytes = name.as_str().as_bytes();
            if bytes.len() >= host_size as usize {
                return Verdict::Return(libc::EAI_OVERFLOW);
            }
            if !service.is_null() && service_size > 0 {
                // SAFETY: the program's own arguments, without the host.
                let code = unsafe {
                    let flags = flags & !libc::NI_NAMEREQD;
                    real::getnameinfo(
                        address,
                        length,
                        ptr::null_mut(),
                        0,
                        service,
                        service_size,
                        flags,
                    )
                };
                match code {
                    Some(0) => {}
                    Some(code) => return Verdict::Return(code),
                    None => return Errno::ENOSYS.into(),
                }
            }
            // SAFETY: host is writable for host_size bytes, which is more than the name needs.
            unsafe {
                ptr::copy_nonoverlapping(bytes.as_ptr().cast(), host, bytes.len());
                *host.add(bytes.len()) = 0;
            }
            Verdict::Return(0)
        }
    }
}
