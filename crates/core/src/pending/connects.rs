//! The pending connects of a process, as the hooks see them: how one begins, what is asked meanwhile, how it ends.

use super::deferred_errors::{DeferredError, DeferredErrors};
use super::fork;
use super::helper::{self, Job};
use super::placeholder::{Placeholder, WakeEnd};
use super::registrations::Registrations;
use super::table::{Caller, Entry, PendingTable, ProgramFd};
use crate::dial::driver::{Driver, Progress};
use crate::dial::error_socket;
use crate::dial::replacement;
use crate::errno::Errno;
use crate::lock::{Generation, Guard, Lock};
use crate::own_fds::{OwnFds, RegisteredFd};
use crate::sync::atomic::{AtomicBool, AtomicI32, AtomicUsize, Ordering};
use crate::sys::{self, Fd, NofileGuard, SignalsBlocked, WipedOnFork};
use core::ffi::c_int;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;

/// Who is told of a connect, before its program can know. `socket` is an fd of ours.
pub trait ConnectObserver: Sync {
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
    table: Lock<PendingTable>,
    /// Advances when an entry ends.
    settled: Generation,
    /// How many fds of the program are placeholders: 0 means that no hook has anything to do here.
    busy: AtomicUsize,
    /// The process whose descriptors the table is about.
    owner: AtomicI32,
    /// Where a child with a copy of this memory sees that it is one: see `inherited`.
    pub(super) birth: WipedOnFork,
    /// Whether the fork handlers are installed.
    guarded: AtomicBool,
    /// Numbers of TCP sockets that were ever on either side of a dup: where to look for further fds.
    dups: Lock<BTreeSet<Fd>>,
    any_dups: AtomicBool,
}

/// See [`Pending::hold`].
pub struct FdLock<'a>(Guard<'a, PendingTable>);

/// How a connect becomes pending.
pub struct Start {
    /// As the program dialled it.
    pub dialled: SocketAddr,
    pub observer: &'static dyn ConnectObserver,
    pub first: FirstStep,
}

/// Who makes the first steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FirstStep {
    /// The calling thread: they do not block.
    Inline,
    /// The helper: a proxy's name must be resolved, which could block.
    Deferred,
    /// They were made: a blocking connect was interrupted.
    AlreadyStarted,
}

/// A pending connect as it was begun.
struct Placed {
    id: u64,
    socket: Arc<RegisteredFd>,
    wake_end: Arc<WakeEnd>,
    replacement: Arc<AtomicI32>,
}

/// What we have of a socket at the end of its connect. To be given up by then: with a duplicate of ours open, the
/// program's close(2) would neither end the connection nor free the port.
pub(super) struct Ours {
    socket: Arc<RegisteredFd>,
    /// The socket that the tunnel was made on instead.
    replacement: Option<RegisteredFd>,
}

impl Ours {
    pub fn new(socket: Arc<RegisteredFd>, replacement: Option<RegisteredFd>) -> Ours {
        Ours {
            socket,
            replacement,
        }
    }

    /// The one that the program gets.
    pub fn fd(&self) -> Fd {
        self.replacement.as_ref().unwrap_or(&self.socket).fd()
    }
}

/// A pending connect whose caller makes the tunnel itself.
pub struct Waited {
    placed: Placed,
    aborts: Arc<AtomicBool>,
}

impl Waited {
    /// The program's socket, under an fd of ours.
    pub fn socket(&self) -> Fd {
        self.placed.socket.fd()
    }

    /// Where its driver is to keep the number of a socket in place of the program's.
    pub fn fresh(&self) -> Arc<AtomicI32> {
        self.placed.replacement.clone()
    }

    /// Whether the program has ended it, by shutdown(2) or connect(2) to AF_UNSPEC.
    pub fn is_aborted(&self) -> bool {
        self.aborts.load(Ordering::Acquire)
    }
}

/// What became of a beginning.
pub enum BeginResult {
    /// EINPROGRESS: the helper has it.
    Pending,
    /// It was over at once; the socket is back under its fd.
    Ended(Result<(), Errno>),
}

