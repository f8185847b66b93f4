//! A driver whose tunnel takes a number of steps. At each of them it verifies that its socket still exists.

use crate::errno::Errno;
use crate::own_fds::RegisteredFd;
use crate::sync::atomic::AtomicI32;
use crate::sys::{self, Fd};
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

#[derive(Clone, Copy, Debug)]
pub enum Progress {
    Wait {
        fd: Fd,
        events: libc::c_short,
        deadline: Duration,
    },
    Finished(Result<(), Errno>),
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

    pub fn take_opened(&mut self) -> Option<Fd> {
        None
    }

    pub fn take_replacement(&mut self) -> Option<RegisteredFd> {
        None
    }

    pub fn waiting(&mut self) -> Progress {
        self.advance()
    }

    pub fn advance(&mut self) -> Progress {
        sys::expect_socket(self.own);
        match self.waits {
            Some(0) => Progress::Finished(self.result),
            waits => Progress::Wait {
                fd: self.own,
                events: if waits.is_some() {
                    libc::POLLOUT
                } else {
                    libc::POLLPRI
                },
                deadline: Duration::MAX,
            },
        }
    }

    pub fn on_ready(&mut self) -> Progress {
        self.waits = self.waits.map(|waits| waits - 1);
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
