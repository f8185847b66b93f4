//! libc functions that resolve a host and connect to it internally, without calling the hooks: rcmd(3), rexec(3),
//! ruserok(3) and Sun RPC (rpc(3)). glibc no longer offers most of them to new programs (RPC moved to libtirpc, which
//! calls connect(2) like any library). They are refused, unless every address of the host is connected to directly.

use super::boundary::{hooks, retired, Verdict};
use super::given::UserPtr;
use crate::state::{state, State};
use core::ffi::{c_char, c_int, c_uint, c_ulong, c_void, CStr};
use core::ptr;
use libc::{sa_family_t, sockaddr, sockaddr_in, socklen_t, timeval};
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use tailchain_core::config::Dns;
use tailchain_core::errno::Errno;
use tailchain_core::host::Host;
use tailchain_core::hosts::Spelling;
use tailchain_core::route::{self, NamePolicy, Route};
use tailchain_core::sys::{self, SockAddr};

/// The errno of a refused call.
const REFUSED: Errno = Errno::EOPNOTSUPP;

/// Refuses a call that is not direct, and logs it.
fn refuse_unless_direct<R>(call: &str, target: &str, is_direct: bool) -> Verdict<R> {
    if is_direct {
        return Verdict::Real;
    }
    state().log.message(&format!(
        "{call} of {target} refused ({REFUSED}): it bypasses the proxies"
    ));
    Verdict::Fail(REFUSED)
}

/// What a call does with the host after resolving it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Use {
    /// It connects to this port; 0 if the port is not known yet.
    Connect(u16),
    /// It sends datagrams, which are not proxied, or nothing at all.
    Other,
}

/// A call that takes a host. libc rejects NULL itself.
///
/// # Safety
/// `host` is NULL or a C string.
unsafe fn of_host<R>(call: &str, host: *const c_char, what: Use) -> Verdict<R> {
    if host.is_null() {
        return Verdict::Real;
    }
    // SAFETY: the caller's contract.
    let text = unsafe { CStr::from_ptr(host) }.to_string_lossy();
    refuse_unless_direct(call, &text, may_use_host(state(), &text, what))
}

fn may_use_host(state: &State, text: &str, what: Use) -> bool {
    match Host::parse(text) {
        Ok(Host::Ip(ip)) => may_use(state, ip, what),
        Ok(Host::Name(name)) => {
            let policy = route::name_policy(&state.config, &name, &mut |name| {
                state.knows_as(name, Spelling::of(text.as_bytes()))
            });
            let addresses = || (text, 0).to_socket_addrs();
            policy != NamePolicy::Remote
                && (what == Use::Other
                    || addresses().is_ok_and(|mut all| all.all(|to| may_use(state, to.ip(), what))))
        }
        Err(_) => false,
    }
}

fn may_use(state: &State, ip: IpAddr, what: Use) -> bool {
    match what {
        Use::Other => !state.is_fake(ip),
        Use::Connect(port) => {
            let route = state.route(SocketAddr::new(ip, port));
            matches!(route, Route::Direct { to: None, .. })
        }
    }
}

/// A call that takes a sockaddr_in. A NULL or bad pointer is left to libc.
///
/// # Safety
/// `address` is NULL or a pointer of the program.
unsafe fn of_address<R>(call: &str, address: *const sockaddr_in, what: Use) -> Verdict<R> {
    // SAFETY: any bytes are a sockaddr_in.
    let Some(copy) = (unsafe { UserPtr::new(address) }).read() else {
        return Verdict::Real;
    };
    let length = size_of::<sockaddr_in>() as socklen_t;
    // SAFETY: a local copy.
    let copy = unsafe { SockAddr::copy_from((&raw const copy).cast::<sockaddr>(), length) };
    match copy.and_then(|copy| copy.inet()) {
        Some(to) => refuse_unless_direct(call, &to.to_string(), may_use(state(), to.ip(), what)),
        None => Verdict::Real,
    }
}

/// rcmd(3) and its variants. The port is in network byte order.
///
/// # Safety
/// `host` is a pointer of the program, to NULL or a C string.
unsafe fn remote_command(call: &str, host: *mut *mut c_char, port: u16) -> Verdict<c_int> {
    // SAFETY: any bytes are a raw pointer.
    match unsafe { UserPtr::new(host) }.read() {
        // SAFETY: the caller's contract.
        Some(host) => unsafe { of_host(call, host, Use::Connect(u16::from_be(port))) },
        None => Verdict::Real,
    }
}

