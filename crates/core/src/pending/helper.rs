//! The helper thread: it drives all pending tunnels, and lives only while there are any.

use super::belongings::Belonging;
use super::connects::{Ends, Pending};
use super::placeholder::FarEnd;
use crate::dial::driver::{Driver, Progress};
use crate::dial::fresh;
use crate::errno::Errno;
use crate::sys::{self, Fd, RaisedLimit};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::Arc;
use std::time::Duration;

/// Enough for the resolver of libc, which a proxy's host name may need.
const STACK: usize = 256 * 1024;
/// Events taken at once.
const BATCH: usize = 64;

/// How to reach the helper: the number of a descriptor that it owns. Valid while it stands in the books.
#[derive(Clone, Copy, Debug)]
pub struct Address {
    pub wake: Fd,
}

/// One tunnel that the helper is to make.
pub struct Job {
    pub id: u64,
    pub socket: Arc<Belonging>,
    /// The far end of the placeholder: deserted when the program has closed its last number.
    pub far: Arc<FarEnd>,
    pub driver: Driver<'static>,
    /// Where the driver stands; `None` when it has not begun.
    pub progress: Option<Progress>,
    pub dialled: SocketAddr,
    pub ends: &'static dyn Ends,
}

/// Start a helper. Called with the books locked and so with all signals blocked, which the thread inherits.
pub fn spawn(pending: &'static Pending, limit: &RaisedLimit) -> Result<Address, Errno> {
    let own = |fd| pending.belongings.adopt(limit.raise(fd));
    let (epoll, wake) = (sys::epoll()?, sys::event_counter()?);
    limit.lift();
    let (epoll, wake) = (own(epoll), own(wake));
    limit.lower();
    sys::epoll_set(
        epoll.fd(),
        libc::EPOLL_CTL_ADD,
        wake.fd(),
        libc::EPOLLIN as u32,
        Token::Wake.pack(),
    )?;
    let address = Address { wake: wake.fd() };
    let helper = Helper {
        pending,
        epoll,
        wake,
        jobs: BTreeMap::new(),
        deadlines: BTreeSet::new(),
        sleepers: BTreeMap::new(),
    };
    sys::start_thread(c"tailchain", STACK, Box::new(move || run(helper)))?;
    Ok(address)
}

/// What an event of the helper's epoll is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token {
    Wake,
    /// The socket of a job.
    Socket(u64),
    /// The far end of a placeholder that somebody still sleeps on: deserted.
    Deserted(u64),
    /// The program's socket, for such a sleeper: there is something to read.
    Readable(u64),
}

impl Token {
    fn pack(self) -> u64 {
        match self {
            Token::Wake => 0,
            Token::Socket(id) => id << 2 | 1,
            Token::Deserted(id) => id << 2 | 2,
            Token::Readable(id) => id << 2 | 3,
        }
    }

    fn unpack(word: u64) -> Token {
        match word & 3 {
            1 => Token::Socket(word >> 2),
            2 => Token::Deserted(word >> 2),
            3 => Token::Readable(word >> 2),
            _ => Token::Wake,
        }
    }
}

struct Helper {
    pending: &'static Pending,
    epoll: Belonging,
    wake: Belonging,
    jobs: BTreeMap<u64, (Job, Duration)>,
    deadlines: BTreeSet<(Duration, u64)>,
    /// Placeholders that somebody sleeps on for reading alone: poll(2) looks the number up again when it is
    /// woken, but sleeps on at the old file. When there is something to read, the far end goes, and with it
    /// the sleep.
    sleepers: BTreeMap<u64, Arc<FarEnd>>,
}

fn run(mut helper: Helper) {
    let pending = helper.pending;
    let ended = catch_unwind(AssertUnwindSafe(|| while helper.turn() {}));
    if ended.is_err() {
        // Whatever it was: no program may wait for ever.
        let mut books = pending.lock();
        books.helper = None;
        let ids: Vec<u64> = books.entries.keys().copied().collect();
        let sockets: Vec<_> = ids
            .iter()
            .filter_map(|id| Some((*id, books.entries.get(id)?.socket.clone())))
            .collect();
        drop(books);
        for (id, socket) in sockets {
            pending.leave_error(socket.fd(), Errno::ECONNABORTED);
            let _ = pending.put_back(id, socket.fd(), Err(Errno::ECONNABORTED));
        }
    }
}

