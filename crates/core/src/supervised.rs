//! Exempts the preload library's own connects to the proxies from the supervisor's seccomp filter.
//!
//! The library puts a [`Pass`] into a register that connect(2) does not use. The filter, which sees only registers, lets
//! a call with the pass through; every other connect of the process still goes to the supervisor.

#![forbid(unsafe_code)]

use crate::load::Env;
use core::fmt;
use core::num::NonZeroU64;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;

/// The environment variable in which the launcher hands the pass to the library.
pub const VARIABLE: &str = "TAILCHAIN_SUPERVISED";

/// A random 64-bit word that a register does not hold by accident.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pass(NonZeroU64);

impl Pass {
    /// A new, unpredictable pass.
    pub fn new() -> Pass {
        // The standard library's hash keys are random (getrandom(2)).
        let word = RandomState::new().hash_one(std::process::id());
        Pass(NonZeroU64::new(word).unwrap_or(NonZeroU64::MAX))
    }

    /// The pass of the supervisor that this process runs under, if any.
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
    fn a_pass_survives_formatting_and_parsing() {
        let pass = Pass::new();
        assert_eq!(of(&pass.to_string()), Some(pass));
        assert_ne!(Pass::new(), pass);
    }

    #[test]
    fn an_invalid_value_is_rejected() {
        for value in ["", "0", "pass", "12345678123456781"] {
            assert_eq!(of(value), None, "{value}");
        }
        assert_eq!(Pass::of(&|_| None), None);
    }
}
