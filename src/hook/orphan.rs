//! Connects that were pending when the process was forked ([`tailchain_core::pending`]): whoever asks about one gets the
//! parent's result, or dials again if the parent is gone.

use super::driver;
use crate::pending::{ConnectStats, PENDING};
use crate::state::state;
use std::net::SocketAddr;
use std::sync::Arc;
use tailchain_core::dial::driver::Mode;
use tailchain_core::errno::Errno;
use tailchain_core::own_fds::RegisteredFd;
use tailchain_core::pending::{BeginResult, FirstStep, Inherited, Start};
use tailchain_core::router::connect::{Decision, Kind};
use tailchain_core::sys::{Fd, SignalsBlocked, SockAddr};

/// To be called before the state of a socket is looked at. An inherited connect that has ended is no longer pending
/// afterwards; one that was orphaned is a pending connect of this process.
pub fn settle(fd: Fd) {
    if let Inherited::Orphan(dialled) = PENDING.poll_inherited(fd) {
        if dial_again(fd, dialled).is_err() {
            PENDING.end_orphan(fd, Errno::ECONNABORTED.into());
        }
    }
}

/// The program's socket, while a connect is pending on `fd`.
pub fn socket_of(fd: Fd) -> Option<Arc<RegisteredFd>> {
    settle(fd);
    PENDING.socket_of(fd)
}

fn dial_again(fd: Fd, dialled: SocketAddr) -> Result<(), Errno> {
    crate::ALLOCATOR.check()?;
    let state = state();
    let length = SockAddr::from(dialled).as_bytes().len() as libc::socklen_t;
    let Decision::Tunnel(dialled, target) = state.decide(fd, Kind::Tcp, dialled, length) else {
        return Err(Errno::ECONNABORTED);
    };
    let socket = PENDING.socket_of(fd).ok_or(Errno::EBADF)?;
    let family = state.family(socket.fd(), dialled)?;
    drop(socket);
    state.names();
    let start = Start {
        dialled,
        observer: &ConnectStats,
        first: match state.may_look_up() {
            true => FirstStep::Deferred,
            false => FirstStep::Inline,
        },
    };
    let begun = PENDING.begin(&SignalsBlocked::new(), fd, start, |own| {
        driver::new(state, target, family, own, Mode::NonBlocking)
    });
    match begun {
        Ok(BeginResult::Ended(Err(errno))) => {
            PENDING.leave_error(fd, errno.into());
            Ok(())
        }
        Ok(_) => Ok(()),
        Err((errno, _)) => Err(errno),
    }
}
