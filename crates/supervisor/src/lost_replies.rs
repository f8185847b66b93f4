//! Replies that a signal kept from their call.
//!
//! A signal ends the call's wait, and the kernel restarts the call after the handler. Of a reply that comes later,
//! SECCOMP_IOCTL_NOTIF_SEND says so (ENOENT). Of one that comes after the caller was woken, but before it has taken the
//! kernel's lock, it says nothing: it succeeds, and the reply is lost. That happens about once in 1,000 calls at which a
//! signal is aimed. (SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV would prevent it, and with it that Ctrl-C ends a connect.)
//!
//! So the reply to a call that is repeated at once, with the same registers, by a thread whose program catches signals,
//! is the first one again. A program that does so without a signal learns EINPROGRESS twice, and then EALREADY.

#![forbid(unsafe_code)]

use crate::caller;
use crate::listener::{Call, Reply};
use libc::{c_long, pid_t};
use std::collections::HashMap;
use std::time::Duration;
use tailchain_core::errno::Errno;
use tailchain_core::sys;

#[derive(Default)]
pub struct LostReplies {
    /// Known not to have arrived, by the SO_COOKIE of the socket.
    undelivered: HashMap<u64, UndeliveredReply>,
    /// The last one that was sent to a thread.
    sent: HashMap<pid_t, SentReply>,
}

struct UndeliveredReply {
    thread: pid_t,
    arguments: [u64; 3],
    reply: Reply,
}

struct SentReply {
    number: c_long,
    arguments: [u64; 6],
    socket: u64,
    result: Result<(), Errno>,
    until: Duration,
}

/// By then an interrupted call is restarted, also on a busy machine.
const RESTART: Duration = Duration::from_millis(20);
/// More sockets or threads than are interrupted at a time.
const MOST: usize = 1024;

impl LostReplies {
    /// To be called if the kernel did not take a reply about `socket`.
    pub fn note_undelivered(&mut self, call: &Call, socket: u64, reply: Reply) {
        if self.undelivered.len() >= MOST {
            self.undelivered.clear();
        }
        let undelivered = UndeliveredReply {
            thread: call.thread,
            arguments: address_arguments(call),
            reply,
        };
        self.undelivered.insert(socket, undelivered);
    }

    /// The reply that the kernel did not take, for the restarted call.
    pub fn take_undelivered(&mut self, call: &Call, socket: u64) -> Option<Reply> {
        let undelivered = self.undelivered.remove(&socket)?;
        let is_restarted =
            (undelivered.thread, undelivered.arguments) == (call.thread, address_arguments(call));
        is_restarted.then_some(undelivered.reply)
    }

    /// To be called when the kernel took a reply about `socket`: of connect(2), or SO_ERROR.
    pub fn note_sent(&mut self, call: &Call, socket: u64, result: Result<(), Errno>) {
        if self.sent.len() >= MOST {
            self.sent.clear();
        }
        let sent = SentReply {
            number: call.number,
            arguments: call.arguments,
            socket,
            result,
            until: sys::now() + RESTART,
        };
        self.sent.insert(call.thread, sent);
    }

    /// Whether the call may be a restarted one, whose reply is lost.
    pub fn is_repeated(&self, call: &Call) -> bool {
        self.sent.get(&call.thread).is_some_and(|sent| {
            (sent.number, sent.arguments) == (call.number, call.arguments)
                && sys::now() < sent.until
        })
    }

    /// The result that was sent to the same call of the same thread a moment ago. It is repeated once.
    pub fn take_sent(&mut self, call: &Call, socket: u64) -> Option<Result<(), Errno>> {
        let is_lost = self.is_repeated(call)
            && self
                .sent
                .get(&call.thread)
                .is_some_and(|sent| sent.socket == socket)
            && caller::catches_signals(call.thread);
        is_lost
            .then(|| self.sent.remove(&call.thread))
            .flatten()
            .map(|sent| sent.result)
    }

    /// The lost reply to a connect(2), for one that now gets EALREADY or EISCONN: the call itself has brought that about.
    pub fn take_lost(&mut self, call: &Call, socket: u64, reply: Reply) -> Option<Reply> {
        let result = match reply {
            Reply::Fail(Errno::EALREADY) => Err(Errno::EINPROGRESS),
            Reply::Fail(Errno::EISCONN) => Ok(()),
            _ => return None,
        };
        let lost = self.take_sent(call, socket)?;
        (lost == result).then(|| lost.into())
    }
}

/// The arguments of connect(2).
fn address_arguments(call: &Call) -> [u64; 3] {
    [call.pointer(0), call.pointer(1), call.pointer(2)]
}
