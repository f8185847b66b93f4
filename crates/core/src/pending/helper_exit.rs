//! Being a process without our thread, for the calls that need it.
//!
//! A helper that has nothing left to do ends by itself, but the kernel takes a moment to forget a thread. Some calls
//! fail in a process of two threads, such as unshare(2) of the user namespace and setns(2); others would part the
//! helper from the program, such as unshare(2) of the fd table. Before these, a helper with work to do puts itself
//! aside (`PendingTable::parked`), and another thread takes it up afterwards.

use super::helper::{self, Helper};
use super::state::Pending;
use super::table::PendingTable;
use crate::sys;
use std::time::Duration;

/// Between two looks at a thread that is ending.
const PAUSE: Duration = Duration::from_micros(50);

/// A helper may be asking libc for a proxy's address just then; after this the call is made all the same.
const LOOKS: u32 = 20_000;

/// fork(2) can be called by a signal handler that interrupted malloc(3), for which the helper may be waiting.
const LOOKS_BEFORE_FORK: u32 = 1_000;

impl Pending {
    /// Make a call while no thread of ours is there.
    pub fn without_helper<T>(&'static self, call: impl FnOnce() -> T) -> T {
        if !self.had_helper() || !self.is_owner() || self.is_forking() {
            return call();
        }
        {
            let mut table = self.lock();
            table.parking += 1;
            table.call_helper();
        }
        self.wait_until(LOOKS, |table| {
            (table.helper.is_none() || table.parked.is_some()) && table.exiting.all_gone()
        });
        let result = call();
        if let Some(helper) = self.take_up() {
            helper.run_out();
        }
        result
    }

    /// Have the helper go on that was put aside, if this was the last reason for it. Where no thread can be had any
    /// more, it is returned.
    fn take_up(&'static self) -> Option<Helper> {
        let mut table = self.lock();
        table.parking -= 1;
        if table.parking > 0 {
            return None;
        }
        let helper = Helper {
            pending: self,
            work: table.parked.take()?,
        };
        helper::start(helper).err().map(|(_, helper)| helper)
    }

    /// Before fork(2): let a helper end that has nothing left to do. The child has none of it, but a program that
    /// counts its threads takes it for one of its own (Python 3.12 warns of a fork with threads).
    pub(super) fn let_helper_end(&'static self) {
        if self.had_helper() && self.is_owner() {
            self.wait_until(LOOKS_BEFORE_FORK, |table| match table.is_helper_idle() {
                true => table.helper.is_none() && table.exiting.all_gone(),
                false => true,
            });
        }
    }

    fn wait_until(&self, looks: u32, is_so: impl Fn(&mut PendingTable) -> bool) {
        for _ in 0..looks {
            if is_so(&mut self.lock()) {
                return;
            }
            sys::pause(PAUSE);
        }
    }
}
