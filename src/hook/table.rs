//! The hook table: the tables of all families, joined. The file of a family has its part of the table (`mod hooks`)
//! and, below it, the bodies. Each entry says what the hook is for, which man page describes the function, whether the
//! hook is async-signal-safe, and what it does after fork and vfork.

#[cfg(target_env = "gnu")]
use super::legacy;
#[cfg(target_env = "gnu")]
use super::resolve::addrinfo_a;
use super::resolve::{addrinfo, hostent, nameinfo, query};
use super::{connect, epoll, fd, lookup, namespace, peer, send, sockopt};

macro_rules! families {
    ($($(#[$cfg:meta])? $family:ident),* $(,)?) => {
        /// The names of all interposed functions, by family.
        pub const NAMES: &[&[&str]] = &[
            lookup::NAMES,
            #[cfg(target_env = "gnu")]
            legacy::NAMES,
            $($(#[$cfg])? $family::hooks::NAMES),*
        ];

        /// Binds all real functions that a new program may call.
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
