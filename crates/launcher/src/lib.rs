//! The command line of `proxychains4`. The launcher parses it; `tailchain generate` writes the man page, the completions
//! and the tables of the documents from it.

#![forbid(unsafe_code)]

pub mod options;
