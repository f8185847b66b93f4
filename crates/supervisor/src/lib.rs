//! Supervision of programs that no preloaded library reaches: statically linked ones, Go programs, and programs with
//! their own resolver.
//!
//! A seccomp filter (`filter`) makes the kernel report each connect(2) and a few other calls to a supervisor, but no
//! data calls. The supervisor borrows the program's socket (pidfd_getfd(2)), establishes the tunnel on it with the same
//! `dial` and `router` that preloaded programs use, and answers the call (seccomp_unotify(2)).
//!
//! # The life of a connect
//!
//! `connect` copies the address out of the program's memory, asks the router for the route, and then handles the call:
//!
//! - *direct*: the supervisor makes the kernel's connect itself. If the program's own call continued, another thread
//!   could change the address in between.
//! - *blocking*: the caller waits for its answer during the dial. A call that a signal interrupted is restarted, and
//!   finds its dial by the SO_COOKIE of the socket.
//! - *non-blocking, Go*: the program's own socket stays under its fd, and the call returns EINPROGRESS. Until the
//!   tunnel is established, SO_ERROR returns EINPROGRESS too, so Go's `netFD.connect` waits again; each reply of the
//!   proxy is an event.
//! - *non-blocking, others*: a placeholder is installed under the fd (SECCOMP_IOCTL_NOTIF_ADDFD), and the socket is put
//!   back at the call that asks for the result.
//!
//! `start_connect` starts it, `finish` tells its result to a caller that waits, `connect_again` and `options` are the calls
//! that ask for it later, and `put_back` gives the program its socket then. `supervisor` holds the state that all of them
//! share, and `event_loop` calls them.
//!
//! # Names
//!
//! A datagram socket that connects to port 53 is connected to the `answerer` instead, which returns fake IPs from the
//! user's shared name table. Datagrams sent to port 53 with an address go there too, and the program gets the answer
//! with the address of the server (`receive`). A TCP connection to port 53 of an address goes to the answerer as well
//! (`streams`).
//!
//! # Fail closed
//!
//! The call fails if memory cannot be read, if an fd cannot be borrowed, or if the supervisor is gone (the kernel
//! returns ENOSYS). A call continues in the kernel only if its fd alone decided that (e.g. a unix socket), never after
//! memory was read.

mod answerer;
mod borrowed;
mod caller;
mod connect;
mod connect_again;
mod datagram;
mod event_loop;
mod filter;
mod finish;
mod held;
mod job;
mod listener;
mod lost_replies;
mod options;
mod placeholder;
mod placeholder_data;
mod proxy_names;
mod put_back;
mod receive;
mod registrations;
mod relay;
mod start;
mod start_connect;
mod streams;
mod supervisor;
mod sys;

pub use filter::Extent;
pub use start::{check, start, Failure, Obstacle, Step};
