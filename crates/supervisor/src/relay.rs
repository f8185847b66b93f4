//! Relays the data of a program that uses its placeholder as if it were connected. Such a program never asks for the
//! result of its connect, so there is no call at which its socket could be put back.
//!
//! Data that the program writes is sent on the socket. Received data is passed to the program, and stays in the
//! socket's queue until the program has read it. So whenever the socket is put back after all, it holds exactly the
//! data that the program has not read.

#![forbid(unsafe_code)]

use crate::sys as own_sys;
use std::time::Duration;
use tailchain_core::errno::Errno;
use tailchain_core::sys::{self, Fd};

/// The most bytes to move at once.
const MOST: usize = 16 * 1024;
/// How many times to move data before other jobs get their turn.
const ROUNDS: usize = 16;
/// The kernel counts one byte too many for an empty queue; a queue with data counts hundreds.
const NOTHING: usize = 64;

#[derive(Debug, Default)]
pub struct Relay {
    /// Written by the program, but the socket's buffer was full.
    outgoing: Vec<u8>,
    /// Bytes passed to the program that are still in the socket's queue.
    given: usize,
    /// No more data is taken from the program: it has shut down writing, or a write to the socket failed.
    is_written: bool,
    /// The peer has shut down writing.
    is_read: bool,
    /// The program has its socket back. Data that a copy of the placeholder writes is still relayed.
    is_left: bool,
    /// All fds of the program were closed while it had unread data.
    is_unread: bool,
}

/// The state of a relay after a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// Wait for an event.
    Wait,
    /// There may be more data to move at once.
    Continue,
    /// No fd refers to the placeholder any more, and all data was sent.
    Done,
    /// The connection was reset.
    Reset,
}

impl Relay {
    /// Moves as much data as possible. `wake` is the other end of the placeholder.
    pub fn run(&mut self, wake: Fd, socket: Fd) -> Flow {
        for _ in 0..ROUNDS {
            let sent = self.send(wake, socket);
            let received = match self.receive(wake, socket) {
                Ok(received) => received,
                Err(_) => return Flow::Reset,
            };
            if !sent && !received {
                return match self.outgoing.is_empty() && peer_closed(wake) {
                    true => self.end(socket),
                    false => Flow::Wait,
                };
            }
        }
        Flow::Continue
    }

    /// Moves data from the program to the socket.
    fn send(&mut self, wake: Fd, socket: Fd) -> bool {
        if self.outgoing.is_empty() && !self.is_written {
            let mut buffer = [0; MOST];
            match sys::receive(wake, &mut buffer, false) {
                Ok(0) => self.end_writing(socket),
                Ok(length) => self
                    .outgoing
                    .extend_from_slice(buffer.get(..length).unwrap_or_default()),
                Err(Errno::EAGAIN | Errno::EINTR) => {}
                // unix(7): the program closed its end with unread data.
                Err(_) => {
                    self.is_unread = true;
                    self.end_writing(socket);
                }
            }
        }
        if self.outgoing.is_empty() {
            return false;
        }
        match sys::send(socket, &self.outgoing) {
            Ok(sent) => {
                self.outgoing.drain(..sent.min(self.outgoing.len()));
                true
            }
            Err(Errno::EAGAIN | Errno::EINTR) => false,
            Err(_) => {
                // The program's next write fails, as on the socket itself.
                self.outgoing.clear();
                self.is_written = true;
                let _ = sys::shutdown(wake, libc::SHUT_RD);
                false
            }
        }
    }

    fn end_writing(&mut self, socket: Fd) {
        self.is_written = true;
        if !self.is_left {
            let _ = sys::shutdown(socket, libc::SHUT_WR);
        }
    }

