//! Connects that are being made while their programs go on: the non-blocking connect.
//!
//! While a tunnel is made on the program's socket, a `placeholder` stands under the socket's fd: neither
//! readable nor writable, so the program waits as it would for any connecting socket. One helper thread
//! (`helper`) drives all tunnels; when one stands, the socket is put back under its fd and whoever
//! sleeps on the placeholder is woken. When one fails, the socket is put back carrying an error.
//!
//! A blocking connect of one of several threads is here, too, so that the other threads see a socket that is connecting.
//! Its caller makes the tunnel itself, and leaves it to the helper when it is interrupted.
//!
//! # The table
//!
//! `PendingTable` says which fds of the program are placeholders. One lock guards it, `Pending::lock`, which
//! is never held across a call that can sleep. Smaller ones are taken after it or alone: `dups`, those of
//! `registrations`, `io_uring` and `deferred_errors`, and last that of `own_fds`. All signals are blocked while one is
//! held, for a handler may call close(2), and so may the thread that it interrupted. An atomic counter lets every hook
//! see that there is nothing pending without taking the lock.
//!
//! # fork, vfork
//!
//! The lock is held over fork (pthread_atfork(3)), so a child never finds it taken; one of clone(2), for which no
//! handlers run, makes the locks anew (`ownership`). In the child no helper runs; see `inherited`. Between vfork and exec the child
//! shares this memory but not the descriptors: nothing here is looked up or changed when the caller is not the process
//! that owns the table. What epoll_ctl notes in `registrations` is a hint, and the kernel is asked whether it is true
//! before it is used.

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

pub use begin::{BeginResult, FirstStep, Start, Waited};
pub use close::Closing;
pub use job::ConnectObserver;
pub use state::Pending;
