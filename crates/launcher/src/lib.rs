//! The command line of `proxychains4`: the launcher understands it, and `tailchain generate` makes man page, completions and
//! documents of it.

#![forbid(unsafe_code)]

pub mod options;
