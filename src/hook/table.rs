//! The hook table: the tables of all families, joined. A family's file holds its part of the table (`mod hooks`), where
//! each entry says what it is for, which man page describes it, whether it is async-signal-safe and what it does after
//! fork and vfork; and, below that, the bodies.

#[cfg(target_env = "gnu")]
use super::legacy;
#[cfg(target_env = "gnu")]
use super::resolve::addrinfo_a;
use super::resolve::{addrinfo, hostent, nameinfo, query};
use super::{connect, epoll, fd, lookup, namespace, peer, send, sockopt};

macro_rules! families {
    ($($(#[$cfg:meta])? $family:ident),* $(,)?) => {
        /// The names of everything that is interposed, by family.
        pub const NAMES: &[&[&str]] = &[
            lookup::NAMES,
            #[cfg(target_env = "gnu")]
            legacy::NAMES,
            $($(#[$cfg])? $family::hooks::NAMES),*
        ];

        /// Find all real functions that a new program may call.
        pub fn bind_all() {
            $($(#[$cfg])? $family::hooks::bind_all();)*
        }
    };
}

families! {
    connect,
    send,
    peer,
    sockopt,
    epoll,
    fd,
    namespace,
    addrinfo,
    #[cfg(target_env = "gnu")]
    addrinfo_a,
    nameinfo,
    hostent,
    query,
}
