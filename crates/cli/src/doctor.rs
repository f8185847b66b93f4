//! `tailchain doctor`: is everything in place for programs to go through the proxies?

#![forbid(unsafe_code)]

use crate::configuration::{self, described};
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use tailchain_core::config::{ChainKind, Config, Proxy, Supervise};
use tailchain_diagnostics::names;
use tailchain_diagnostics::probe::{self, Answer};
use tailchain_diagnostics::report;
use tailchain_preflight::elf::Elf;
use tailchain_preflight::image::Image;
use tailchain_preflight::subject::Subject;
use tailchain_preflight::{environment, library, obstacle, program};

/// Find out what keeps programs from connecting through the proxies
///
/// Exit status 1 if a problem was found.
#[derive(clap::Args)]
pub struct Args {
    /// The configuration [default: the one that a program started here would use]
    #[arg(short, value_name = "FILE")]
    file: Option<PathBuf>,

    /// Check that the library can be preloaded into this program [default: into this command itself]
    program: Option<OsString>,
}

pub fn run(args: &Args) -> ExitCode {
    let mut findings = Findings(0);
    let mut supervision = Supervision::None;
    match configuration::load(args.file.as_deref()) {
        Ok(loaded) => {
            findings.fine(format!("configuration: {}", loaded.config.source));
            for warning in loaded.ignored_files.iter().chain(&loaded.warnings) {
                findings.problem(format!("configuration: {warning}"));
            }
            if let Some(reason) = &loaded.config.bypass {
                findings.unknown(format!(
                    "proxies: not used, because TAILCHAIN_BYPASS is set ({reason}); programs connect directly"
                ));
            }
            supervision = check_supervisor(&loaded.config, &mut findings);
            check_proxies(&loaded.config, &mut findings);
            if let Some(socket) = &loaded.config.tailscale_socket {
                check_names(socket, &mut findings);
            }
        }
        Err(error) => findings.problem(format!("configuration: {error}")),
    }
    check_library(args.program.as_deref(), supervision, &mut findings);
    match findings.0 {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}

/// What was found is printed at once: a proxy that does not answer takes its time.
struct Findings(usize);

impl Findings {
    fn fine(&self, line: String) {
        report::say(format_args!("ok       {line}"));
    }

    fn unknown(&self, line: String) {
        report::say(format_args!("?        {line}"));
    }

    fn problem(&mut self, line: String) {
        self.0 += 1;
        report::say(format_args!("PROBLEM  {line}"));
    }
}

fn check_proxies(config: &Config, findings: &mut Findings) {
    for (proxy, number) in config.proxies.iter().zip(1..) {
        let name = format!("proxy {number}, {}", described(proxy));
        if number > 1 && config.chain == ChainKind::Strict {
            findings.unknown(format!(
                "{name}: reached only through the one before it, not tried"
            ));
            continue;
        }
        check_proxy(&name, proxy, config, findings);
    }
}

fn check_proxy(name: &str, proxy: &Proxy, config: &Config, findings: &mut Findings) {
    match probe::probe(proxy, config.connect_timeout, config.read_timeout) {
        Ok(Answer::SpeaksProtocol) => findings.fine(format!("{name}: answers")),
        Ok(Answer::TakesConnections) => {
            findings.fine(format!(
                "{name}: takes connections; its protocol has no greeting to try"
            ));
        }
        Err(failure) => findings.problem(format!("{name}: {failure}")),
    }
}

/// Not a problem for names that the proxy itself knows.
fn check_names(socket: &Path, findings: &mut Findings) {
    let name = format!("tailscaled's socket, {}", socket.display());
    match names::probe(socket) {
        Ok(()) => findings.fine(format!("{name}: tells the addresses of names")),
        Err(why) => findings.problem(format!(
            "{name}: does not tell the addresses of names: {why}"
        )),
    }
}

/// Which programs would be supervised.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Supervision {
    None,
    /// Those that no library can be preloaded into.
    Needed,
    All,
}

