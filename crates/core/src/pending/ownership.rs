//! Whose table it is: a forked child's copy becomes its own, whether or not fork handlers ran.

use super::io_uring::Suspects;
use super::state::Pending;
use super::table::{InheritedConnect, PendingTable};
use crate::own_fds::OwnFds;
use crate::sys::{self, Fd, SignalsBlocked};
use core::sync::atomic::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// What [`Pending::birth`] says: a child found it wiped and has nothing done about it; one of its threads is at it; all
/// is done.
const WIPED: u32 = 0;
const BEING_OWNED: u32 = 1;
const OWNED: u32 = 2;

impl Pending {
    pub(super) fn set_owner(&self) {
        if let Some(word) = self.birth.word() {
            word.store(OWNED, Ordering::Release);
        }
        self.owner.store(sys::pid(), Ordering::Release);
    }

    /// A child that was made by clone(2) without CLONE_VM has had no handler called. At its first call it makes up for
    /// that: before any lock of ours is taken, for a thread that is not there may hold it.
    pub fn detect_fork(&'static self) {
        let is_born = || {
            let word = self.birth.word();
            word.is_some_and(|word| word.load(Ordering::Acquire) != OWNED)
        };
        // One of fork(2) has a handler, which is yet to run.
        if is_born() && !self.is_forking() {
            self.make_up_for_handlers();
        }
    }

    #[cold]
    fn make_up_for_handlers(&'static self) {
        let _signals = SignalsBlocked::new();
        let Some(word) = self.birth.word() else {
            return;
        };
        let first = word.compare_exchange(WIPED, BEING_OWNED, Ordering::AcqRel, Ordering::Acquire);
        if first.is_err() {
            // Another thread of this child is at it.
            while word.load(Ordering::Acquire) == BEING_OWNED {
                sys::pause(Duration::from_micros(50));
            }
            return;
        }
        let (table, dups) = self.raw_locks();
        // SAFETY: the child's other threads, if there are any by now, wait above; this one holds no lock of ours, as it
        // has called no hook yet.
        unsafe {
            table.renew(PendingTable::new);
            dups.renew(BTreeSet::new);
            self.registrations.lock().renew(BTreeMap::new);
            self.registrations.rings.lock().renew(Suspects::new);
            self.deferred.lock().renew(BTreeMap::new);
            self.own_fds.lock().renew(BTreeSet::new);
        }
        self.own();
    }

    /// In a child: the table is its own from now on.
    pub(super) fn own(&'static self) {
        let mut table = self.lock();
        self.set_owner();
        inherit_all(&mut table, &self.own_fds);
        self.recount(&table);
    }
}

/// Turn the parent's entries into inherited connects, and close what belongs to its helper.
fn inherit_all(table: &mut PendingTable, own_fds: &'static OwnFds) {
    table.helper = None;
    table.exiting.clear();
    table.parking = 0;
    // It holds nothing but descriptors, which are closed below, and memory.
    std::mem::forget(table.parked.take());
    std::mem::forget(std::mem::take(&mut table.sleepers));
    std::mem::forget(std::mem::take(&mut table.unwatched));
    // The drivers in it hold nothing but memory; the sockets are those of the entries.
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
            });
        }
        // The helper's references will never be dropped here.
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
