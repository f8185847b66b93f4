//! The start of a pending connect: a placeholder is installed under the program's fd. The dial is left to the helper,
//! or to the caller, which waits for its end.

use super::finish::OwnRefs;
use super::fork;
use super::helper;
use super::job::{step, ConnectObserver, Job};
use super::placeholder::{Placeholder, WakeEnd};
use super::state::Pending;
use super::table::{Caller, Entry, PendingTable, ProgramFd};
use crate::dial::driver::Driver;
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

/// Which thread takes the first steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FirstStep {
    /// The calling thread: no step blocks.
    Inline,
    /// The helper: resolving a proxy's name may block.
    Deferred,
    /// They were taken already: a blocking connect was interrupted.
    AlreadyStarted,
}

/// An entry whose placeholder is installed.
struct Placed {
    id: u64,
    socket: Arc<RegisteredFd>,
    wake_end: Arc<WakeEnd>,
    replacement: Arc<AtomicI32>,
}

/// What the placeholder replaces.
struct Swap {
    fds: Vec<Fd>,
    caller: Option<Caller>,
    blocking: bool,
    dialled: Option<SocketAddr>,
    /// The socket of an orphaned connect, whose fds refer to the parent's placeholder.
    orphan: Option<Arc<RegisteredFd>>,
}

/// A pending connect that its caller drives itself.
pub struct InlineConnect {
    placed: Placed,
    aborts: Arc<AtomicBool>,
}

impl InlineConnect {
    /// The program's socket, under an own fd.
    pub fn socket(&self) -> Fd {
        self.placed.socket.fd()
    }

    /// Where the driver publishes the fd of a replacement.
    pub fn replacement_fd(&self) -> Arc<AtomicI32> {
        self.placed.replacement.clone()
    }

    /// Whether the program has aborted it, by shutdown(2) or connect(2) to AF_UNSPEC.
    pub fn is_aborted(&self) -> bool {
        self.aborts.load(Ordering::Acquire)
    }
}

/// The result of starting a pending connect.
pub enum BeginResult {
    /// EINPROGRESS: the helper drives it.
    Pending,
    /// The dial ended at once; the socket is back under its fd.
    Ended(Result<(), Errno>),
}

