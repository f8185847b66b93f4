//! The helper thread: it drives all pending connects, and lives only while there are any.

use super::deferred_errors::DeferredError;
use super::finish::OwnRefs;
use super::job::{Job, Running, Workload};
use super::placeholder::WakeEnd;
use super::state::Pending;
use super::table::{PendingTable, Sleeper};
use crate::dial::driver::{Driver, Outcome, Progress, Wait};
use crate::errno::Errno;
use crate::lock::Guard;
use crate::own_fds::RegisteredFd;
use crate::sys::{self, Fd, NofileGuard, SignalsBlocked};
use libc::c_int;
use std::collections::{BTreeMap, BTreeSet};
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Enough for libc's resolver, which a proxy's host name may need.
const STACK: usize = 256 * 1024;
/// How many events to take at once.
const BATCH: usize = 64;
/// A thread that slept in poll(2) for writing has left it by then: whoever is asleep still wants to read. Until then the
/// program's socket is not watched, since epoll_ctl(2) holds a reference to it, and the port would be in use for that
/// long if the program closed the socket meanwhile.
const AWAKE_AFTER: Duration = Duration::from_millis(1);

/// Starts a helper unless there is one. Called with the table locked and so with all signals blocked, which the new
/// thread inherits.
pub fn call(
    table: &mut PendingTable,
    pending: &'static Pending,
    limit: &NofileGuard,
    signals: &SignalsBlocked,
) -> Result<(), Errno> {
    if table.helper.is_some() {
        return Ok(());
    }
    let helper = Helper::new(pending, workload(pending, limit, signals)?);
    let wake = helper.work.wake.fd();
    if table.parking > 0 {
        table.parked = Some(helper.work);
    } else {
        start(helper).map_err(|(errno, _)| errno)?;
    }
    table.helper = Some(wake);
    Ok(())
}

/// Starts a helper's thread, with the table locked. An error returns the helper.
pub fn start(helper: Helper) -> Result<(), (Errno, Box<Helper>)> {
    let kept = Arc::new(Mutex::new(Some(helper)));
    let given = kept.clone();
    let take = |from: &Mutex<Option<Helper>>| from.lock().ok()?.take();
    let body = move || {
        if let Some(helper) = take(&given) {
            run(helper);
        }
    };
    let started = sys::start_thread(c"tailchain", STACK, Box::new(body));
    started.or_else(|errno| match take(&kept) {
        Some(helper) => Err((errno, Box::new(helper))),
        None => Ok(()),
    })
}

/// The subject of an event in the helper's epoll instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token {
    Wake,
    /// The socket of a job.
    Socket(u64),
    /// The wake end of a placeholder: its peer is closed, or a forked child has shut it.
    PeerClosed(u64),
    /// The program's socket, for such a sleeper: it is readable.
    Readable(u64),
}

impl Token {
    fn pack(self) -> u64 {
        match self {
            Token::Wake => 0,
            Token::Socket(id) => id << 2 | 1,
            Token::PeerClosed(id) => id << 2 | 2,
            Token::Readable(id) => id << 2 | 3,
        }
    }

    fn unpack(word: u64) -> Token {
        match word & 3 {
            1 => Token::Socket(word >> 2),
            2 => Token::PeerClosed(word >> 2),
            3 => Token::Readable(word >> 2),
            _ => Token::Wake,
        }
    }
}

/// What the helper's thread does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    Again,
    /// No work is left.
    End,
    /// The process needs to be without this thread for a while.
    Park,
}

/// The helper, on its thread.
pub struct Helper {
    pending: &'static Pending,
    work: Box<Workload>,
    /// Those of the helper's thread.
    signals: SignalsBlocked,
}

fn run(mut helper: Helper) {
    let pending = helper.pending;
    let ended = catch_unwind(AssertUnwindSafe(|| loop {
        match helper.run_once() {
            Turn::Again => {}
            last => return last,
        }
    }));
    let signals = &helper.signals;
    if let Ok(Turn::Park) = ended {
        let mut table = pending.table.lock_within(signals);
        table.exiting.add_this();
        table.parked = Some(helper.work);
        return;
    }
    if ended.is_err() {
        // After any error: no program may wait forever.
        let mut table = pending.table.lock_within(signals);
        table.helper_is_over();
        let driven = table
            .entries
            .values()
            .filter(|entry| entry.caller.is_none());
        let sockets: Vec<_> = driven
            .map(|entry| (entry.id, entry.socket.clone()))
            .collect();
        drop(table);
        helper.work.jobs.clear();
        for (id, socket) in sockets {
            pending.leave_error(socket.fd(), Errno::ECONNABORTED.into());
            let refs = OwnRefs::new(socket, None);
            let _ = pending.put_back(signals, id, refs, Err(Errno::ECONNABORTED));
        }
    }
    let Workload { epoll, wake, .. } = *helper.work;
    epoll.close(signals);
    wake.close(signals);
}

