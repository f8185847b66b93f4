//! Why a node does not come up.

#![forbid(unsafe_code)]

use std::{fmt, io};

#[derive(Debug)]
pub enum StartError {
    Failed(String),
    /// Somebody asked us to end, or the watched process is gone.
    Interrupted,
}

impl From<io::Error> for StartError {
    fn from(error: io::Error) -> StartError {
        StartError::Failed(error.to_string())
    }
}

/// What stands in the way, and what to do.
pub fn failed(reason: impl fmt::Display) -> StartError {
    StartError::Failed(reason.to_string())
}
