//! Supervises a node for as long as its program runs.

#![forbid(unsafe_code)]

use crate::backoff::Backoff;
use crate::events::Events;
use crate::node::{Node, Sight};
use crate::start_error::StartError;
use std::io;
use std::time::{Duration, Instant};
use tailchain_diagnostics::report;

/// Between two looks at whether the node is in the tailnet: an exchange on a unix socket.
const LOOK: Duration = Duration::from_secs(5);

/// Comes back when the watched process is gone, or has not ended within `drain` after a signal that asks for it.
/// The node is left as it is then. A tailscaled that ends before is started again, and a node that is out of the
/// tailnet logs in again.
///
/// # Errors
///
/// As poll(2).
pub fn supervise(node: &mut Node<'_>, events: &mut Events, drain: Duration) -> io::Result<()> {
    let mut backoff = Backoff::new();
    let mut up_since = Instant::now();
    let mut next_start = None;
    let mut next_look = Instant::now() + LOOK;
    let mut is_stopped = false;
    while !events.is_gone() {
        let end = events.stop().map(|stop| stop.since + drain);
        if end.is_some_and(|end| Instant::now() >= end) {
            break;
        }
        // The program that ends has little use for a new tailscaled.
        let restart = next_start.filter(|_| end.is_none());
        if restart.is_some_and(|at| Instant::now() >= at) {
            next_start = None;
            match node.start(events) {
                Ok(()) => up_since = Instant::now(),
                Err(StartError::Interrupted) => (),
                Err(StartError::Failed(reason)) => {
                    let pause = backoff.pause(Duration::ZERO);
                    let seconds = pause.as_secs();
                    report::complain(format_args!("Tailscale: {reason}; next try in {seconds} s"));
                    next_start = Some(Instant::now() + pause);
                }
            }
            continue;
        }
        let is_up = end.is_none() && next_start.is_none() && node.is_alive();
        if is_up && Instant::now() >= next_look {
            let sight = node.look();
            if let (Sight::Stopped, false) = (&sight, is_stopped) {
                report::complain(
                    "Tailscale was stopped (tailscale down): there is no tailnet until `tailscale up`",
                );
            }
            is_stopped = matches!(sight, Sight::Stopped);
            if let Sight::Lost(lost) = sight {
                report::complain(format_args!("Tailscale: {lost}; logging in again"));
                if let Err(StartError::Failed(reason)) = node.return_to_tailnet(&lost, events) {
                    let pause = backoff.pause(Duration::ZERO);
                    let seconds = pause.as_secs();
                    report::complain(format_args!("Tailscale: {reason}; next try in {seconds} s"));
                    next_start = Some(Instant::now() + pause);
                }
            }
            next_look = Instant::now() + LOOK;
            continue;
        }
        let look = is_up.then_some(next_look);
        let ended = events.next(end.or(restart).or(look))?;
        let was_alive = node.is_alive();
        node.note(ended);
        if let (true, Some(how)) = (was_alive, node.end()) {
            let pause = backoff.pause(up_since.elapsed());
            let seconds = pause.as_secs();
            report::complain(format_args!(
                "{how} while the program runs; started again in {seconds} s"
            ));
            next_start = Some(Instant::now() + pause);
        }
    }
    Ok(())
}
