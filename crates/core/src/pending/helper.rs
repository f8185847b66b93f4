//! The helper thread: it drives all pending connects, and lives only while there are any.

use super::deferred_errors::DeferredError;
use super::finish::OwnRefs;
use super::job::{step, Job, Workload};
use super::placeholder::WakeEnd;
use super::state::Pending;
use super::table::{PendingTable, Sleeper};
use crate::dial::driver::{Driver, Outcome, Progress, Wait};
use crate::dial::poller::{Event, Poller};
use crate::errno::Errno;
use crate::lock::Guard;
use crate::own_fds::RegisteredFd;
use crate::sys::{self, Fd, NofileGuard, SignalsBlocked};
use std::collections::BTreeMap;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Enough for libc's resolver, which a proxy's host name may need.
const STACK: usize = 256 * 1024;
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

/// What the helper watches besides the sockets of its jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token {
    Wake,
    /// The wake end of a placeholder: its peer is closed, or a forked child has shut it.
    PeerClosed(u64),
    /// The program's socket, for such a sleeper: it is readable.
    Readable(u64),
}

impl Token {
    fn pack(self) -> u64 {
        match self {
            Token::Wake => 0,
            Token::PeerClosed(id) => id << 2 | 1,
            Token::Readable(id) => id << 2 | 2,
        }
    }

    fn unpack(word: u64) -> Token {
        match word & 3 {
            1 => Token::PeerClosed(word >> 2),
            2 => Token::Readable(word >> 2),
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
    let Workload { poller, wake, .. } = *helper.work;
    poller.close(signals);
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
    let poller = Poller::new(epoll);
    poller.add(wake.fd(), libc::EPOLLIN as u32, Token::Wake.pack())?;
    Ok(Box::new(Workload {
        poller,
        wake,
        jobs: BTreeMap::new(),
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
        let Ok(mut batch) = self.work.poller.sleep(None) else {
            // The program closed the own fds by raw system calls.
            self.fail_all();
            return Turn::End;
        };
        while let Some(event) = self.work.poller.next(&mut batch) {
            match event {
                Event::Ready(id) => self.step(id, Driver::on_ready),
                Event::TimedOut(id) if self.work.jobs.contains_key(&id) => {
                    self.step(id, Driver::on_timeout)
                }
                Event::TimedOut(id) => self.watch_for_reading(id),
                Event::Watched(token, events) => self.event(Token::unpack(token), events),
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
                self.add(wake_end.fd(), 0, Token::PeerClosed(id));
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
        self.add(job.wake_end.fd(), events, Token::PeerClosed(id));
        self.work.jobs.insert(id, job);
        match wait {
            Some(wait) => self.wait(id, wait),
            None => self.step(id, Driver::advance),
        }
    }

    fn event(&mut self, token: Token, events: u32) {
        match token {
            Token::Wake => sys::clear_event(self.work.wake.fd()),
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
        if let Some(job) = self.work.jobs.get_mut(&id) {
            job.aborted = true;
            self.step(id, |driver| {
                driver.abandon(Errno::ECONNRESET);
                driver.advance()
            });
        }
    }

    /// A forked child has called shutdown(2) on its copy, which has the placeholder's app end shut for writing.
    fn abort_for_child(&mut self, id: u64) {
        let job = self.work.jobs.get(&id);
        let job = job.map(|job| job.wake_end.clone());
        let sleeper = || Some(self.lock().sleepers.get(&id)?.wake_end.clone());
        if let Some(wake_end) = job.or_else(sleeper) {
            // It stays shut.
            let token = Token::PeerClosed(id).pack();
            let _ = self.work.poller.modify(wake_end.fd(), 0, token);
        }
        self.abort(id);
    }

    fn forget_sleeper(&mut self, id: u64) {
        let sleeper = self.lock().sleepers.remove(&id);
        if let Some(Sleeper { wake_end, .. }) = sleeper {
            self.work.poller.forget(id);
            WakeEnd::close_last(wake_end, &self.signals);
        }
    }

    /// Lets the driver of a job take a step, and what follows from it.
    fn step(&mut self, id: u64, how: impl FnOnce(&mut Driver<'static>) -> Progress) {
        let Some(job) = self.work.jobs.get_mut(&id) else {
            return;
        };
        match step(&mut job.driver, job.observer, job.dialled, how) {
            Ok(wait) => self.wait(id, wait),
            Err(outcome) => self.finish(id, outcome),
        }
    }

    fn wait(&mut self, id: u64, wait: Wait) {
        let poller = &mut self.work.poller;
        poller.wait(id, wait.fd, wait.events, wait.deadline);
    }

    /// Watches an fd that is not a job's. If that fails, the process has closed it.
    fn add(&self, fd: Fd, events: u32, token: Token) {
        let _ = self.work.poller.add(fd, events, token.pack());
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
        self.work.poller.set_deadline(id, sys::now() + AWAKE_AFTER);
        self.lock().sleepers.insert(id, Sleeper { wake_end, fd });
    }

    fn watch_for_reading(&mut self, id: u64) {
        let fd = self.lock().sleepers.get(&id).map(|sleeper| sleeper.fd);
        if let Some(fd) = fd {
            let readable = (libc::EPOLLIN | libc::EPOLLRDHUP | libc::EPOLLONESHOT) as u32;
            self.add(fd, readable, Token::Readable(id));
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
        for (id, mut job) in std::mem::take(&mut self.work.jobs) {
            job.driver.abandon(Errno::ECONNABORTED);
            self.pending
                .leave_error(job.socket.fd(), Errno::ECONNABORTED.into());
            job.observer
                .ended(job.socket.fd(), job.dialled, Err(Errno::ECONNABORTED));
            let refs = OwnRefs::new(job.socket, None);
            let result = Err(Errno::ECONNABORTED);
            let _ = self.pending.put_back(&self.signals, id, refs, result);
        }
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
            Token::PeerClosed(77),
            Token::Readable(u64::MAX >> 3),
        ] {
            assert_eq!(Token::unpack(token.pack()), token);
        }
    }
}
