//! Replaces the launcher by the program.

use std::ffi::{CString, OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;

/// execvpe(3). Returns only on failure, with the reason.
///
/// `std::process::Command::exec` would reset the signal mask and the disposition of SIGPIPE, which the program must inherit
/// unchanged.
pub fn exec(program: &[OsString], environment: &[(OsString, OsString)]) -> io::Error {
    let variables = environment.iter().map(|(name, value)| {
        let mut variable = name.clone();
        variable.push("=");
        variable.push(value);
        variable
    });
    match (c_strings(program.iter().cloned()), c_strings(variables)) {
        (Ok(arguments), Ok(variables)) => execvpe(&arguments, &variables),
        (Err(error), _) | (_, Err(error)) => error,
    }
}

fn c_strings(texts: impl Iterator<Item = OsString>) -> io::Result<Vec<CString>> {
    texts
        .map(|text| CString::new(OsStr::as_bytes(&text)).map_err(io::Error::from))
        .collect()
}

fn execvpe(arguments: &[CString], variables: &[CString]) -> io::Error {
    let Some(file) = arguments.first() else {
        return io::Error::from_raw_os_error(libc::ENOENT);
    };
    let (argv, envp) = (pointers(arguments), pointers(variables));
    // SAFETY: both arrays end with a null pointer; they and their strings outlive the call.
    unsafe { libc::execvpe(file.as_ptr(), argv.as_ptr(), envp.as_ptr()) };
    io::Error::last_os_error()
}

fn pointers(texts: &[CString]) -> Vec<*const libc::c_char> {
    texts
        .iter()
        .map(|text| text.as_ptr())
        .chain([std::ptr::null()])
        .collect()
}
