//! Which fds are registered in which epoll instances, as far as epoll_ctl(2) was called through libc.
//!
//! An epoll registration belongs to the pair of open file and fd, so swapping the file under an fd loses its
//! registrations unless they are made again. This table is only a hint with the last events and data: EPOLL_CTL_DEL on
//! the old file tells whether the registration still exists.
//!
//! Registrations made by an io_uring are not in this table: see `super::io_uring`.
//!
//! A sparse table has one slot per fd, read and written without a lock. An fd in two or more epoll instances is rare:
//! its further registrations are in a small map.

pub use super::registration::Registration;

use super::io_uring::{self, IoUrings};
use crate::errno::Errno;
use crate::lock::Lock;
use crate::sys::{self, Fd, NofileGuard};
use core::ffi::c_int;
use core::sync::atomic::{AtomicI32, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use once_cell::race::OnceBox;
use std::collections::BTreeMap;

/// The epoll instance is stored plus one, so that a zeroed slot is empty.
struct Slot {
    epoll: AtomicI32,
    events: AtomicU32,
    data: AtomicU64,
}

/// The slot of an fd that is in one epoll instance at most: see [`Registrations::place`].
pub struct Place<'a> {
    slot: &'a Slot,
    epoll: Fd,
}

impl Place<'_> {
    /// Records a successful EPOLL_CTL_ADD or EPOLL_CTL_MOD.
    pub fn set(self, events: u32, data: u64) {
        self.slot.set(self.epoll, events, data);
    }

    /// Records a successful EPOLL_CTL_DEL.
    pub fn remove(self) {
        self.slot.remove(self.epoll);
    }
}

impl Slot {
    fn set(&self, epoll: Fd, events: u32, data: u64) {
        self.events.store(events, Ordering::Relaxed);
        self.data.store(data, Ordering::Relaxed);
        self.epoll.store(epoll + 1, Ordering::Release);
    }

    fn remove(&self, epoll: Fd) {
        let _ = self
            .epoll
            .compare_exchange(epoll + 1, 0, Ordering::AcqRel, Ordering::Relaxed);
    }
}

/// Event bits that request no event: the trigger mode, and the events that are always reported. Only these are left
/// when a one-shot registration has fired, or was registered again in that state.
const UNASKED: u32 = (libc::EPOLLONESHOT
    | libc::EPOLLET
    | libc::EPOLLWAKEUP
    | libc::EPOLLEXCLUSIVE
    | libc::EPOLLERR
    | libc::EPOLLHUP) as u32;

const CHUNK: usize = 1024;
const CHUNKS: usize = 1024;

/// Covers fds 0 to 2^20, in chunks allocated on first use. So is the list of chunks: most processes have no epoll
/// instance, and a static of that size would dirty more pages.
pub struct Registrations {
    chunks: OnceBox<[AtomicPtr<Slot>; CHUNKS]>,
    /// Keyed by fd and epoll instance. An fd that moved from one instance to another stays here, since this table does
    /// not learn when it was closed in between.
    others: Lock<BTreeMap<(Fd, Fd), Registration>>,
    other_count: AtomicUsize,
    pub rings: IoUrings,
}

fn no_chunks() -> Box<[AtomicPtr<Slot>; CHUNKS]> {
    Box::new([const { AtomicPtr::new(core::ptr::null_mut()) }; CHUNKS])
}

impl Default for Registrations {
    fn default() -> Registrations {
        Registrations::new()
    }
}

impl Registrations {
    pub const fn new() -> Registrations {
        Registrations {
            chunks: OnceBox::new(),
            others: Lock::new(BTreeMap::new()),
            other_count: AtomicUsize::new(0),
            rings: IoUrings::new(),
        }
    }

