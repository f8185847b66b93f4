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
        if job
            .placeholder()
            .is_some_and(|placeholder| placeholder.is_left())
            && caller::has_threads(job.thread)
        {
            // A thread may sleep on the placeholder.
            if let Some(placeholder) = job.placeholder() {
                placeholder.wake_readers();
            }
        }
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
        let Some(placeholder) = job.placeholder() else {
            return;
        };
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