impl FdLock<'_> {
    /// As [`Pending::blocks`].
    pub fn blocks(&mut self, fd: Fd) -> Option<bool> {
        if let Some(inherited) = self.0.inherited_of(fd) {
            return Some(inherited.blocking);
        }
        Some(self.0.entry_of(fd)?.blocking)
    }

    /// The program wants the socket to block, or not to: from when it is connected. Until then its placeholder does
    /// not block, for who sleeps on that would be given its end, not the connection's bytes.
    pub fn set_blocking(&mut self, fd: Fd, blocking: bool) {
        if let Some(inherited) = self.0.inherited_of(fd) {
            inherited.blocking = blocking;
            inherited.changed = true;
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
            table: Lock::new(PendingTable::new()),
            settled: Generation::new(),
            busy: AtomicUsize::new(0),
            owner: AtomicI32::new(0),
            birth: WipedOnFork::new(),
            guarded: AtomicBool::new(false),
            dups: Lock::new(BTreeSet::new()),
            any_dups: AtomicBool::new(false),
        }
    }

    /// How many connects are pending.
    pub fn count(&self) -> usize {
        self.busy.load(Ordering::Acquire)
    }

    /// The table, locked, if it has entries and is this process's: after vfork(2) it is not.
    pub(super) fn open(&self) -> Option<Guard<'_, PendingTable>> {
        let mine = self.count() > 0 && self.is_owner();
        mine.then(|| self.table.lock())
    }

    /// Hold a pending fd as it is: until this is dropped its file is not exchanged. `None`: nothing is pending
    /// on it.
    pub fn lock_fd(&self, fd: Fd) -> Option<FdLock<'_>> {
        let mut table = self.open()?;
        let has = table.is_pending(fd) || table.inherited_of(fd).is_some();
        has.then_some(FdLock(table))
    }

    pub(super) fn recount(&self, table: &PendingTable) {
        let orphaned: usize = table
            .inherited
            .iter()
            .map(|inherited| inherited.fds.len())
            .sum();
        self.busy
            .store(table.fds.len() + orphaned, Ordering::Release);
    }

    pub(super) fn lock(&self) -> Guard<'_, PendingTable> {
        self.table.lock()
    }

    pub(super) fn raw_locks(&self) -> (&Lock<PendingTable>, &Lock<BTreeSet<Fd>>) {
        (&self.table, &self.dups)
    }

    /// Whether the calling thread is between our handlers around fork(2), and so in another library's. It has the lock,
    /// and must not wait for anybody who needs it.
    pub(super) fn is_forking(&self) -> bool {
        self.table.is_seized_here()
    }

    pub(super) fn set_owner(&self) {
        if let Some(word) = self.birth.word() {
            word.store(fork::OWNED, Ordering::Release);
        }
        self.owner.store(sys::pid(), Ordering::Release);
    }

    /// Put a placeholder under `fd`, and have the tunnel made on its socket meanwhile. `driver` is given the
    /// socket under an fd of ours.
    ///
    /// Signals are to be blocked all the while: a handler that jumped away (siglongjmp(3)) would leave an entry that nobody
    /// works on.
    ///
    /// # Errors
    /// EALREADY: one is pending on this fd. Anything else: a descriptor or a thread cannot be had; nothing
    /// has changed, and the caller may connect by blocking.
    pub fn begin(
        &'static self,
        signals: &SignalsBlocked,
        fd: Fd,
        start: Start,
        driver: impl FnOnce(Fd) -> Driver<'static>,
    ) -> Result<BeginResult, Errno> {
        let Start {
            dialled,
            observer,
            first,
        } = start;
        let Placed {
            id,
            socket,
            wake_end,
            replacement,
        } = self.place(signals, fd, None)?;
        let mut driver = driver(socket.fd());
        driver.announce_replacement(replacement);
        let progress = match first {
            FirstStep::Inline => {
                let progress = driver.advance();
                if let Some(socket) = driver.take_opened() {
                    observer.opened(socket, dialled);
                }
                Some(progress)
            }
            FirstStep::Deferred => None,
            FirstStep::AlreadyStarted => {
                sys::set_nonblocking(socket.fd(), true)?;
                Some(driver.waiting())
            }
        };
        if let Some(Progress::Finished(result)) = progress {
            let replacement = driver.take_replacement().filter(|_| result.is_ok());
            let ours = Ours::new(socket, replacement);
            observer.ended(ours.fd(), dialled, result);
            // Nobody can sleep on the placeholder for long: it was there for an instant.
            let _ = self.put_back(id, ours, result);
            // A helper that was started for this has nothing to do.
            self.table.lock_within(signals).call_helper();
            return Ok(BeginResult::Ended(result));
        }
        let job = Job {
            id,
            socket,
            wake_end,
            driver,
            progress,
            dialled,
            observer,
            aborted: false,
        };
        let mut table = self.table.lock_within(signals);
        table.inbox.push(job);
        table.call_helper();
        Ok(BeginResult::Pending)
    }

    /// Put a placeholder under the fds of the socket that `fd` refers to.
    fn place(
        &'static self,
        signals: &SignalsBlocked,
        fd: Fd,
        caller: Option<Caller>,
    ) -> Result<Placed, Errno> {
        self.guard_forks();
        if !self.is_owner() || self.is_forking() {
            // Between vfork and exec the table, and the helper, are the parent's. In a fork handler the helper waits for
            // the end of the fork.
            return Err(Errno::EAGAIN);
        }
        self.registrations.rings.look();
        let blocking = sys::status_flags(fd)? & libc::O_NONBLOCK == 0;
        let mut table = self.table.lock_within(signals);
        if table.is_pending(fd) {
            return Err(Errno::EALREADY);
        }
        // A thread that closes one of the socket's fds from now on waits for the lock. So they are looked for after this:
        // what was closed before may be another file.
        self.busy.fetch_add(1, Ordering::AcqRel);
        let fds = self.fds_of(fd);
        let placed = self.place_locked(&mut table, fd, fds, caller, blocking);
        self.recount(&table);
        placed
    }

    fn place_locked(
        &'static self,
        table: &mut PendingTable,
        fd: Fd,
        fds: Vec<Fd>,
        caller: Option<Caller>,
        blocking: bool,
    ) -> Result<Placed, Errno> {
        let replacement = Arc::new(AtomicI32::new(-1));
        let limit = NofileGuard::new();
        let placeholder = Placeholder::new(&limit, &self.own_fds)?;
        let socket = Arc::new(self.own_fds.adopt(limit.duplicate(fd)?));
        limit.restore();
        if caller.is_some() {
            check_fd(fd, socket.fd())?;
        }
        if caller.is_none() {
            helper::call(table, self, &limit)?;
        }
        let id = table.next;
        table.next += 1;
        let wake_end = Arc::new(placeholder.wake_end);
        for (index, &fd) in fds.iter().enumerate() {
            let placed = self.registrations.exchange(placeholder.app_end.fd(), fd);
            if let Err(errno) = placed {
                // The socket must not stay under an fd while a tunnel is made on it.
                for &back in fds.iter().take(index) {
                    table.fds.remove(&back);
                    let _ = self.registrations.exchange(socket.fd(), back);
                }
                table.call_helper();
                return Err(errno);
            }
            table.fds.insert(fd, id);
        }
        table.entries.insert(
            id,
            Entry {
                id,
                fds: fds.into_iter().map(ProgramFd::new).collect(),
                placeholder: placeholder.id,
                wake_end: wake_end.clone(),
                socket: socket.clone(),
                replacement: replacement.clone(),
                forked: false,
                caller,
                blocking,
            },
        );
        Ok(Placed {
            id,
            socket,
            wake_end,
            replacement,
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
        Ok(Waited {
            placed,
            aborts: abort,
        })
    }

    /// The caller is done: as with the helper's, but that nobody has to learn of a failure.
    pub fn end_waited(
        &'static self,
        waited: Waited,
        replacement: Option<RegisteredFd>,
        result: Result<(), Errno>,
    ) {
        let Placed { id, socket, .. } = waited.placed;
        if let Some(replacement) = &replacement {
            self.copy_options(socket.fd(), replacement.fd());
        }
        if let Some((wake_end, fd)) = self.put_back(id, Ours::new(socket, replacement), result) {
            let mut table = self.table.lock();
            table.unwatched.push((id, wake_end, fd));
            if helper::call(&mut table, self, &NofileGuard::new()).is_err() {
                // To be woken now is better than never.
                table.unwatched.clear();
            }
            table.call_helper();
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
        let mut table = self.table.lock();
        if let Err(errno) = helper::call(&mut table, self, &NofileGuard::new()) {
            return Err((errno, waited));
        }
        let is_aborted = waited.is_aborted();
        // They go with the job: the helper is told of a wake end for as long as anybody has it.
        let Placed {
            id,
            socket,
            wake_end,
            ..
        } = waited.placed;
        if let Some(entry) = table.entries.get_mut(&id) {
            entry.caller = None;
        }
        let mut driver = driver();
        let progress = Some(driver.waiting());
        table.inbox.push(Job {
            id,
            socket,
            wake_end,
            driver,
            progress,
            dialled: start.dialled,
            observer: start.observer,
            aborted: false,
        });
        if is_aborted {
            table.aborts.push(id);
        }
        table.call_helper();
        Ok(())
    }

    /// The socket goes back under its fds, wherever the program still has the placeholder. What is left to
    /// watch afterwards, if any: somebody who sleeps on the placeholder for reading.
    ///
    /// `ours` is closed before anybody is woken, and before the table is free: a close(2) of the program waits for
    /// them, and so is the last one of the socket.
    pub(super) fn put_back(
        &self,
        id: u64,
        ours: Ours,
        result: Result<(), Errno>,
    ) -> Option<(Arc<WakeEnd>, Fd)> {
        let (wake_end, forked, back, word) = {
            let mut table = self.table.lock();
            let entry = table.remove(id)?;
            let socket = ours.fd();
            let mut back = None;
            for fd in entry.open_fds() {
                if sys::file_id(fd) != Ok(entry.placeholder) {
                    // Closed behind our back, and perhaps somebody else's by now.
                    continue;
                }
                if back.is_none() {
                    let _ = sys::set_nonblocking(socket, !entry.blocking);
                }
                self.install_at(socket, fd);
                back = Some(fd);
            }
            // A child has the program's socket alone: a fresh one in its place is not for the child.
            let word = match result {
                Ok(()) if ours.replacement.is_some() => libc::ECONNABORTED,
                _ => result.err().map_or(0, Errno::raw),
            };
            let Entry {
                wake_end,
                forked,
                socket,
                ..
            } = entry;
            drop((ours, socket));
            self.recount(&table);
            (wake_end, forked, back, word)
        };
        self.settled.advance();
        // In this order: a child that is woken asks at once.
        if forked {
            wake_end.publish(word);
        }
        wake_end.wake_writers();
        if wake_end.peer_closed() {
            return None;
        }
        if !forked {
            // One that was made by clone(2) without CLONE_VM, if it is not somebody who sleeps here.
            wake_end.publish(word);
        }
        back.map(|fd| (wake_end, fd))
    }

    /// The socket under an fd of the program. Where that fails the placeholder stays there, and must not pass for a
    /// connection.
    pub(super) fn install_at(&self, socket: Fd, fd: Fd) {
        if self.registrations.exchange(socket, fd).is_err() {
            if let Some(cookie) = sys::cookie(fd) {
                self.deferred.set(cookie, Errno::ECONNABORTED.into());
            }
        }
    }

    /// A connect ended in an error that its program has yet to learn: put the error on the socket.
    pub(super) fn leave_error(&self, socket: Fd, error: DeferredError) {
        let refused = error_socket::make(socket);
        if !refused || error.errno != Errno::ECONNREFUSED {
            if let Some(cookie) = sys::cookie(socket) {
                self.deferred.set(cookie, error);
            }
        }
    }

    /// Whether there is anything that a program must not close, or that has to hear of what it closes.
    pub fn needs_close_tracking(&self) -> bool {
        self.count() > 0 || !self.own_fds.is_empty()
    }

    /// Whether it is busy, or some program has yet to learn of a failure.
    pub fn needs_hooks(&self) -> bool {
        self.needs_close_tracking() || !self.deferred.is_empty()
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

    /// The program is about to close this fd. An error of its socket that nobody asked for is forgotten with it.
    pub fn closing_failed(&self, fd: Fd) {
        if self.has_deferred() && self.fds_of(fd).len() == 1 {
            let _ = self.owed_error(fd);
        }
    }

    /// The socket that an fd stands for while a connect is pending on it.
    pub fn socket_of(&self, fd: Fd) -> Option<Arc<RegisteredFd>> {
        let mut table = self.open()?;
        if let Some(inherited) = table.inherited_of(fd) {
            return Some(inherited.socket.clone());
        }
        Some(table.entry_of(fd)?.socket.clone())
    }

    /// Our own descriptors, for those who make them.
    pub fn own_fds(&'static self) -> &'static OwnFds {
        &self.own_fds
    }

    /// What the program has set on its socket, for the one that takes its place.
    pub(super) fn copy_options(&self, from: Fd, to: Fd) {
        let _ = self
            .own_fds
            .unforked(|| replacement::copy_options(from, to));
    }

    /// Whether `fd` is one of our own descriptors: the program must not close what it did not open.
    pub fn is_internal(&self, fd: Fd) -> bool {
        self.detect_fork();
        self.own_fds.has(fd) && self.is_owner()
    }

    /// Our own descriptors between two fds, in order.
    pub fn internal_between(&self, first: u32, last: u32) -> Vec<Fd> {
        match self.is_owner() {
            true => self.own_fds.between(first, last),
            false => Vec::new(),
        }
    }

    /// Whether the caller is the process whose descriptors the table is about: after vfork(2) it is not.
    pub fn is_owner(&self) -> bool {
        self.detect_fork();
        self.owner.load(Ordering::Acquire) == sys::pid()
    }

    /// The program is about to close this fd: forget it first, for it may be given to another thread the
    /// moment it is closed. The helper sees when nobody has the placeholder any more, and ends the connect. `true`: it may
    /// be the last, and [`Pending::release_closed`] is to be called when it is closed.
    ///
    /// Nothing is allocated or freed here (but in a forked child): a signal handler that interrupted malloc(3)
    /// may call close(2).
    pub fn closing(&self, fd: Fd) -> bool {
        let mut last = false;
        if let Some(mut table) = self.open() {
            if let Some(entry) = table.entry_of(fd) {
                last = entry.closed(|closed| closed == fd);
            } else if !table.inherited.is_empty() {
                table.forget_inherited(|closed| closed == fd);
                self.recount(&table);
            }
        }
        // For one who waits for this fd.
        self.settled.advance();
        last
    }

    /// As [`Pending::closing`], for all fds of a range.
    pub fn closing_range(&self, first: u32, last: u32) -> bool {
        let in_range = |fd: Fd| (first..=last).contains(&(fd as u32));
        let mut any = false;
        if let Some(mut table) = self.open() {
            for entry in table.entries.values_mut() {
                any |= entry.closed(in_range);
            }
            table.forget_inherited(in_range);
            self.recount(&table);
        }
        self.settled.advance();
        any
    }

    /// The program has closed what [`Pending::closing`] said. A socket that nobody refers to any more is closed now, as the
    /// kernel would: its port is free, and its peer sees the end. The helper may be about to use the fd, so that becomes a
    /// file on which all that it does fails, until the helper closes it.
    pub fn release_closed(&self) {
        let Some(table) = self.open() else {
            return;
        };
        let Some(helper) = &table.helper else {
            return;
        };
        for entry in table.entries.values() {
            let is_closed = entry.caller.is_none() && entry.open_fds().next().is_none();
            if is_closed && entry.wake_end.peer_closed() {
                let _ = sys::replace(helper.wake, entry.socket.fd(), true);
            }
        }
    }

    /// Nobody has the placeholder of this entry any more.
    pub(super) fn abandoned(&self, id: u64) {
        {
            let mut table = self.table.lock();
            table.remove(id);
            self.recount(&table);
        }
        self.settled.advance();
    }

    /// shutdown(2) on a connecting socket ends the attempt (the kernel leaves ECONNRESET). Whether there was
    /// one. The helper does it, since it may be using the socket at this moment.
    pub fn abort(&self, fd: Fd) -> bool {
        {
            let Some(mut table) = self.open() else {
                return false;
            };
            if !table.is_pending(fd) {
                return false;
            }
            let Some(&id) = table.fds.get(&fd) else {
                return false;
            };
            let entry = table.entries.get(&id);
            if !entry.is_some_and(Entry::abort_caller) {
                table.aborts.push(id);
                table.call_helper();
            } else if entry.is_some_and(Entry::is_waited_for_here) {
                return true;
            }
        }
        self.wait_for(fd);
        true
    }

    /// Whether the calling thread makes the tunnel of this fd itself, and so is in a signal handler.
    pub fn is_waited_for_here(&self, fd: Fd) -> bool {
        let mut table = self.open();
        let entry = table.as_mut().and_then(|table| table.entry_of(fd));
        entry.is_some_and(|entry| entry.is_waited_for_here())
    }

    /// Whether the socket that is pending on `fd` blocks, as far as its program knows. `None`: nothing is pending on
    /// it.
    pub fn blocks(&self, fd: Fd) -> Option<bool> {
        self.lock_fd(fd)?.blocks(fd)
    }

    /// Sleep until nothing is pending on `fd`.
    pub fn wait_for(&self, fd: Fd) {
        if self.is_forking() {
            return;
        }
        while let Some(None) = self.poll_inherited(fd) {
            // A signal handler may have run: look again.
            let _ = sys::poll_one(fd, libc::POLLOUT, None);
        }
        loop {
            let seen = self.settled.now();
            let pending = self.open().is_some_and(|mut table| table.is_pending(fd));
            if !pending {
                return;
            }
            self.settled.wait(seen);
        }
    }

    /// `new` was made a duplicate of `old` just now, while `old` was held.
    pub fn duplicated(&self, held: Option<FdLock<'_>>, old: Fd, new: Fd) {
        let is_tcp = sys::is_tcp(new) == Ok(true);
        // Between vfork and exec the fds are not those of the table.
        if held.is_some() || (is_tcp && self.is_owner()) {
            self.dups.lock().extend([old, new]);
            self.any_dups.store(true, Ordering::Release);
        }
        let Some(FdLock(mut table)) = held else {
            return;
        };
        if let Some(entry) = table.entry_of(old) {
            entry.fds.push(ProgramFd::new(new));
            let id = entry.id;
            table.fds.insert(new, id);
        } else if let Some(inherited) = table.inherited_of(old) {
            inherited.fds.push(new);
        }
        self.recount(&table);
    }

    /// All fds of the socket that `fd` refers to, as far as they were made through libc.
    fn fds_of(&self, fd: Fd) -> Vec<Fd> {
        let mut fds = vec![fd];
        if self.any_dups.load(Ordering::Acquire) {
            if let Some(cookie) = sys::cookie(fd) {
                let mut dups = self.dups.lock();
                dups.retain(|&other| match sys::cookie(other) {
                    Some(theirs) => {
                        if theirs == cookie && other != fd {
                            fds.push(other);
                        }
                        true
                    }
                    None => false,
                });
            }
        }
        fds
    }

    /// From now on the table is this process's, and its locks are held over fork(2). To be called when the
    /// library is loaded, before there are threads.
    pub fn guard_forks(&'static self) {
        if !self.guarded.swap(true, Ordering::AcqRel) {
            sys::measure_thread_stacks();
            self.birth.prepare();
            self.set_owner();
            fork::install(self);
        }
    }
}

/// Whether the fd is still a TCP socket, and the one that `socket` is a duplicate of: another thread may have closed
/// it since it was looked at, and opened something else there.
fn check_fd(fd: Fd, socket: Fd) -> Result<(), Errno> {
    match sys::is_tcp(socket)? && sys::file_id(fd)? == sys::file_id(socket)? {
        true => Ok(()),
        false => Err(Errno::EBADF),
    }
}
