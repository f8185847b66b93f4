//! The configuration while `TAILCHAIN_BYPASS` is set: all connections bypass the proxy.
//!
//! One Procfile then serves processes with and without a proxy, e.g. a release phase or a review app.

#![forbid(unsafe_code)]

use super::builder::{ConfigBuilder, Order};
use super::masked::sanitized;
use super::{ChainKind, Config, Source};

/// `reason` is shown to the user. Of `configured`, the configuration that would otherwise apply, only the logging
/// directives are kept.
pub fn bypassing(reason: &[u8], variable: &'static str, configured: Option<Config>) -> Config {
    let mut config = ConfigBuilder::new(Order::Strict)
        .build_unchecked(&Source::Variable(variable), ChainKind::Strict);
    if let Some(configured) = configured {
        config.quiet = configured.quiet;
        config.log_file = configured.log_file;
        config.log_format = configured.log_format;
    }
    config.bypass = Some(sanitized(reason));
    config
}

/// The start-up line that announces the bypass.
pub fn notice(reason: &str) -> String {
    format!("{reason}: the program runs without a proxy")
}
