//! The atomics of code that the model checks (`models`) go through: there, this module hands out a checker's, which
//! runs the same files in every order that their accesses allow.

pub use core::sync::atomic;
