//! Calls that must run while the process has no helper thread.
//!
//! A helper without work exits by itself, but the kernel takes a moment to remove the thread. Some calls fail in a
//! multithreaded process, e.g. setns(2) and unshare(2) of the user namespace. Others would separate the helper from the
//! program, e.g. unshare(2) of the fd table. Before such a call a busy helper parks its work (`PendingTable::parked`) and
//! exits; afterwards a new thread resumes the work.

use super::helper::{self, Helper};
use super::state::Pending;
use super::table::PendingTable;
use crate::sys;
use std::time::Duration;

/// The interval between two checks of an exiting thread.
const CHECK_INTERVAL: Duration = Duration::from_micros(50);

/// Checks before the call is made anyway: the helper may be resolving a proxy's name in libc.
const MAX_CHECKS: u32 = 20_000;

/// Checks before fork(2), which a signal handler may call that interrupted malloc(3); the helper may wait for malloc's
/// lock.
const MAX_CHECKS_BEFORE_FORK: u32 = 1_000;

impl Pending {
    /// Runs `call` while the process has no helper thread.
    pub fn without_helper<T>(&'static self, call: impl FnOnce() -> T) -> T {
        if !self.had_helper() || !self.is_owner() || self.is_forking() {
            return call();
        }
        {
            let mut table = self.lock();
            table.parking += 1;
            table.call_helper();
        }
        self.wait_until(MAX_CHECKS, |table| {
            (table.helper.is_none() || table.parked.is_some()) && table.exiting.all_gone()
        });
        let result = call();
        if let Some(helper) = self.resume_helper() {
            helper.fail_without_thread();
        }
        result
    }

    /// Restarts the parked helper, if no other call needs its absence. Returns the helper if no thread can be created.
    fn resume_helper(&'static self) -> Option<Box<Helper>> {
        let mut table = self.lock();
        table.parking -= 1;
        if table.parking > 0 {
            return None;
        }
        let helper = Helper::new(self, table.parked.take()?);
        helper::start(helper).err().map(|(_, helper)| helper)
    }

    /// Before fork(2): lets an idle helper exit. The child would not have it anyway, but programs that count their
    /// threads take it for one of theirs (Python 3.12 warns of a fork in a multithreaded process).
    pub(super) fn let_helper_end(&'static self) {
        if self.had_helper() && self.is_owner() {
            self.wait_until(MAX_CHECKS_BEFORE_FORK, |table| {
                match table.is_helper_idle() {
                    true => table.helper.is_none() && table.exiting.all_gone(),
                    false => true,
                }
            });
        }
    }

    fn wait_until(&self, looks: u32, is_so: impl Fn(&mut PendingTable) -> bool) {
        for _ in 0..looks {
            if is_so(&mut self.lock()) {
                return;
            }
            sys::pause(CHECK_INTERVAL);
        }
    }
}
