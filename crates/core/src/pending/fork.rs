//! Pending connects in a child that was forked meanwhile.
//!
//! The parent goes on and finishes them; no thread of ours runs in the child. The child's fds still refer
//! to the placeholder, which wakes when the parent is done and holds a word from it. A program that waited for
//! a connect asks for SO_ERROR next, or calls connect again, or makes the socket blocking: when the parent is done by
//! then, the child puts the socket under its fd, too. One that asks nothing gets an error: EPIPE when it writes, and in the end
//! an end of file when it reads; nothing hangs.

use super::connects::Pending;
use super::io_uring::Suspects;
use super::placeholder::{parent_status, ParentStatus};
use super::table::PendingTable;
use crate::dial::error_socket;
use crate::errno::Errno;
use crate::own_fds::{OwnFds, RegisteredFd};
use crate::sys::{self, Fd, FileId, SignalsBlocked};
use core::sync::atomic::{AtomicPtr, Ordering};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

pub struct InheritedConnect {
    pub fds: Vec<Fd>,
    /// The file that is under all of them.
    pub placeholder: FileId,
    pub socket: Arc<RegisteredFd>,
    /// As [`super::table::Entry::blocking`].
    pub blocking: bool,
    /// By this process. The flag is the open file's, and so is shared with the parent.
    pub changed: bool,
}

/// The handlers take no argument.
static GUARDED: AtomicPtr<Pending> = AtomicPtr::new(core::ptr::null_mut());

/// Hold the locks of `pending` over every fork.
pub fn install(pending: &'static Pending) {
    GUARDED.store(core::ptr::from_ref(pending).cast_mut(), Ordering::Release);
    sys::at_fork(before, in_parent, in_child);
}

fn guarded() -> Option<&'static Pending> {
    let pending = GUARDED.load(Ordering::Acquire);
    // SAFETY: null, or what install() was given.
    unsafe { pending.as_ref() }
}

extern "C" fn before() {
    if let Some(pending) = guarded() {
        pending.let_helper_end();
        let (table, dups) = pending.raw_locks();
        // As in Lock::lock: no handler may run on this thread while it holds them, and call close(2).
        let signals = SignalsBlocked::around_fork();
        table.seize();
        // SAFETY: seized just now, on this thread.
        let contents = unsafe { table.seized() };
        contents.forking = Some(signals);
        for entry in contents.entries.values_mut() {
            // Its children will wait for word.
            entry.forked = true;
        }
        dups.seize();
        pending.registrations.lock().seize();
        pending.registrations.rings.lock().seize();
        pending.deferred.lock().seize();
        pending.own_fds.lock().seize();
    }
}

extern "C" fn in_parent() {
    release();
}

extern "C" fn in_child() {
    release();
    if let Some(pending) = guarded() {
        own(pending);
    }
}

/// In a child: the table is its own from now on.
fn own(pending: &'static Pending) {
    let mut table = pending.lock();
    pending.set_owner();
    inherit_all(&mut table, &pending.own_fds);
    pending.recount(&table);
}

/// What [`Pending::birth`] says: a child found it wiped and has nothing done about it; one of its threads is at it; all
/// is done.
const WIPED: u32 = 0;
const BEING_OWNED: u32 = 1;
pub const OWNED: u32 = 2;

fn release() {
    if let Some(pending) = guarded() {
        let (table, dups) = pending.raw_locks();
        // SAFETY: seized by before(), on this thread or on the one that forked it.
        let signals = unsafe {
            pending.own_fds.lock().release();
            pending.deferred.lock().release();
            pending.registrations.rings.lock().release();
            pending.registrations.lock().release();
            dups.release();
            let signals = table.seized().forking.take();
            table.release();
            signals
        };
        drop(signals);
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

impl Pending {
    /// A child that was made by clone(2) without CLONE_VM has had no handler called. At its first call it makes up for
    /// that: before any lock of ours is taken, for a thread that is not there may hold it.
    pub fn detect_fork(&self) {
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
    fn make_up_for_handlers(&self) {
        let _signals = SignalsBlocked::new();
        let (Some(word), Some(pending)) = (self.birth.word(), guarded()) else {
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
        let (table, dups) = pending.raw_locks();
        // SAFETY: the child's other threads, if there are any by now, wait above; this one holds no lock of ours, as it
        // has called no hook yet.
        unsafe {
            table.renew(PendingTable::new);
            dups.renew(BTreeSet::new);
            pending.registrations.lock().renew(BTreeMap::new);
            pending.registrations.rings.lock().renew(Suspects::new);
            pending.deferred.lock().renew(BTreeMap::new);
            pending.own_fds.lock().renew(BTreeSet::new);
        }
        own(pending);
    }

    /// What the parent has published of an inherited connect; once it ended, its socket is back at its fds.
    /// `None`: not inherited. `Some(None)`: still pending.
    pub fn poll_inherited(&self, fd: Fd) -> Option<Option<Result<(), Errno>>> {
        let mut table = self.open()?;
        let index = table.inherited_index(fd)?;
        let result = match parent_status(fd) {
            ParentStatus::Dialling => return Some(None),
            ParentStatus::Ended(result) => result,
            ParentStatus::Gone => Err(Errno::ECONNABORTED),
        };
        let inherited = table.inherited.swap_remove(index);
        self.recount(&table);
        let unfinished = result == Err(Errno::ECONNABORTED);
        if unfinished {
            // Nobody finished it: what is half made must not look like a connection.
            error_socket::make(inherited.socket.fd());
        }
        if inherited.changed || unfinished {
            let _ = sys::set_nonblocking(inherited.socket.fd(), !inherited.blocking);
        }
        for &fd in &inherited.fds {
            self.install_at(inherited.socket.fd(), fd);
        }
        Some(Some(result))
    }
}
