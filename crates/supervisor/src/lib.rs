//! Programs that no preloaded library reaches: static ones, Go's, those with a resolver of their own.
//!
//! A seccomp filter (`filter`) makes the kernel ask a supervisor about each connect(2) and a few other calls; data is
//! not among them. The supervisor borrows the program's socket (pidfd_getfd(2)), makes the tunnel on it with the same
//! `dial` that preloaded programs use, routed by the same `router`, and answers the call (seccomp_unotify(2)).
//!
//! # The life of a connect
//!
//! `connect` copies the address out of the program's memory, asks the router, and then
//!
//! - *direct*: makes the kernel's connect itself. To let the program's own call go on would let another thread
//!   change the address between.
//! - *blocking*: the caller waits for its answer while the tunnel is made. A call that was interrupted by a signal comes
//!   again, and finds its tunnel by SO_COOKIE of the socket.
//! - *non-blocking, Go*: the program's own socket stays under its fd and the call is answered EINPROGRESS. Until the tunnel is
//!   established, SO_ERROR says EINPROGRESS too: Go's `netFD.connect` waits again, and each answer of the proxy
//!   is an event.
//! - *non-blocking, others*: a placeholder is put under the fd (SECCOMP_IOCTL_NOTIF_ADDFD), and the socket back at the call
//!   that asks how the connect ended.
//!
//! # Names
//!
//! A datagram socket that is connected to port 53 is connected to the `answerer` instead, which gives fake IPs from the
//! table that all processes of the user share. What is sent there with an address goes to it too; the answer is given
//! to the program with the address of the server (`receive`). A stream to port 53 of an address is connected to the
//! answerer as well (`streams`).
//!
//! # Fail closed
//!
//! Memory that cannot be read, an fd that cannot be borrowed, a supervisor that is gone (ENOSYS, by the kernel) fail the
//! call. The kernel makes a call itself only where its fd alone decided that (a unix socket), never after memory
//! was read.

mod answerer;
mod caller;
mod connect;
mod datagram;
mod filter;
mod held;
mod job;
mod listener;
mod options;
mod placeholder;
mod proxy_names;
mod receive;
mod registrations;
mod relay;
mod start;
mod streams;
mod supervisor;
mod sys;

pub use filter::Extent;
pub use start::{check, start, Failure, Obstacle, Step};
