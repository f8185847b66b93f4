//! The books: which numbers of the program are placeholders, and for what.

use super::dead_end::{self, OwedErrors};
use super::helper::{self, Job};
use super::orphans::Orphan;
use super::placeholder::{FarEnd, Placeholder};
use super::registrations::Registrations;
use crate::dial::driver::{Driver, Progress};
use crate::errno::Errno;
use crate::lock::{Generation, Guard, Lock};
use crate::sys::{self, Fd, FileId, OwnFd, RaisedLimit};
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicUsize, Ordering};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;

/// Who is told how a pending connect ended, before its program can know. `socket` is a number of ours.
pub trait Ends: Sync {
    fn ended(&self, socket: Fd, dialled: SocketAddr, result: Result<(), Errno>);
}

/// All pending connects of a process.
pub struct Pending {
    pub registrations: Registrations,
    pub(super) owed: OwedErrors,
    books: Lock<Books>,
    /// Advances when an entry ends.
    settled: Generation,
    /// How many numbers of the program are placeholders: 0 means that no hook has anything to do here.
    busy: AtomicUsize,
    /// The process whose descriptors the books are about.
    owner: AtomicI32,
    /// Whether the fork handlers are installed.
    guarded: AtomicBool,
    /// Numbers of TCP sockets that were ever on either side of a dup: where to look for further numbers.
    dups: Lock<BTreeSet<Fd>>,
    any_dups: AtomicBool,
}

pub(super) struct Books {
    pub entries: BTreeMap<u64, Entry>,
    /// The program's number -> entry.
    pub numbers: BTreeMap<Fd, u64>,
    pub orphans: Vec<Orphan>,
    pub helper: Option<helper::Address>,
    pub inbox: Vec<Job>,
    /// Entries that ended without the helper.
    pub dropped: Vec<u64>,
    /// Entries that are to fail now, by shutdown(2).
    pub cut: Vec<u64>,
    next: u64,
}

pub(super) struct Entry {
    pub fds: Vec<Fd>,
    pub placeholder: FileId,
    pub far: Arc<FarEnd>,
    /// The program's socket, under a number of ours.
    pub socket: Arc<OwnFd>,
    /// A child was forked meanwhile, and waits for word.
    pub forked: bool,
}

/// How a connect becomes pending.
pub struct Start {
    /// As the program dialled it.
    pub dialled: SocketAddr,
    pub ends: &'static dyn Ends,
    pub first: First,
}

/// Who makes the first steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum First {
    /// The calling thread: they do not block.
    Here,
    /// The helper: a proxy's name must be resolved, which could block.
    Helper,
    /// They were made: a blocking connect was interrupted.
    Begun,
}

/// What became of a beginning.
pub enum Begun {
    /// EINPROGRESS: the helper has it.
    Pending,
    /// It was over at once; the socket is back under its number.
    Ended(Result<(), Errno>),
}

impl Default for Pending {
    fn default() -> Pending {
        Pending::new()
    }
}

impl Pending {
    pub const fn new() -> Pending {
        Pending {
            registrations: Registrations::new(),
            owed: OwedErrors::new(),
            books: Lock::new(Books {
                entries: BTreeMap::new(),
                numbers: BTreeMap::new(),
                orphans: Vec::new(),
                helper: None,
                inbox: Vec::new(),
                dropped: Vec::new(),
                cut: Vec::new(),
                next: 1,
            }),
            settled: Generation::new(),
            busy: AtomicUsize::new(0),
            owner: AtomicI32::new(0),
            guarded: AtomicBool::new(false),
            dups: Lock::new(BTreeSet::new()),
            any_dups: AtomicBool::new(false),
        }
    }

    /// How many connects are pending.
    pub fn count(&self) -> usize {
        self.busy.load(Ordering::Acquire)
    }