impl Helper {
    /// One round: new work, events, deadlines. `false` when there is nothing left to do.
    fn turn(&mut self) -> bool {
        if !self.take_in() {
            return false;
        }
        let next = self.deadlines.first().map(|(deadline, _)| *deadline);
        let timeout = next.map(|deadline| deadline.saturating_sub(sys::now()));
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; BATCH];
        let ready = match sys::epoll_wait(self.epoll.fd(), &mut events, timeout) {
            Ok(ready) => ready,
            Err(Errno::EINTR) => 0,
            // The program closed our descriptors by raw system calls.
            Err(_) => {
                self.give_up();
                return false;
            }
        };
        for event in events.iter().take(ready) {
            self.event(Token::unpack(event.u64));
        }
        let now = sys::now();
        while let Some(&(deadline, id)) = self.deadlines.first() {
            if deadline > now {
                break;
            }
            self.step(id, Driver::expired);
        }
        true
    }

    /// Look into the books. `false`, and no longer in them, when there is nothing to do.
    fn take_in(&mut self) -> bool {
        if self.retire() {
            return false;
        }
        let (jobs, cut) = {
            let mut books = self.pending.lock();
            (
                std::mem::take(&mut books.inbox),
                std::mem::take(&mut books.cut),
            )
        };
        for job in jobs {
            self.accept(job);
        }
        for id in cut {
            if self.jobs.contains_key(&id) {
                self.step(id, |driver| {
                    driver.abandon(Errno::ECONNRESET);
                    driver.go()
                });
            } else {
                // Its caller has not handed it in yet: look again when it has.
                let mut books = self.pending.lock();
                if books.entries.contains_key(&id) {
                    books.cut.push(id);
                }
            }
        }
        // What was taken in may have ended all there was, and then nobody will wake this thread again.
        !self.retire()
    }

    /// Strike this thread from the books if there is nothing left to do; whether there was not.
    fn retire(&self) -> bool {
        if !(self.jobs.is_empty() && self.sleepers.is_empty()) {
            return false;
        }
        let mut books = self.pending.lock();
        // An entry without a job is being begun by its caller this moment.
        let over = books.inbox.is_empty() && books.entries.is_empty();
        if over {
            books.helper = None;
        }
        over
    }

    fn accept(&mut self, job: Job) {
        let id = job.id;
        let progress = job.progress;
        self.watch(job.far.fd(), 0, Token::Deserted(id));
        self.jobs.insert(id, (job, Duration::ZERO));
        match progress {
            Some(progress) => self.settle(id, progress),
            None => self.step(id, Driver::go),
        }
    }

    fn event(&mut self, token: Token) {
        match token {
            Token::Wake => sys::clear_event(self.wake.fd()),
            Token::Socket(id) => self.step(id, Driver::ready),
            Token::Deserted(id) => {
                self.sleepers.remove(&id);
                // The program closed the last number: that ends the attempt.
                if self.remove(id).is_some() {
                    self.pending.abandoned(id);
                }
            }
            Token::Readable(id) => {
                self.sleepers.remove(&id);
            }
        }
    }

    /// Let the driver of a job go on.
    fn step(&mut self, id: u64, how: impl FnOnce(&mut Driver<'static>) -> Progress) {
        if let Some((job, deadline)) = self.jobs.get_mut(&id) {
            self.deadlines.remove(&(*deadline, id));
            let progress = how(&mut job.driver);
            if let Some(socket) = job.driver.take_opened() {
                job.ends.opened(socket, job.dialled);
            }
            self.settle(id, progress);
        }
    }

    fn settle(&mut self, id: u64, progress: Progress) {
        match progress {
            Progress::Wait {
                fd,
                events,
                deadline,
            } => {
                if let Some((_, current)) = self.jobs.get_mut(&id) {
                    *current = deadline;
                }
                self.deadlines.insert((deadline, id));
                if events == 0 {
                    // An unconnected socket always has a hangup to tell: while the driver sleeps, do not look.
                    let _ = sys::epoll_remove(self.epoll.fd(), fd);
                } else {
                    let events = events as u32 | libc::EPOLLONESHOT as u32;
                    self.watch(fd, events, Token::Socket(id));
                }
            }
            Progress::Finished(result) => self.finish(id, result),
        }
    }

    fn watch(&self, fd: Fd, events: u32, token: Token) {
        let word = token.pack();
        let changed = sys::epoll_set(self.epoll.fd(), libc::EPOLL_CTL_MOD, fd, events, word);
        if changed == Err(Errno::ENOENT) {
            let _ = sys::epoll_set(self.epoll.fd(), libc::EPOLL_CTL_ADD, fd, events, word);
        }
    }

    fn finish(&mut self, id: u64, result: Result<(), Errno>) {
        let Some(mut job) = self.remove(id) else {
            return;
        };
        let _ = sys::epoll_remove(self.epoll.fd(), job.socket.fd());
        let fresh = job.driver.take_fresh().filter(|_| result.is_ok());
        if let Some(fresh) = &fresh {
            // What the program has set meanwhile.
            let _ = fresh::copy_options(job.socket.fd(), fresh);
        }
        let fresh = fresh.map(|fresh| self.pending.belongings.adopt(fresh));
        let socket = fresh.as_ref().unwrap_or(&job.socket).fd();
        if let Err(errno) = result {
            self.pending.leave_error(socket, errno);
        }
        job.ends.ended(socket, job.dialled, result);
        if let Some((far, fd)) = self.pending.put_back(id, socket, result) {
            let readable = (libc::EPOLLIN | libc::EPOLLRDHUP | libc::EPOLLONESHOT) as u32;
            self.watch(fd, readable, Token::Readable(id));
            self.sleepers.insert(id, far);
        }
    }

    fn remove(&mut self, id: u64) -> Option<Job> {
        let (job, deadline) = self.jobs.remove(&id)?;
        self.deadlines.remove(&(deadline, id));
        Some(job)
    }

    /// Everything fails: nothing can be watched any more.
    fn give_up(&mut self) {
        for (id, (mut job, _)) in std::mem::take(&mut self.jobs) {
            job.driver.abandon(Errno::ECONNABORTED);
            self.pending
                .leave_error(job.socket.fd(), Errno::ECONNABORTED);
            job.ends
                .ended(job.socket.fd(), job.dialled, Err(Errno::ECONNABORTED));
            let _ = self
                .pending
                .put_back(id, job.socket.fd(), Err(Errno::ECONNABORTED));
        }
        self.deadlines.clear();
        self.sleepers.clear();
        self.pending.lock().helper = None;
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
            Token::Deserted(77),
            Token::Readable(u64::MAX >> 2),
        ] {
            assert_eq!(Token::unpack(token.pack()), token);
        }
    }
}