    fn slot(&self, fd: Fd, make: bool) -> Option<&Slot> {
        let index = usize::try_from(fd).ok()?;
        let chunks = match self.chunks.get() {
            Some(chunks) => chunks,
            None if make => self.chunks.get_or_init(no_chunks),
            None => return None,
        };
        let chunk = chunks.get(index / CHUNK)?;
        let mut slots = chunk.load(Ordering::Acquire);
        if slots.is_null() {
            if !make {
                return None;
            }
            slots = new_chunk()?;
            if let Err(theirs) = chunk.compare_exchange(
                core::ptr::null_mut(),
                slots,
                Ordering::AcqRel,
                Ordering::Acquire,
            ) {
                // SAFETY: this thread's own chunk, which was not published.
                unsafe { libc::munmap(slots.cast(), CHUNK * size_of::<Slot>()) };
                slots = theirs;
            }
        }
        // SAFETY: a chunk holds CHUNK slots and is never unmapped once published.
        Some(unsafe { &*slots.add(index % CHUNK) })
    }

    /// Where the result of this call is to be recorded, if it takes no lock and no allocation: the fd is in no other
    /// instance, and its slot exists.
    pub fn place(&self, epoll: Fd, operation: c_int, fd: Fd) -> Option<Place<'_>> {
        if self.other_count.load(Ordering::Relaxed) > 0 {
            return None;
        }
        let slot = self.slot(fd, false)?;
        let taken = slot.epoll.load(Ordering::Acquire);
        if taken == epoll.wrapping_add(1) {
            return Some(Place { slot, epoll });
        }
        let is_new = taken == 0 && operation == libc::EPOLL_CTL_ADD;
        is_new.then_some(Place { slot, epoll })
    }

    /// Records a successful EPOLL_CTL_MOD. A registration that was made through another fd of the same instance is
    /// changed, too, and stays known by both: the program may close either.
    pub fn change(&self, new: Registration) {
        let known = self.of(new.fd);
        let is_the_only = known.len() == 1;
        for other in known {
            // The kernel knows the registration, so the only one that is known here must be it.
            let is_same = || is_the_only || sys::is_same_file(other.epoll, new.epoll);
            if other.epoll != new.epoll && is_same() {
                self.set(Registration {
                    epoll: other.epoll,
                    ..new
                });
            }
        }
        self.set(new);
    }

    /// Records a successful EPOLL_CTL_ADD.
    pub fn set(&self, new: Registration) {
        let Some(slot) = self.slot(new.fd, true) else {
            return;
        };
        let taken = slot.epoll.load(Ordering::Acquire);
        if taken == 0 || taken == new.epoll + 1 {
            slot.set(new.epoll, new.events, new.data);
            if self.other_count.load(Ordering::Relaxed) > 0 {
                self.with_others(|others| others.remove(&(new.fd, new.epoll)));
            }
            return;
        }
        self.with_others(|others| others.insert((new.fd, new.epoll), new));
    }

    /// Records a successful EPOLL_CTL_DEL.
    pub fn remove(&self, epoll: Fd, fd: Fd) {
        if let Some(slot) = self.slot(fd, false) {
            slot.remove(epoll);
        }
        if self.other_count.load(Ordering::Relaxed) > 0 {
            self.with_others(|others| others.remove(&(fd, epoll)));
        }
    }

    /// The registrations of an fd, possibly stale ones among them.
    pub fn of(&self, fd: Fd) -> Vec<Registration> {
        let mut found = Vec::new();
        if let Some(slot) = self.slot(fd, false) {
            let epoll = slot.epoll.load(Ordering::Acquire);
            if epoll != 0 {
                found.push(Registration {
                    epoll: epoll - 1,
                    fd,
                    events: slot.events.load(Ordering::Relaxed),
                    data: slot.data.load(Ordering::Relaxed),
                });
            }
        }
        if self.other_count.load(Ordering::Relaxed) > 0 {
            self.with_others(|others| {
                found.extend(others.range((fd, 0)..=(fd, Fd::MAX)).map(|(_, r)| *r))
            });
        }
        found
    }

    /// Makes `fd` refer to the open file of `new`, with its old FD_CLOEXEC and in the same epoll instances as before.
    pub fn swap_fd(&self, new: Fd, fd: Fd) -> Result<(), Errno> {
        let served = self.rings.instances();
        if served.is_empty() {
            let fired = self.fired(fd);
            let mut registered = self.unregister(fd);
            for registration in &mut registered {
                if fired.contains(&registration.epoll) {
                    registration.events &= UNASKED;
                }
            }
            let replaced = Self::replace(new, fd);
            self.reregister(&registered);
            return replaced;
        }
        // This duplicate keeps the old file open to the end, and so any registration that an io_uring makes for it
        // meanwhile. If no fd is available, that last check is skipped.
        let old = NofileGuard::new().duplicate(fd).ok();
        let inode = sys::file_id(fd)?.inode();
        let mut registered = io_uring::registered(&served, fd, inode);
        registered.retain(|r| sys::epoll_remove(r.epoll, r.fd).is_ok());
        registered.extend(self.unregister(fd));
        let replaced = Self::replace(new, fd);
        self.reregister(&registered);
        if replaced.is_ok() {
            self.reregister(&io_uring::registered(&served, fd, inode));
        }
        drop(old);
        replaced
    }

    /// The epoll instances in which this fd's one-shot registration has fired and must stay disabled. Only the kernel
    /// knows that, and asking it is expensive (see `super::io_uring`), so this is done for one-shot registrations only.
    fn fired(&self, fd: Fd) -> Vec<Fd> {
        let mut one_shot = self.of(fd);
        one_shot.retain(|r| r.events & libc::EPOLLONESHOT as u32 != 0);
        if one_shot.is_empty() {
            return Vec::new();
        }
        let Ok(file) = sys::file_id(fd) else {
            return Vec::new();
        };
        let has_fired = |r: &Registration| {
            let listed = io_uring::registered(&[r.epoll], fd, file.inode());
            listed
                .first()
                .is_some_and(|listed| listed.events & !UNASKED == 0)
        };
        one_shot.retain(has_fired);
        one_shot.iter().map(|r| r.epoll).collect()
    }

    fn replace(new: Fd, fd: Fd) -> Result<(), Errno> {
        let on_exec = sys::closes_on_exec(fd)?;
        match sys::replace(new, fd, on_exec) {
            // The program lowered its limit after it opened the fd: dup3(2) then refuses this fd as the target.
            Err(Errno::EBADF) => {
                let limit = NofileGuard::new();
                limit.raise();
                sys::replace(new, fd, on_exec)
            }
            other => other,
        }
    }

    /// Removes the file now under `fd` from every epoll instance; returns the removed registrations.
    fn unregister(&self, fd: Fd) -> Vec<Registration> {
        let mut found = self.of(fd);
        found.retain(|r| {
            let was_there = sys::epoll_remove(r.epoll, r.fd).is_ok();
            if !was_there {
                self.remove(r.epoll, r.fd);
            }
            was_there
        });
        found
    }

    /// Registers the file now under the fd again.
    fn reregister(&self, registrations: &[Registration]) {
        for r in registrations {
            let _ = sys::epoll_set(r.epoll, libc::EPOLL_CTL_ADD, r.fd, r.events, r.data);
        }
    }

    fn with_others<T>(&self, body: impl FnOnce(&mut BTreeMap<(Fd, Fd), Registration>) -> T) -> T {
        let mut others = self.others.lock();
        let result = body(&mut others);
        self.other_count.store(others.len(), Ordering::Relaxed);
        result
    }

    /// The lock, for the fork handlers.
    pub(super) fn lock(&self) -> &Lock<BTreeMap<(Fd, Fd), Registration>> {
        &self.others
    }
}

