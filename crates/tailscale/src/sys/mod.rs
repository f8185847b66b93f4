//! System calls to supervise other processes; the only unsafe code of this crate.

pub mod child;
pub mod memory_file;
pub mod poll;
pub mod port;
pub mod process;
pub mod signals;
pub mod sigterm_canary;
pub mod sigterm_shield;
