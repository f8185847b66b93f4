//! A process with pending connects, and what its hooks do (as in `src/hook/fd.rs` and `src/hook/connect.rs`).

use crate::dial::driver::Driver;
use crate::errno::Errno;
use crate::pending::{
    BeginResult, Closing, ConnectObserver, FirstStep, InlineConnect, Pending, Start,
};
use crate::sys::{self, Fd, SignalsBlocked};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Mutex;

pub struct Program {
    pub pending: &'static Pending,
    pub observer: &'static Ended,
}

/// How attempts ended, by the file of their sockets.
#[derive(Default)]
pub struct Ended(pub Mutex<BTreeMap<usize, Vec<Result<(), Errno>>>>);

impl ConnectObserver for Ended {
    fn opened(&self, _: Fd, _: SocketAddr) {}

    fn ended(&self, socket: Fd, _: SocketAddr, result: Result<(), Errno>) {
        let file = sys::file_of(socket).unwrap_or(usize::MAX);
        self.0.lock().unwrap().entry(file).or_default().push(result);
    }
}

impl Program {
    pub fn run(body: impl FnOnce(&'static Program)) {
        sys::boot();
        let program: &'static Program = Box::leak(Box::new(Program {
            pending: Box::leak(Box::new(Pending::new())),
            observer: Box::leak(Box::default()),
        }));
        program.pending.guard_forks();
        body(program);
        sys::join_threads();
        assert_eq!(sys::mistakes(), [""; 0]);
        assert_eq!(program.pending.count(), 0);
        // SAFETY: they were leaked above, and all threads have ended.
        unsafe {
            drop(Box::from_raw(
                core::ptr::from_ref(program.observer).cast_mut(),
            ));
            drop(Box::from_raw(
                core::ptr::from_ref(program.pending).cast_mut(),
            ));
            drop(Box::from_raw(core::ptr::from_ref(program).cast_mut()));
        }
    }

    /// connect(2) of a non-blocking socket; the tunnel takes `waits` waits.
    pub fn connect(&self, fd: Fd, waits: Option<usize>) -> Result<BeginResult, Errno> {
        self.connect_to(fd, waits, Ok(()))
    }

    pub fn connect_to(
        &self,
        fd: Fd,
        waits: Option<usize>,
        result: Result<(), Errno>,
    ) -> Result<BeginResult, Errno> {
        self.pending
            .begin(&SignalsBlocked::new(), fd, self.start(), |own| {
                Driver::new(own, waits, result)
            })
            .map_err(|(errno, _)| errno)
    }

    /// What the thread of a blocking connect does from its start: `waits` waits, and its end, unless another thread
    /// ends it.
    pub fn wait_itself(&self, inline: InlineConnect, waits: Option<usize>) -> Result<(), Errno> {
        let mut left = waits;
        let result = loop {
            sys::expect_socket(inline.socket());
            match left {
                _ if inline.is_aborted() => break Err(Errno::ECONNRESET),
                Some(0) => break Ok(()),
                Some(waits) => left = Some(waits - 1),
                None => shuttle::thread::yield_now(),
            }
        };
        self.observer.ended(inline.socket(), dialled(), result);
        self.pending.end_inline(inline, None, result);
        result
    }

    /// It was interrupted: the helper continues the connect.
    pub fn hand_over(&self, inline: InlineConnect, waits: Option<usize>) {
        let driver = |socket| Driver::new(socket, waits, Ok(()));
        let begun = self.pending.hand_over(inline, self.start(), driver);
        assert!(begun.is_ok());
    }

    fn start(&self) -> Start {
        Start {
            dialled: dialled(),
            observer: self.observer,
            first: FirstStep::Inline,
        }
    }

    pub fn close(&self, fd: Fd) {
        match self.pending.before_close(fd) {
            Closing::Internal => {}
            Closing::LastOfPending => {
                sys::program_close(fd);
                self.pending.release_closed();
            }
            Closing::Other => sys::program_close(fd),
        }
    }

    /// close(2), with nothing in between: what the hook has checked still holds when the kernel closes. (No hook can
    /// know of a close that began before the connect and waits for the CPU all the while.)
    pub fn close_at_once(&self, fd: Fd) {
        let pending = self.pending.count() > 0;
        if !pending {
            return sys::program_close_at_once(fd);
        }
        self.close(fd);
    }

    /// F_SETFL without O_NONBLOCK.
    pub fn set_blocking(&self, fd: Fd) {
        match self.pending.lock_fd(fd) {
            Some(mut held) => held.set_blocking(fd, true),
            None => sys::set_nonblocking(fd, false).unwrap(),
        }
    }

    pub fn dup(&self, fd: Fd) -> Fd {
        let duplicate = || Ok(sys::program_dup(fd));
        self.pending.duplicate(fd, duplicate).unwrap()
    }

    pub fn ends_of(&self, file: usize) -> Vec<Result<(), Errno>> {
        self.observer
            .0
            .lock()
            .unwrap()
            .get(&file)
            .cloned()
            .unwrap_or_default()
    }
}

fn dialled() -> SocketAddr {
    SocketAddr::from(([100, 64, 0, 1], 80))
}
