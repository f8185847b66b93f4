//! Checks before exec(2): where the preload library is, which file a command line will run, and whether
//! LD_PRELOAD can reach that program at all.
//!
//! The launcher and `tailchain doctor` share it. The preload library itself uses none of it.

pub mod elf;
pub mod environment;
pub mod image;
pub mod library;
pub mod obstacle;
pub mod program;
pub mod subject;
