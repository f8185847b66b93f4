//! The tunnel of a connect that goes through the proxy.

use super::attempt::{self, Place};
use super::boundary::Verdict;
use super::brief::{self, BRIEF};
use super::driver;
use crate::pending::{ConnectStats, PENDING};
use crate::state::state;
use std::net::SocketAddr;
use tailchain_core::dial::driver::Mode;
use tailchain_core::errno::Errno;
use tailchain_core::host::Target;
use tailchain_core::pending::{BeginResult, FirstStep, Start};
use tailchain_core::router::connect::forget_association;
use tailchain_core::sys::{self, Fd, SignalsBlocked};

/// Makes the tunnel on the program's socket: before returning if the socket blocks, else in the background (EINPROGRESS).
pub fn make(fd: Fd, dialled: SocketAddr, target: Target) -> Result<Verdict<()>, Errno> {
    crate::ALLOCATOR.check()?;
    let state = state();
    let flags = sys::status_flags(fd)?;
    let blocks = flags & libc::O_NONBLOCK == 0;
    // From here on a signal handler that jumps away (siglongjmp(3)) would leave a half-made connect. But a name lookup may
    // take long, and must not delay signals unless the helper does it.
    let may_look_up = state.may_look_up();
    let mut signals = (!blocks || !may_look_up).then(SignalsBlocked::new);
    let place = Place {
        fd,
        dialled,
        family: state.family(fd, dialled)?,
        target,
    };
    if blocks {
        return Ok(attempt::begin(state, place, Mode::Blocking(flags), signals));
    }
    // Open the name table here, not on the helper thread: it would take an fd that the program may be about to get. (A caller
    // that waits opens it while the proxy works on its reply.)
    state.names();
    if let Some(signals) = signals.take_if(|_| !may_look_up && BRIEF.is_worth_trying(&state.config))
    {
        return Ok(brief::connect(state, place, flags, signals));
    }
    let start = Start {
        dialled,
        observer: &ConnectStats,
        first: match may_look_up {
            true => FirstStep::Deferred,
            false => FirstStep::Inline,
        },
    };
    let signals = signals.unwrap_or_default();
    let begun = PENDING.begin(&signals, fd, start, |own| {
        let target = place.target.clone();
        driver::new(state, target, place.family, own, Mode::NonBlocking)
    });
    match begun {
        Ok(BeginResult::Pending) => Err(Errno::EINPROGRESS),
        Ok(BeginResult::Ended(result)) => {
            result.inspect_err(|&errno| forget_association(fd, errno))?;
            Ok(Verdict::Return(()))
        }
        Err((Errno::EALREADY, _)) => Err(Errno::EALREADY),
        Err((errno, _)) => {
            let signals = (!may_look_up).then_some(signals);
            Ok(attempt::wait_instead(state, place, errno, signals))
        }
    }
}
