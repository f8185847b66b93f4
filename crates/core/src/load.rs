//! Finds the configuration and reads it.

#![forbid(unsafe_code)]

use crate::config::{self, environment, locate, Config, ConfigError, Source, Warning};
use core::fmt;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

/// The path of a config file.
pub const FILE_VARIABLE: &str = "PROXYCHAINS_CONF_FILE";
/// `1`: as `quiet_mode` in the file.
pub const QUIET_VARIABLE: &str = "PROXYCHAINS_QUIET_MODE";
/// Proxy URLs that are used instead of any file; the launcher's `-x` sets it.
pub const URL_VARIABLE: &str = "TAILCHAIN_PROXY";
/// Asked when there is no file, in this order; the exceptions beside them.
const FALLBACKS: [&str; 2] = ["ALL_PROXY", "all_proxy"];
const EXCEPTIONS: [&str; 2] = ["NO_PROXY", "no_proxy"];

/// An environment: the value of a variable, `None` when it is not set.
pub type Env<'e> = &'e dyn Fn(&str) -> Option<OsString>;

/// Where the configuration is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Where {
    /// A file that could be opened, its path as it was given.
    File(PathBuf),
    /// Proxy URLs in this environment variable.
    Variable(&'static str),
}

#[derive(Clone, Debug)]
pub struct Loaded {
    pub config: Config,
    pub warnings: Vec<Warning>,
}

#[derive(Debug)]
pub enum LoadError {
    /// A file that somebody named, or that was found, cannot be read.
    Unreadable {
        path: PathBuf,
        /// `-f`, a variable, or `None` when the file was found by itself.
        named_by: Option<&'static str>,
        error: io::Error,
    },
    /// A variable that is not UTF-8.
    NotUtf8(&'static str),
    /// No file and no variable.
    Nowhere {
        tried: Vec<PathBuf>,
    },
    Malformed(ConfigError),
}

/// Finds the configuration: `file` (the launcher's `-f`), `TAILCHAIN_PROXY`, `PROXYCHAINS_CONF_FILE`, the
/// first of [`locate::candidates`] that can be read, `ALL_PROXY`, `all_proxy`. An empty variable is as one
/// that is not set.
///
/// # Errors
///
/// A file that was named cannot be read (another one is not what the user asked for); there is nothing.
pub fn locate(file: Option<&Path>, env: Env<'_>) -> Result<Where, LoadError> {
    let set = |name: &str| env(name).filter(|value| !value.is_empty());
    if let Some(path) = file {
        return named(path.to_owned(), "-f");
    }
    if set(URL_VARIABLE).is_some() {
        return Ok(Where::Variable(URL_VARIABLE));
    }
    if let Some(path) = set(FILE_VARIABLE) {
        return named(path.into(), FILE_VARIABLE);
    }
    let tried = locate::candidates(env);
    if let Some(path) = tried.iter().find(|path| open(path).is_ok()) {
        return Ok(Where::File(path.clone()));
    }
    match FALLBACKS.into_iter().find(|name| set(name).is_some()) {
        Some(name) => Ok(Where::Variable(name)),
        None => Err(LoadError::Nowhere { tried }),
    }
}

/// Finds the configuration as [`locate()`] does, and understands it.
///
/// # Errors
///
/// As [`locate()`]; besides, what is found cannot be read or is malformed.
pub fn load(file: Option<&Path>, env: Env<'_>) -> Result<Loaded, LoadError> {
    let parsed = match locate(file, env)? {
        Where::File(path) => {
            let text = read(&path).map_err(|error| LoadError::Unreadable {
                path: path.clone(),
                named_by: None,
                error,
            })?;
            config::parse(&text, Source::File(path))
        }
        Where::Variable(name) => {
            let urls = text_of(name, env)?.unwrap_or_default();
            // `-x` is explicit: no exception applies that the user did not think of.
            let exceptions = match name {
                URL_VARIABLE => None,
                _ => exceptions(env)?,
            };
            environment::from_url(&urls, name, exceptions.as_deref())
        }
    };
    let (mut config, warnings) = parsed.map_err(LoadError::Malformed)?;
    config.quiet |= env(QUIET_VARIABLE).is_some_and(|value| value == "1");
    Ok(Loaded { config, warnings })
}

fn named(path: PathBuf, by: &'static str) -> Result<Where, LoadError> {
    match open(&path) {
        Ok(_) => Ok(Where::File(path)),
        Err(error) => Err(LoadError::Unreadable {
            path,
            named_by: Some(by),
            error,
        }),
    }
}

/// Opened and not only looked at: whether a file can be read is for the kernel to say. A folder can be opened.
fn open(path: &Path) -> io::Result<File> {
    let file = File::open(path)?;
    match file.metadata()?.is_dir() {
        true => Err(io::ErrorKind::IsADirectory.into()),
        false => Ok(file),
    }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    io::Read::read_to_end(&mut open(path)?, &mut text)?;
    Ok(text)
}

fn exceptions(env: Env<'_>) -> Result<Option<String>, LoadError> {
    for name in EXCEPTIONS {
        if let Some(text) = text_of(name, env)?.filter(|text| !text.is_empty()) {
            return Ok(Some(text));
        }
    }
    Ok(None)
}

fn text_of(name: &'static str, env: Env<'_>) -> Result<Option<String>, LoadError> {
    env(name)
        .map(|value| value.into_string().map_err(|_| LoadError::NotUtf8(name)))
        .transpose()
}

impl std::error::Error for LoadError {}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LoadError::Unreadable {
                path,
                named_by,
                error,
            } => {
                write!(f, "{}: cannot read this config file", path.display())?;
                if let Some(by) = named_by {
                    write!(f, " (named by {by})")?;
                }
                write!(f, ": {error}; check the path and its permissions")
            }
            LoadError::NotUtf8(name) => {
                write!(
                    f,
                    "{name}: the value is not UTF-8; write other bytes as %XX"
                )
            }
            LoadError::Nowhere { tried } => {
                f.write_str("no configuration found; tried ")?;
                for path in tried {
                    write!(f, "{}, ", path.display())?;
                }
                f.write_str(
                    "ALL_PROXY; write one of these files, name one with -f, or set ALL_PROXY",
                )
            }
            LoadError::Malformed(error) => error.fmt(f),
        }
    }
}
