//! Which descriptors are registered with which epoll instance, as far as epoll_ctl(2) was called through libc.
//!
//! epoll belongs to the pair of open file and number, so an exchange of the file under a number loses
//! registrations unless they are replayed. What is kept here is only a hint of the last events and data:
//! EPOLL_CTL_DEL on the old file says whether it is still true.
//!
//! Some programs (libuv) hand their epoll_ctl calls to io_uring, past libc. Where nothing is known about a
//! number, the kernel's own list is read, `/proc/self/fdinfo` of every epoll instance that libc made.
//!
//! One slot for each descriptor number in a sparse table; reading and writing one takes no lock. A number in
//! two or more epoll instances is rare: the others are in a small list.

use crate::lock::Lock;
use crate::sys::{self, Fd};
use core::sync::atomic::{AtomicI32, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::collections::BTreeSet;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Registration {
    pub epoll: Fd,
    pub fd: Fd,
    pub events: u32,
    pub data: u64,
}

/// The epoll instance is stored plus one, so that zeroed memory is an empty slot.
struct Slot {
    epoll: AtomicI32,
    events: AtomicU32,
    data: AtomicU64,
}

const CHUNK: usize = 1024;
const CHUNKS: usize = 1024;

/// Numbers from 0 to 2^20, in chunks that are made on first use.
pub struct Registrations {
    chunks: [AtomicPtr<Slot>; CHUNKS],
    others: Lock<Vec<Registration>>,
    other_count: AtomicUsize,
    /// Epoll instances, closed ones among them until they are looked at.
    instances: Lock<BTreeSet<Fd>>,
    instance_count: AtomicUsize,
}

impl Default for Registrations {
    fn default() -> Registrations {
        Registrations::new()
    }
}

impl Registrations {
    pub const fn new() -> Registrations {
        Registrations {
            chunks: [const { AtomicPtr::new(core::ptr::null_mut()) }; CHUNKS],
            others: Lock::new(Vec::new()),
            other_count: AtomicUsize::new(0),
            instances: Lock::new(BTreeSet::new()),
            instance_count: AtomicUsize::new(0),
        }
    }

    /// epoll_create(2) or epoll_create1(2) succeeded.
    pub fn created(&self, epoll: Fd) {
        let mut instances = self.instances.lock();
        instances.insert(epoll);
        self.instance_count
            .store(instances.len(), Ordering::Release);
    }

    fn slot(&self, fd: Fd, make: bool) -> Option<&Slot> {
        let index = usize::try_from(fd).ok()?;
        let chunk = self.chunks.get(index / CHUNK)?;
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
                // SAFETY: ours was published nowhere.
                unsafe { libc::munmap(slots.cast(), CHUNK * size_of::<Slot>()) };
                slots = theirs;
            }
        }
        // SAFETY: a chunk holds CHUNK slots and is never unmapped once published.
        Some(unsafe { &*slots.add(index % CHUNK) })
    }

    /// epoll_ctl ADD or MOD succeeded.
    pub fn set(&self, new: Registration) {
        let Some(slot) = self.slot(new.fd, true) else {
            return;
        };
        let taken = slot.epoll.load(Ordering::Acquire);
        if taken == 0 || taken == new.epoll + 1 {
            slot.events.store(new.events, Ordering::Relaxed);
            slot.data.store(new.data, Ordering::Relaxed);
            slot.epoll.store(new.epoll + 1, Ordering::Release);
            if self.other_count.load(Ordering::Relaxed) > 0 {
                self.with_others(|others| {
                    others.retain(|r| (r.epoll, r.fd) != (new.epoll, new.fd))
                });
            }
            return;
        }
        self.with_others(|others| {
            others.retain(|r| (r.epoll, r.fd) != (new.epoll, new.fd));
            others.push(new);
        });
    }

    /// epoll_ctl DEL succeeded.
    pub fn remove(&self, epoll: Fd, fd: Fd) {
        if let Some(slot) = self.slot(fd, false) {
            let _ = slot
                .epoll
                .compare_exchange(epoll + 1, 0, Ordering::AcqRel, Ordering::Relaxed);
        }
        if self.other_count.load(Ordering::Relaxed) > 0 {
            self.with_others(|others| others.retain(|r| (r.epoll, r.fd) != (epoll, fd)));
        }
    }

    /// Those of one descriptor, stale ones among them.
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
            self.with_others(|others| found.extend(others.iter().filter(|r| r.fd == fd)));
        }
        found
    }

    /// Take the file that is now under `fd` out of every epoll instance that has it; what was there. The kernel is
    /// asked where nothing that is known was true, which takes time in proportion to all that is registered.
    pub fn take_out(&self, fd: Fd) -> Vec<Registration> {
        let known = self.take_out_known(fd);
        if known.is_empty() && self.instance_count.load(Ordering::Acquire) > 0 {
            return self.take_out_of(self.ask_kernel(fd));
        }
        known
    }

    /// As [`Registrations::take_out`], for a socket that is about to be connected: what is registered by then went
    /// through libc (libuv connects first).
    pub fn take_out_known(&self, fd: Fd) -> Vec<Registration> {
        self.take_out_of(self.of(fd))
    }

    fn take_out_of(&self, mut found: Vec<Registration>) -> Vec<Registration> {
        found.retain(|r| {
            let was_there = sys::epoll_remove(r.epoll, r.fd).is_ok();
            if !was_there {
                self.remove(r.epoll, r.fd);
            }
            was_there
        });
        found
    }

    /// What the kernel says about one number.
    fn ask_kernel(&self, fd: Fd) -> Vec<Registration> {
        let mut found = Vec::new();
        let mut instances = self.instances.lock();
        instances.retain(
            |&epoll| match sys::read_small(&format!("/proc/self/fdinfo/{epoll}\0")) {
                Some(text) => {
                    found.extend(parse_fdinfo(&text, epoll).filter(|r| r.fd == fd));
                    true
                }
                None => false,
            },
        );
        self.instance_count
            .store(instances.len(), Ordering::Release);
        found
    }

    /// Put the file that is now under the number in again.
    pub fn put_back(&self, registrations: &[Registration]) {
        for r in registrations {
            let _ = sys::epoll_set(r.epoll, libc::EPOLL_CTL_ADD, r.fd, r.events, r.data);
        }
    }

    fn with_others<T>(&self, body: impl FnOnce(&mut Vec<Registration>) -> T) -> T {
        let mut others = self.others.lock();
        let result = body(&mut others);
        self.other_count.store(others.len(), Ordering::Relaxed);
        result
    }

    /// The locks, for the handlers around fork.
    pub(super) fn locks(&self) -> (&Lock<Vec<Registration>>, &Lock<BTreeSet<Fd>>) {
        (&self.others, &self.instances)
    }
}