/// The fds of a helper, without work.
fn workload(
    pending: &'static Pending,
    limit: &NofileGuard,
    signals: &SignalsBlocked,
) -> Result<Box<Workload>, Errno> {
    let own = |fd| pending.own_fds.adopt(signals, limit.move_high(fd));
    let (epoll, wake) = (sys::epoll()?, sys::event_counter()?);
    limit.raise();
    let (epoll, wake) = (own(epoll), own(wake));
    limit.restore();
    sys::epoll_set(
        epoll.fd(),
        libc::EPOLL_CTL_ADD,
        wake.fd(),
        libc::EPOLLIN as u32,
        Token::Wake.pack(),
    )?;
    Ok(Box::new(Workload {
        epoll,
        wake,
        jobs: BTreeMap::new(),
        deadlines: BTreeSet::new(),
    }))
}

impl Helper {
    /// A helper for a thread that starts with all signals blocked.
    pub fn new(pending: &'static Pending, work: Box<Workload>) -> Helper {
        Helper {
            pending,
            work,
            signals: SignalsBlocked::for_good(),
        }
    }

    /// One round: new work, events, deadlines.
    fn run_once(&mut self) -> Turn {
        match self.take_in() {
            Turn::Again => {}
            last => return last,
        }
        let next = self.work.deadlines.first().map(|(deadline, _)| *deadline);
        let timeout = next.map(|deadline| deadline.saturating_sub(sys::now()));
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; BATCH];
        let ready = match sys::epoll_wait(self.work.epoll.fd(), &mut events, timeout) {
            Ok(ready) => ready,
            Err(Errno::EINTR) => 0,
            // The program closed the own fds by raw system calls.
            Err(_) => {
                self.fail_all();
                return Turn::End;
            }
        };
        for event in events.iter().take(ready) {
            self.event(Token::unpack(event.u64), event.events);
        }
        let now = sys::now();
        while let Some(&(deadline, id)) = self.work.deadlines.first() {
            if deadline > now {
                break;
            }
            match self.work.jobs.contains_key(&id) {
                true => self.step(id, Driver::on_timeout),
                false => self.watch_for_reading(deadline, id),
            }
        }
        Turn::Again
    }

    /// Takes new work from the table until there is none. If this ends the helper, the table no longer lists it.
    fn take_in(&mut self) -> Turn {
        loop {
            let (jobs, aborts, unwatched) = {
                let mut table = self.pending.table.lock_within(&self.signals);
                table.helper_sleeps = false;
                if self.work.jobs.is_empty() && table.is_helper_idle() {
                    table.helper_is_over();
                    return Turn::End;
                }
                if table.parking > 0 {
                    return Turn::Park;
                }
                let jobs = std::mem::take(&mut table.inbox);
                let unwatched = std::mem::take(&mut table.unwatched);
                let is_here = |id: &u64| {
                    self.work.jobs.contains_key(id) || jobs.iter().any(|job| job.id == *id)
                };
                let (aborts, mut later): (Vec<_>, Vec<_>) = std::mem::take(&mut table.aborts)
                    .into_iter()
                    .partition(is_here);
                // Their callers have not handed the job in yet.
                later.retain(|id| table.entries.contains_key(id));
                table.aborts = later;
                if jobs.is_empty() && aborts.is_empty() && unwatched.is_empty() {
                    table.helper_sleeps = true;
                    return Turn::Again;
                }
                (jobs, aborts, unwatched)
            };
            for (id, wake_end, fd) in unwatched {
                self.watch_anew(wake_end.fd(), 0, Token::PeerClosed(id));
                self.add_sleeper(id, wake_end, fd);
            }
            for job in jobs {
                self.accept(job);
            }
            for id in aborts {
                self.abort(id);
            }
        }
    }

    fn accept(&mut self, job: Job) {
        let id = job.id;
        let wait = job.wait;
        let events = libc::EPOLLRDHUP as u32;
        self.watch_anew(job.wake_end.fd(), events, Token::PeerClosed(id));
        let running = Running {
            job,
            deadline: Duration::ZERO,
            watched: None,
        };
        self.work.jobs.insert(id, running);
        match wait {
            Some(wait) => self.wait(id, wait),
            None => self.step(id, Driver::advance),
        }
    }

    fn event(&mut self, token: Token, events: u32) {
        match token {
            Token::Wake => sys::clear_event(self.work.wake.fd()),
            Token::Socket(id) => self.step(id, Driver::on_ready),
            Token::PeerClosed(id) if events & libc::EPOLLHUP as u32 == 0 => {
                self.abort_for_child(id)
            }
            Token::PeerClosed(id) => {
                self.forget_sleeper(id);
                // The program closed the last fd, which aborts the dial.
                if let Some(job) = self.work.remove(id) {
                    self.pending.abandoned(&self.signals, id);
                    self.drop_job(job);
                }
            }
            Token::Readable(id) => self.forget_sleeper(id),
        }
    }

    /// The program has called shutdown(2).
    fn abort(&mut self, id: u64) {
        if let Some(running) = self.work.jobs.get_mut(&id) {
            running.job.aborted = true;
            self.step(id, |driver| {
                driver.abandon(Errno::ECONNRESET);
                driver.advance()
            });
        }
    }

    /// A forked child has called shutdown(2) on its copy, which has the placeholder's app end shut for writing.
    fn abort_for_child(&mut self, id: u64) {
        let job = self.work.jobs.get(&id);
        let job = job.map(|running| running.job.wake_end.clone());
        let sleeper = || Some(self.lock().sleepers.get(&id)?.wake_end.clone());
        if let Some(wake_end) = job.or_else(sleeper) {
            // It stays shut.
            self.watch(wake_end.fd(), 0, Token::PeerClosed(id));
        }
        self.abort(id);
    }

    fn forget_sleeper(&mut self, id: u64) {
        let sleeper = self.lock().sleepers.remove(&id);
        if let Some(Sleeper {
            wake_end, deadline, ..
        }) = sleeper
        {
            self.work.deadlines.remove(&(deadline, id));
            WakeEnd::close_last(wake_end, &self.signals);
        }
    }

    /// Lets the driver of a job take a step, and what follows from it.
    fn step(&mut self, id: u64, how: impl FnOnce(&mut Driver<'static>) -> Progress) {
        let Some(Running { job, deadline, .. }) = self.work.jobs.get_mut(&id) else {
            return;
        };
        self.work.deadlines.remove(&(*deadline, id));
        let mut progress = how(&mut job.driver);
        loop {
            match progress {
                Progress::Opened(socket) => {
                    job.observer.opened(socket, job.dialled);
                    progress = job.driver.advance();
                }
                Progress::Wait(wait) => return self.wait(id, wait),
                Progress::Finished(outcome) => return self.finish(id, outcome),
            }
        }
    }

    fn wait(&mut self, id: u64, wait: Wait) {
        let Some(running) = self.work.jobs.get_mut(&id) else {
            return;
        };
        running.deadline = wait.deadline;
        let watched = running.watched.replace(wait.fd);
        self.work.deadlines.insert((wait.deadline, id));
        let events = wait.events as u32 | libc::EPOLLONESHOT as u32;
        if wait.events == 0 {
            // An unconnected socket always reports POLLHUP: do not watch it while the driver sleeps.
            let _ = sys::epoll_remove(self.work.epoll.fd(), wait.fd);
        } else if watched == Some(wait.fd) {
            self.watch(wait.fd, events, Token::Socket(id));
        } else {
            self.watch_anew(wait.fd, events, Token::Socket(id));
        }
    }

    /// Watches an fd that is in the epoll instance already, or else adds it.
    fn watch(&self, fd: Fd, events: u32, token: Token) {
        if self.watch_by(libc::EPOLL_CTL_MOD, fd, events, token) == Err(Errno::ENOENT) {
            let _ = self.watch_by(libc::EPOLL_CTL_ADD, fd, events, token);
        }
    }

    /// As [`Helper::watch`], for an fd that is hardly there yet.
    fn watch_anew(&self, fd: Fd, events: u32, token: Token) {
        if self.watch_by(libc::EPOLL_CTL_ADD, fd, events, token) == Err(Errno::EEXIST) {
            let _ = self.watch_by(libc::EPOLL_CTL_MOD, fd, events, token);
        }
    }

    fn watch_by(&self, operation: c_int, fd: Fd, events: u32, token: Token) -> Result<(), Errno> {
        sys::epoll_set(self.work.epoll.fd(), operation, fd, events, token.pack())
    }

    fn finish(&mut self, id: u64, outcome: Outcome) {
        let Outcome {
            result,
            replacement,
        } = outcome;
        let Some(job) = self.work.remove(id) else {
            return;
        };
        if result.is_err() && job.wake_end.peer_closed() {
            // The program closed the socket, and that made the dial fail.
            self.pending.abandoned(&self.signals, id);
            return self.drop_job(job);
        }
        let Job {
            socket,
            wake_end,
            aborted,
            dialled,
            observer,
            ..
        } = job;
        // The entry has another reference.
        drop(wake_end);
        let _ = sys::epoll_remove(self.work.epoll.fd(), socket.fd());
        if let Some(replacement) = &replacement {
            // Options that the program has set meanwhile.
            self.pending.copy_options(socket.fd(), replacement.fd());
        }
        let refs = OwnRefs::new(socket, replacement);
        if let Err(errno) = result {
            let by_program = aborted && errno == Errno::ECONNRESET;
            let error = DeferredError { errno, by_program };
            self.pending.leave_error(refs.fd(), error);
        }
        observer.ended(refs.fd(), dialled, result);
        if let Some((wake_end, fd)) = self.pending.put_back(&self.signals, id, refs, result) {
            self.add_sleeper(id, wake_end, fd);
        }
    }

    /// The wake end is watched already.
    fn add_sleeper(&mut self, id: u64, wake_end: Arc<WakeEnd>, fd: Fd) {
        let deadline = sys::now() + AWAKE_AFTER;
        self.work.deadlines.insert((deadline, id));
        let sleeper = Sleeper {
            wake_end,
            fd,
            deadline,
        };
        self.lock().sleepers.insert(id, sleeper);
    }

    fn watch_for_reading(&mut self, deadline: Duration, id: u64) {
        self.work.deadlines.remove(&(deadline, id));
        let fd = self.lock().sleepers.get(&id).map(|sleeper| sleeper.fd);
        if let Some(fd) = fd {
            let readable = (libc::EPOLLIN | libc::EPOLLRDHUP | libc::EPOLLONESHOT) as u32;
            self.watch_anew(fd, readable, Token::Readable(id));
        }
    }

    fn drop_job(&self, job: Job) {
        RegisteredFd::close_last(job.socket, &self.signals);
        WakeEnd::close_last(job.wake_end, &self.signals);
    }

    fn lock(&self) -> Guard<'_, PendingTable> {
        self.pending.table.lock_within(&self.signals)
    }

    /// Fails all jobs: nothing can be watched any more.
    fn fail_all(&mut self) {
        for (id, Running { mut job, .. }) in std::mem::take(&mut self.work.jobs) {
            job.driver.abandon(Errno::ECONNABORTED);
            self.pending
                .leave_error(job.socket.fd(), Errno::ECONNABORTED.into());
            job.observer
                .ended(job.socket.fd(), job.dialled, Err(Errno::ECONNABORTED));
            let refs = OwnRefs::new(job.socket, None);
            let result = Err(Errno::ECONNABORTED);
            let _ = self.pending.put_back(&self.signals, id, refs, result);
        }
        self.work.deadlines.clear();
        self.lock().helper_is_over();
    }

    /// As [`Helper::fail_all`], on a program thread, when no thread can be created.
    pub fn fail_without_thread(mut self) {
        self.signals = SignalsBlocked::new();
        let inbox = std::mem::take(&mut self.lock().inbox);
        inbox.into_iter().for_each(|job| self.accept(job));
        self.fail_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_survive_packing() {
        for token in [
            Token::Wake,
            Token::Socket(1),
            Token::PeerClosed(77),
            Token::Readable(u64::MAX >> 2),
        ] {
            assert_eq!(Token::unpack(token.pack()), token);
        }
    }
}
