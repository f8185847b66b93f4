//! The state of this process: its configuration and what is derived from it. Created once, never changed.

use core::ffi::CStr;
use once_cell::race::OnceBox;
use std::ffi::{CString, OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use tailchain_core::announcement::{self, Announcement};
use tailchain_core::config::bypass;
use tailchain_core::load;
use tailchain_core::supervised::Pass;
use tailchain_core::sys;

/// Everything that the hooks consult.
pub use tailchain_core::router::{Libc, Router as State};

// `race`, not `sync`: it has no lock that a forked child could inherit locked. Two threads may both build it; one wins.
static STATE: OnceBox<State> = OnceBox::new();

/// The state, created on first use: a constructor of another library may connect before ours has run.
pub fn state() -> &'static State {
    STATE.get_or_init(|| Box::new(load()))
}

/// The state, if it exists already.
pub fn known_state() -> Option<&'static State> {
    STATE.get()
}

/// Loads the configuration. Without a valid one the program does not start (exit status 1): continuing would bypass the
/// proxy.
fn load() -> State {
    let loaded = match load::load(None, &variable) {
        Ok(loaded) => loaded,
        Err(error) => {
            let line = format!("[proxychains] tailchain: {error}\n");
            if let Some(stderr) = sys::Stderr::at_start() {
                stderr.write(line.as_bytes());
            }
            // SAFETY: _exit ends the process without running any more of its code.
            unsafe { libc::_exit(1) }
        }
    };
    let warnings: &[_] = match Announcement::of(&variable) {
        Announcement::Done => &[],
        _ => &[&loaded.ignored_files, &loaded.warnings],
    };
    if let Some(pass) = Pass::of(&variable) {
        sys::show_pass(pass);
    }
    let state = State::new(loaded.config, variable);
    for warning in warnings.iter().copied().flatten() {
        state.log.message(&format!("warning: {warning}"));
    }
    state
}

/// Logs one line at start: that the library is active, or that it is bypassed.
pub fn announce(state: &State) {
    match Announcement::of(&variable) {
        Announcement::Done => return,
        Announcement::Once => {
            replace_variable(announcement::VARIABLE, Announcement::Done.value());
        }
        Announcement::Always => {}
    }
    match &state.config.bypass {
        Some(reason) => state.log.message(&bypass::notice(reason)),
        None => state
            .log
            .message(concat!("DLL init: tailchain ", env!("CARGO_PKG_VERSION"))),
    }
}

/// The panic hook: writes a line to the log, if the state exists. std's own hook would write to the program's stderr
/// even in quiet mode.
pub fn report_panic(panic: &std::panic::PanicHookInfo<'_>) {
    if let Some(state) = STATE.get() {
        state
            .log
            .message(&format!("bug in tailchain, the call fails: {panic}"));
    }
}

/// An environment variable; always `None` in a set-user-ID program, whose caller controls the environment. Not std's
/// `var_os`: that takes a lock which a forked child could inherit locked.
pub fn variable(name: &str) -> Option<OsString> {
    if sys::is_set_user_id() {
        return None;
    }
    let mut terminated = name.as_bytes().to_vec();
    terminated.push(0);
    let name = CStr::from_bytes_with_nul(&terminated).ok()?;
    // SAFETY: name ends with a NUL.
    let value = unsafe { libc::getenv(name.as_ptr()) };
    if value.is_null() {
        return None;
    }
    // SAFETY: getenv returned a C string; it is copied before anything else runs.
    let value = unsafe { CStr::from_ptr(value) };
    Some(OsStr::from_bytes(value.to_bytes()).to_owned())
}

/// Replaces the value of a variable for the programs that this one will start: setenv(3). Only to be called before
/// `main`, while no other thread can read the environment.
fn replace_variable(name: &str, value: Option<&str>) {
    let texts = (CString::new(name), CString::new(value.unwrap_or_default()));
    if let (Ok(name), Ok(value)) = texts {
        // SAFETY: two C strings; setenv copies them.
        unsafe { libc::setenv(name.as_ptr(), value.as_ptr(), 1) };
    }
}
