//! How often the processes of one program print the start-up lines ("DLL init", config warnings).

#![forbid(unsafe_code)]

use crate::load::Env;

/// The environment variable that carries the [`Announcement`] to child processes.
pub const VARIABLE: &str = "TAILCHAIN_ANNOUNCE";

/// Whether a process prints the start-up line and the warnings about its configuration. The launcher requests them
/// once, so that a program which starts a hundred others does not repeat them a hundred times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Announcement {
    /// Started without the launcher: print at each exec, as proxychains-ng does. To print once, the library would have to
    /// add a variable to the program's environment.
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

    /// The value of [`VARIABLE`]; `None` if it is not set.
    pub fn value(self) -> Option<&'static str> {
        match self {
            Announcement::Always => None,
            Announcement::Once => Some(Announcement::ONCE),
            Announcement::Done => Some(Announcement::DONE),
        }
    }
}
