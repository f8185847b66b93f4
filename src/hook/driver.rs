//! The driver of a tunnel, with what it needs of this process.

use crate::pending::PENDING;
use crate::state::{Libc, State};
use tailchain_core::dial::driver::{Driver, Mode};
use tailchain_core::dial::endpoint::Family;
use tailchain_core::dial::Dial;
use tailchain_core::host::Target;
use tailchain_core::sys::{self, Fd};

/// A driver for a tunnel to `target` on `socket`, which is of this family.
pub fn new(
    state: &'static State,
    target: Target,
    family: Family,
    socket: Fd,
    mode: Mode,
) -> Driver<'static> {
    let dial = Dial::new(&state.config, target, state.chain_seed(), state, sys::now());
    Driver::new(dial, socket, family, mode, &Libc, PENDING.own_fds())
}
