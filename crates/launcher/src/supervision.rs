//! Whether the program is started under a supervisor, and what becomes of one that neither that nor a preload reaches.

#![forbid(unsafe_code)]

use crate::options::Options;
use crate::{fail, say};
use std::ffi::OsString;
use std::path::Path;
use tailchain_core::config::{Config, Supervise};
use tailchain_preflight::obstacle::{self, Obstacle};
use tailchain_preflight::subject::Subject;
use tailchain_supervisor::{Extent, Failure};

/// What is known of the program.
struct Seen<'s> {
    file: &'s Path,
    is_go: bool,
    /// Why it cannot be preloaded.
    reason: Option<Obstacle>,
}

/// Look at the program, and put this process under a supervisor where it needs one.
///
/// # Errors
/// The exit status: the program must not be started.
pub fn prepare(
    options: &Options,
    config: &Config,
    quiet: bool,
    subject: Option<&Subject>,
    library: &Path,
) -> Result<(), libc::c_int> {
    let reason = subject.and_then(|subject| obstacle::find(subject, library));
    let seen = subject.map(|subject| Seen {
        file: &subject.file,
        is_go: subject.elf.is_go,
        reason,
    });
    let mode = options.supervise.unwrap_or(config.supervise);
    let (Some(extent), false) = (
        extent(mode, seen.as_ref()),
        reason == Some(Obstacle::OtherLibc),
    ) else {
        return warn(options, quiet, seen.as_ref(), None);
    };
    let mut config = config.clone();
    config.quiet = quiet;
    match tailchain_supervisor::start(&config, variable, extent) {
        Ok(()) => {
            if let (false, Some(seen)) = (quiet, &seen) {
                announce(seen);
            }
            Ok(())
        }
        Err(Failure::NotPossible(why)) if mode == Supervise::Always => Err(fail(format_args!(
            "the program is not started because it cannot be supervised: {why}"
        ))),
        Err(Failure::NotPossible(why)) => {
            warn(options, quiet, seen.as_ref(), Some(&why.to_string()))
        }
        Err(Failure::Lost(why)) => Err(fail(format_args!(
            "the program is not started because its supervisor is lost: {why}"
        ))),
    }
}

fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name)
}

fn extent(mode: Supervise, seen: Option<&Seen<'_>>) -> Option<Extent> {
    match (mode, seen) {
        (Supervise::Never, _) => None,
        (Supervise::Always, _) => Some(Extent::Any),
        (Supervise::Auto, Some(seen)) if seen.is_go => Some(Extent::Go),
        (Supervise::Auto, Some(seen)) => seen
            .reason
            .is_some_and(Obstacle::can_be_supervised)
            .then_some(Extent::Any),
        (Supervise::Auto, None) => None,
    }
}

fn announce(seen: &Seen<'_>) {
    let file = seen.file.display();
    match seen.reason {
        Some(reason) => say(format_args!("supervising {file}: {reason}")),
        None => say(format_args!("supervising {file}")),
    }
}

/// A program that cannot be preloaded would bypass the proxy: say so, or do not start it.
fn warn(
    options: &Options,
    quiet: bool,
    seen: Option<&Seen<'_>>,
    unsupervised: Option<&str>,
) -> Result<(), libc::c_int> {
    let Some((file, reason)) = seen.and_then(|seen| Some((seen.file.display(), seen.reason?)))
    else {
        return Ok(());
    };
    if reason == Obstacle::OtherLibc {
        return Err(fail(format_args!(
            "{file} cannot be started: {reason}; {}",
            reason.remedy()
        )));
    }
    let unsupervised = unsupervised
        .map(|why| format!("; it cannot be supervised: {why}"))
        .unwrap_or_default();
    if options.strict {
        return Err(fail(format_args!(
            "{file} is not started because it would go around the proxy: {reason}{unsupervised}"
        )));
    }
    if !quiet {
        say(format_args!(
            "warning: {file} will go around the proxy: {reason}{unsupervised} (--strict refuses to start it)"
        ));
    }
    Ok(())
}
