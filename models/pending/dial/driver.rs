//! A driver whose tunnel takes a number of steps. At each of them it verifies that its socket still exists.

use crate::errno::Errno;
use crate::own_fds::RegisteredFd;
use crate::sync::atomic::AtomicI32;
use crate::sys::{self, Fd};
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

pub enum Progress {
    #[expect(dead_code, reason = "what an observer is told changes nothing here")]
    Opened(Fd),
    Wait(Wait),
    Finished(Outcome),
}

#[derive(Clone, Copy, Debug)]
pub struct Wait {
    pub fd: Fd,
    pub events: libc::c_short,
    pub deadline: Duration,
}

pub struct Outcome {
    pub result: Result<(), Errno>,
    pub replacement: Option<RegisteredFd>,
}

pub struct Driver<'c> {
    own: Fd,
    /// Waits that are left; `None`: it never completes.
    waits: Option<usize>,
    result: Result<(), Errno>,
    config: PhantomData<&'c ()>,
}

impl Driver<'_> {
    pub fn new(own: Fd, waits: Option<usize>, result: Result<(), Errno>) -> Driver<'static> {
        Driver {
            own,
            waits,
            result,
            config: PhantomData,
        }
    }

    pub fn announce_replacement(&mut self, _: Arc<AtomicI32>) {}

    pub fn waiting(&mut self) -> Wait {
        Wait {
            fd: self.own,
            events: match self.waits {
                Some(_) => libc::POLLOUT,
                None => libc::POLLPRI,
            },
            deadline: Duration::MAX,
        }
    }

    pub fn advance(&mut self) -> Progress {
        sys::expect_socket(self.own);
        match self.waits {
            Some(0) => Progress::Finished(Outcome {
                result: self.result,
                replacement: None,
            }),
            _ => Progress::Wait(self.waiting()),
        }
    }

    pub fn on_ready(&mut self) -> Progress {
        self.waits = self.waits.map(|waits| waits.saturating_sub(1));
        self.advance()
    }

    pub fn on_timeout(&mut self) -> Progress {
        self.advance()
    }

    pub fn abandon(&mut self, errno: Errno) {
        self.waits = Some(0);
        self.result = Err(errno);
    }
}
