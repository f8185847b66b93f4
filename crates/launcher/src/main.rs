//! `proxychains4`: runs a program with the library preloaded; command line, environment, messages and exit
//! codes are those of proxychains-ng 4.17.
//!
//! There is no Rust `main`: the runtime before it would change what SIGPIPE does and install a signal stack,
//! and the program would not find the process as its caller left it. It also starts faster.

#![cfg_attr(not(test), no_main)]
// The tests are of the parts: nothing of theirs calls `launch`.
#![cfg_attr(test, allow(dead_code))]

mod exec;
mod supervision;

tailchain_unwinder::define!();

#[cfg(not(test))]
use std::ffi::CStr;
use std::ffi::OsString;
use std::fmt::Display;
use std::io::Write;
#[cfg(not(test))]
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use tailchain_core::announcement::{self, Announcement};
use tailchain_core::config::{bypass, ConfigError, Source};
use tailchain_core::load::{
    self, LoadError, Loaded, BYPASS_VARIABLE, FILE_VARIABLE, FOUND_VARIABLE, QUIET_VARIABLE,
    URL_EXCEPTIONS, URL_VARIABLE,
};
use tailchain_core::supervised;
use tailchain_core::sys::Stderr;
use tailchain_launcher::options::{self, Options, Request};
use tailchain_preflight::subject::Subject;
use tailchain_preflight::{environment, library};

const PRELOAD: &str = "LD_PRELOAD";

/// Every failure of the launcher itself.
const FAILURE: libc::c_int = 1;

#[cfg(not(test))]
#[unsafe(no_mangle)]
extern "C" fn main(count: libc::c_int, words: *const *const libc::c_char) -> libc::c_int {
    let count = usize::try_from(count).unwrap_or(0);
    // SAFETY: the C runtime passes `count` strings, which live as long as the process does.
    launch(unsafe { arguments(count, words) })
}

/// `std::env::args_os` has them with glibc only, which passes them to constructors too; musl does not.
///
/// # Safety
///
/// `words` are `count` pointers to C strings that are never freed or changed.
#[cfg(not(test))]
unsafe fn arguments(
    count: usize,
    words: *const *const libc::c_char,
) -> impl Iterator<Item = OsString> {
    (0..count).map(move |index| {
        // SAFETY: as the caller promises.
        let word = unsafe { CStr::from_ptr(*words.add(index)) };
        OsString::from_vec(word.to_bytes().to_vec())
    })
}

fn launch(mut words: impl Iterator<Item = OsString>) -> libc::c_int {
    let command = words.next().unwrap_or_else(|| "proxychains4".into());
    match options::parse(words) {
        Ok(Request::Run(options)) => run(&options),
        // As proxychains-ng, which ends with 1 here too.
        Ok(Request::Help) => print(options::usage(&command), FAILURE),
        Ok(Request::Version) => print(format_args!("tailchain {}\n", env!("CARGO_PKG_VERSION")), 0),
        Err(error) => {
            if let Some(message) = error.message() {
                say(message);
            }
            print(options::usage(&command), FAILURE)
        }
    }
}

fn run(options: &Options) -> libc::c_int {
    let mut environment = Environment::inherited();
    choose_source(&mut environment, options);
    let named = options.file.as_deref().map(Path::new);
    let loaded = match load::load(named, &|name| environment.get(name)) {
        Ok(loaded) => loaded,
        Err(error) => return fail(as_given(error, options)),
    };
    let config = &loaded.config;
    if let Some(reason) = &config.bypass {
        return run_without_proxy(options, &environment, reason, config.quiet);
    }
    let path = environment.get("PATH");
    let program = options.program.first();
    let subject = program.and_then(|name| Subject::of(name, path.as_deref()));
    let libc = subject.as_ref().and_then(Subject::libc);
    let found = match library::find(std::env::current_exe().ok().as_deref(), libc) {
        Ok(found) => found,
        Err(error) => return fail(error),
    };
    let quiet = options.quiet || config.quiet;
    if !quiet {
        announce(options, &loaded, &found.library);
    } else if !is_quiet(options, &environment) && is_news(&environment, &loaded) {
        tell_source(options, &loaded);
    }
    let supervision =
        supervision::prepare(options, config, quiet, subject.as_ref(), &found.library);
    match supervision {
        Ok(Some(pass)) => environment.set(supervised::VARIABLE, pass.to_string().into()),
        Ok(None) => {}
        Err(status) => return status,
    }
    prepare(&mut environment, options, &loaded, &found.preload);
    become_program(options, &environment)
}

/// `TAILCHAIN_BYPASS` is for a command line that serves with and without a proxy, so it makes `-f` and `-x` void; that is
/// told. `--strict` asks for the contrary.
fn run_without_proxy(
    options: &Options,
    environment: &Environment,
    reason: &str,
    is_quiet_by_config: bool,
) -> libc::c_int {
    if options.strict {
        return fail(format_args!(
            "--strict: {} is not started because {BYPASS_VARIABLE} is set ({reason}) and it would bypass the proxy; unset the variable or leave --strict out",
            options.name()
        ));
    }
    let notice = bypass::notice(reason);
    match options.source() {
        _ if is_quiet(options, environment) => {}
        Some(option) => say(format_args!(
            "{notice}; {BYPASS_VARIABLE} is set, {option} has no effect"
        )),
        None if is_quiet_by_config => {}
        None => say(notice),
    }
    become_program(options, environment)
}

