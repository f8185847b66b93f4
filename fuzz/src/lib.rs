//! What is fuzzed: one module for each parser of bytes that somebody else wrote. Each `run` asserts what must
//! hold for any input; that nothing panics, overflows or hangs is asserted by the fuzzer itself.
//!
//! | module | whose bytes |
//! |---|---|
//! | `replies` | a proxy's: SOCKS5, SOCKS4, HTTP |
//! | `dns` | a program's own resolver's |
//! | `names` | the shared table's file, as another process of the user left it |
//! | `local_api` | tailscaled's, or of whoever has its socket; and those of the name servers that it asks |
//! | `config`, `url`, `hosts` | the user's |
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
