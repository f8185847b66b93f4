//! How often a process tree says that the library is there.

#![forbid(unsafe_code)]

use crate::load::Env;

/// What is still to be announced.
pub const VARIABLE: &str = "TAILCHAIN_ANNOUNCE";

/// Whether a process says that the library is there, and what is odd about its configuration. The launcher asks for it
/// once: a program that starts a hundred others says it once, not a hundred times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Announcement {
    /// There was no launcher: at each exec, as proxychains-ng does. To remember it, the library would have to put a
    /// variable into an environment that is not its own.
    Always,
    Once,
    Done,
}

impl Announcement {
    const ONCE: &'static str = "once";
    const DONE: &'static str = "done";

    pub fn of(env: Env<'_>) -> Announcement {
        match env(VARIABLE) {
            Some(value) if value == Announcement::ONCE => Announcement::Once,
            Some(value) if value == Announcement::DONE => Announcement::Done,
            _ => Announcement::Always,
        }
    }

    /// The variable's value; `None`: not set.
    pub fn value(self) -> Option<&'static str> {
        match self {
            Announcement::Always => None,
            Announcement::Once => Some(Announcement::ONCE),
            Announcement::Done => Some(Announcement::DONE),
        }
    }
}