/// iruserok(3) resolves the hosts in hosts.equiv(5).
fn user_from_address() -> Verdict<c_int> {
    refuse_unless_direct("iruserok", "an address", state().config.dns == Dns::Local)
}

/// clnt_create. `unix` is a path; an unknown protocol is libc's to reject.
///
/// # Safety
/// Each is NULL or a C string.
unsafe fn create(host: *const c_char, protocol: *const c_char) -> Verdict<*mut c_void> {
    if protocol.is_null() {
        return Verdict::Real;
    }
    // SAFETY: the caller's contract.
    let what = match unsafe { CStr::from_ptr(protocol) }.to_bytes() {
        b"tcp" => Use::Connect(0),
        b"udp" => Use::Other,
        _ => return Verdict::Real,
    };
    // SAFETY: the caller's contract.
    unsafe { of_host("clnt_create", host, what) }
}

/// `enum clnt_stat` of rpc/clnt.h: the result of an RPC call that fails with an errno.
const RPC_SYSTEM_ERROR: c_int = 12;

/// A call that creates an RPC client, and its socket unless the program passes one. The program has connected its own
/// socket through the hooks.
///
/// # Safety
/// As [`of_address`]; `socket` is a pointer of the program, too.
unsafe fn client<R>(
    call: &str,
    address: *const sockaddr_in,
    socket: *const c_int,
    what: Use,
) -> Verdict<R> {
    // SAFETY: any bytes are an int.
    match unsafe { UserPtr::new(socket) }.read() {
        Some(socket) if socket >= 0 => Verdict::Real,
        // SAFETY: passed on.
        _ => unsafe { of_address(call, address, what) },
    }
}

/// The first fields of `struct rpc_createerr` of rpc/clnt.h.
#[repr(C)]
struct CreateError {
    stat: c_int,
    error: RpcError,
}

/// `struct rpc_err`: its union holds a `long`.
#[repr(C, align(8))]
struct RpcError {
    status: c_int,
    _before_the_union: c_int,
    errno: c_int,
}

/// The result of a failed client creation. Sets rpc_createerr, where libc still has it, for clnt_pcreateerror(3).
fn no_client() -> *mut c_void {
    let find = retired(b"__rpc_thread_createerr\0");
    if !find.is_null() {
        // SAFETY: a libc function without arguments that returns a pointer to a thread-local variable.
        let error = unsafe {
            core::mem::transmute::<*mut c_void, extern "C" fn() -> *mut CreateError>(find)()
        };
        // SAFETY: as above.
        if let Some(error) = unsafe { error.as_mut() } {
            error.stat = RPC_SYSTEM_ERROR;
            error.error.errno = sys::errno();
        }
    }
    ptr::null_mut()
}

/// The bodies of the hooks: each finds the argument with the destination. Safety: as the function's man page says.
#[allow(clippy::too_many_arguments)]
mod body {
    use super::*;

    /// # Safety
    /// As the function.
    pub unsafe fn rcmd(
        host: *mut *mut c_char,
        port: u16,
        _local: *const c_char,
        _remote: *const c_char,
        _command: *const c_char,
        _error: *mut c_int,
    ) -> Verdict<c_int> {
        // SAFETY: the program's own arguments.
        unsafe { remote_command("rcmd", host, port) }
    }

    /// # Safety
    /// As the function.
    pub unsafe fn rcmd_af(
        host: *mut *mut c_char,
        port: u16,
        _local: *const c_char,
        _remote: *const c_char,
        _command: *const c_char,
        _error: *mut c_int,
        _family: sa_family_t,
    ) -> Verdict<c_int> {
        // SAFETY: the program's own arguments.
        unsafe { remote_command("rcmd_af", host, port) }
    }

    /// # Safety
    /// As the function.
    pub unsafe fn rexec(
        host: *mut *mut c_char,
        port: c_int,
        _user: *const c_char,
        _password: *const c_char,
        _command: *const c_char,
        _error: *mut c_int,
    ) -> Verdict<c_int> {
        // SAFETY: the program's own arguments.
        unsafe { remote_command("rexec", host, port as u16) }
    }

    /// # Safety
    /// As the function.
    pub unsafe fn rexec_af(
        host: *mut *mut c_char,
        port: c_int,
        _user: *const c_char,
        _password: *const c_char,
        _command: *const c_char,
        _error: *mut c_int,
        _family: sa_family_t,
    ) -> Verdict<c_int> {
        // SAFETY: the program's own arguments.
        unsafe { remote_command("rexec_af", host, port as u16) }
    }