fn check_supervisor(config: &Config, findings: &mut Findings) -> Supervision {
    if config.bypass.is_some() {
        return Supervision::None;
    }
    let (wanted, fine) = match config.supervise {
        Supervise::Never => {
            findings.unknown(
                "supervisor: not used (supervise never); static and Go programs bypass the proxy"
                    .to_owned(),
            );
            return Supervision::None;
        }
        Supervise::Auto => (
            Supervision::Needed,
            "static and Go programs can be supervised",
        ),
        Supervise::Always => (
            Supervision::All,
            "programs can be supervised, and all are (supervise always)",
        ),
    };
    match tailchain_supervisor::check(config, |name| std::env::var_os(name)) {
        Ok(()) => {
            findings.fine(format!("supervisor: {fine}"));
            wanted
        }
        Err(why) if wanted == Supervision::All => {
            findings.problem(format!(
                "supervisor: programs are not started (supervise always), because they cannot be supervised here: {why}"
            ));
            Supervision::None
        }
        Err(why) => {
            findings.unknown(format!(
                "supervisor: static and Go programs cannot be supervised here: {why}"
            ));
            Supervision::None
        }
    }
}

fn check_library(given: Option<&OsStr>, supervision: Supervision, findings: &mut Findings) {
    let own = std::env::current_exe().ok();
    let path = std::env::var_os("PATH");
    let given = given.map(OsStr::to_os_string);
    let name = given.or_else(|| own.clone().map(OsString::from));
    let subject = name
        .as_ref()
        .and_then(|name| Subject::of(name, path.as_deref()));
    let libc = subject.as_ref().and_then(Subject::libc);
    let library = match library::find(own.as_deref(), libc) {
        Ok(found) => found.library,
        Err(error) => return findings.problem(format!("library: {error}")),
    };
    findings.fine(format!("library: {}", library.display()));
    let Some(name) = name else {
        return findings.unknown(
            "program: name one to see whether the library can be loaded into it".to_owned(),
        );
    };
    let Some(file) = program::in_path(&name, path.as_deref()) else {
        let name = Path::new(&name).display();
        return findings.problem(format!(
            "program: {name} is no executable file in PATH; correct the name"
        ));
    };
    let reason = subject
        .as_ref()
        .and_then(|subject| obstacle::find(subject, &library));
    let file = subject.map_or(file, |subject| subject.file);
    if let Some(reason) = reason {
        let file = file.display();
        match supervision {
            Supervision::Needed | Supervision::All if reason.can_be_supervised() => {
                return findings.fine(format!("program: {file} runs under a supervisor: {reason}"));
            }
            Supervision::All if reason.is_about_rights() => {
                return findings.fine(format!(
                    "program: {file} runs under a supervisor, where it gains no rights: {reason}"
                ));
            }
            Supervision::All if reason.is_another_abi() => {
                return findings.problem(format!(
                    "program: {file} is not started (supervise always): {reason}"
                ));
            }
            _ => {}
        }
        return findings.problem(format!(
            "program: {file} bypasses the proxy: {reason}; {}",
            reason.remedy()
        ));
    }
    match load(&library, &file) {
        Ok(()) => findings.fine(format!(
            "program: the library can be loaded into {}",
            file.display()
        )),
        Err(reason) => findings.problem(format!("program: {}: {reason}", file.display())),
    }
}

/// Lets the program's own dynamic loader list what it would load (ld.so(8), `--list`); nothing of the program
/// or the library is run.
fn load(library: &Path, program: &Path) -> Result<(), String> {
    let interpreter = Image::open(program)
        .ok()
        .and_then(|image| Elf::of(&image)?.interpreter);
    let loader = interpreter.ok_or("it is no ELF program with a dynamic loader; name one")?;
    let mut command = Command::new(&loader);
    command.arg("--list").arg(program).stdin(Stdio::null());
    command.env("LD_PRELOAD", environment::ld_preload(library, None));
    let listed = command.output();
    let listed = listed.map_err(|error| {
        format!(
            "cannot run its loader {}: {error}",
            Path::new(&loader).display()
        )
    })?;
    let named = library.as_os_str().as_encoded_bytes();
    let is_loaded = listed
        .stdout
        .windows(named.len())
        .any(|window| window == named);
    match is_loaded {
        true => Ok(()),
        false => {
            let why = String::from_utf8_lossy(&listed.stderr);
            Err(format!(
                "the loader does not take {}: {}",
                library.display(),
                why.trim()
            ))
        }
    }
}
