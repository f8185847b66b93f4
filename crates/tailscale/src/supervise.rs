//! Supervises a node while its program runs.

#![forbid(unsafe_code)]

use crate::backoff::Backoff;
use crate::events::Events;
use crate::node::{Health, Node};
use crate::start_error::StartError;
use std::io;
use std::time::{Duration, Instant};
use tailchain_diagnostics::report;

/// The interval of health checks, each a request on a unix socket.
const CHECK_INTERVAL: Duration = Duration::from_secs(5);

/// Restarts tailscaled if it ends, and logs in again if the node has left the tailnet. Returns when the watched process has
/// ended, or `drain` after a signal that asks for it; the node is not stopped.
///
/// # Errors
///
/// As poll(2).
pub fn supervise(node: &mut Node<'_>, events: &mut Events, drain: Duration) -> io::Result<()> {
    let mut backoff = Backoff::new();
    let mut up_since = Instant::now();
    let mut next_start = None;
    let mut next_check = Instant::now() + CHECK_INTERVAL;
    let mut is_stopped = false;
    while !events.is_gone() {
        let end = events.stop().map(|stop| stop.since + drain);
        if end.is_some_and(|end| Instant::now() >= end) {
            break;
        }
        // While the program ends, tailscaled is not restarted.
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
        if is_up && Instant::now() >= next_check {
            let health = node.health();
            if let (Health::Stopped, false) = (&health, is_stopped) {
                report::complain(
                    "Tailscale was stopped (tailscale down): there is no tailnet until `tailscale up`",
                );
            }
            is_stopped = matches!(health, Health::Stopped);
            if let Health::Lost(lost) = health {
                report::complain(format_args!("Tailscale: {lost}; logging in again"));
                if let Err(StartError::Failed(reason)) = node.return_to_tailnet(&lost, events) {
                    let pause = backoff.pause(Duration::ZERO);
                    let seconds = pause.as_secs();
                    report::complain(format_args!("Tailscale: {reason}; next try in {seconds} s"));
                    next_start = Some(Instant::now() + pause);
                }
            }
            next_check = Instant::now() + CHECK_INTERVAL;
            continue;
        }
        let check = is_up.then_some(next_check);
        let ended = events.next(end.or(restart).or(check))?;
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