/// The lines `tfd: 5 events: 19 data: 5 …` of proc_pid_fdinfo(5), the last two in hexadecimal.
fn parse_fdinfo(text: &[u8], epoll: Fd) -> impl Iterator<Item = Registration> + '_ {
    let lines = core::str::from_utf8(text).unwrap_or_default().lines();
    lines.filter_map(move |line| {
        let mut words = line.split_ascii_whitespace();
        let mut after = |key: &str| words.find(|word| *word == key).and_then(|_| words.next());
        Some(Registration {
            epoll,
            fd: after("tfd:")?.parse().ok()?,
            events: u32::from_str_radix(after("events:")?, 16).ok()?,
            data: u64::from_str_radix(after("data:")?, 16).ok()?,
        })
    })
}

/// Zeroed memory for a chunk, straight from the kernel: its pages come as they are used.
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
    fn what_did_not_pass_through_libc_is_asked_of_the_kernel() {
        let table = Registrations::new();
        let epoll = sys::epoll().unwrap();
        let (near, far) = sys::stream_pair().unwrap();
        for (fd, data) in [(far.fd(), 1), (near.fd(), 0xdead_beef_0000_0001)] {
            sys::epoll_set(epoll.fd(), libc::EPOLL_CTL_ADD, fd, 4, data).unwrap();
        }
        assert_eq!(table.take_out(near.fd()), []);
        table.created(epoll.fd());
        table.created(9999);
        let there = table.take_out(near.fd());
        let data: Vec<u64> = there.iter().map(|r| r.data).collect();
        assert_eq!(data, [0xdead_beef_0000_0001]);
        assert_eq!(there[0].events & 4, 4);
        table.put_back(&there);
        assert_eq!(table.take_out(near.fd()).len(), 1);
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
        assert_eq!(table.take_out(near.fd()), []);
        sys::epoll_set(epoll.fd(), libc::EPOLL_CTL_ADD, near.fd(), 4, 5).unwrap();
        table.set(registration(epoll.fd(), near.fd(), 5));
        assert_eq!(
            table.take_out(near.fd()),
            [registration(epoll.fd(), near.fd(), 5)]
        );
        assert_eq!(table.take_out(near.fd()), []);
    }
}