impl Pending {
    /// Installs a placeholder under `fd` and starts the dial on its socket. `driver` gets the socket under an own fd.
    ///
    /// Signals must stay blocked throughout: a signal handler that leaves by siglongjmp(3) would leave an entry that no
    /// thread drives.
    ///
    /// # Errors
    /// EALREADY: a connect is pending on this fd. Any other errno: no fd or thread is available; nothing has changed,
    /// and the caller may use a blocking connect. `driver` is returned.
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
        } = match self.place(signals, fd, None, Some(dialled)) {
            Ok(placed) => placed,
            Err(errno) => return Err((errno, driver)),
        };
        let mut driver = driver(socket.fd());
        driver.announce_replacement(replacement);
        let wait = match first {
            FirstStep::Inline => match step(&mut driver, observer, dialled, Driver::advance) {
                Ok(wait) => Some(wait),
                Err(outcome) => {
                    let result = outcome.result;
                    let refs = OwnRefs::new(socket, outcome.replacement);
                    observer.ended(refs.fd(), dialled, result);
                    // No thread can sleep on the placeholder for long: it existed for an instant only.
                    WakeEnd::close_last(wake_end, signals);
                    let _ = self.put_back(signals, id, refs, result);
                    // A helper that was started for this connect has nothing to do, and exits.
                    self.table.lock_within(signals).call_helper();
                    return Ok(BeginResult::Ended(result));
                }
            },
            FirstStep::Deferred => None,
            FirstStep::AlreadyStarted => {
                // It fails for an fd alone that is not open.
                let _ = sys::set_nonblocking(socket.fd(), true);
                Some(driver.waiting())
            }
        };
        let job = Job {
            id,
            socket,
            wake_end,
            driver,
            wait,
            dialled,
            observer,
            aborted: false,
        };
        let mut table = self.table.lock_within(signals);
        table.inbox.push(job);
        table.call_helper();
        Ok(BeginResult::Pending)
    }

    /// Installs a placeholder under all fds of the socket that `fd` refers to.
    fn place(
        &'static self,
        signals: &SignalsBlocked,
        fd: Fd,
        caller: Option<Caller>,
        dialled: Option<SocketAddr>,
    ) -> Result<Placed, Errno> {
        self.guard_forks();
        if !self.is_owner() || self.is_forking() {
            // Between vfork and exec, the table and the helper are the parent's. In a fork handler the helper waits for
            // the end of the fork.
            return Err(Errno::EAGAIN);
        }
        self.registrations.rings.refresh();
        let blocking = sys::status_flags(fd)? & libc::O_NONBLOCK == 0;
        let mut table = self.table.lock_within(signals);
        let inherited = table.inherited_of(fd);
        let is_parents = inherited.is_some_and(|inherited| !inherited.orphaned);
        if is_parents || table.is_pending(fd) {
            return Err(Errno::EALREADY);
        }
        // From now on a thread that closes one of the socket's fds waits for the lock. So the fds are looked up after
        // this; one closed before may refer to another file.
        self.busy.fetch_add(1, Ordering::AcqRel);
        let orphan = table.take_inherited(fd);
        let swap = match &orphan {
            None => Swap {
                fds: self.fds_of(fd),
                caller,
                blocking,
                dialled,
                orphan: None,
            },
            Some(orphan) => Swap {
                fds: orphan.open_fds(),
                caller,
                blocking: orphan.blocking,
                dialled,
                orphan: Some(orphan.socket.clone()),
            },
        };
        let placed = self.place_locked(&mut table, signals, fd, swap);
        self.recount(&table);
        if let (Err(_), Some(orphan)) = (&placed, &orphan) {
            self.fail_inherited(orphan, Errno::ECONNABORTED.into());
        }
        placed
    }

    fn place_locked(
        &'static self,
        table: &mut PendingTable,
        signals: &SignalsBlocked,
        fd: Fd,
        swap: Swap,
    ) -> Result<Placed, Errno> {
        let Swap {
            fds,
            caller,
            blocking,
            dialled,
            orphan,
        } = swap;
        let replacement = Arc::new(AtomicI32::new(-1));
        let limit = NofileGuard::new();
        let placeholder = Placeholder::new(&limit, signals, &self.own_fds)?;
        let redialled = orphan.is_some();
        let socket = match orphan {
            None => Arc::new(self.own_fds.adopt(signals, limit.duplicate(fd)?)),
            Some(socket) => {
                // The parent's half-established tunnel.
                let _ = sys::disconnect(socket.fd());
                let _ = sys::set_nonblocking(socket.fd(), true);
                socket
            }
        };
        limit.restore();
        if caller.is_some() {
            check_fd(fd, socket.fd())?;
        }
        if caller.is_none() {
            helper::call(table, self, &limit, signals)?;
        }
        let id = table.next;
        table.next += 1;
        let wake_end = Arc::new(placeholder.wake_end);
        for (index, &fd) in fds.iter().enumerate() {
            let placed = self.registrations.swap_fd(placeholder.app_end.fd(), fd);
            if let Err(errno) = placed {
                // No fd may refer to the socket while a tunnel is being established on it.
                for &back in fds.iter().take(index) {
                    table.fds.remove(&back);
                    let _ = self.registrations.swap_fd(socket.fd(), back);
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
                dialled,
                redialled,
            },
        );
        Ok(Placed {
            id,
            socket,
            wake_end,
            replacement,
        })
    }

    /// Installs a placeholder under `fd`, whose socket is blocking and has these status flags. The caller dials on the
    /// socket itself, and then ends with [`Pending::end_inline`] or [`Pending::hand_over`].
    ///
    /// # Errors
    /// As [`Pending::begin`].
    pub fn begin_inline(&'static self, fd: Fd, flags: c_int) -> Result<InlineConnect, Errno> {
        let abort = Arc::new(AtomicBool::new(false));
        let caller = Caller {
            thread: sys::this_thread(),
            abort: abort.clone(),
        };
        let placed = self.place(&SignalsBlocked::new(), fd, Some(caller), None)?;
        let _ = sys::set_status_flags(placed.socket.fd(), flags | libc::O_NONBLOCK);
        Ok(InlineConnect {
            placed,
            aborts: abort,
        })
    }

    /// Ends a connect that its caller has driven. Unlike the helper's, a failure is not deferred: the caller returns
    /// it.
    pub fn end_inline(
        &'static self,
        inline: InlineConnect,
        replacement: Option<RegisteredFd>,
        result: Result<(), Errno>,
    ) {
        let signals = SignalsBlocked::new();
        let Placed {
            id,
            socket,
            wake_end,
            ..
        } = inline.placed;
        if let Some(replacement) = &replacement {
            self.copy_options(socket.fd(), replacement.fd());
        }
        WakeEnd::close_last(wake_end, &signals);
        let refs = OwnRefs::new(socket, replacement);
        if let Some((wake_end, fd)) = self.put_back(&signals, id, refs, result) {
            let mut table = self.table.lock_within(&signals);
            table.unwatched.push((id, wake_end, fd));
            if helper::call(&mut table, self, &NofileGuard::new(), &signals).is_err() {
                // Without a helper, wake the sleepers now.
                table.unwatched.clear();
            }
            table.call_helper();
        }
    }

    /// The caller stops waiting: the helper continues with the driver that `driver` returns.
    ///
    /// # Errors
    /// There is no helper and none can be started; the connect and `driver` are returned.
    pub fn hand_over<D: FnOnce(Fd) -> Driver<'static>>(
        &'static self,
        inline: InlineConnect,
        start: Start,
        driver: D,
    ) -> Result<(), (Errno, InlineConnect, D)> {
        let signals = SignalsBlocked::new();
        let mut table = self.table.lock_within(&signals);
        if let Err(errno) = helper::call(&mut table, self, &NofileGuard::new(), &signals) {
            return Err((errno, inline, driver));
        }
        let is_aborted = inline.is_aborted();
        // Moved into the job: the helper must watch the wake end as long as the entry exists.
        let Placed {
            id,
            socket,
            wake_end,
            ..
        } = inline.placed;
        if let Some(entry) = table.entries.get_mut(&id) {
            entry.caller = None;
            entry.dialled = Some(start.dialled);
        }
        let mut driver = driver(socket.fd());
        let wait = Some(driver.waiting());
        table.inbox.push(Job {
            id,
            socket,
            wake_end,
            driver,
            wait,
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

    /// Makes this process the owner of the table, and holds its locks over fork(2). To be called when the library is
    /// loaded, before there are threads.
    pub fn guard_forks(&'static self) {
        if !self.guarded.swap(true, Ordering::AcqRel) {
            sys::measure_thread_stacks();
            self.birth.prepare();
            self.set_owner();
            fork::install(self);
        }
    }
}

/// Checks that `fd` still is a TCP socket, and the one that `socket` duplicates: another thread may have closed and
/// reused the fd meanwhile.
fn check_fd(fd: Fd, socket: Fd) -> Result<(), Errno> {
    match sys::is_tcp(socket)? && sys::file_id(fd)? == sys::file_id(socket)? {
        true => Ok(()),
        false => Err(Errno::EBADF),
    }
}
