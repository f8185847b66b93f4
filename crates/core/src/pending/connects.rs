//! The pending connects of a process, as the hooks see them: how one begins, what is asked meanwhile, how it ends.

use super::books::{Books, Caller, Entry, Number};
use super::dead_end;
use super::deferred_errors::{DeferredError, DeferredErrors};
use super::helper::{self, Job};
use super::orphans;
use super::placeholder::{FarEnd, Placeholder};
use super::registrations::Registrations;
use crate::dial::driver::{Driver, Progress};
use crate::dial::fresh;
use crate::errno::Errno;
use crate::lock::{Generation, Guard, Lock};
use crate::own_fds::{OwnFds, RegisteredFd};
use crate::sync::atomic::{AtomicBool, AtomicI32, AtomicUsize, Ordering};
use crate::sys::{self, Fd, RaisedLimit, SignalsBlocked, WipedInChildren};
use core::ffi::c_int;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;

/// Who is told of a connect, before its program can know. `socket` is a number of ours.
pub trait Ends: Sync {
    /// The socket is connected to a first proxy, which is at its answer. Told again where another proxy is tried.
    fn opened(&self, socket: Fd, dialled: SocketAddr);

    /// The tunnel stands, or nothing came of it.
    fn ended(&self, socket: Fd, dialled: SocketAddr, result: Result<(), Errno>);
}

/// All pending connects of a process.
pub struct Pending {
    pub registrations: Registrations,
    pub(super) deferred: DeferredErrors,
    pub(super) own_fds: OwnFds,
    books: Lock<Books>,
    /// Advances when an entry ends.
    settled: Generation,
    /// How many numbers of the program are placeholders: 0 means that no hook has anything to do here.
    busy: AtomicUsize,
    /// The process whose descriptors the books are about.
    owner: AtomicI32,
    /// Where a child with a copy of this memory sees that it is one: see `orphans`.
    pub(super) birth: WipedInChildren,
    /// Whether the fork handlers are installed.
    guarded: AtomicBool,
    /// Numbers of TCP sockets that were ever on either side of a dup: where to look for further numbers.
    dups: Lock<BTreeSet<Fd>>,
    any_dups: AtomicBool,
}

/// See [`Pending::hold`].
pub struct Held<'a>(Guard<'a, Books>);

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

/// A pending connect as it was begun.
struct Placed {
    id: u64,
    socket: Arc<RegisteredFd>,
    far: Arc<FarEnd>,
    fresh: Arc<AtomicI32>,
}

/// What we have of a socket at the end of its connect. To be given up by then: with a duplicate of ours open, the
/// program's close(2) would neither end the connection nor free the port.
pub(super) struct Ours {
    socket: Arc<RegisteredFd>,
    /// The socket that the tunnel was made on instead.
    fresh: Option<RegisteredFd>,
}

impl Ours {
    pub fn new(socket: Arc<RegisteredFd>, fresh: Option<RegisteredFd>) -> Ours {
        Ours { socket, fresh }
    }

    /// The one that the program gets.
    pub fn fd(&self) -> Fd {
        self.fresh.as_ref().unwrap_or(&self.socket).fd()
    }
}

/// A pending connect whose caller makes the tunnel itself.
pub struct Waited {
    placed: Placed,
    cut: Arc<AtomicBool>,
}

impl Waited {
    /// The program's socket, under a number of ours.
    pub fn socket(&self) -> Fd {
        self.placed.socket.fd()
    }

    /// Where its driver is to keep the number of a socket in place of the program's.
    pub fn fresh(&self) -> Arc<AtomicI32> {
        self.placed.fresh.clone()
    }

    /// Whether the program has ended it, by shutdown(2) or connect(2) to AF_UNSPEC.
    pub fn is_cut(&self) -> bool {
        self.cut.load(Ordering::Acquire)
    }
}

/// What became of a beginning.
pub enum Begun {
    /// EINPROGRESS: the helper has it.
    Pending,
    /// It was over at once; the socket is back under its number.
    Ended(Result<(), Errno>),
}

