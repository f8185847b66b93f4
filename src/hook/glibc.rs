//! The hooks of functions that glibc has and musl does not: the rest of the table, see [`super::table`].

use super::boundary::{current, hooks};
use super::given::GivenAddress;
use super::resolve::{addrinfo_a, query};
use super::{connect, fd};
use crate::pending::PENDING;
use core::ffi::{c_char, c_int, c_ulong, c_void};
use libc::{sockaddr, socklen_t};

hooks! {
    find current;

    /// The other name that glibc exports connect(2) by.
    ///
    /// Async-signal-safe, after fork and vfork: as connect.
    fn __connect(fd: c_int, address: *const sockaddr, length: socklen_t) -> c_int
        = connect::connect, fails -1, resumes resumed,
        reads given: GivenAddress = GivenAddress::new(address, length), real real::__connect(fd, given.pointer(), length);

    /// The other name that glibc exports close(2) by.
    ///
    /// Async-signal-safe, after fork and vfork: as close.
    fn __close(fd: c_int) -> c_int
        = fd::close, fails -1, idle !PENDING.needs_hooks();

    /// The other name that glibc exports dup2(2) by.
    ///
    /// Async-signal-safe, after fork and vfork: as dup2.
    fn __dup2(old: c_int, new: c_int) -> c_int
        = fd::dup2, fails -1;

    /// The other name that glibc exports fcntl(2) by.
    ///
    /// Async-signal-safe, after fork and vfork: as fcntl.
    fn __fcntl(fd: c_int, command: c_int, argument: c_ulong) -> c_int
        = fd::fcntl, fails -1, idle fd::is_idle_fcntl(command);

    /// fcntl64, what programs with 64-bit file offsets call: as fcntl.
    ///
    /// Async-signal-safe, after fork and vfork: as close.
    fn fcntl64(fd: c_int, command: c_int, argument: c_ulong) -> c_int
        = fd::fcntl, fails -1, idle fd::is_idle_fcntl(command);

    /// closefrom(3): as close_range.
    ///
    /// Async-signal-safe, after fork and vfork: as close.
    fn closefrom(first: c_int) -> ()
        = fd::closefrom, fails (), idle !PENDING.needs_hooks();

    /// getaddrinfo_a(3): as getaddrinfo.
    ///
    /// Not async-signal-safe; after fork and vfork: as getaddrinfo.
    fn getaddrinfo_a(mode: c_int, list: *mut *mut addrinfo_a::Gaicb, count: c_int, event: *mut libc::sigevent) -> c_int
        = addrinfo_a::getaddrinfo_a, fails libc::EAI_SYSTEM;

    /// res_nquery(3): as res_query.
    ///
    /// Not async-signal-safe; after fork and vfork: as getaddrinfo.
    fn res_nquery(res: *mut query::ResState, name: *const c_char, class: c_int, kind: c_int, answer: *mut u8, size: c_int) -> c_int
        = query::res_nquery, fails {
            // SAFETY: the program's own argument.
            unsafe { query::failed_n(res) }
        };

    /// res_nsearch(3): as res_search.
    ///
    /// Not async-signal-safe; after fork and vfork: as getaddrinfo.
    fn res_nsearch(res: *mut query::ResState, name: *const c_char, class: c_int, kind: c_int, answer: *mut u8, size: c_int) -> c_int
        = query::res_nquery, fails {
            // SAFETY: the program's own argument.
            unsafe { query::failed_n(res) }
        };

    /// res_nquerydomain(3): as res_querydomain.
    ///
    /// Not async-signal-safe; after fork and vfork: as getaddrinfo.
    fn res_nquerydomain(res: *mut query::ResState, name: *const c_char, domain: *const c_char, class: c_int, kind: c_int, answer: *mut u8, size: c_int) -> c_int
        = query::res_nquerydomain, fails {
            // SAFETY: the program's own argument.
            unsafe { query::failed_n(res) }
        };

    /// res_nsend(3): as res_send.
    ///
    /// Not async-signal-safe; after fork and vfork: as getaddrinfo.
    fn res_nsend(res: *mut query::ResState, message: *const u8, length: c_int, answer: *mut u8, size: c_int) -> c_int
        = query::res_nsend, fails -1;

    /// What programs call that were linked with res_query of a glibc before 2.34: as that.
    ///
    /// Not async-signal-safe; after fork and vfork: as getaddrinfo.
    fn __res_query(name: *const c_char, class: c_int, kind: c_int, answer: *mut u8, size: c_int) -> c_int
        = query::res_query, fails query::failed();

    /// What programs call that were linked with res_search of a glibc before 2.34: as that.
    ///
    /// Not async-signal-safe; after fork and vfork: as getaddrinfo.
    fn __res_search(name: *const c_char, class: c_int, kind: c_int, answer: *mut u8, size: c_int) -> c_int
        = query::res_query, fails query::failed();

    /// What programs call that were linked with res_querydomain of a glibc before 2.34: as that.
    ///
    /// Not async-signal-safe; after fork and vfork: as getaddrinfo.
    fn __res_querydomain(name: *const c_char, domain: *const c_char, class: c_int, kind: c_int, answer: *mut u8, size: c_int) -> c_int
        = query::res_querydomain, fails query::failed();

    /// What programs call that were linked with res_send of a glibc before 2.34: as that.
    ///
    /// Not async-signal-safe; after fork and vfork: as getaddrinfo.
    fn __res_send(message: *const u8, length: c_int, answer: *mut u8, size: c_int) -> c_int
        = query::res_send, fails -1;

    /// What programs call that were linked with res_nquery of a glibc before 2.34: as that.
    ///
    /// Not async-signal-safe; after fork and vfork: as getaddrinfo.
    fn __res_nquery(res: *mut query::ResState, name: *const c_char, class: c_int, kind: c_int, answer: *mut u8, size: c_int) -> c_int
        = query::res_nquery, fails {
            // SAFETY: the program's own argument.
            unsafe { query::failed_n(res) }
        };

    /// What programs call that were linked with res_nsearch of a glibc before 2.34: as that.
    ///
    /// Not async-signal-safe; after fork and vfork: as getaddrinfo.
    fn __res_nsearch(res: *mut query::ResState, name: *const c_char, class: c_int, kind: c_int, answer: *mut u8, size: c_int) -> c_int
        = query::res_nquery, fails {
            // SAFETY: the program's own argument.
            unsafe { query::failed_n(res) }
        };

    /// What programs call that were linked with res_nquerydomain of a glibc before 2.34: as that.
    ///
    /// Not async-signal-safe; after fork and vfork: as getaddrinfo.
    fn __res_nquerydomain(res: *mut query::ResState, name: *const c_char, domain: *const c_char, class: c_int, kind: c_int, answer: *mut u8, size: c_int) -> c_int
        = query::res_nquerydomain, fails {
            // SAFETY: the program's own argument.
            unsafe { query::failed_n(res) }
        };

    /// What programs call that were linked with res_nsend of a glibc before 2.34: as that.
    ///
    /// Not async-signal-safe; after fork and vfork: as getaddrinfo.
    fn __res_nsend(res: *mut query::ResState, message: *const u8, length: c_int, answer: *mut u8, size: c_int) -> c_int
        = query::res_nsend, fails -1;
}
