//! The fuzz targets: one module for each parser of bytes that others wrote. Each `run` asserts what must hold for any
//! input; the fuzzer itself detects panics, overflows and hangs.
//!
//! | module | who wrote the bytes |
//! |---|---|
//! | `replies` | a proxy: SOCKS5, SOCKS4, HTTP |
//! | `dns` | a program's own resolver |
//! | `names` | another process of the user, into the file of the shared table |
//! | `local_api` | tailscaled, or whoever has its socket, and the name servers that it asks |
//! | `config`, `url`, `hosts` | the user |
//!
//! To add a target: a module with `run`, a file in `bin`, its `[[bin]]`, and seeds in `seeds/TARGET`.

pub mod config;
pub mod dns;
pub mod hosts;
pub mod local_api;
pub mod names;
pub mod replies;
pub mod url;

mod cursor;
