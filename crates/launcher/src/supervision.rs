//! Whether the program is started under a supervisor, and what becomes of one that neither that nor a preload reaches.

#![forbid(unsafe_code)]

use crate::options::Options;
use crate::{fail, say};
use std::ffi::OsString;
use std::path::Path;
use tailchain_core::config::{Config, Supervise};
use tailchain_core::supervised::Pass;
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

/// Look at the program, and put this process under a supervisor where it needs one. The pass is for the library.
///
/// # Errors
/// The exit status: the program must not be started.
pub fn prepare(
    options: &Options,
    config: &Config,
    quiet: bool,
    subject: Option<&Subject>,
    library: &Path,
) -> Result<Option<Pass>, libc::c_int> {
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
        let forbidden = (mode == Supervise::Never
            && reason.is_some_and(Obstacle::can_be_supervised))
        .then_some("supervise never");
        return warn(options, quiet, seen.as_ref(), forbidden).map(|()| None);
    };
    if let (Some(reason), Some(seen)) = (reason.filter(|why| why.is_another_abi()), &seen) {
        return Err(fail(format_args!(
            "{} is not started because it cannot be supervised: {reason}",
            seen.file.display()
        )));
    }
    let mut config = config.clone();
    config.quiet = quiet;
    match tailchain_supervisor::start(&config, variable, extent) {
        Ok(pass) => {
            if let (false, Some(seen)) = (quiet, &seen) {
                announce(seen);
            }
            Ok(Some(pass))
        }
        Err(Failure::NotPossible(why)) if why.is_another_supervisor() && is_ours() => {
            stay_under_outer(options, quiet, seen.as_ref(), why).map(|()| None)
        }
        Err(Failure::NotPossible(why)) if mode == Supervise::Always => Err(fail(format_args!(
            "the program is not started because it cannot be supervised: {why}"
        ))),
        Err(Failure::NotPossible(why)) => {
            warn(options, quiet, seen.as_ref(), Some(&why.to_string())).map(|()| None)
        }
        Err(Failure::Lost(why)) => Err(fail(format_args!(
            "the program is not started because its supervisor is lost: {why}"
        ))),
    }
}

/// Whether the supervisor that is there already was started by a launcher, as was this one.
fn is_ours() -> bool {
    Pass::of(&variable).is_some()
}

/// One tree of processes has one supervisor, which knows the outer launcher's proxies. A preloaded program uses those that
/// this launcher names all the same.
fn stay_under_outer(
    options: &Options,
    quiet: bool,
    seen: Option<&Seen<'_>>,
    why: tailchain_supervisor::Obstacle,
) -> Result<(), libc::c_int> {
    let Some(seen) = seen else {
        return Ok(());
    };
    let is_preloaded = seen.reason.is_none();
    if options.source().is_some() && !is_preloaded {
        let file = seen.file.display();
        if options.strict {
            return Err(fail(format_args!(
                "{file} is not started because it would use the proxies of the outer proxychains4: {why}"
            )));
        }
        if !quiet {
            say(format_args!(
                "warning: {file} uses the proxies of the outer proxychains4: {why} (--strict refuses to start it)"
            ));
        }
    } else if !quiet && !is_preloaded {
        announce(seen);
    }
    Ok(())
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
        Some(reason) if reason.is_about_rights() => say(format_args!(
            "supervising {file}, which gains no rights then: {reason}"
        )),
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
            "{file} is not started because it would bypass the proxy: {reason}{unsupervised}"
        )));
    }
    if !quiet {
        say(format_args!(
            "warning: {file} will bypass the proxy: {reason}{unsupervised} (--strict refuses to start it)"
        ));
    }
    Ok(())
}
