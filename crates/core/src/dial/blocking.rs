//! The driver for a blocking connect: on the caller's thread, on the program's own socket.

use super::driver::{Driver, Progress};
use crate::errno::Errno;
use crate::sys::{self, Fd};
use std::time::Duration;

/// How a blocking dial ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Finished(Result<(), Errno>),
    /// The program's own limit (SO_SNDTIMEO) is over; the dial stands where it stands.
    LimitOver,
    /// A signal handler ran, and `restarts` said that the call is not to go on.
    Interrupted,
}

/// How long a sleep must be that it is asked afterwards whose socket the number is: an answer that is there sooner
/// costs no call more.
const LONG: Duration = Duration::from_millis(1);

/// Drive until the end. `limit` is the program's own SO_SNDTIMEO as an instant. `restarts` is asked when a
/// signal handler ran: whether the kernel would have gone on with the call (SA_RESTART, signal(7)). `opened` is
/// told of each TCP connection ([`Driver::take_opened`]). `same` says whether the program's number is still its socket:
/// another thread may have closed it, and opened something else there.
pub fn run(
    driver: &mut Driver<'_>,
    limit: Option<Duration>,
    restarts: &dyn Fn() -> bool,
    opened: &dyn Fn(Fd),
    same: &dyn Fn() -> bool,
) -> End {
    let mut progress = driver.go();
    loop {
        if let Some(socket) = driver.take_opened() {
            opened(socket);
        }
        let (fd, events, deadline) = match progress {
            Progress::Finished(result) => return End::Finished(result),
            Progress::Wait {
                fd,
                events,
                deadline,
            } => (fd, events, deadline),
        };
        if driver.take_interrupted() && !restarts() {
            return End::Interrupted;
        }
        let until = limit.map_or(deadline, |limit| limit.min(deadline));
        let began = sys::now();
        let left = until.saturating_sub(began);
        // A negative number makes poll(2) pass over the entry: a plain sleep.
        let fd = if events == 0 { -1 } else { fd };
        let polled = sys::poll_one(fd, events, Some(left));
        if sys::now().saturating_sub(began) >= LONG && !same() {
            driver.abandon(Errno::EBADF);
            return End::Finished(Err(Errno::EBADF));
        }
        match polled {
            Ok(true) => progress = driver.ready(),
            Ok(false) if until == deadline => progress = driver.expired(),
            Ok(false) => return End::LimitOver,
            Err(Errno::EINTR) if restarts() => {}
            Err(Errno::EINTR) => return End::Interrupted,
            Err(errno) => {
                driver.abandon(errno);
                return End::Finished(Err(errno));
            }
        }
    }
}