    /// # Safety
    /// As the function.
    pub unsafe fn ruserok(
        host: *const c_char,
        _superuser: c_int,
        _remote: *const c_char,
        _local: *const c_char,
    ) -> Verdict<c_int> {
        // SAFETY: the program's own arguments.
        unsafe { of_host("ruserok", host, Use::Other) }
    }

    /// # Safety
    /// As the function.
    pub unsafe fn ruserok_af(
        host: *const c_char,
        _superuser: c_int,
        _remote: *const c_char,
        _local: *const c_char,
        _family: sa_family_t,
    ) -> Verdict<c_int> {
        // SAFETY: the program's own arguments.
        unsafe { of_host("ruserok_af", host, Use::Other) }
    }

    /// # Safety
    /// As the function.
    pub unsafe fn iruserok(
        _address: u32,
        _superuser: c_int,
        _remote: *const c_char,
        _local: *const c_char,
    ) -> Verdict<c_int> {
        user_from_address()
    }

    /// # Safety
    /// As the function.
    pub unsafe fn iruserok_af(
        _address: *const c_void,
        _superuser: c_int,
        _remote: *const c_char,
        _local: *const c_char,
        _family: sa_family_t,
    ) -> Verdict<c_int> {
        user_from_address()
    }

    /// # Safety
    /// As the function.
    pub unsafe fn clnt_create(
        host: *const c_char,
        _program: c_ulong,
        _version: c_ulong,
        protocol: *const c_char,
    ) -> Verdict<*mut c_void> {
        // SAFETY: the program's own arguments.
        unsafe { create(host, protocol) }
    }

    /// # Safety
    /// As the function.
    pub unsafe fn clnttcp_create(
        address: *mut sockaddr_in,
        _program: c_ulong,
        _version: c_ulong,
        socket: *mut c_int,
        _send: c_uint,
        _receive: c_uint,
    ) -> Verdict<*mut c_void> {
        // SAFETY: the program's own arguments.
        unsafe { client("clnttcp_create", address, socket, Use::Connect(0)) }
    }

    /// # Safety
    /// As the function.
    pub unsafe fn clntudp_create(
        address: *mut sockaddr_in,
        _program: c_ulong,
        _version: c_ulong,
        _wait: timeval,
        socket: *mut c_int,
    ) -> Verdict<*mut c_void> {
        // SAFETY: the program's own arguments.
        unsafe { client("clntudp_create", address, socket, Use::Other) }
    }

    /// # Safety
    /// As the function.
    pub unsafe fn clntudp_bufcreate(
        address: *mut sockaddr_in,
        _program: c_ulong,
        _version: c_ulong,
        _wait: timeval,
        socket: *mut c_int,
        _send: c_uint,
        _receive: c_uint,
    ) -> Verdict<*mut c_void> {
        // SAFETY: the program's own arguments.
        unsafe { client("clntudp_bufcreate", address, socket, Use::Other) }
    }

    /// # Safety
    /// As the function.
    pub unsafe fn callrpc(
        host: *const c_char,
        _program: c_ulong,
        _version: c_ulong,
        _procedure: c_ulong,
        _encode: *const c_void,
        _input: *const c_char,
        _decode: *const c_void,
        _output: *mut c_char,
    ) -> Verdict<c_int> {
        // SAFETY: the program's own arguments.
        unsafe { of_host("callrpc", host, Use::Other) }
    }

    /// # Safety
    /// As the function.
    pub unsafe fn getrpcport(
        host: *const c_char,
        _program: c_ulong,
        _version: c_ulong,
        _protocol: c_uint,
    ) -> Verdict<c_int> {
        // SAFETY: the program's own arguments.
        unsafe { of_host("getrpcport", host, Use::Other) }
    }

    /// # Safety
    /// As the function.
    pub unsafe fn pmap_getmaps(address: *mut sockaddr_in) -> Verdict<*mut c_void> {
        // SAFETY: the program's own arguments.
        unsafe { of_address("pmap_getmaps", address, Use::Connect(111)) }
    }

    /// # Safety
    /// As the function.
    pub unsafe fn pmap_getport(
        address: *mut sockaddr_in,
        _program: c_ulong,
        _version: c_ulong,
        _protocol: c_uint,
    ) -> Verdict<u16> {
        // SAFETY: the program's own arguments.
        unsafe { of_address("pmap_getport", address, Use::Other) }
    }