/// Whether the user asked for silence, rather than a config file.
fn is_quiet(options: &Options, environment: &Environment) -> bool {
    options.quiet || load::is_quiet(&|name| environment.get(name))
}

/// Nobody named this file, and no outer launcher has told of it: its own `quiet_mode` must not hide that it is used.
fn is_news(environment: &Environment, loaded: &Loaded) -> bool {
    loaded.is_found_in_current() && environment.get(FOUND_VARIABLE).is_none()
}

/// Comes back only on failure.
fn become_program(options: &Options, environment: &Environment) -> libc::c_int {
    let error = exec::exec(&options.program, &environment.0);
    let name = options.name();
    let reason = error.to_string();
    let reason = reason.split(" (os error").next().unwrap_or(&reason);
    say_raw(format_args!(
        "proxychains: can't load process '{name}'. (hint: it's probably a typo): {reason}"
    ));
    FAILURE
}

/// What the command line says about the proxies wins over what an outer launcher left in the environment.
fn choose_source(environment: &mut Environment, options: &Options) {
    if options.file.is_some() {
        environment.remove(URL_VARIABLE);
    }
    if let Some(proxy) = &options.proxy {
        for other in [FILE_VARIABLE, FOUND_VARIABLE, URL_EXCEPTIONS] {
            environment.remove(other);
        }
        environment.set(URL_VARIABLE, proxy.clone());
    }
}

/// The user of `-x` knows nothing of the variable that carries its value to the library.
fn name_given(source: &Source, options: &Options) -> Source {
    match source {
        Source::Variable(URL_VARIABLE) if options.proxy.is_some() => Source::Variable("-x"),
        source => source.clone(),
    }
}

fn as_given(error: LoadError, options: &Options) -> LoadError {
    match error {
        LoadError::Malformed(ConfigError(mut finding)) => {
            finding.source = name_given(&finding.source, options);
            LoadError::Malformed(ConfigError(finding))
        }
        LoadError::NotUtf8(URL_VARIABLE) if options.proxy.is_some() => LoadError::NotUtf8("-x"),
        error => error,
    }
}

/// Warnings about the configuration are the library's to give: it is there without the launcher too. But it does not
/// search any more, and so does not know which files were ignored.
fn announce(options: &Options, loaded: &Loaded, library: &Path) {
    for warning in &loaded.ignored_files {
        say(format_args!("warning: {warning}"));
    }
    tell_source(options, loaded);
    say(format_args!("preloading {}", library.display()));
}

fn tell_source(options: &Options, loaded: &Loaded) {
    match &loaded.config.source {
        Source::File(path) if options.file.is_some() => found(path),
        Source::File(path) => found(&absolute(path)),
        source => say(format_args!(
            "proxies taken from {}",
            name_given(source, options)
        )),
    }
}

fn found(path: &Path) {
    say(format_args!("config file found: {}", path.display()));
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

fn prepare(environment: &mut Environment, options: &Options, loaded: &Loaded, preload: &Path) {
    for (name, value) in loaded.pins(&|name| environment.get(name)) {
        match value {
            Some(value) => environment.set(name, value),
            None => environment.remove(name),
        }
    }
    if let Some(value) = Announcement::Once.value() {
        environment.set(announcement::VARIABLE, value.into());
    }
    if options.quiet {
        environment.set(QUIET_VARIABLE, "1".into());
    }
    let before = environment.get(PRELOAD);
    environment.set(PRELOAD, environment::ld_preload(preload, before.as_deref()));
}

/// The program's environment, in its order.
struct Environment(Vec<(OsString, OsString)>);

impl Environment {
    fn inherited() -> Environment {
        Environment(std::env::vars_os().collect())
    }

    fn get(&self, name: &str) -> Option<OsString> {
        self.0
            .iter()
            .find(|(own, _)| own == name)
            .map(|(_, value)| value.clone())
    }

    fn remove(&mut self, name: &str) {
        self.0.retain(|(own, _)| own != name);
    }

    fn set(&mut self, name: &str, value: OsString) {
        self.remove(name);
        self.0.push((name.into(), value));
    }
}

fn say(message: impl Display) {
    say_raw(format_args!("[proxychains] {message}"));
}

/// One whole line in one write; a stderr that is gone or full is no reason to stop, nor to die of SIGPIPE.
fn say_raw(message: impl Display) {
    if let Some(stderr) = Stderr::at_start() {
        stderr.write(format!("{message}\n").as_bytes());
    }
}

fn fail(message: impl Display) -> libc::c_int {
    say(message);
    FAILURE
}

fn print(text: impl Display, status: libc::c_int) -> libc::c_int {
    let mut out = std::io::stdout();
    match write!(out, "{text}").and_then(|()| out.flush()) {
        Ok(()) => status,
        Err(_) => FAILURE,
    }
}
