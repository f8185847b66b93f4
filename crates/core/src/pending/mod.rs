//! Pending connects: non-blocking connects whose tunnels are not established yet.
//!
//! While a tunnel is being established on the program's socket, a `placeholder` is installed under the socket's fd. It
//! is neither readable nor writable, so the program waits as for any connecting socket. One `helper` thread drives all
//! pending connects. When a tunnel is established, the helper puts the socket back under its fd and wakes the threads
//! that sleep on the placeholder. When a dial fails, it puts the socket back with an error.
//!
//! A blocking connect in a multithreaded process is in the table too, so that the other threads see a connecting
//! socket. The caller drives it itself, and hands it over to the helper if it is interrupted.
//!
//! # The table
//!
//! `PendingTable` records which fds of the program are placeholders. Its lock, `Pending::lock`, is never held across a
//! call that can sleep. Smaller locks are taken after it or alone: `dups`, those of `registrations`, `io_uring` and
//! `deferred_errors`, and last that of `own_fds`. All signals are blocked while any of them is held, since a signal
//! handler may call close(2). An atomic counter lets every hook check without a lock whether anything is pending.
//!
//! # fork, vfork
//!
//! The lock is held over fork (pthread_atfork(3)), so a child never inherits it locked. A child of clone(2), which runs
//! no handlers, reinitializes the locks (`ownership`). No helper runs in a child; see `inherited`. Between vfork and
//! exec the child shares this memory but not the fds, so nothing is looked up or changed unless the caller is the
//! process that owns the table. The record of epoll_ctl in `registrations` is only a hint, which is checked with the
//! kernel before it is used.

mod begin;
mod close;
mod deferred_errors;
mod finish;
mod fork;
mod helper;
mod helper_exit;
mod inherited;
mod io_uring;
mod job;
mod ownership;
mod placeholder;
mod registration;
mod state;
mod table;

pub mod registrations;

pub use begin::{BeginResult, FirstStep, InlineConnect, Start};
pub use close::Closing;
pub use inherited::Inherited;
pub use job::ConnectObserver;
pub use state::Pending;
