//! The socket that replaces the program's where its family does not fit the proxy's (invariant 2).

use crate::errno::Errno;
use crate::sys::{self, Fd, OwnFd};
use libc::{c_int, IPPROTO_TCP, SOL_SOCKET};

/// Integer options that a socket of any family has, or that fail harmlessly where the family lacks them.
const INTEGERS: &[(c_int, c_int)] = &[
    (SOL_SOCKET, libc::SO_KEEPALIVE),
    (SOL_SOCKET, libc::SO_REUSEADDR),
    (SOL_SOCKET, libc::SO_REUSEPORT),
    (SOL_SOCKET, libc::SO_OOBINLINE),
    (SOL_SOCKET, libc::SO_PRIORITY),
    (SOL_SOCKET, libc::SO_MARK),
    (SOL_SOCKET, libc::SO_DONTROUTE),
    (SOL_SOCKET, libc::SO_RCVLOWAT),
    (SOL_SOCKET, libc::SO_BUSY_POLL),
    (IPPROTO_TCP, libc::TCP_NODELAY),
    (IPPROTO_TCP, libc::TCP_KEEPIDLE),
    (IPPROTO_TCP, libc::TCP_KEEPINTVL),
    (IPPROTO_TCP, libc::TCP_KEEPCNT),
    (IPPROTO_TCP, libc::TCP_USER_TIMEOUT),
    (IPPROTO_TCP, libc::TCP_SYNCNT),
    (IPPROTO_TCP, libc::TCP_MAXSEG),
    (IPPROTO_TCP, libc::TCP_QUICKACK),
    (IPPROTO_TCP, libc::TCP_NOTSENT_LOWAT),
];

/// Options for which the kernel reports twice the value that was set (socket(7)).
const BUFFERS: &[c_int] = &[libc::SO_RCVBUF, libc::SO_SNDBUF];

/// A stream socket of `family` with every option of `model` that can be read, close-on-exec, blocking.
pub fn new_like(model: Fd, family: c_int) -> Result<OwnFd, Errno> {
    let replacement = sys::socket(family, libc::SOCK_STREAM, 0)?;
    copy_options(model, replacement.fd())?;
    Ok(replacement)
}

/// Set on `replacement` every option in which `model` differs from a new socket.
pub fn copy_options(model: Fd, replacement: Fd) -> Result<(), Errno> {
    let family = sys::get_option(replacement, SOL_SOCKET, libc::SO_DOMAIN)?;
    let plain = sys::socket(family, libc::SOCK_STREAM, 0)?;
    // A replacement of the same family follows a connect that was tried already, whose handshake set TCP_MAXSEG.
    let was_tried = sys::get_option(model, SOL_SOCKET, libc::SO_DOMAIN) == Ok(family);
    for &(level, name) in INTEGERS {
        if was_tried && name == libc::TCP_MAXSEG && level == IPPROTO_TCP {
            continue;
        }
        copy(model, &plain, replacement, level, name, 1);
    }
    for &name in BUFFERS {
        copy(model, &plain, replacement, SOL_SOCKET, name, 2);
    }
    for name in [libc::SO_RCVTIMEO, libc::SO_SNDTIMEO] {
        if let Ok(time) = sys::get_option::<libc::timeval>(model, SOL_SOCKET, name) {
            let _ = sys::set_option(replacement, SOL_SOCKET, name, &time);
        }
    }
    if let Ok(linger) = sys::get_option::<libc::linger>(model, SOL_SOCKET, libc::SO_LINGER) {
        let _ = sys::set_option(replacement, SOL_SOCKET, libc::SO_LINGER, &linger);
    }
    Ok(())
}

/// Copy one option where the program changed it. Options that a new socket has by itself are left alone:
/// setting SO_RCVBUF to its own default would turn the kernel's auto-tuning off.
fn copy(model: Fd, plain: &OwnFd, replacement: Fd, level: c_int, name: c_int, scale: c_int) {
    let Ok(value) = sys::get_option::<c_int>(model, level, name) else {
        return;
    };
    if sys::get_option(plain.fd(), level, name) != Ok(value) {
        let _ = sys::set_option(replacement, level, name, &(value / scale));
    }
}

/// Install the replacement at the program's fd, with the old socket's flags.
/// Nothing else of the process changes; the old socket is closed unless it has other fds.
pub fn install(replacement: Fd, fd: Fd) -> Result<(), Errno> {
    let flags = sys::status_flags(fd)?;
    sys::set_nonblocking(replacement, flags & libc::O_NONBLOCK != 0)?;
    sys::replace(replacement, fd, sys::closes_on_exec(fd)?)
}
