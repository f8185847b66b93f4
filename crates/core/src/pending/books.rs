//! The books: which numbers of the program are placeholders, and for what.

use super::absence::Leaving;
use super::helper::{self, Helper, Job};
use super::orphans::Orphan;
use super::placeholder::FarEnd;
use crate::own_fds::RegisteredFd;
use crate::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use crate::sys::{self, Fd, FileId, SignalsBlocked};
use std::collections::BTreeMap;
use std::sync::Arc;

pub(super) struct Books {
    pub entries: BTreeMap<u64, Entry>,
    /// The program's number -> entry; stale where the entry does not name the number.
    pub numbers: BTreeMap<Fd, u64>,
    pub orphans: Vec<Orphan>,
    pub helper: Option<helper::Address>,
    pub inbox: Vec<Job>,
    /// Placeholders that somebody sleeps on for reading alone: poll(2) looks the number up again when it is woken, but
    /// sleeps on at the old file. When there is something to read, the far end goes, and with it the sleep. Until then
    /// the helper stays.
    pub sleepers: BTreeMap<u64, Arc<FarEnd>>,
    /// The helper, put aside while somebody needs the process to be without it; its address stays valid.
    pub parked: Option<Box<Helper>>,
    /// Calls that need the process to be without a helper at this moment.
    pub parking: usize,
    pub leaving: Leaving,
    /// Entries that are to fail now, by shutdown(2).
    pub cut: Vec<u64>,
    /// Those that the helper is still to take in, each with the number that is the socket's again.
    pub unwatched: Vec<(u64, Arc<FarEnd>, Fd)>,
    pub next: u64,
    /// While fork(2) is under way.
    pub forking: Option<SignalsBlocked>,
}

pub(super) struct Entry {
    pub id: u64,
    pub numbers: Vec<Number>,
    pub placeholder: FileId,
    pub far: Arc<FarEnd>,
    /// The program's socket, under a number of ours.
    pub socket: Arc<RegisteredFd>,
    /// The number of the fresh socket that the tunnel is made on instead, or -1.
    pub fresh: Arc<AtomicI32>,
    /// A child was forked meanwhile, and waits for word.
    pub forked: bool,
    /// The caller of connect(2), who waits for it and makes the tunnel itself. `None`: the helper has it.
    pub caller: Option<Caller>,
    /// The program wants its socket to block: O_NONBLOCK stays on the placeholder all the same.
    pub blocking: bool,
}

/// Who makes the tunnel of a connect that it waits for.
pub(super) struct Caller {
    pub thread: usize,
    /// Tells it to end.
    pub abort: Arc<AtomicBool>,
}

/// A number of the program that was given to a placeholder.
#[derive(Clone, Copy)]
pub(super) struct Number {
    pub fd: Fd,
    /// The program has not closed it since.
    pub open: bool,
}

impl Number {
    pub fn new(fd: Fd) -> Number {
        Number { fd, open: true }
    }
}

impl Entry {
    /// The numbers that are to be exchanged: none that the program has closed and somebody else may have by now.
    pub fn open_numbers(&self) -> impl Iterator<Item = Fd> + '_ {
        let open = self.numbers.iter().filter(|number| number.open);
        open.map(|number| number.fd)
    }

    /// End the attempt of a caller that waits, and wake it. `false`: it is the helper's.
    pub fn abort_caller(&self) -> bool {
        let Some(caller) = &self.caller else {
            return false;
        };
        caller.abort.store(true, Ordering::Release);
        let fresh = self.fresh.load(Ordering::Acquire);
        let socket = if fresh < 0 { self.socket.fd() } else { fresh };
        // Where it is not connecting, the caller only pauses, and looks soon.
        let _ = sys::shutdown(socket, libc::SHUT_RDWR);
        true
    }

    /// Whether the calling thread is the one that makes the tunnel: it must not wait for its end.
    pub fn is_waited_for_here(&self) -> bool {
        let caller = self.caller.as_ref();
        caller.is_some_and(|caller| caller.thread == sys::this_thread())
    }

    /// The program closes these. Whether there were any, and no other is left.
    pub fn closed(&mut self, which: impl Fn(Fd) -> bool) -> bool {
        let mut any = false;
        for number in &mut self.numbers {
            let closes = number.open && which(number.fd);
            number.open &= !closes;
            any |= closes;
        }
        any && self.open_numbers().next().is_none()
    }
}

impl Books {
    pub const fn new() -> Books {
        Books {
            entries: BTreeMap::new(),
            numbers: BTreeMap::new(),
            orphans: Vec::new(),
            helper: None,
            inbox: Vec::new(),
            sleepers: BTreeMap::new(),
            parked: None,
            parking: 0,
            leaving: Leaving::new(),
            cut: Vec::new(),
            unwatched: Vec::new(),
            next: 1,
            forking: None,
        }
    }

    pub fn call_helper(&self) {
        if let Some(helper) = &self.helper {
            sys::signal_event(helper.wake);
        }
    }

    /// Whether a helper, if there is one, is about to end.
    pub fn is_helper_idle(&self) -> bool {
        // An entry without a job is being begun by its caller this moment, or its caller makes the tunnel.
        let waited = self.entries.values().all(|entry| entry.caller.is_some());
        let nothing_new = self.inbox.is_empty() && self.unwatched.is_empty();
        let mut sleepers = self.sleepers.values();
        nothing_new && waited && sleepers.all(|far| far.is_deserted())
    }

    pub fn entry_of(&mut self, fd: Fd) -> Option<&mut Entry> {
        let entry = self.entries.get_mut(self.numbers.get(&fd)?)?;
        let placeholder = entry.placeholder;
        let mut numbers = entry.numbers.iter_mut();
        let number = numbers.find(|number| number.fd == fd && number.open)?;
        if sys::file_id(fd) != Ok(placeholder) {
            // Closed past our hooks (syscall(2), fclose(3)): the number is another file's by now.
            number.open = false;
            return None;
        }
        Some(entry)
    }

    pub fn is_pending(&mut self, fd: Fd) -> bool {
        self.entry_of(fd).is_some()
    }

    /// Take an entry out, with all its numbers that are not another's by now.
    pub fn strike(&mut self, id: u64) -> Option<Entry> {
        let entry = self.entries.remove(&id)?;
        for number in &entry.numbers {
            if self.numbers.get(&number.fd) == Some(&id) {
                self.numbers.remove(&number.fd);
            }
        }
        Some(entry)
    }

    pub fn orphan_of(&mut self, fd: Fd) -> Option<&mut Orphan> {
        let index = self.orphan_index(fd)?;
        self.orphans.get_mut(index)
    }

    pub fn orphan_index(&mut self, fd: Fd) -> Option<usize> {
        let index = self
            .orphans
            .iter()
            .position(|orphan| orphan.fds.contains(&fd))?;
        let placeholder = self.orphans.get(index)?.placeholder;
        if sys::file_id(fd) != Ok(placeholder) {
            // Closed past our hooks: the number is another file's by now.
            self.forget_orphans(|number| number == fd);
            return None;
        }
        Some(index)
    }

    pub fn forget_orphans(&mut self, closed: impl Fn(Fd) -> bool) {
        for orphan in &mut self.orphans {
            orphan.fds.retain(|&fd| !closed(fd));
        }
        self.orphans.retain(|orphan| !orphan.fds.is_empty());
    }
}
