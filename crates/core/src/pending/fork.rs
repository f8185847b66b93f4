//! The fork handlers of the pending connects: pthread_atfork(3).

use super::state::Pending;
use crate::sys::{self, SignalsBlocked};
use core::sync::atomic::{AtomicPtr, Ordering};

/// A static, since fork handlers take no argument.
static GUARDED: AtomicPtr<Pending> = AtomicPtr::new(core::ptr::null_mut());

/// Installs handlers that hold the locks of `pending` over every fork.
pub fn install(pending: &'static Pending) {
    GUARDED.store(core::ptr::from_ref(pending).cast_mut(), Ordering::Release);
    sys::at_fork(before, in_parent, in_child);
}

fn guarded() -> Option<&'static Pending> {
    let pending = GUARDED.load(Ordering::Acquire);
    // SAFETY: null, or the reference passed to install().
    unsafe { pending.as_ref() }
}

extern "C" fn before() {
    if let Some(pending) = guarded() {
        pending.let_helper_end();
        let (table, dups) = pending.raw_locks();
        // As in Lock::lock: no signal handler may run on this thread and call close(2) while the locks are held.
        let signals = SignalsBlocked::around_fork();
        table.seize();
        // SAFETY: this thread has just locked it.
        let contents = unsafe { table.seized() };
        contents.forking = Some(signals);
        for entry in contents.entries.values_mut() {
            // Its children wait for the parent's status.
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
        pending.take_over();
    }
}

fn release() {
    if let Some(pending) = guarded() {
        let (table, dups) = pending.raw_locks();
        // SAFETY: locked by before(), on this thread or on the thread that forked it.
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
