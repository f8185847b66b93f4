//! Ownership of the table: a forked child takes over its copy, whether or not fork handlers ran.

use super::io_uring::Suspects;
use super::state::Pending;
use super::table::{InheritedConnect, PendingTable};
use crate::own_fds::OwnFds;
use crate::sys::{self, Fd, SignalsBlocked};
use core::sync::atomic::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// The states of [`Pending::birth`]. WIPED: this is a new child whose table was not taken over yet. BEING_TAKEN_OVER:
/// one of its threads is taking it over. OWNED: the table is this process's.
const WIPED: u32 = 0;
const BEING_TAKEN_OVER: u32 = 1;
const OWNED: u32 = 2;

impl Pending {
    pub(super) fn set_owner(&self) {
        if let Some(word) = self.birth.word() {
            word.store(OWNED, Ordering::Release);
        }
        self.owner.store(sys::pid(), Ordering::Release);
    }

    /// No fork handlers run in a child of clone(2) without CLONE_VM. Its first call of a hook makes up for that before
    /// any lock is taken, since a thread that does not exist in the child may have held it.
    pub fn detect_fork(&'static self) {
        let is_new_child = || {
            let word = self.birth.word();
            word.is_some_and(|word| word.load(Ordering::Acquire) != OWNED)
        };
        // A child of fork(2) has a handler, which has not run yet.
        if is_new_child() && !self.is_forking() {
            self.make_up_for_handlers();
        }
    }

    #[cold]
    fn make_up_for_handlers(&'static self) {
        let _signals = SignalsBlocked::new();
        let Some(word) = self.birth.word() else {
            return;
        };
        let first =
            word.compare_exchange(WIPED, BEING_TAKEN_OVER, Ordering::AcqRel, Ordering::Acquire);
        if first.is_err() {
            // Another thread of this child is taking it over.
            while word.load(Ordering::Acquire) == BEING_TAKEN_OVER {
                sys::pause(Duration::from_micros(50));
            }
            return;
        }
        let (table, dups) = self.raw_locks();
        // SAFETY: if the child has other threads by now, they wait above. This thread holds none of the locks, since it
        // has called no hook yet.
        unsafe {
            table.renew(PendingTable::new);
            dups.renew(BTreeSet::new);
            self.registrations.lock().renew(BTreeMap::new);
            self.registrations.rings.lock().renew(Suspects::new);
            self.deferred.lock().renew(BTreeMap::new);
            self.own_fds.lock().renew(BTreeSet::new);
        }
        self.take_over();
    }

    /// In a child: takes over the table.
    pub(super) fn take_over(&'static self) {
        let mut table = self.lock();
        self.set_owner();
        inherit_all(&mut table, &self.own_fds);
        self.any_inherited
            .store(!table.inherited.is_empty(), Ordering::Release);
        self.recount(&table);
    }
}

/// Turns the parent's entries into inherited connects, and closes the fds of its helper.
fn inherit_all(table: &mut PendingTable, own_fds: &'static OwnFds) {
    table.helper = None;
    table.helper_sleeps = false;
    table.exiting.clear();
    table.parking = 0;
    // It owns only fds, which are closed below, and memory.
    std::mem::forget(table.parked.take());
    std::mem::forget(std::mem::take(&mut table.sleepers));
    std::mem::forget(std::mem::take(&mut table.unwatched));
    // The drivers own only memory; the sockets belong to the entries.
    std::mem::take(&mut table.inbox)
        .into_iter()
        .for_each(std::mem::forget);
    table.aborts.clear();
    table.fds.clear();
    let mut kept = BTreeSet::new();
    for entry in std::mem::take(&mut table.entries).into_values() {
        let fds: Vec<Fd> = entry.open_fds().collect();
        if !fds.is_empty() {
            kept.insert(entry.socket.fd());
            table.inherited.push(InheritedConnect {
                fds,
                placeholder: entry.placeholder,
                socket: Arc::new(own_fds.take_over(entry.socket.fd())),
                blocking: entry.blocking,
                changed: false,
                dialled: entry.dialled,
                has_helper: entry.caller.is_none(),
                aborted: false,
                orphaned: false,
            });
        }
        // The helper's references are never dropped in this process.
        std::mem::forget(entry.socket);
        std::mem::forget(entry.wake_end);
    }
    kept.extend(
        table
            .inherited
            .iter()
            .map(|inherited| inherited.socket.fd()),
    );
    own_fds.keep_only(&kept);
}