    /// The books, if there is anything in them and they are this process's: after vfork(2) they are not.
    pub(super) fn open(&self) -> Option<Guard<'_, Books>> {
        let mine = self.count() > 0 && self.owner.load(Ordering::Acquire) == sys::pid();
        mine.then(|| self.books.lock())
    }

    pub(super) fn recount(&self, books: &Books) {
        let orphaned: usize = books.orphans.iter().map(|orphan| orphan.fds.len()).sum();
        self.busy
            .store(books.numbers.len() + orphaned, Ordering::Release);
    }

    pub(super) fn lock(&self) -> Guard<'_, Books> {
        self.books.lock()
    }

    pub(super) fn raw_locks(&self) -> (&Lock<Books>, &Lock<BTreeSet<Fd>>) {
        (&self.books, &self.dups)
    }

    pub(super) fn set_owner(&self) {
        self.owner.store(sys::pid(), Ordering::Release);
    }

    /// Put a placeholder under `fd`, and have the tunnel made on its socket meanwhile. `driver` is given the
    /// socket under a number of ours.
    ///
    /// # Errors
    /// EALREADY: one is pending on this number. Anything else: a descriptor or a thread cannot be had; nothing
    /// has changed, and the caller may connect by blocking.
    pub fn begin(
        &'static self,
        fd: Fd,
        start: Start,
        driver: impl FnOnce(Fd) -> Driver<'static>,
    ) -> Result<Begun, Errno> {
        let Start {
            dialled,
            ends,
            first,
        } = start;
        self.guard_forks();
        let fds = self.numbers_of(fd);
        let nonblocking = sys::status_flags(fd)? & libc::O_NONBLOCK != 0;
        let (id, socket) = {
            let mut books = self.books.lock();
            if books.numbers.contains_key(&fd) {
                return Err(Errno::EALREADY);
            }
            let limit = RaisedLimit::new();
            let socket = Arc::new(limit.duplicate(fd)?);
            let placeholder = Placeholder::new(&limit)?;
            sys::set_nonblocking(placeholder.near.fd(), nonblocking)?;
            if books.helper.is_none() {
                books.helper = Some(helper::spawn(self, &limit)?);
            }
            self.set_owner();
            let id = books.next;
            books.next += 1;
            for &fd in &fds {
                let there = self.registrations.take_out_known(fd);
                let replaced = sys::closes_on_exec(fd)
                    .and_then(|on_exec| sys::replace(placeholder.near.fd(), fd, on_exec));
                self.registrations.put_back(&there);
                if replaced.is_ok() {
                    books.numbers.insert(fd, id);
                }
            }
            books.entries.insert(
                id,
                Entry {
                    fds,
                    placeholder: placeholder.id,
                    far: Arc::new(placeholder.far),
                    socket: socket.clone(),
                    forked: false,
                },
            );
            self.recount(&books);
            (id, socket)
        };
        let mut driver = driver(socket.fd());
        let progress = match first {
            First::Here => Some(driver.go()),
            First::Helper => None,
            First::Begun => {
                sys::set_nonblocking(socket.fd(), true)?;
                Some(driver.waiting())
            }
        };
        if let Some(Progress::Finished(result)) = progress {
            let fresh = driver.take_fresh();
            let socket = fresh.as_ref().unwrap_or(&socket);
            ends.ended(socket.fd(), dialled, result);
            // Nobody can sleep on the placeholder for long: it was there for an instant.
            let _ = self.put_back(id, socket, result);
            // A helper that was started for this has nothing to do.
            self.books.lock().call_helper();
            return Ok(Begun::Ended(result));
        }
        let job = Job {
            id,
            socket,
            driver,
            progress,
            dialled,
            ends,
        };
        let mut books = self.books.lock();
        books.inbox.push(job);
        books.call_helper();
        Ok(Begun::Pending)
    }

    /// The socket goes back under its numbers, wherever the program still has the placeholder. What is left to
    /// watch afterwards, if any: somebody who sleeps on the placeholder for reading.
    pub(super) fn put_back(
        &self,
        id: u64,
        socket: &OwnFd,
        result: Result<(), Errno>,
    ) -> Option<(Arc<FarEnd>, Fd)> {
        let (entry, back) = {
            let mut books = self.books.lock();
            let entry = books.entries.remove(&id)?;
            let mut back = None;
            for &fd in &entry.fds {
                books.numbers.remove(&fd);
                if sys::file_id(fd) != Ok(entry.placeholder) {
                    // Closed behind our back, and perhaps somebody else's by now.
                    continue;
                }
                let blocking = sys::status_flags(fd).map(|flags| flags & libc::O_NONBLOCK == 0);
                if back.is_none() {
                    let _ = sys::set_nonblocking(socket.fd(), blocking != Ok(true));
                }
                let there = self.registrations.take_out(fd);
                let _ = sys::closes_on_exec(fd)
                    .and_then(|on_exec| sys::replace(socket.fd(), fd, on_exec));
                self.registrations.put_back(&there);
                back = Some(fd);
            }
            self.recount(&books);
            (entry, back)
        };
        self.settled.advance();
        entry.far.wake_writers();
        if entry.forked {
            entry.far.tell(result.err().map_or(0, Errno::raw));
        }
        back.filter(|_| !entry.far.is_deserted())
            .map(|fd| (entry.far, fd))
    }

    /// A connect ended in an error that its program has yet to learn: put the error on the socket.
    pub(super) fn leave_error(&self, socket: &OwnFd, errno: Errno) {
        dead_end::make(socket.fd());
        if errno != Errno::ECONNREFUSED {
            if let Some(cookie) = sys::cookie(socket.fd()) {
                self.owed.owe(cookie, errno);
            }
        }
    }

    /// The error that is owed to the program for `fd`, once. Cheap when none is owed to anybody.
    pub fn owed_error(&self, fd: Fd) -> Option<Errno> {
        if self.owed.is_empty() {
            return None;
        }
        self.owed.pay(sys::cookie(fd)?)
    }

    /// The socket that a number stands for while a connect is pending on it.
    pub fn socket_of(&self, fd: Fd) -> Option<Arc<OwnFd>> {
        let books = self.open()?;
        if let Some(orphan) = books.orphans.iter().find(|orphan| orphan.fds.contains(&fd)) {
            return Some(orphan.socket.clone());
        }
        let id = books.numbers.get(&fd)?;
        books.entries.get(id).map(|entry| entry.socket.clone())
    }

    /// Whether `fd` is one of our own descriptors: the program must not close what it did not open.
    pub fn is_internal(&self, fd: Fd) -> bool {
        self.open()
            .is_some_and(|books| books.internal().contains(&fd))
    }

    /// Our own descriptors between two numbers, in order.
    pub fn internal_between(&self, first: u32, last: u32) -> Vec<Fd> {
        let Some(books) = self.open() else {
            return Vec::new();
        };
        let mut found = books.internal();
        found.retain(|&fd| (first..=last).contains(&(fd as u32)));
        found.sort_unstable();
        found
    }

    /// The program is about to close this number: forget it first, for it may be given to another thread the
    /// moment it is closed. The last number of a connect takes the connect with it.
    pub fn closing(&self, fd: Fd) {
        if let Some(mut books) = self.open() {
            self.forget(&mut books, fd);
        }
    }

    /// As [`Pending::closing`], for all numbers of a range.
    pub fn closing_range(&self, first: u32, last: u32) {
        let Some(mut books) = self.open() else {
            return;
        };
        let in_range = |fd: &Fd| (first..=last).contains(&(*fd as u32));
        let mut all: Vec<Fd> = books.numbers.keys().copied().collect();
        all.extend(books.orphans.iter().flat_map(|orphan| &orphan.fds));
        for fd in all.into_iter().filter(in_range) {
            self.forget(&mut books, fd);
        }
    }

    fn forget(&self, books: &mut Books, fd: Fd) {
        for orphan in &mut books.orphans {
            orphan.fds.retain(|&other| other != fd);
        }
        books.orphans.retain(|orphan| !orphan.fds.is_empty());
        if let Some(id) = books.numbers.remove(&fd) {
            let last = books.entries.get_mut(&id).is_some_and(|entry| {
                entry.fds.retain(|&other| other != fd);
                entry.fds.is_empty()
            });
            if last {
                books.entries.remove(&id);
                books.dropped.push(id);
                books.call_helper();
            }
        }
        self.recount(books);
    }

    /// shutdown(2) on a connecting socket ends the attempt (the kernel leaves ECONNRESET). Whether there was
    /// one. The helper does it, since it may be using the socket at this moment.
    pub fn cut_short(&self, fd: Fd) -> bool {
        {
            let Some(mut books) = self.open() else {
                return false;
            };
            let Some(&id) = books.numbers.get(&fd) else {
                return false;
            };
            books.cut.push(id);
            books.call_helper();
        }
        self.wait_for(fd);
        true
    }

    /// Sleep until nothing is pending on `fd`: for a program that makes a connecting socket blocking, and whose
    /// next send or recv would sleep on the placeholder.
    pub fn wait_for(&self, fd: Fd) {
        loop {
            let seen = self.settled.now();
            let pending = self
                .open()
                .is_some_and(|books| books.numbers.contains_key(&fd));
            if !pending {
                return;
            }
            self.settled.wait(seen);
        }
    }

    /// `new` was made a duplicate of `old` just now.
    pub fn duplicated(&self, old: Fd, new: Fd) {
        if let Some(mut books) = self.open() {
            if let Some(&id) = books.numbers.get(&old) {
                books.numbers.insert(new, id);
                if let Some(entry) = books.entries.get_mut(&id) {
                    entry.fds.push(new);
                }
                self.recount(&books);
                return;
            }
            if let Some(orphan) = books
                .orphans
                .iter_mut()
                .find(|orphan| orphan.fds.contains(&old))
            {
                orphan.fds.push(new);
                self.recount(&books);
                return;
            }
        }
        let protocol = sys::get_option::<i32>(new, libc::SOL_SOCKET, libc::SO_PROTOCOL);
        if matches!(protocol, Ok(libc::IPPROTO_TCP | libc::IPPROTO_MPTCP)) {
            self.dups.lock().extend([old, new]);
            self.any_dups.store(true, Ordering::Release);
        }
    }

    /// All numbers of the socket that `fd` refers to, as far as they were made through libc.
    fn numbers_of(&self, fd: Fd) -> Vec<Fd> {
        let mut numbers = vec![fd];
        if self.any_dups.load(Ordering::Acquire) {
            if let Some(cookie) = sys::cookie(fd) {
                let mut dups = self.dups.lock();
                dups.retain(|&other| match sys::cookie(other) {
                    Some(theirs) => {
                        if theirs == cookie && other != fd {
                            numbers.push(other);
                        }
                        true
                    }
                    None => false,
                });
            }
        }
        numbers
    }

    fn guard_forks(&'static self) {
        if !self.guarded.swap(true, Ordering::AcqRel) {
            super::orphans::install(self);
        }
    }
}

impl Books {
    pub fn call_helper(&self) {
        if let Some(helper) = &self.helper {
            sys::signal_event(helper.wake);
        }
    }

    /// Every descriptor of ours.
    pub fn internal(&self) -> Vec<Fd> {
        let mut fds = Vec::new();
        if let Some(helper) = &self.helper {
            fds.extend([helper.epoll, helper.wake]);
        }
        for entry in self.entries.values() {
            fds.extend([entry.far.fd(), entry.socket.fd()]);
        }
        fds.extend(self.orphans.iter().map(|orphan| orphan.socket.fd()));
        fds
    }
}
