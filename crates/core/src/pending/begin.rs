//! The beginning of a pending connect: a placeholder is put under the program's fd, and the tunnel is left to the helper, or
//! to the caller, who waits for it.

use super::finish::Ours;
use super::fork;
use super::helper;
use super::job::{ConnectObserver, Job};
use super::placeholder::{Placeholder, WakeEnd};
use super::state::Pending;
use super::table::{Caller, Entry, PendingTable, ProgramFd};
use crate::dial::driver::{Driver, Progress};
use crate::errno::Errno;
use crate::own_fds::RegisteredFd;
use crate::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use crate::sys::{self, Fd, NofileGuard, SignalsBlocked};
use core::ffi::c_int;
use std::net::SocketAddr;
use std::sync::Arc;

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

impl Pending {
    /// Put a placeholder under `fd`, and have the tunnel made on its socket meanwhile. `driver` is given the
    /// socket under an fd of ours.
    ///
    /// Signals are to be blocked all the while: a handler that jumped away (siglongjmp(3)) would leave an entry that nobody
    /// works on.
    ///
    /// # Errors
    /// EALREADY: one is pending on this fd. Anything else: a descriptor or a thread cannot be had; nothing
    /// has changed, and the caller may connect by blocking. `driver` is given back.
    pub fn begin<D: FnOnce(Fd) -> Driver<'static>>(
        &'static self,
        signals: &SignalsBlocked,
        fd: Fd,
        start: Start,
        driver: D,
    ) -> Result<BeginResult, (Errno, D)> {
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
        } = match self.place(signals, fd, None) {
            Ok(placed) => placed,
            Err(errno) => return Err((errno, driver)),
        };
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
                // It fails for an fd alone that is not open.
                let _ = sys::set_nonblocking(socket.fd(), true);
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
    /// There is no helper, and none can be had: both are given back.
    pub fn hand_over<D: FnOnce(Fd) -> Driver<'static>>(
        &'static self,
        waited: Waited,
        start: Start,
        driver: D,
    ) -> Result<(), (Errno, Waited, D)> {
        let mut table = self.table.lock();
        if let Err(errno) = helper::call(&mut table, self, &NofileGuard::new()) {
            return Err((errno, waited, driver));
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
        let mut driver = driver(socket.fd());
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