    /// # Safety
    /// As the function.
    pub unsafe fn rtime(
        address: *mut sockaddr_in,
        _time: *mut c_void,
        timeout: *mut c_void,
    ) -> Verdict<c_int> {
        // SAFETY: the program's own arguments.
        unsafe {
            // With a timeout rtime uses UDP.
            let what = if timeout.is_null() {
                Use::Connect(37)
            } else {
                Use::Other
            };
            of_address("rtime", address, what)
        }
    }
}

// Not bound when the library is loaded: hardly any program calls them, and none is async-signal-safe.
hooks! {
    find retired;

    /// rcmd(3): see the module's documentation. Not async-signal-safe, like libc's. After fork: as before. After vfork:
    /// not allowed, as libc's. The same holds for all hooks below.
    fn rcmd(host: *mut *mut c_char, port: u16, local: *const c_char, remote: *const c_char, command: *const c_char, error: *mut c_int) -> c_int
        = body::rcmd, fails -1;

    /// rcmd_af(3).
    fn rcmd_af(host: *mut *mut c_char, port: u16, local: *const c_char, remote: *const c_char, command: *const c_char, error: *mut c_int, family: sa_family_t) -> c_int
        = body::rcmd_af, fails -1;

    /// rexec(3).
    fn rexec(host: *mut *mut c_char, port: c_int, user: *const c_char, password: *const c_char, command: *const c_char, error: *mut c_int) -> c_int
        = body::rexec, fails -1;

    /// rexec_af(3).
    fn rexec_af(host: *mut *mut c_char, port: c_int, user: *const c_char, password: *const c_char, command: *const c_char, error: *mut c_int, family: sa_family_t) -> c_int
        = body::rexec_af, fails -1;

    /// ruserok(3).
    fn ruserok(host: *const c_char, superuser: c_int, remote: *const c_char, local: *const c_char) -> c_int
        = body::ruserok, fails -1;

    /// ruserok_af(3).
    fn ruserok_af(host: *const c_char, superuser: c_int, remote: *const c_char, local: *const c_char, family: sa_family_t) -> c_int
        = body::ruserok_af, fails -1;

    /// iruserok(3).
    fn iruserok(address: u32, superuser: c_int, remote: *const c_char, local: *const c_char) -> c_int
        = body::iruserok, fails -1;

    /// iruserok_af(3).
    fn iruserok_af(address: *const c_void, superuser: c_int, remote: *const c_char, local: *const c_char, family: sa_family_t) -> c_int
        = body::iruserok_af, fails -1;

    /// rpc(3), clnt_create.
    fn clnt_create(host: *const c_char, program: c_ulong, version: c_ulong, protocol: *const c_char) -> *mut c_void
        = body::clnt_create, fails no_client();

    /// rpc(3), clnttcp_create.
    fn clnttcp_create(address: *mut sockaddr_in, program: c_ulong, version: c_ulong, socket: *mut c_int, send: c_uint, receive: c_uint) -> *mut c_void
        = body::clnttcp_create, fails no_client();

    /// rpc(3), clntudp_create.
    fn clntudp_create(address: *mut sockaddr_in, program: c_ulong, version: c_ulong, wait: timeval, socket: *mut c_int) -> *mut c_void
        = body::clntudp_create, fails no_client();

    /// rpc(3), clntudp_bufcreate.
    fn clntudp_bufcreate(address: *mut sockaddr_in, program: c_ulong, version: c_ulong, wait: timeval, socket: *mut c_int, send: c_uint, receive: c_uint) -> *mut c_void
        = body::clntudp_bufcreate, fails no_client();

    /// rpc(3), callrpc.
    fn callrpc(host: *const c_char, program: c_ulong, version: c_ulong, procedure: c_ulong, encode: *const c_void, input: *const c_char, decode: *const c_void, output: *mut c_char) -> c_int
        = body::callrpc, fails RPC_SYSTEM_ERROR;

    /// getrpcport(3).
    fn getrpcport(host: *const c_char, program: c_ulong, version: c_ulong, protocol: c_uint) -> c_int
        = body::getrpcport, fails 0;

    /// rpc(3), pmap_getmaps.
    fn pmap_getmaps(address: *mut sockaddr_in) -> *mut c_void
        = body::pmap_getmaps, fails ptr::null_mut();

    /// rpc(3), pmap_getport.
    fn pmap_getport(address: *mut sockaddr_in, program: c_ulong, version: c_ulong, protocol: c_uint) -> u16
        = body::pmap_getport, fails 0;

    /// rtime(3).
    fn rtime(address: *mut sockaddr_in, time: *mut c_void, timeout: *mut c_void) -> c_int
        = body::rtime, fails -1;
}
