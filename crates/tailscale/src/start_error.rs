//! The error of a start.

#![forbid(unsafe_code)]

use std::{fmt, io};

#[derive(Debug)]
pub enum StartError {
    Failed(String),
    /// A signal asked us to end, or the watched process has ended.
    Interrupted,
}

impl From<io::Error> for StartError {
    fn from(error: io::Error) -> StartError {
        StartError::Failed(error.to_string())
    }
}

/// `reason` also says what to do.
pub fn failed(reason: impl fmt::Display) -> StartError {
    StartError::Failed(reason.to_string())
}