/// Zeroed memory for a chunk, from mmap(2): its pages are allocated on first use.
fn new_chunk() -> Option<*mut Slot> {
    // SAFETY: a new private mapping; nothing else is touched.
    let memory = unsafe {
        libc::mmap(
            core::ptr::null_mut(),
            CHUNK * size_of::<Slot>(),
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        )
    };
    (memory != libc::MAP_FAILED).then_some(memory.cast())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn registration(epoll: Fd, fd: Fd, data: u64) -> Registration {
        Registration {
            epoll,
            fd,
            events: 4,
            data,
        }
    }

    #[test]
    fn the_last_event_of_a_number_is_kept() {
        let table = Registrations::new();
        table.set(registration(7, 9, 1));
        table.set(registration(7, 9, 2));
        assert_eq!(table.of(9), [registration(7, 9, 2)]);
        assert_eq!(table.of(10), []);
    }

    #[test]
    fn a_number_can_be_in_several_instances() {
        let table = Registrations::new();
        table.set(registration(7, 2000, 1));
        table.set(registration(8, 2000, 2));
        table.set(registration(8, 2000, 3));
        assert_eq!(
            table.of(2000),
            [registration(7, 2000, 1), registration(8, 2000, 3)]
        );
        table.remove(7, 2000);
        assert_eq!(table.of(2000), [registration(8, 2000, 3)]);
        table.remove(8, 2000);
        assert_eq!(table.of(2000), []);
    }

    #[test]
    fn the_usual_call_has_a_place() {
        let table = Registrations::new();
        let place = |epoll, operation, fd| table.place(epoll, operation, fd).is_some();
        let (add, change) = (libc::EPOLL_CTL_ADD, libc::EPOLL_CTL_MOD);
        assert!(!place(7, add, 9), "its slot is yet to be allocated");
        table.set(registration(7, 9, 1));
        assert!(place(7, change, 9) && place(7, add, 9) && place(8, add, 10));
        assert!(!place(8, change, 9) && !place(8, add, 9) && !place(8, change, 10));
        assert!(!place(7, add, -1) && !place(7, add, i32::MAX) && !place(i32::MAX, change, 9));
        table.place(7, change, 9).unwrap().set(5, 6);
        let changed = Registration {
            events: 5,
            ..registration(7, 9, 6)
        };
        assert_eq!(table.of(9), [changed]);
        table.place(7, libc::EPOLL_CTL_DEL, 9).unwrap().remove();
        assert_eq!(table.of(9), []);
        table.set(registration(7, 9, 1));
        table.set(registration(8, 9, 2));
        assert!(!place(7, change, 9), "an fd is in two instances");
    }

    #[test]
    fn numbers_that_were_in_another_instance_once_do_not_make_the_rest_slow() {
        // The time for 1000 changes, while `fds` fds are in a second instance.
        let time = |fds: Fd| {
            let table = Registrations::new();
            for fd in 0..fds {
                table.set(registration(30_001, fd, 1));
                table.set(registration(30_002, fd, 2));
            }
            let rounds = (0..5).map(|_| {
                let start = std::time::Instant::now();
                for i in 0..1000 {
                    table.set(registration(30_002, i % fds, 3));
                }
                start.elapsed()
            });
            rounds.min().unwrap()
        };
        let (few, many) = (time(50), time(10_000));
        assert!(many < few * 15, "{few:?}, {many:?}");
    }

    #[test]
    fn numbers_that_cannot_be_are_ignored() {
        let table = Registrations::new();
        table.set(registration(7, -1, 1));
        table.set(registration(7, i32::MAX, 1));
        assert_eq!(table.of(-1), []);
        assert_eq!(table.of(i32::MAX), []);
    }

    #[test]
    fn what_the_kernel_does_not_know_is_forgotten() {
        let table = Registrations::new();
        let epoll = sys::epoll().unwrap();
        let (near, _far) = sys::stream_pair().unwrap();
        table.set(registration(epoll.fd(), near.fd(), 1));
        assert_eq!(table.unregister(near.fd()), []);
        sys::epoll_set(epoll.fd(), libc::EPOLL_CTL_ADD, near.fd(), 4, 5).unwrap();
        table.set(registration(epoll.fd(), near.fd(), 5));
        assert_eq!(
            table.unregister(near.fd()),
            [registration(epoll.fd(), near.fd(), 5)]
        );
        assert_eq!(table.unregister(near.fd()), []);
    }
}
