//! The table: which fds of the program are placeholders, and for which connects.

use super::job::{Job, Workload};
use super::placeholder::WakeEnd;
use crate::own_fds::RegisteredFd;
use crate::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use crate::sys::{self, Fd, FileId, SignalsBlocked};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

pub(super) struct PendingTable {
    pub entries: BTreeMap<u64, Entry>,
    /// The program's fd -> entry; stale if the entry does not list the fd.
    pub fds: BTreeMap<Fd, u64>,
    pub inherited: Vec<InheritedConnect>,
    /// The fd that wakes the helper, which owns it.
    pub helper: Option<Fd>,
    /// The helper has found nothing new here and is about to sleep: it must be woken.
    pub helper_sleeps: bool,
    pub inbox: Vec<Job>,
    /// Wake ends of placeholders that a thread may still sleep on for reading only. When woken, poll(2) looks the fd up
    /// again, but a read sleeps on in the old file. When the socket is readable, the wake end is closed, which ends the
    /// sleep. The helper stays until then.
    pub sleepers: BTreeMap<u64, Sleeper>,
    /// The work of a parked helper; its address stays valid.
    pub parked: Option<Box<Workload>>,
    /// How many calls currently need the process to have no helper.
    pub parking: usize,
    pub exiting: ExitingHelpers,
    /// Entries to abort, by shutdown(2).
    pub aborts: Vec<u64>,
    /// Sleepers that the helper does not watch yet, each with the fd that refers to the socket again.
    pub unwatched: Vec<(u64, Arc<WakeEnd>, Fd)>,
    pub next: u64,
    /// The blocked signals while fork(2) is in progress.
    pub forking: Option<SignalsBlocked>,
}

pub(super) struct Sleeper {
    pub wake_end: Arc<WakeEnd>,
    /// The program's fd of the socket.
    pub fd: Fd,
}

pub(super) struct Entry {
    pub id: u64,
    pub fds: Vec<ProgramFd>,
    pub placeholder: FileId,
    pub wake_end: Arc<WakeEnd>,
    /// The program's socket, under an own fd.
    pub socket: Arc<RegisteredFd>,
    /// The fd of the replacement that the dial uses instead, or -1.
    pub replacement: Arc<AtomicI32>,
    /// The process was forked meanwhile, and the child waits for the status.
    pub forked: bool,
    /// The thread in connect(2) that drives the dial itself. `None`: the helper drives it.
    pub caller: Option<Caller>,
    /// The program wants its socket to block. O_NONBLOCK stays set on the placeholder nevertheless.
    pub blocking: bool,
    /// As the program dialled it. `None`: the caller drives the dial.
    pub dialled: Option<SocketAddr>,
    /// An inherited connect that this process dials again, since the parent is gone. The parent's end has woken whoever
    /// waited for the socket, who now asks for SO_ERROR and must not take 0 for success.
    pub redialled: bool,
}

/// The thread that drives the connect it waits for.
pub(super) struct Caller {
    pub thread: usize,
    /// Tells it to abort.
    pub abort: Arc<AtomicBool>,
}

/// An fd of the program that refers to a placeholder.
#[derive(Clone, Copy)]
pub(super) struct ProgramFd {
    pub fd: Fd,
    /// The program has not closed it since.
    pub open: bool,
}

impl ProgramFd {
    pub fn new(fd: Fd) -> ProgramFd {
        ProgramFd { fd, open: true }
    }
}

impl Entry {
    /// The fds to swap: not those that the program has closed, which may refer to another file by now.
    pub fn open_fds(&self) -> impl Iterator<Item = Fd> + '_ {
        let open = self.fds.iter().filter(|fd| fd.open);
        open.map(|fd| fd.fd)
    }

    /// Aborts a connect that its caller drives, and wakes the caller. `false`: the helper drives it.
    pub fn abort_caller(&self) -> bool {
        let Some(caller) = &self.caller else {
            return false;
        };
        caller.abort.store(true, Ordering::Release);
        let replacement = self.replacement.load(Ordering::Acquire);
        let socket = if replacement < 0 {
            self.socket.fd()
        } else {
            replacement
        };
        // If the socket is not connecting, the caller only pauses, and checks soon.
        let _ = sys::shutdown(socket, libc::SHUT_RDWR);
        true
    }

    /// Whether the calling thread drives the dial: then it must not wait for its end.
    pub fn is_driven_here(&self) -> bool {
        let caller = self.caller.as_ref();
        caller.is_some_and(|caller| caller.thread == sys::this_thread())
    }

    /// Marks fds that the program closes. Returns whether any matched and no other fd is left.
    pub fn closed(&mut self, which: impl Fn(Fd) -> bool) -> bool {
        let mut any = false;
        for fd in &mut self.fds {
            let closes = fd.open && which(fd.fd);
            fd.open &= !closes;
            any |= closes;
        }
        any && self.open_fds().next().is_none()
    }
}

/// A connect that was pending when this process was forked: the parent drives the dial.
pub struct InheritedConnect {
    pub fds: Vec<Fd>,
    /// The file under all its fds.
    pub placeholder: FileId,
    pub socket: Arc<RegisteredFd>,
    /// As [`Entry::blocking`].
    pub blocking: bool,
    /// Changed by this process. The flag belongs to the open file, which the parent shares.
    pub changed: bool,
    /// As [`Entry::dialled`].
    pub dialled: Option<SocketAddr>,
    /// The parent's helper drives it, and aborts it for this process.
    pub has_helper: bool,
    /// This process has aborted it.
    pub aborted: bool,
    /// The parent is gone, and this process is the one of its children that may dial again.
    pub orphaned: bool,
}

