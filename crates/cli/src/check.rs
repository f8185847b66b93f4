//! `tailchain check`: is a configuration well-formed, and does it say what its writer meant?

#![forbid(unsafe_code)]

use crate::configuration;
use std::path::PathBuf;
use std::process::ExitCode;
use tailchain_diagnostics::report;

/// Check a configuration and print what it means
///
/// Exit status 1 if it is invalid; 0 if there are only warnings.
#[derive(clap::Args)]
pub struct Args {
    /// The file [default: the one that a program started here would use]
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,

    /// The same, as an option
    #[arg(short = 'f', value_name = "FILE", conflicts_with = "file")]
    option: Option<PathBuf>,

    /// Exit with status 1 on warnings, too
    #[arg(long)]
    strict: bool,
}

pub fn run(args: &Args) -> ExitCode {
    let loaded = match configuration::load_to_check(args.file.as_deref().or(args.option.as_deref()))
    {
        Ok(loaded) => loaded,
        Err(error) => return report::fail(error),
    };
    for warning in loaded.ignored_files.iter().chain(&loaded.warnings) {
        report::complain(format_args!("warning: {warning}"));
    }
    report::say(format_args!("{}: understood", loaded.config.source));
    for line in configuration::summary(&loaded.config) {
        report::say(line);
    }
    match args.strict && !(loaded.warnings.is_empty() && loaded.ignored_files.is_empty()) {
        true => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    }
}
