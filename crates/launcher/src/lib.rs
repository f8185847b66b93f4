//! The command line of `proxychains4`: the launcher understands it, and `tailchain generate` makes man page, completions and
//! documents of it.

#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::panic))]

pub mod options;