    /// Moves data from the socket to the program. An error is the connection's.
    fn receive(&mut self, wake: Fd, socket: Fd) -> Result<bool, Errno> {
        if self.is_read || self.is_left {
            return Ok(false);
        }
        let mut is_taken = false;
        if self.given > 0 && own_sys::unread(wake)? < NOTHING {
            self.take_given(socket, 0);
            is_taken = true;
        }
        if self.given > 0 {
            return Ok(is_taken);
        }
        let mut buffer = [0; MOST];
        match sys::receive(socket, &mut buffer, true) {
            Ok(0) => {
                self.is_read = true;
                let _ = sys::shutdown(wake, libc::SHUT_WR);
            }
            Ok(length) => {
                let bytes = buffer.get(..length).unwrap_or_default();
                self.given = sys::send(wake, bytes).unwrap_or(0);
            }
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
        Ok(is_taken)
    }

    /// Removes data that the program has read from the socket's queue.
    fn take_given(&mut self, socket: Fd, unread: usize) {
        let mut buffer = [0; MOST];
        let read = self.given.saturating_sub(unread);
        if let Some(read) = buffer.get_mut(..read).filter(|read| !read.is_empty()) {
            let _ = sys::receive(socket, read, false);
        }
        self.given = 0;
    }

    /// Empties the relay before the socket is put back. `program` is the program's end. If it returns false, nothing
    /// has changed.
    pub fn settle(&mut self, wake: Fd, program: Fd, socket: Fd) -> bool {
        while self.send(wake, socket) {}
        if !self.outgoing.is_empty() {
            return false;
        }
        if self.given > 0 {
            let (mut buffer, mut unread) = ([0; MOST], 0);
            while let Ok(length @ 1..) = sys::receive(program, &mut buffer, false) {
                unread += length;
            }
            self.take_given(socket, unread);
        }
        self.is_left = true;
        true
    }

    /// As [`Relay::settle`], for a relay that has not begun: the program waited in connect(2) until now.
    pub fn leave(&mut self) {
        self.is_left = true;
    }

    pub fn is_left(&self) -> bool {
        self.is_left
    }

    /// To be called if the socket was not put back after all.
    pub fn go_on(&mut self) {
        self.is_left = false;
    }

    /// The program has closed its end. If data is unread, the kernel resets the connection when the socket is closed,
    /// as for the program's own close.
    fn end(&mut self, socket: Fd) -> Flow {
        if !self.is_unread {
            self.take_given(socket, 0);
        }
        Flow::Done
    }
}

/// Whether no fd refers to the program's end any more.
pub fn peer_closed(wake: Fd) -> bool {
    // No event is requested: POLLHUP is always reported.
    sys::poll_one(wake, 0, Some(Duration::ZERO)) == Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tailchain_core::sys::OwnFd;

    struct Pair {
        program: OwnFd,
        wake: OwnFd,
        socket: OwnFd,
        peer: OwnFd,
        relay: Relay,
    }

    impl Pair {
        fn new() -> Pair {
            let (program, wake) = sys::stream_pair().unwrap();
            let (socket, peer) = sys::stream_pair().unwrap();
            Pair {
                program,
                wake,
                socket,
                peer,
                relay: Relay::default(),
            }
        }

        fn run(&mut self) -> Flow {
            self.relay.run(self.wake.fd(), self.socket.fd())
        }
    }

    fn read(fd: &OwnFd, most: usize) -> Result<Vec<u8>, Errno> {
        let mut buffer = vec![0; most];
        let length = sys::receive(fd.fd(), &mut buffer, false)?;
        buffer.truncate(length);
        Ok(buffer)
    }

    #[test]
    fn what_is_written_arrives_and_what_comes_is_read() {
        let mut pair = Pair::new();
        sys::send(pair.program.fd(), b"hello").unwrap();
        sys::send(pair.peer.fd(), b"welcome").unwrap();
        assert_eq!(pair.run(), Flow::Wait);
        assert_eq!(read(&pair.peer, 99).unwrap(), b"hello");
        assert_eq!(read(&pair.program, 99).unwrap(), b"welcome");
        sys::send(pair.peer.fd(), b"again").unwrap();
        assert_eq!(pair.run(), Flow::Wait);
        assert_eq!(read(&pair.program, 99).unwrap(), b"again");
    }

    #[test]
    fn what_was_not_read_is_still_in_the_socket() {
        let mut pair = Pair::new();
        sys::send(pair.peer.fd(), b"0123456789").unwrap();
        assert_eq!(pair.run(), Flow::Wait);
        assert_eq!(read(&pair.program, 4).unwrap(), b"0123");
        sys::send(pair.program.fd(), b"late").unwrap();
        let Pair {
            program,
            wake,
            socket,
            ..
        } = &pair;
        assert!(pair.relay.settle(wake.fd(), program.fd(), socket.fd()));
        assert_eq!(read(&pair.socket, 99).unwrap(), b"456789");
        assert_eq!(read(&pair.peer, 99).unwrap(), b"late");
    }

    #[test]
    fn an_end_goes_through_in_both_directions() {
        let mut pair = Pair::new();
        sys::send(pair.peer.fd(), b"last").unwrap();
        sys::shutdown(pair.peer.fd(), libc::SHUT_WR).unwrap();
        assert_eq!(pair.run(), Flow::Wait);
        assert_eq!(read(&pair.program, 99).unwrap(), b"last");
        assert_eq!(pair.run(), Flow::Wait);
        assert_eq!(read(&pair.program, 99).unwrap(), b"");
        sys::send(pair.program.fd(), b"bye").unwrap();
        sys::shutdown(pair.program.fd(), libc::SHUT_WR).unwrap();
        // Nothing is left to do.
        assert_eq!(pair.run(), Flow::Done);
        assert_eq!(read(&pair.peer, 99).unwrap(), b"bye");
        assert_eq!(read(&pair.peer, 99).unwrap(), b"");
    }

    #[test]
    fn relay_ends_once_the_data_of_a_closed_program_is_sent() {
        let mut pair = Pair::new();
        sys::send(pair.program.fd(), b"farewell").unwrap();
        pair.program = sys::stream_pair().unwrap().0;
        assert_eq!(pair.run(), Flow::Done);
        assert_eq!(read(&pair.peer, 99).unwrap(), b"farewell");
    }

    #[test]
    fn much_data_arrives_in_order() {
        let mut pair = Pair::new();
        let data: Vec<u8> = (0..300_000u32).map(|at| (at * 7 / 3) as u8).collect();
        let (mut sent, mut got) = (0, Vec::new());
        while got.len() < data.len() {
            sent += sys::send(pair.peer.fd(), &data[sent..]).unwrap_or(0);
            pair.run();
            if let Ok(bytes) = read(&pair.program, 5000) {
                got.extend(bytes);
            }
        }
        assert!(got == data);
    }
}
