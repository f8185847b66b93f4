//! Waits for many drivers at once, with one epoll instance: for each id an fd, a deadline or both.
//!
//! The jobs stay with the user, who never uses an id twice: an event that was taken from the kernel before its job ended
//! then finds no job, and is ignored.

use crate::errno::Errno;
use crate::own_fds::RegisteredFd;
use crate::sys::{self, Fd, SignalsBlocked};
use libc::{c_int, c_short};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How many events to take at once.
const BATCH: usize = 64;

/// What [`Poller::next`] has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// An event on the fd of this id. Its deadline stays until the next call for this id.
    Ready(u64),
    /// The deadline of this id is over.
    TimedOut(u64),
    /// These events on an fd that was added with this token.
    Watched(u64, u32),
}

/// The events of one sleep that were not handled yet.
pub struct Batch {
    events: [libc::epoll_event; BATCH],
    ready: usize,
    next: usize,
    /// When the last event was handled. One reading for all deadlines: jobs whose steps take time cannot keep the events
    /// from their turn.
    now: Option<Duration>,
}

/// What the poller knows of an id.
#[derive(Default)]
struct Interest {
    /// The fd in the epoll instance, unless it was closed since.
    fd: Option<Fd>,
    deadline: Option<Duration>,
}

pub struct Poller {
    epoll: RegisteredFd,
    interests: BTreeMap<u64, Interest>,
    /// Those of `interests`, the earliest first.
    deadlines: BTreeSet<(Duration, u64)>,
}

/// The subject of an event, in the data of its registration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Subject {
    Id(u64),
    Token(u64),
}

impl Subject {
    fn pack(self) -> u64 {
        match self {
            Subject::Id(id) => id << 1 | 1,
            Subject::Token(token) => token << 1,
        }
    }

    fn unpack(word: u64) -> Subject {
        match word & 1 {
            1 => Subject::Id(word >> 1),
            _ => Subject::Token(word >> 1),
        }
    }
}

impl Poller {
    /// A poller that waits with this epoll instance, which is empty.
    pub fn new(epoll: RegisteredFd) -> Poller {
        Poller {
            epoll,
            interests: BTreeMap::new(),
            deadlines: BTreeSet::new(),
        }
    }

    /// Waits for one event on `fd`, or until `deadline`, instead of what `id` has waited for. Without events, the fd is
    /// not in the epoll instance, which always reports POLLHUP for an unconnected socket.
    ///
    /// To be called at once after a step that may have closed the fd of `id`, before a file of another id is added under
    /// that fd.
    pub fn wait(&mut self, id: u64, fd: Fd, events: c_short, deadline: Duration) {
        self.set_deadline(id, deadline);
        match events {
            0 => self.set_fd(id, None),
            events => self.set_fd(id, Some((fd, events as u32 | libc::EPOLLONESHOT as u32))),
        }
    }

    /// Reports events on `fd` again and again, and leaves the deadline as it is. To be called as [`Poller::wait`].
    pub fn watch(&mut self, id: u64, fd: Fd, events: u32) {
        self.set_fd(id, Some((fd, events)));
    }

    fn set_fd(&mut self, id: u64, wanted: Option<(Fd, u32)>) {
        let interest = self.interests.entry(id).or_default();
        let fd = wanted.map(|(fd, _)| fd);
        let before = core::mem::replace(&mut interest.fd, fd);
        if let Some(before) = before.filter(|_| before != fd) {
            // It may still be open: its events must not be taken for those of `fd`.
            let _ = sys::epoll_remove(self.epoll.fd(), before);
        }
        if let Some((fd, events)) = wanted {
            let (first, other) = match before == Some(fd) {
                true => (libc::EPOLL_CTL_MOD, libc::EPOLL_CTL_ADD),
                false => (libc::EPOLL_CTL_ADD, libc::EPOLL_CTL_MOD),
            };
            // If that fails, the deadline ends the wait.
            let _ = self.set(first, other, fd, events, Subject::Id(id));
        }
    }

