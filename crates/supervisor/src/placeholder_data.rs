//! The data of a program that uses its placeholder after the connect: it is moved between placeholder and socket.

#![forbid(unsafe_code)]

use crate::caller;
use crate::relay::Flow;
use crate::supervisor::{Supervisor, Token};
use std::time::Duration;
use tailchain_core::sys;

/// The events of a relay. Edge-triggered: data that is ready but cannot be moved causes no further event.
const ALL: u32 = (libc::EPOLLIN | libc::EPOLLOUT | libc::EPOLLRDHUP | libc::EPOLLET) as u32;

/// SO_SNDBUF for a program that writes to its placeholder.
const ROOM: i32 = 128 * 1024;

impl Supervisor {
    /// Schedules a relay: the tunnel is established and the program was woken. A program that asks for the result gets
    /// its socket back first; any other one is served on the placeholder.
    pub fn relay_soon(&mut self, id: u64) {
        const MOMENT: Duration = Duration::from_millis(1);
        self.poller.set_deadline(id, sys::now() + MOMENT);
    }

    /// Starts to move data between a placeholder and its socket.
    pub fn begin_relay(&mut self, id: u64) {
        let Some(job) = self.jobs.get_mut(&id) else {
            return;
        };
        let socket = job.final_socket();
        let Some(wake) = job
            .placeholder()
            .and_then(|placeholder| placeholder.wake_fd())
        else {
            return;
        };
        // The placeholder's small buffer is full; give the program a larger one.
        if let Ok(program) = job.program_end() {
            let _ = sys::set_option(program.fd(), libc::SOL_SOCKET, libc::SO_SNDBUF, &ROOM);
        }
        self.poller.watch(id, socket, ALL);
        let token = Token::Placeholder(id).pack();
        let _ = self.poller.modify(wake, ALL, token);
    }

    pub fn relay(&mut self, id: u64) {
        let Some(job) = self.jobs.get_mut(&id) else {
            return;
        };
        let socket = job.final_socket();
        let (thread, by_other_thread) = (job.thread, job.by_other_thread);
        let Some(placeholder) = job.placeholder() else {
            return;
        };
        // A thread may sleep on the placeholder. Woken earlier, poll(2) would find nothing to read under the fd, and sleep on.
        let is_readable = || sys::poll_one(socket, libc::POLLIN, Some(Duration::ZERO)) == Ok(true);
        let has_threads = || by_other_thread || caller::has_threads(thread);
        if placeholder.is_left() && is_readable() && has_threads() {
            placeholder.wake_readers();
        }
        match placeholder.relay(socket) {
            Flow::Wait => {}
            // The edge-triggered events are reported again.
            Flow::Continue => self.poller.watch(id, socket, ALL),
            Flow::Done => drop(self.remove(id)),
            Flow::Reset => {
                let program = job.program_end();
                if let (Ok(program), Some(placeholder)) = (program, job.placeholder()) {
                    placeholder.signal_reset(program.fd());
                }
            }
        }
    }
}
