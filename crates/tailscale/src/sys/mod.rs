//! The system calls of the commands that look after other processes. The only unsafe code of this command.

pub mod child;
pub mod memory_file;
pub mod poll;
pub mod port;
pub mod process;
pub mod signals;
pub mod sigterm_canary;
pub mod sigterm_shield;