    /// Changes the deadline of `id` alone.
    pub fn set_deadline(&mut self, id: u64, deadline: Duration) {
        let interest = self.interests.entry(id).or_default();
        if let Some(before) = interest.deadline.replace(deadline) {
            self.deadlines.remove(&(before, id));
        }
        self.deadlines.insert((deadline, id));
    }

    /// Waits for nothing more for `id`. To be called as [`Poller::wait`].
    pub fn forget(&mut self, id: u64) {
        let Some(Interest { fd, deadline }) = self.interests.remove(&id) else {
            return;
        };
        if let Some(deadline) = deadline {
            self.deadlines.remove(&(deadline, id));
        }
        if let Some(fd) = fd {
            let _ = sys::epoll_remove(self.epoll.fd(), fd);
        }
    }

    /// Reports events on an fd that is hardly in the epoll instance yet, as [`Event::Watched`] with `token`, which must
    /// be less than 2^63.
    ///
    /// # Errors
    /// Those of epoll_ctl(2).
    pub fn add(&self, fd: Fd, events: u32, token: u64) -> Result<(), Errno> {
        let (first, other) = (libc::EPOLL_CTL_ADD, libc::EPOLL_CTL_MOD);
        self.set(first, other, fd, events, Subject::Token(token))
    }

    /// As [`Poller::add`], for an fd that hardly is not in the epoll instance.
    ///
    /// # Errors
    /// Those of epoll_ctl(2).
    pub fn modify(&self, fd: Fd, events: u32, token: u64) -> Result<(), Errno> {
        let (first, other) = (libc::EPOLL_CTL_MOD, libc::EPOLL_CTL_ADD);
        self.set(first, other, fd, events, Subject::Token(token))
    }

    /// Reports no more events on an fd that was added.
    pub fn remove(&self, fd: Fd) {
        let _ = sys::epoll_remove(self.epoll.fd(), fd);
    }

    /// Only the kernel knows for certain which fds are in its instance: a file leaves it when its last fd is closed.
    fn set(
        &self,
        first: c_int,
        other: c_int,
        fd: Fd,
        events: u32,
        subject: Subject,
    ) -> Result<(), Errno> {
        let set =
            |operation| sys::epoll_set(self.epoll.fd(), operation, fd, events, subject.pack());
        match set(first) {
            Err(Errno::EEXIST | Errno::ENOENT) => set(other),
            result => result,
        }
    }

    /// Sleeps until an event, a deadline, or the time `until`. A signal ends the sleep, too.
    ///
    /// # Errors
    /// Those of epoll_wait(2) but EINTR.
    pub fn sleep(&self, until: Option<Duration>) -> Result<Batch, Errno> {
        let deadline = self.deadlines.first().map(|(deadline, _)| *deadline);
        let until = deadline.into_iter().chain(until).min();
        let timeout = until.map(|until| until.saturating_sub(sys::now()));
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; BATCH];
        let ready = match sys::epoll_wait(self.epoll.fd(), &mut events, timeout) {
            Err(Errno::EINTR) => 0,
            result => result?,
        };
        Ok(Batch {
            events,
            ready,
            next: 0,
            now: None,
        })
    }

    /// The next of these events, or else the next deadline that is over. A deadline is taken when it is reported.
    pub fn next(&mut self, batch: &mut Batch) -> Option<Event> {
        if let Some(event) = batch.next() {
            return Some(event);
        }
        let &(deadline, id) = self.deadlines.first()?;
        if deadline > *batch.now.get_or_insert_with(sys::now) {
            return None;
        }
        self.deadlines.pop_first();
        if let Some(interest) = self.interests.get_mut(&id) {
            interest.deadline = None;
        }
        Some(Event::TimedOut(id))
    }

    /// As a drop, for a caller that has blocked the signals already.
    pub fn close(self, signals: &SignalsBlocked) {
        self.epoll.close(signals);
    }
}

