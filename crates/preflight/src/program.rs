//! Finds the file that a command line would run.

#![forbid(unsafe_code)]

use crate::image::Image;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// What execvp(3) searches when PATH is not set.
const DEFAULT_PATH: &str = "/bin:/usr/bin";

/// The most that the kernel reads of a `#!` line (execve(2)).
const LONGEST_SHEBANG: usize = 256;

/// The file that execvp(3) would run for `name`, if any.
pub fn in_path(name: &OsStr, path: Option<&OsStr>) -> Option<PathBuf> {
    if name.as_bytes().contains(&b'/') {
        return Some(PathBuf::from(name)).filter(|file| is_executable(file));
    }
    std::env::split_paths(path.unwrap_or(OsStr::new(DEFAULT_PATH)))
        .map(|directory| directory.join(name))
        .find(|file| is_executable(file))
}

fn is_executable(file: &Path) -> bool {
    file.metadata()
        .is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

/// The interpreter of `script`, looked up by the kernel or by `env`; `None` if the file is not a script. An interpreter that
/// is itself a script is not followed.
pub fn interpreter(script: &Image, path: Option<&OsStr>) -> Option<PathBuf> {
    let start = script.start();
    let start = start.get(..LONGEST_SHEBANG).unwrap_or(start);
    let line = start
        .strip_prefix(b"#!")?
        .split(|byte| *byte == b'\n')
        .next()?;
    let mut words = line
        .split(|byte| byte.is_ascii_whitespace())
        .filter(|word| !word.is_empty())
        .map(OsStr::from_bytes);
    let interpreter = Path::new(words.next()?);
    if interpreter.file_name() != Some(OsStr::new("env")) {
        return Some(interpreter.to_path_buf());
    }
    // `env -S NAME=VALUE program`: the options and assignments of env(1) come before the program.
    let program: Option<OsString> = words
        .find(|word| !word.as_bytes().starts_with(b"-") && !word.as_bytes().contains(&b'='))
        .map(OsString::from);
    in_path(&program?, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script(name: &str, text: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("tailchain-{name}-{}", std::process::id()));
        std::fs::write(&path, text).unwrap();
        path
    }

    fn interpreter_of(name: &str, text: &str) -> Option<PathBuf> {
        let path = script(name, text);
        let found = interpreter(&Image::open(&path).unwrap(), Some(OsStr::new("/bin")));
        std::fs::remove_file(path).unwrap();
        found
    }

    #[test]
    fn a_name_is_searched_in_path_and_a_path_is_not() {
        assert_eq!(
            in_path(OsStr::new("sh"), Some(OsStr::new("/nonexistent:/bin"))),
            Some("/bin/sh".into())
        );
        assert_eq!(in_path(OsStr::new("sh"), None), Some("/bin/sh".into()));
        assert_eq!(
            in_path(OsStr::new("/bin/sh"), Some(OsStr::new("/nonexistent"))),
            Some("/bin/sh".into())
        );
        assert_eq!(
            in_path(OsStr::new("sh"), Some(OsStr::new("/nonexistent"))),
            None
        );
    }

    #[test]
    fn a_directory_or_a_file_without_execute_permission_is_not_a_program() {
        assert_eq!(in_path(OsStr::new("/bin"), None), None);
        assert_eq!(in_path(OsStr::new("/etc/passwd"), None), None);
    }

    #[test]
    fn a_script_is_its_interpreter() {
        assert_eq!(
            interpreter_of("plain", "#!/bin/sh -e\nexit"),
            Some("/bin/sh".into())
        );
        assert_eq!(
            interpreter_of("blank", "#! /bin/sh\n"),
            Some("/bin/sh".into())
        );
        assert_eq!(interpreter_of("none", "exit"), None);
        assert_eq!(interpreter_of("empty", ""), None);
    }

    #[test]
    fn env_leads_to_the_program_behind_it() {
        assert_eq!(
            interpreter_of("env", "#!/usr/bin/env sh\n"),
            Some("/bin/sh".into())
        );
        assert_eq!(
            interpreter_of("envs", "#!/usr/bin/env -S A=1 sh -e\n"),
            Some("/bin/sh".into())
        );
        assert_eq!(interpreter_of("envnone", "#!/usr/bin/env\n"), None);
    }
}
