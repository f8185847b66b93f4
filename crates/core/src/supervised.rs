//! A preloaded program under a supervisor: its connects to proxies are made by the library, and the supervisor is not to
//! be asked about them.
//!
//! The library gives a pass in an argument that connect(2) does not have, and the filter of seccomp(2), which sees
//! registers alone, lets the call through. What connects otherwise, also in the same process, is asked about.

#![forbid(unsafe_code)]

use crate::load::Env;
use core::fmt;
use core::num::NonZeroU64;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;

/// Where the launcher leaves the pass for the library.
pub const VARIABLE: &str = "TAILCHAIN_SUPERVISED";

/// A number that no register holds by chance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pass(NonZeroU64);

impl Pass {
    /// One that nobody can foresee.
    pub fn new() -> Pass {
        // The standard library's hash keys are random (getrandom(2)).
        let word = RandomState::new().hash_one(std::process::id());
        Pass(NonZeroU64::new(word).unwrap_or(NonZeroU64::MAX))
    }

    /// That of the supervisor over this process, if there is one.
    pub fn of(env: Env<'_>) -> Option<Pass> {
        let word = env(VARIABLE)?;
        let word = u64::from_str_radix(word.to_str()?, 16).ok()?;
        NonZeroU64::new(word).map(Pass)
    }

    pub fn word(self) -> u64 {
        self.0.get()
    }
}

impl Default for Pass {
    fn default() -> Pass {
        Pass::new()
    }
}

impl fmt::Display for Pass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.word())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(value: &str) -> Option<Pass> {
        Pass::of(&|name| (name == VARIABLE).then(|| value.into()))
    }

    #[test]
    fn it_is_read_as_it_was_written() {
        let pass = Pass::new();
        assert_eq!(of(&pass.to_string()), Some(pass));
        assert_ne!(Pass::new(), pass);
    }

    #[test]
    fn what_is_no_pass_is_none() {
        for value in ["", "0", "pass", "12345678123456781"] {
            assert_eq!(of(value), None, "{value}");
        }
        assert_eq!(Pass::of(&|_| None), None);
    }
}