impl Held<'_> {
    /// As [`Pending::blocks`].
    pub fn blocks(&mut self, fd: Fd) -> Option<bool> {
        if let Some(orphan) = self.0.orphan_of(fd) {
            return Some(orphan.blocking);
        }
        Some(self.0.entry_of(fd)?.blocking)
    }

    /// The program wants the socket to block, or not to: from when it is connected. Until then its placeholder does
    /// not block, for who sleeps on that would be given its end, not the connection's bytes.
    pub fn set_blocking(&mut self, fd: Fd, blocking: bool) {
        if let Some(orphan) = self.0.orphan_of(fd) {
            orphan.blocking = blocking;
            orphan.changed = true;
        } else if let Some(entry) = self.0.entry_of(fd) {
            entry.blocking = blocking;
        }
    }
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
            deferred: DeferredErrors::new(),
            own_fds: OwnFds::new(),
            books: Lock::new(Books::new()),
            settled: Generation::new(),
            busy: AtomicUsize::new(0),
            owner: AtomicI32::new(0),
            birth: WipedInChildren::new(),
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
        let mine = self.count() > 0 && self.is_owner();
        mine.then(|| self.books.lock())
    }

    /// Hold a pending number as it is: until this is dropped its file is not exchanged. `None`: nothing is pending
    /// on it.
    pub fn hold(&self, fd: Fd) -> Option<Held<'_>> {
        let mut books = self.open()?;
        let has = books.is_pending(fd) || books.orphan_of(fd).is_some();
        has.then_some(Held(books))
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

    /// Whether the calling thread is between our handlers around fork(2), and so in another library's. It has the lock,
    /// and must not wait for anybody who needs it.
    pub(super) fn is_forking(&self) -> bool {
        self.books.is_seized_here()
    }

    pub(super) fn set_owner(&self) {
        if let Some(word) = self.birth.word() {
            word.store(orphans::OWNED, Ordering::Release);
        }
        self.owner.store(sys::pid(), Ordering::Release);
    }

    /// Put a placeholder under `fd`, and have the tunnel made on its socket meanwhile. `driver` is given the
    /// socket under a number of ours.
    ///
    /// Signals are to be blocked all the while: a handler that jumped away (siglongjmp(3)) would leave an entry that nobody
    /// works on.
    ///
    /// # Errors
    /// EALREADY: one is pending on this number. Anything else: a descriptor or a thread cannot be had; nothing
    /// has changed, and the caller may connect by blocking.
    pub fn begin(
        &'static self,
        signals: &SignalsBlocked,
        fd: Fd,
        start: Start,
        driver: impl FnOnce(Fd) -> Driver<'static>,
    ) -> Result<Begun, Errno> {
        let Start {
            dialled,
            ends,
            first,
        } = start;
        let Placed {
            id,
            socket,
            far,
            fresh,
        } = self.place(signals, fd, None)?;
        let mut driver = driver(socket.fd());
        driver.announce_fresh(fresh);
        let progress = match first {
            First::Here => {
                let progress = driver.go();
                if let Some(socket) = driver.take_opened() {
                    ends.opened(socket, dialled);
                }
                Some(progress)
            }
            First::Helper => None,
            First::Begun => {
                sys::set_nonblocking(socket.fd(), true)?;
                Some(driver.waiting())
            }
        };
        if let Some(Progress::Finished(result)) = progress {
            let fresh = driver.take_fresh().filter(|_| result.is_ok());
            let ours = Ours::new(socket, fresh);
            ends.ended(ours.fd(), dialled, result);
            // Nobody can sleep on the placeholder for long: it was there for an instant.
            let _ = self.put_back(id, ours, result);
            // A helper that was started for this has nothing to do.
            self.books.lock_within(signals).call_helper();
            return Ok(Begun::Ended(result));
        }
        let job = Job {
            id,
            socket,
            far,
            driver,
            progress,
            dialled,
            ends,
            aborted: false,
        };
        let mut books = self.books.lock_within(signals);
        books.inbox.push(job);
        books.call_helper();
        Ok(Begun::Pending)
    }

    /// Put a placeholder under the numbers of the socket that `fd` refers to.
    fn place(
        &'static self,
        signals: &SignalsBlocked,
        fd: Fd,
        caller: Option<Caller>,
    ) -> Result<Placed, Errno> {
        self.guard_forks();
        if !self.is_owner() || self.is_forking() {
            // Between vfork and exec the books, and the helper, are the parent's. In a fork handler the helper waits for
            // the end of the fork.
            return Err(Errno::EAGAIN);
        }
        self.registrations.rings.look();
        let blocking = sys::status_flags(fd)? & libc::O_NONBLOCK == 0;
        let mut books = self.books.lock_within(signals);
        if books.is_pending(fd) {
            return Err(Errno::EALREADY);
        }
        // A thread that closes one of the socket's fds from now on waits for the lock. So they are looked for after this:
        // what was closed before may be another file.
        self.busy.fetch_add(1, Ordering::AcqRel);
        let fds = self.numbers_of(fd);
        let placed = self.place_locked(&mut books, fd, fds, caller, blocking);
        self.recount(&books);
        placed
    }

    fn place_locked(
        &'static self,
        books: &mut Books,
        fd: Fd,
        fds: Vec<Fd>,
        caller: Option<Caller>,
        blocking: bool,
    ) -> Result<Placed, Errno> {
        let fresh = Arc::new(AtomicI32::new(-1));
        let limit = RaisedLimit::new();
        let placeholder = Placeholder::new(&limit, &self.own_fds)?;
        let socket = Arc::new(self.own_fds.adopt(limit.duplicate(fd)?));
        limit.lower();
        if caller.is_some() {
            check_number(fd, socket.fd())?;
        }
        if caller.is_none() {
            helper::call(books, self, &limit)?;
        }
        let id = books.next;
        books.next += 1;
        let far = Arc::new(placeholder.far);
        for (index, &number) in fds.iter().enumerate() {
            let placed = self.registrations.exchange(placeholder.near.fd(), number);
            if let Err(errno) = placed {
                // The socket must not stay under a number while a tunnel is made on it.
                for &back in fds.iter().take(index) {
                    books.numbers.remove(&back);
                    let _ = self.registrations.exchange(socket.fd(), back);
                }
                books.call_helper();
                return Err(errno);
            }
            books.numbers.insert(number, id);
        }
        books.entries.insert(
            id,
            Entry {
                id,
                numbers: fds.into_iter().map(Number::new).collect(),
                placeholder: placeholder.id,
                far: far.clone(),
                socket: socket.clone(),
                fresh: fresh.clone(),
                forked: false,
                caller,
                blocking,
            },
        );
        Ok(Placed {
            id,
            socket,
            far,
            fresh,
        })
    }

    /// Put a placeholder under `fd`, whose socket blocks and has these status flags. The caller makes the tunnel on the
    /// socket itself, and then gives it back: [`Pending::end_waited`], or [`Pending::hand_over`].
    ///
    /// # Errors
    /// As [`Pending::begin`].
    pub fn begin_waited(&'static self, fd: Fd, flags: c_int) -> Result<Waited, Errno> {
        let abort = Arc::new(AtomicBool::new(false));
        let caller = Caller {
            thread: sys::this_thread(),
            abort: abort.clone(),
        };
        let placed = self.place(&SignalsBlocked::new(), fd, Some(caller))?;
        let _ = sys::set_status_flags(placed.socket.fd(), flags | libc::O_NONBLOCK);
        Ok(Waited { placed, cut: abort })
    }

    /// The caller is done: as with the helper's, but that nobody has to learn of a failure.
    pub fn end_waited(
        &'static self,
        waited: Waited,
        fresh: Option<RegisteredFd>,
        result: Result<(), Errno>,
    ) {
        let Placed { id, socket, .. } = waited.placed;
        if let Some(fresh) = &fresh {
            self.copy_options(socket.fd(), fresh.fd());
        }
        if let Some((far, fd)) = self.put_back(id, Ours::new(socket, fresh), result) {
            let mut books = self.books.lock();
            books.unwatched.push((id, far, fd));
            if helper::call(&mut books, self, &RaisedLimit::new()).is_err() {
                // To be woken now is better than never.
                books.unwatched.clear();
            }
            books.call_helper();
        }
    }

    /// The caller waits no longer: the helper goes on, with what `driver` gives.
    ///
    /// # Errors
    /// There is no helper, and none can be had: it is given back.
    pub fn hand_over(
        &'static self,
        waited: Waited,
        start: Start,
        driver: impl FnOnce() -> Driver<'static>,
    ) -> Result<(), (Errno, Waited)> {
        let mut books = self.books.lock();
        if let Err(errno) = helper::call(&mut books, self, &RaisedLimit::new()) {
            return Err((errno, waited));
        }
        let is_cut = waited.is_cut();
        // They go with the job: the helper is told of a far end for as long as anybody has it.
        let Placed {
            id, socket, far, ..
        } = waited.placed;
        if let Some(entry) = books.entries.get_mut(&id) {
            entry.caller = None;
        }
        let mut driver = driver();
        let progress = Some(driver.waiting());
        books.inbox.push(Job {
            id,
            socket,
            far,
            driver,
            progress,
            dialled: start.dialled,
            ends: start.ends,
            aborted: false,
        });
        if is_cut {
            books.cut.push(id);
        }
        books.call_helper();
        Ok(())
    }

    /// The socket goes back under its numbers, wherever the program still has the placeholder. What is left to
    /// watch afterwards, if any: somebody who sleeps on the placeholder for reading.
    ///
    /// `ours` is closed before anybody is woken, and before the books are free: a close(2) of the program waits for
    /// them, and so is the last one of the socket.
    pub(super) fn put_back(
        &self,
        id: u64,
        ours: Ours,
        result: Result<(), Errno>,
    ) -> Option<(Arc<FarEnd>, Fd)> {
        let (far, forked, back, word) = {
            let mut books = self.books.lock();
            let entry = books.strike(id)?;
            let socket = ours.fd();
            let mut back = None;
            for fd in entry.open_numbers() {
                if sys::file_id(fd) != Ok(entry.placeholder) {
                    // Closed behind our back, and perhaps somebody else's by now.
                    continue;
                }
                if back.is_none() {
                    let _ = sys::set_nonblocking(socket, !entry.blocking);
                }
                self.put_under(socket, fd);
                back = Some(fd);
            }
            // A child has the program's socket alone: a fresh one in its place is not for the child.
            let word = match result {
                Ok(()) if ours.fresh.is_some() => libc::ECONNABORTED,
                _ => result.err().map_or(0, Errno::raw),
            };
            let Entry {
                far,
                forked,
                socket,
                ..
            } = entry;
            drop((ours, socket));
            self.recount(&books);
            (far, forked, back, word)
        };
        self.settled.advance();
        // In this order: a child that is woken asks at once.
        if forked {
            far.tell(word);
        }
        far.wake_writers();
        if far.is_deserted() {
            return None;
        }
        if !forked {
            // One that was made by clone(2) without CLONE_VM, if it is not somebody who sleeps here.
            far.tell(word);
        }
        back.map(|fd| (far, fd))
    }

    /// The socket under a number of the program. Where that fails the placeholder stays there, and must not pass for a
    /// connection.
    pub(super) fn put_under(&self, socket: Fd, fd: Fd) {
        if self.registrations.exchange(socket, fd).is_err() {
            if let Some(cookie) = sys::cookie(fd) {
                self.deferred.set(cookie, Errno::ECONNABORTED.into());
            }
        }
    }

    /// A connect ended in an error that its program has yet to learn: put the error on the socket.
    pub(super) fn leave_error(&self, socket: Fd, error: DeferredError) {
        let refused = dead_end::make(socket);
        if !refused || error.errno != Errno::ECONNREFUSED {
            if let Some(cookie) = sys::cookie(socket) {
                self.deferred.set(cookie, error);
            }
        }
    }

    /// Whether there is anything that a program must not close, or that has to hear of what it closes.
    pub fn is_busy(&self) -> bool {
        self.count() > 0 || !self.own_fds.is_empty()
    }

    /// Whether it is busy, or some program has yet to learn of a failure.
    pub fn has_news(&self) -> bool {
        self.is_busy() || !self.deferred.is_empty()
    }

    /// The error that is owed to the program for `fd`, once. Cheap when none is owed to anybody.
    pub fn owed_error(&self, fd: Fd) -> Option<Errno> {
        self.deferred_error(fd).map(|error| error.errno)
    }

    /// As [`Pending::owed_error`], with what it came of.
    pub fn deferred_error(&self, fd: Fd) -> Option<DeferredError> {
        match self.has_deferred() {
            true => self.deferred.take(sys::cookie(fd)?),
            false => None,
        }
    }

    /// Whether there are deferred errors, and they are this process's: after vfork(2) they are not.
    fn has_deferred(&self) -> bool {
        !self.deferred.is_empty() && self.is_owner()
    }

    /// The program is about to close this number. An error of its socket that nobody asked for is forgotten with it.
    pub fn closing_failed(&self, fd: Fd) {
        if self.has_deferred() && self.numbers_of(fd).len() == 1 {
            let _ = self.owed_error(fd);
        }
    }

    /// The socket that a number stands for while a connect is pending on it.
    pub fn socket_of(&self, fd: Fd) -> Option<Arc<RegisteredFd>> {
        let mut books = self.open()?;
        if let Some(orphan) = books.orphan_of(fd) {
            return Some(orphan.socket.clone());
        }
        Some(books.entry_of(fd)?.socket.clone())
    }

    /// Our own descriptors, for those who make them.
    pub fn own_fds(&'static self) -> &'static OwnFds {
        &self.own_fds
    }

    /// What the program has set on its socket, for the one that takes its place.
    pub(super) fn copy_options(&self, from: Fd, to: Fd) {
        let _ = self.own_fds.unforked(|| fresh::copy_options(from, to));
    }

    /// Whether `fd` is one of our own descriptors: the program must not close what it did not open.
    pub fn is_internal(&self, fd: Fd) -> bool {
        self.look_for_birth();
        self.own_fds.has(fd) && self.is_owner()
    }

    /// Our own descriptors between two numbers, in order.
    pub fn internal_between(&self, first: u32, last: u32) -> Vec<Fd> {
        match self.is_owner() {
            true => self.own_fds.between(first, last),
            false => Vec::new(),
        }
    }

    /// Whether the caller is the process whose descriptors the books are about: after vfork(2) it is not.
    pub fn is_owner(&self) -> bool {
        self.look_for_birth();
        self.owner.load(Ordering::Acquire) == sys::pid()
    }

    /// The program is about to close this number: forget it first, for it may be given to another thread the
    /// moment it is closed. The helper sees when nobody has the placeholder any more, and ends the connect. `true`: it may
    /// be the last, and [`Pending::release_deserted`] is to be called when it is closed.
    ///
    /// Nothing is allocated or freed here (but in a forked child): a signal handler that interrupted malloc(3)
    /// may call close(2).
    pub fn closing(&self, fd: Fd) -> bool {
        let mut last = false;
        if let Some(mut books) = self.open() {
            if let Some(entry) = books.entry_of(fd) {
                last = entry.closed(|number| number == fd);
            } else if !books.orphans.is_empty() {
                books.forget_orphans(|number| number == fd);
                self.recount(&books);
            }
        }
        // For one who waits for this number.
        self.settled.advance();
        last
    }

    /// As [`Pending::closing`], for all numbers of a range.
    pub fn closing_range(&self, first: u32, last: u32) -> bool {
        let in_range = |fd: Fd| (first..=last).contains(&(fd as u32));
        let mut any = false;
        if let Some(mut books) = self.open() {
            for entry in books.entries.values_mut() {
                any |= entry.closed(in_range);
            }
            books.forget_orphans(in_range);
            self.recount(&books);
        }
        self.settled.advance();
        any
    }

    /// The program has closed what [`Pending::closing`] said. A socket that nobody refers to any more is closed now, as the
    /// kernel would: its port is free, and its peer sees the end. The helper may be about to use the fd, so that becomes a
    /// file on which all that it does fails, until the helper closes it.
    pub fn release_deserted(&self) {
        let Some(books) = self.open() else {
            return;
        };
        let Some(helper) = &books.helper else {
            return;
        };
        for entry in books.entries.values() {
            let is_closed = entry.caller.is_none() && entry.open_numbers().next().is_none();
            if is_closed && entry.far.is_deserted() {
                let _ = sys::replace(helper.wake, entry.socket.fd(), true);
            }
        }
    }

    /// Nobody has the placeholder of this entry any more.
    pub(super) fn abandoned(&self, id: u64) {
        {
            let mut books = self.books.lock();
            books.strike(id);
            self.recount(&books);
        }
        self.settled.advance();
    }

    /// shutdown(2) on a connecting socket ends the attempt (the kernel leaves ECONNRESET). Whether there was
    /// one. The helper does it, since it may be using the socket at this moment.
    pub fn cut_short(&self, fd: Fd) -> bool {
        {
            let Some(mut books) = self.open() else {
                return false;
            };
            if !books.is_pending(fd) {
                return false;
            }
            let Some(&id) = books.numbers.get(&fd) else {
                return false;
            };
            let entry = books.entries.get(&id);
            if !entry.is_some_and(Entry::abort_caller) {
                books.cut.push(id);
                books.call_helper();
            } else if entry.is_some_and(Entry::is_waited_for_here) {
                return true;
            }
        }
        self.wait_for(fd);
        true
    }

    /// Whether the calling thread makes the tunnel of this number itself, and so is in a signal handler.
    pub fn is_waited_for_here(&self, fd: Fd) -> bool {
        let mut books = self.open();
        let entry = books.as_mut().and_then(|books| books.entry_of(fd));
        entry.is_some_and(|entry| entry.is_waited_for_here())
    }

    /// Whether the socket that is pending on `fd` blocks, as far as its program knows. `None`: nothing is pending on
    /// it.
    pub fn blocks(&self, fd: Fd) -> Option<bool> {
        self.hold(fd)?.blocks(fd)
    }

    /// Sleep until nothing is pending on `fd`.
    pub fn wait_for(&self, fd: Fd) {
        if self.is_forking() {
            return;
        }
        while let Some(None) = self.orphan_end(fd) {
            // A signal handler may have run: look again.
            let _ = sys::poll_one(fd, libc::POLLOUT, None);
        }
        loop {
            let seen = self.settled.now();
            let pending = self.open().is_some_and(|mut books| books.is_pending(fd));
            if !pending {
                return;
            }
            self.settled.wait(seen);
        }
    }

    /// `new` was made a duplicate of `old` just now, while `old` was held.
    pub fn duplicated(&self, held: Option<Held<'_>>, old: Fd, new: Fd) {
        let is_tcp = sys::is_tcp(new) == Ok(true);
        // Between vfork and exec the numbers are not those of the books.
        if held.is_some() || (is_tcp && self.is_owner()) {
            self.dups.lock().extend([old, new]);
            self.any_dups.store(true, Ordering::Release);
        }
        let Some(Held(mut books)) = held else {
            return;
        };
        if let Some(entry) = books.entry_of(old) {
            entry.numbers.push(Number::new(new));
            let id = entry.id;
            books.numbers.insert(new, id);
        } else if let Some(orphan) = books.orphan_of(old) {
            orphan.fds.push(new);
        }
        self.recount(&books);
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

    /// From now on the books are this process's, and its locks are held over fork(2). To be called when the
    /// library is loaded, before there are threads.
    pub fn guard_forks(&'static self) {
        if !self.guarded.swap(true, Ordering::AcqRel) {
            sys::measure_thread_stacks();
            self.birth.prepare();
            self.set_owner();
            orphans::install(self);
        }
    }
}

/// Whether the number is still a TCP socket, and the one that `socket` is a duplicate of: another thread may have closed
/// it since it was looked at, and opened something else there.
fn check_number(fd: Fd, socket: Fd) -> Result<(), Errno> {
    match sys::is_tcp(socket)? && sys::file_id(fd)? == sys::file_id(socket)? {
        true => Ok(()),
        false => Err(Errno::EBADF),
    }
}
