//! The configuration while `TAILCHAIN_BYPASS` is set: everything goes directly, as if no rule stood anywhere.
//!
//! One Procfile then serves a process with a proxy and one without, such as a release phase or a review app.

#![forbid(unsafe_code)]

use super::builder::{ConfigBuilder, Order};
use super::error::sanitized;
use super::{ChainKind, Config, Source};

/// `reason` is told to the user; `usual` is what the configuration would be, of which only where and whether to
/// log is kept.
pub fn bypassing(reason: &[u8], variable: &'static str, usual: Option<Config>) -> Config {
    let mut config = ConfigBuilder::new(Order::Strict)
        .configuration(&Source::Variable(variable), ChainKind::Strict);
    if let Some(usual) = usual {
        config.quiet = usual.quiet;
        config.log_file = usual.log_file;
        config.log_format = usual.log_format;
    }
    config.bypass = Some(sanitized(reason));
    config
}

/// The one line about it.
pub fn notice(reason: &str) -> String {
    format!("{reason}: the program runs without a proxy")
}
