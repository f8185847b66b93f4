//! The hook table. Each entry says: what for, which man page, async-signal-safe or not, what after fork and
//! vfork. What musl has no function for is in [`super::glibc`].

use super::boundary::{current, hooks};
use super::given::{GivenAddress, GivenMessage, GivenMessages};
use super::resolve::{addrinfo, hostent, nameinfo, query};
use super::{connect, epoll, fd, namespace, peer, send, sockopt};
use crate::pending::PENDING;
use core::ffi::{c_char, c_int, c_uint, c_ulong, c_void};
use libc::{
    addrinfo as AddrInfo, epoll_event, hostent as HostEnt, mmsghdr, msghdr, size_t, sockaddr,
    socklen_t, ssize_t, Ioctl,
};

hooks! {
    find current;

    /// connect(2): the way in. A TCP connection that is to be proxied is tunnelled on the program's own socket. It is a
    /// cancellation point while it sleeps (pthreads(7)), and a signal handler may jump out of it then (siglongjmp(3)).
    ///
    /// Async-signal-safe where it is not proxied. After fork: as before. After vfork: as before, but a
    /// non-blocking connect blocks.
    fn connect(fd: c_int, address: *const sockaddr, length: socklen_t) -> c_int
        = connect::connect, fails -1, resumes resumed,
        reads given: GivenAddress = GivenAddress::new(address, length), real real::connect(fd, given.pointer(), length);

    /// sendto(2) with MSG_FASTOPEN connects (tcp(7)); a datagram to a fake IP is refused, and by `raw_dns deny` one to
    /// port 53; everything else is libc's.
    ///
    /// Async-signal-safe where it is not proxied. After fork and vfork: as connect.
    fn sendto(fd: c_int, buffer: *const c_void, length: size_t, flags: c_int, address: *const sockaddr, address_length: socklen_t) -> ssize_t
        = send::sendto, fails -1, resumes resumed,
        reads given: GivenAddress = GivenAddress::new(address, address_length),
        real real::sendto(fd, buffer, length, flags, given.pointer(), address_length),
        idle {
            // SAFETY: the program's own arguments.
            unsafe { send::is_idle(flags, &mut given) }
        };

    /// sendmsg(2), as sendto.
    fn sendmsg(fd: c_int, message: *const msghdr, flags: c_int) -> ssize_t
        = send::sendmsg, fails -1, resumes resumed,
        reads given: GivenMessage = GivenMessage::new(message), real real::sendmsg(fd, given.pointer(), flags),
        idle {
            // SAFETY: the program's own arguments.
            unsafe { send::is_idle_message(flags, &mut given) }
        };

    /// sendmmsg(2), as sendto.
    fn sendmmsg(fd: c_int, messages: *mut mmsghdr, count: c_uint, flags: c_int) -> c_int
        = send::sendmmsg, fails -1, resumes resumed,
        reads given: GivenMessages = GivenMessages::new(messages, count),
        real given.send(fd, flags, send::refused_by(fd)),
        idle send::are_idle_messages(flags);

    /// getpeername(2): the address that the program dialled, not the proxy's.
    ///
    /// Async-signal-safe. After fork and vfork: as before.
    fn getpeername(fd: c_int, address: *mut sockaddr, length: *mut socklen_t) -> c_int
        = peer::getpeername, fails -1;

    /// getsockopt(2): SO_ERROR of a connect that failed; options of a connecting socket.
    ///
    /// Async-signal-safe. After fork: a child learns what became of a connect that its parent began. After
    /// vfork: libc's.
    fn getsockopt(fd: c_int, level: c_int, name: c_int, value: *mut c_void, length: *mut socklen_t) -> c_int
        = sockopt::getsockopt, fails -1, idle !PENDING.needs_hooks();

    /// setsockopt(2): options of a connecting socket.
    ///
    /// Async-signal-safe. After fork: as before. After vfork: libc's.
    fn setsockopt(fd: c_int, level: c_int, name: c_int, value: *const c_void, length: socklen_t) -> c_int
        = sockopt::setsockopt, fails -1, idle !PENDING.needs_hooks();

    /// getsockname(2): of a connecting socket.
    ///
    /// Async-signal-safe. After fork: as before. After vfork: libc's.
    fn getsockname(fd: c_int, address: *mut sockaddr, length: *mut socklen_t) -> c_int
        = sockopt::getsockname, fails -1, idle !PENDING.needs_hooks();

    /// shutdown(2): on a connecting socket it ends the attempt.
    ///
    /// Async-signal-safe but on a connecting socket, unless the handler is of the thread that connects. After fork and
    /// vfork: libc's.
    fn shutdown(fd: c_int, how: c_int) -> c_int
        = sockopt::shutdown, fails -1, idle sockopt::is_idle_shutdown();

    /// epoll_ctl(2): remembers what is registered.
    ///
    /// Async-signal-safe but for a number that is in two instances (that allocates). After fork: as before. After
    /// vfork: as before, and harmless.
    fn epoll_ctl(epoll: c_int, operation: c_int, fd: c_int, event: *mut epoll_event) -> c_int
        = epoll::epoll_ctl, fails -1;

    /// epoll_create1(2): an instance whose registrations may not pass through libc.
    ///
    /// Not async-signal-safe (it allocates). After fork: as before. After vfork: as before, and harmless.
    fn epoll_create1(flags: c_int) -> c_int
        = epoll::epoll_create1, fails -1;

    /// epoll_create(2): as epoll_create1.
    ///
    /// Not async-signal-safe. After fork: as before. After vfork: as before, and harmless.
    fn epoll_create(size: c_int) -> c_int
        = epoll::epoll_create, fails -1;

    /// close(2): a pending connect ends with its last number.
    ///
    /// Async-signal-safe: signals are blocked while the table is open. After fork: as before. After vfork:
    /// libc's.
    fn close(fd: c_int) -> c_int
        = fd::close, fails -1, idle !PENDING.needs_hooks();

    /// dup(2): one more number for a pending connect.
    ///
    /// Async-signal-safe but for TCP sockets, whose numbers are noted (that allocates). After fork and vfork: as
    /// close.
    fn dup(fd: c_int) -> c_int
        = fd::dup, fails -1;

    /// dup2(2): closes one number, and makes it one of another socket.
    ///
    /// Async-signal-safe, after fork and vfork: as dup.
    fn dup2(old: c_int, new: c_int) -> c_int
        = fd::dup2, fails -1;

    /// dup3(2): as dup2.
    ///
    /// Async-signal-safe, after fork and vfork: as dup.
    fn dup3(old: c_int, new: c_int, flags: c_int) -> c_int
        = fd::dup3, fails -1;

    /// fcntl(2): F_DUPFD as dup; F_GETFL and F_SETFL of a connecting socket. It is
    /// variadic in C; its one further argument is passed in a register like any other on the machines that
    /// are supported.
    ///
    /// Async-signal-safe, after fork and vfork: as close.
    fn fcntl(fd: c_int, command: c_int, argument: c_ulong) -> c_int
        = fd::fcntl, fails -1, idle fd::is_idle_fcntl(command);

    /// ioctl(2): FIONBIO, FIOCLEX and FIONCLEX, as fcntl F_SETFL and F_SETFD.
    ///
    /// Async-signal-safe, after fork and vfork: as close.
    fn ioctl(fd: c_int, request: Ioctl, argument: c_ulong) -> c_int
        = fd::ioctl, fails -1, idle fd::is_idle_ioctl(request);

    /// close_range(2): as close, around our own descriptors.
    ///
    /// Async-signal-safe, after fork and vfork: as close.
    fn close_range(first: c_uint, last: c_uint, flags: c_int) -> c_int
        = fd::close_range, fails -1, idle !PENDING.needs_hooks();

    /// unshare(2): a process of two threads cannot have all that one of one thread can, and an fd table of its own would
    /// be without our helper.
    ///
    /// Not async-signal-safe where a non-blocking connect was ever proxied. After fork: as before. After vfork: libc's.
    fn unshare(flags: c_int) -> c_int
        = namespace::unshare, fails -1, idle !PENDING.had_helper();

    /// setns(2): as unshare.
    ///
    /// Async-signal-safe, after fork and vfork: as unshare.
    fn setns(fd: c_int, kinds: c_int) -> c_int
        = namespace::setns, fails -1, idle !PENDING.had_helper();

    /// getaddrinfo(3): a name that the proxy is to resolve gets a fake address.
    ///
    /// Not async-signal-safe, like libc's. After fork: as before. After vfork: not allowed, as libc's.
    fn getaddrinfo(node: *const c_char, service: *const c_char, hints: *const AddrInfo, result: *mut *mut AddrInfo) -> c_int
        = addrinfo::getaddrinfo, fails libc::EAI_SYSTEM;

    /// getnameinfo(3): a fake address gets its name back; other addresses are not asked about outside.
    ///
    /// Not async-signal-safe; after fork and vfork: as getaddrinfo.
    fn getnameinfo(address: *const sockaddr, length: socklen_t, host: *mut c_char, host_size: socklen_t, service: *mut c_char, service_size: socklen_t, flags: c_int) -> c_int
        = nameinfo::getnameinfo, fails libc::EAI_SYSTEM;

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

    /// res_query(3): an address query is answered as getaddrinfo would, as a DNS message; other types are libc's.
    ///
    /// Not async-signal-safe; after fork and vfork: as getaddrinfo.
    fn res_query(name: *const c_char, class: c_int, kind: c_int, answer: *mut u8, size: c_int) -> c_int
        = query::res_query, fails query::failed();

    /// res_search(3): as res_query; the proxy knows of no search domains.
    ///
    /// Not async-signal-safe; after fork and vfork: as getaddrinfo.
    fn res_search(name: *const c_char, class: c_int, kind: c_int, answer: *mut u8, size: c_int) -> c_int
        = query::res_query, fails query::failed();

    /// res_querydomain(3): as res_query, of the two names put together.
    ///
    /// Not async-signal-safe; after fork and vfork: as getaddrinfo.
    fn res_querydomain(name: *const c_char, domain: *const c_char, class: c_int, kind: c_int, answer: *mut u8, size: c_int) -> c_int
        = query::res_querydomain, fails query::failed();

    /// res_send(3): an address query that the program wrote itself, as res_query.
    ///
    /// Not async-signal-safe; after fork and vfork: as getaddrinfo.
    fn res_send(message: *const u8, length: c_int, answer: *mut u8, size: c_int) -> c_int
        = query::res_send, fails -1;
}