impl InheritedConnect {
    /// The fds that still refer to the placeholder: not those that were closed without our hooks.
    pub fn open_fds(&self) -> Vec<Fd> {
        let is_open = |fd: &Fd| sys::file_id(*fd) == Ok(self.placeholder);
        self.fds.iter().copied().filter(is_open).collect()
    }
}

/// The most recent helpers that exited: threads that the kernel may not have removed yet.
pub(super) struct ExitingHelpers {
    threads: [libc::pid_t; 8],
    next: usize,
}

impl ExitingHelpers {
    pub const fn new() -> ExitingHelpers {
        ExitingHelpers {
            threads: [0; 8],
            next: 0,
        }
    }

    /// To be called by a thread that is about to exit.
    pub fn add_this(&mut self) {
        let place = self.next % self.threads.len();
        self.next = place + 1;
        if let Some(thread) = self.threads.get_mut(place) {
            *thread = sys::thread_id();
        }
    }

    pub fn all_gone(&mut self) -> bool {
        for thread in &mut self.threads {
            if *thread != 0 && !sys::has_thread(*thread) {
                *thread = 0;
            }
        }
        self.threads == [0; 8]
    }

    /// In a forked child, which has none of these threads.
    pub fn clear(&mut self) {
        *self = ExitingHelpers::new();
    }
}

impl PendingTable {
    pub const fn new() -> PendingTable {
        PendingTable {
            entries: BTreeMap::new(),
            fds: BTreeMap::new(),
            inherited: Vec::new(),
            helper: None,
            helper_sleeps: false,
            inbox: Vec::new(),
            sleepers: BTreeMap::new(),
            parked: None,
            parking: 0,
            exiting: ExitingHelpers::new(),
            aborts: Vec::new(),
            unwatched: Vec::new(),
            next: 1,
            forking: None,
        }
    }

    /// Lets the helper look at the table.
    pub fn call_helper(&mut self) {
        if let (true, Some(helper)) = (self.helper_sleeps, self.helper) {
            self.helper_sleeps = false;
            sys::signal_event(helper);
        }
    }

    /// To be called by the helper's thread when it is about to exit.
    pub fn helper_is_over(&mut self) {
        self.helper = None;
        self.helper_sleeps = false;
        self.sleepers.clear();
        self.exiting.add_this();
    }

    /// Whether the helper, if there is one, has no work: it is about to exit.
    pub fn is_helper_idle(&self) -> bool {
        // An entry without a job is being started by its caller, or driven by it.
        let waited = self.entries.values().all(|entry| entry.caller.is_some());
        let nothing_new = self.inbox.is_empty() && self.unwatched.is_empty();
        let mut sleepers = self.sleepers.values();
        nothing_new && waited && sleepers.all(|sleeper| sleeper.wake_end.peer_closed())
    }

    pub fn entry_of(&mut self, fd: Fd) -> Option<&mut Entry> {
        let entry = self.entries.get_mut(self.fds.get(&fd)?)?;
        let placeholder = entry.placeholder;
        let mut open = entry.fds.iter_mut().filter(|one| one.open);
        let program_fd = open.find(|one| one.fd == fd)?;
        if sys::file_id(fd) != Ok(placeholder) {
            // Closed without our hooks (syscall(2), fclose(3)): the fd refers to another file by now.
            program_fd.open = false;
            return None;
        }
        Some(entry)
    }

    pub fn is_pending(&mut self, fd: Fd) -> bool {
        self.entry_of(fd).is_some()
    }

    /// Removes an entry, and all its fds that still belong to it.
    pub fn remove(&mut self, id: u64) -> Option<Entry> {
        let entry = self.entries.remove(&id)?;
        for fd in &entry.fds {
            if self.fds.get(&fd.fd) == Some(&id) {
                self.fds.remove(&fd.fd);
            }
        }
        Some(entry)
    }

    pub fn inherited_of(&mut self, fd: Fd) -> Option<&mut InheritedConnect> {
        let index = self.inherited_index(fd)?;
        self.inherited.get_mut(index)
    }

    pub fn inherited_index(&mut self, fd: Fd) -> Option<usize> {
        let index = self
            .inherited
            .iter()
            .position(|inherited| inherited.fds.contains(&fd))?;
        let placeholder = self.inherited.get(index)?.placeholder;
        if sys::file_id(fd) != Ok(placeholder) {
            // Closed without our hooks: the fd refers to another file by now.
            self.forget_inherited(|closed| closed == fd);
            return None;
        }
        Some(index)
    }

    pub fn take_inherited(&mut self, fd: Fd) -> Option<InheritedConnect> {
        let index = self.inherited_index(fd)?;
        Some(self.inherited.swap_remove(index))
    }

    pub fn forget_inherited(&mut self, closed: impl Fn(Fd) -> bool) {
        for inherited in &mut self.inherited {
            inherited.fds.retain(|&fd| !closed(fd));
        }
        self.inherited.retain(|inherited| !inherited.fds.is_empty());
    }
}