impl Batch {
    fn next(&mut self) -> Option<Event> {
        let event = *self.events.get(..self.ready)?.get(self.next)?;
        self.next += 1;
        Some(match Subject::unpack(event.u64) {
            Subject::Id(id) => Event::Ready(id),
            Subject::Token(token) => Event::Watched(token, event.events),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::own_fds::OwnFds;
    use crate::sys::OwnFd;

    static LIST: OwnFds = OwnFds::new();
    const READABLE: c_short = libc::POLLIN;
    const NEVER: Duration = Duration::MAX;
    /// Long over.
    const PAST: Duration = Duration::from_nanos(1);

    fn poller() -> Poller {
        Poller::new(LIST.adopt(&SignalsBlocked::new(), sys::epoll().unwrap()))
    }

    fn readable() -> OwnFd {
        let counter = sys::event_counter().unwrap();
        sys::signal_event(counter.fd());
        counter
    }

    /// One round that does not sleep.
    fn round(poller: &mut Poller) -> Vec<Event> {
        let mut batch = poller.sleep(Some(PAST)).unwrap();
        core::iter::from_fn(|| poller.next(&mut batch)).collect()
    }

    #[test]
    fn an_event_is_reported_once_for_each_wait() {
        let (mut poller, counter) = (poller(), readable());
        poller.wait(7, counter.fd(), READABLE, NEVER);
        assert_eq!(round(&mut poller), [Event::Ready(7)]);
        assert_eq!(round(&mut poller), []);
        poller.wait(7, counter.fd(), READABLE, NEVER);
        assert_eq!(round(&mut poller), [Event::Ready(7)]);
    }

    #[test]
    fn events_come_before_deadlines_and_those_in_their_order() {
        let (mut poller, counter) = (poller(), readable());
        let late = PAST + PAST;
        poller.set_deadline(1, late);
        poller.set_deadline(2, PAST);
        poller.set_deadline(3, NEVER);
        poller.wait(4, counter.fd(), READABLE, NEVER);
        let expected = [Event::Ready(4), Event::TimedOut(2), Event::TimedOut(1)];
        assert_eq!(round(&mut poller), expected);
        assert_eq!(round(&mut poller), []);
    }

    #[test]
    fn a_step_for_an_event_puts_the_deadline_off() {
        let (mut poller, counter) = (poller(), readable());
        poller.wait(1, counter.fd(), READABLE, PAST);
        let mut batch = poller.sleep(None).unwrap();
        assert_eq!(poller.next(&mut batch), Some(Event::Ready(1)));
        poller.wait(1, counter.fd(), READABLE, NEVER);
        assert_eq!(poller.next(&mut batch), None);
    }

    #[test]
    fn a_pause_takes_the_fd_out() {
        let (mut poller, counter) = (poller(), readable());
        poller.wait(1, counter.fd(), READABLE, NEVER);
        poller.wait(1, counter.fd(), 0, NEVER);
        assert_eq!(round(&mut poller), []);
        let gone = sys::epoll_remove(poller.epoll.fd(), counter.fd());
        assert_eq!(gone, Err(Errno::ENOENT));
        poller.wait(1, counter.fd(), READABLE, NEVER);
        assert_eq!(round(&mut poller), [Event::Ready(1)]);
    }

    #[test]
    fn another_fd_replaces_the_first() {
        let (mut poller, first) = (poller(), readable());
        let other = sys::event_counter().unwrap();
        poller.wait(1, first.fd(), READABLE, NEVER);
        poller.wait(1, other.fd(), READABLE, NEVER);
        assert_eq!(round(&mut poller), []);
        sys::signal_event(other.fd());
        assert_eq!(round(&mut poller), [Event::Ready(1)]);
    }

    #[test]
    fn an_fd_that_another_file_has_now_is_added_again() {
        let (mut poller, counter) = (poller(), sys::event_counter().unwrap());
        poller.wait(1, counter.fd(), READABLE, NEVER);
        sys::replace(readable().fd(), counter.fd(), true).unwrap();
        assert_eq!(round(&mut poller), []);
        poller.wait(1, counter.fd(), READABLE, NEVER);
        assert_eq!(round(&mut poller), [Event::Ready(1)]);
    }

    #[test]
    fn a_forgotten_id_is_not_reported() {
        let (mut poller, counter) = (poller(), readable());
        poller.wait(1, counter.fd(), READABLE, PAST);
        poller.forget(1);
        poller.forget(1);
        assert_eq!(round(&mut poller), []);
        let gone = sys::epoll_remove(poller.epoll.fd(), counter.fd());
        assert_eq!(gone, Err(Errno::ENOENT));
    }

    #[test]
    fn a_deadline_is_moved_not_added() {
        let mut poller = poller();
        poller.set_deadline(1, PAST);
        poller.set_deadline(1, PAST + PAST);
        assert_eq!(round(&mut poller), [Event::TimedOut(1)]);
        poller.set_deadline(1, PAST);
        poller.set_deadline(1, NEVER);
        assert_eq!(round(&mut poller), []);
    }

    #[test]
    fn a_watch_lasts_and_leaves_the_deadline() {
        let (mut poller, counter) = (poller(), readable());
        let input = libc::EPOLLIN as u32;
        poller.set_deadline(1, PAST);
        poller.watch(1, counter.fd(), input);
        assert_eq!(round(&mut poller), [Event::Ready(1), Event::TimedOut(1)]);
        assert_eq!(round(&mut poller), [Event::Ready(1)]);
        // Edge-triggered: it is reported again when it is watched anew.
        let edge = input | libc::EPOLLET as u32;
        for _ in 0..2 {
            poller.watch(1, counter.fd(), edge);
            assert_eq!(round(&mut poller), [Event::Ready(1)]);
            assert_eq!(round(&mut poller), []);
        }
    }

    #[test]
    fn a_watched_fd_is_reported_with_its_token_until_that_changes() {
        let (mut poller, counter) = (poller(), readable());
        let input = libc::EPOLLIN as u32;
        // Each of them where the other is expected.
        poller.modify(counter.fd(), input, 5).unwrap();
        poller.add(counter.fd(), input, 6).unwrap();
        for _ in 0..2 {
            assert_eq!(round(&mut poller), [Event::Watched(6, input)]);
        }
        poller.modify(counter.fd(), 0, 6).unwrap();
        assert_eq!(round(&mut poller), []);
        poller.modify(counter.fd(), input, 6).unwrap();
        poller.remove(counter.fd());
        assert_eq!(round(&mut poller), []);
        assert_eq!(poller.add(-1, input, 7), Err(Errno::EBADF));
    }

    #[test]
    fn more_events_than_one_batch_come_in_the_next() {
        let mut poller = poller();
        let counters: Vec<_> = (0..=BATCH).map(|_| readable()).collect();
        for (counter, id) in counters.iter().zip(0..) {
            poller.wait(id, counter.fd(), READABLE, NEVER);
        }
        let mut events = round(&mut poller);
        assert_eq!(events.len(), BATCH);
        events.extend(round(&mut poller));
        let mut ids: Vec<_> = events
            .into_iter()
            .map(|event| match event {
                Event::Ready(id) => id,
                other => panic!("{other:?}"),
            })
            .collect();
        ids.sort_unstable();
        assert_eq!(ids, Vec::from_iter(0..=BATCH as u64));
    }

    #[test]
    fn subjects_survive_packing() {
        for subject in [
            Subject::Id(0),
            Subject::Id(u64::MAX >> 1),
            Subject::Token(0),
            Subject::Token(u64::MAX >> 1),
        ] {
            assert_eq!(Subject::unpack(subject.pack()), subject);
        }
    }
}
