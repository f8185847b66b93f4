//! Finds and loads the configuration, and decides which sources are trusted.
//!
//! | source, in order of precedence | trusted | ignored directives |
//! |---|---|---|
//! | the launcher's `-f`; `PROXYCHAINS_CONF_FILE` | always: the user named it; a relative path in the variable is checked like `./proxychains.conf` | |
//! | `TAILCHAIN_PROXY` (the launcher's `-x`), with the exceptions in `TAILCHAIN_NO_PROXY` | always: the user set it | |
//! | `./proxychains.conf` | if the file and its directory belong to the user or root, no other user may write them, and the file is no symbolic link | `log_file` |
//! | the two paths below `HOME` | likewise, but symbolic links are followed | |
//! | the paths in `SYSCONFDIR` and `/etc` | always | |
//! | `ALL_PROXY`, `all_proxy`, with the exceptions in `NO_PROXY`, `no_proxy` | always | |
//!
//! An untrusted file is ignored with a warning; if the user named it, it is an error. In a set-user-ID program (AT_SECURE,
//! getauxval(3)) only `SYSCONFDIR` and `/etc` are searched, only files that root alone can change are trusted, `log_file`
//! is ignored, and so are all environment variables.
//!
//! The launcher pins the configuration that it found for all descendants: see [`Loaded::pins`].

#![forbid(unsafe_code)]

use crate::config::bypass::bypassing;
use crate::config::locate::{self, Candidate, Owner};
use crate::config::{
    self, environment, tailscaled, Config, ConfigError, Diagnostic, Source, Warning,
};
use crate::sys;
use crate::trust::{self, Distrust, Links, ReadError};
use core::fmt;
use std::ffi::OsString;
use std::io;
use std::net::{IpAddr, UdpSocket};
use std::path::{Path, PathBuf};

/// The path of the config file.
pub const FILE_VARIABLE: &str = "PROXYCHAINS_CONF_FILE";
/// Set to the same path if the launcher found the file in its current directory. The file then stays subject to the
/// restrictions of a found file.
pub const FOUND_VARIABLE: &str = "TAILCHAIN_FOUND_FILE";
/// `1` has the effect of `quiet_mode`.
pub const QUIET_VARIABLE: &str = "PROXYCHAINS_QUIET_MODE";
/// Proxy URLs to use instead of a file; set by the launcher's `-x`.
pub const URL_VARIABLE: &str = "TAILCHAIN_PROXY";
/// The exceptions to [`URL_VARIABLE`], in the format of `NO_PROXY`.
pub const URL_EXCEPTIONS: &str = "TAILCHAIN_NO_PROXY";
/// If set, all connections bypass the proxy; the value is the reason to print.
pub const BYPASS_VARIABLE: &str = "TAILCHAIN_BYPASS";
/// Used if there is no file, in this order.
const FALLBACKS: [&str; 2] = ["ALL_PROXY", "all_proxy"];
const EXCEPTIONS: [&str; 2] = ["NO_PROXY", "no_proxy"];

/// Looks up an environment variable; `None` if it is not set.
pub type Env<'e> = &'e dyn Fn(&str) -> Option<OsString>;

/// The source that was chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Where {
    File(Found),
    /// Proxy URLs in this environment variable.
    Variable(&'static str),
}

/// A config file with its content. It is read when it is found, since only reading shows whether it is readable.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Found {
    path: PathBuf,
    text: Vec<u8>,
    /// Found in the current directory rather than named by the user.
    in_current: bool,
}

#[derive(Clone, Debug)]
pub struct Loaded {
    pub config: Config,
    pub warnings: Vec<Warning>,
    /// One warning for each untrusted file that was ignored.
    pub ignored_files: Vec<Warning>,
    /// Found in the current directory rather than named by the user.
    in_current: bool,
}

/// An environment variable and its value; `None` to unset it.
pub type Pin = (&'static str, Option<OsString>);

#[derive(Debug)]
pub enum LoadError {
    /// A file that the user named cannot be read.
    Unreadable {
        path: PathBuf,
        /// The environment variable that names the file; `None` for the command line.
        named_by: Option<&'static str>,
        error: io::Error,
    },
    /// A file that the user named is not a regular file, or the file that the launcher found is no longer trusted.
    Distrusted {
        path: PathBuf,
        named_by: Option<&'static str>,
        why: Distrust,
    },
    /// An environment variable is not UTF-8.
    NotUtf8(&'static str),
    /// There is neither a file nor a variable.
    NotFound {
        tried: Vec<PathBuf>,
        ignored_files: Vec<Warning>,
    },
    Malformed(ConfigError),
}

impl Loaded {
    /// Whether the file was found in the current directory.
    pub fn is_found_in_current(&self) -> bool {
        self.in_current
    }

    /// The environment variables that make a program and all its descendants use this configuration without a search.
    pub fn pins(&self, env: Env<'_>) -> Vec<Pin> {
        let (file, url) = match &self.config.source {
            // Absolute, because the program may change its directory before it starts another.
            Source::File(path) => (std::path::absolute(path).ok(), None),
            Source::Variable(name) => (None, Some(*name)),
        };
        let exceptions = url.and_then(|name| exceptions_of(name, env));
        let file = file.map(OsString::from);
        vec![
            (FOUND_VARIABLE, file.clone().filter(|_| self.in_current)),
            (FILE_VARIABLE, file),
            (URL_VARIABLE, url.and_then(env)),
            (URL_EXCEPTIONS, exceptions.map(|(_, value)| value)),
        ]
    }

    fn of(config: Config, warnings: Vec<Warning>) -> Loaded {
        Loaded {
            config,
            warnings,
            ignored_files: Vec::new(),
            in_current: false,
        }
    }

    /// The current directory may be an unpacked archive or a clone: its config file must not make us append to a file of
    /// its choice.
    fn drop_log_file(&mut self) {
        if let Some(path) = self.config.log_file.take() {
            self.warnings.push(Warning(Diagnostic {
                source: self.config.source.clone(),
                line: None,
                text: format!("log_file {}", path.display()),
                problem:
                    "this directive is ignored in a file that was found in the current directory"
                        .to_owned(),
                expected: "name the file with -f or PROXYCHAINS_CONF_FILE".to_owned(),
            }));
        }
    }
}

/// Finds and parses the configuration; `file` is the launcher's `-f`. An empty variable counts as unset. With
/// `TAILCHAIN_BYPASS` the configuration may be missing or malformed.
///
/// # Errors
///
/// A file that the user named cannot be read, there is no configuration, or it is malformed.
pub fn load(file: Option<&Path>, env: Env<'_>) -> Result<Loaded, LoadError> {
    if sys::is_set_user_id() {
        return load_as(Owner::Root, None, &|_| None);
    }
    load_as(Owner::User, file, env)
}

fn load_as(owner: Owner, file: Option<&Path>, env: Env<'_>) -> Result<Loaded, LoadError> {
    let configured = || {
        let (place, ignored_files) = locate_among(file, env, locate::candidates(owner, env))?;
        let mut loaded = parse_source(place, env)?;
        loaded.ignored_files = ignored_files;
        Ok(loaded)
    };
    let mut loaded = match env(BYPASS_VARIABLE).filter(|reason| !reason.is_empty()) {
        None => configured()?,
        Some(reason) => {
            let configured = configured().ok().map(|loaded| loaded.config);
            let mut config = bypassing(reason.as_encoded_bytes(), BYPASS_VARIABLE, configured);
            config.quiet |= is_quiet(env);
            Loaded::of(config, Vec::new())
        }
    };
    if owner == Owner::Root {
        loaded.config.log_file = None;
    }
    Ok(loaded)
}

fn locate_among(
    file: Option<&Path>,
    env: Env<'_>,
    candidates: Vec<Candidate>,
) -> Result<(Where, Vec<Warning>), LoadError> {
    let set = |name: &str| env(name).filter(|value| !value.is_empty());
    let mut ignored_files = Vec::new();
    if let Some(path) = file {
        return Ok((read_named(path.to_owned(), None)?, ignored_files));
    }
    if set(URL_VARIABLE).is_some() {
        return Ok((Where::Variable(URL_VARIABLE), ignored_files));
    }
    if let Some(path) = set(FILE_VARIABLE) {
        // A relative path means another file in each directory, so the user has not chosen a particular file.
        let is_found = Path::new(&path).is_relative() || set(FOUND_VARIABLE) == Some(path.clone());
        let place = match is_found {
            true => read_found_earlier(path.into())?,
            false => read_named(path.into(), Some(FILE_VARIABLE))?,
        };
        return Ok((place, ignored_files));
    }
    for candidate in &candidates {
        let path = candidate.path();
        match read_candidate(candidate) {
            Ok(text) => {
                let in_current = *candidate == Candidate::Current;
                let found = Found {
                    path,
                    text,
                    in_current,
                };
                return Ok((Where::File(found), ignored_files));
            }
            Err(ReadError::Distrusted(why)) => ignored_files.push(untrusted_file(path, why)),
            Err(ReadError::Io(_)) => {}
        }
    }
    match FALLBACKS.into_iter().find(|name| set(name).is_some()) {
        Some(name) => Ok((Where::Variable(name), ignored_files)),
        None => Err(LoadError::NotFound {
            tried: candidates.iter().map(Candidate::path).collect(),
            ignored_files,
        }),
    }
}

fn read_candidate(candidate: &Candidate) -> Result<Vec<u8>, ReadError> {
    match candidate {
        Candidate::Current => read_found(Path::new(locate::CURRENT)),
        Candidate::Home(path) => read_own(path, Links::Followed),
        Candidate::System(path, Owner::User) => trust::read_named(path),
        Candidate::System(path, Owner::Root) => trust::read_roots(path),
    }
}

fn read_found(path: &Path) -> Result<Vec<u8>, ReadError> {
    read_own(path, Links::Refused)
}

fn read_own(path: &Path, links: Links) -> Result<Vec<u8>, ReadError> {
    match (path.parent(), path.file_name()) {
        // The parent of a bare file name is the empty path.
        (Some(directory), Some(name)) if directory.as_os_str().is_empty() => {
            trust::read_own(Path::new("."), name, links)
        }
        (Some(directory), Some(name)) => trust::read_own(directory, name, links),
        _ => Err(io::Error::from(io::ErrorKind::NotFound).into()),
    }
}

fn untrusted_file(path: PathBuf, why: Distrust) -> Warning {
    // In a set-user-ID program the user cannot name another file.
    let remedy = match why {
        Distrust::NotRoots => "let it and all directories above it belong to root alone",
        Distrust::TooLarge => "remove it, or write a smaller one",
        _ => "name it with -f or PROXYCHAINS_CONF_FILE to use it all the same",
    };
    Warning(Diagnostic {
        // Absolute, so that the reader can find the file.
        source: Source::File(std::path::absolute(&path).unwrap_or(path)),
        line: None,
        text: String::new(),
        problem: format!("this config file is not used: {why}"),
        expected: remedy.to_owned(),
    })
}

fn parse_source(place: Where, env: Env<'_>) -> Result<Loaded, LoadError> {
    let mut in_current = false;
    let parsed = match place {
        Where::File(found) => {
            in_current = found.in_current;
            config::parse(&found.text, Source::File(found.path))
        }
        Where::Variable(name) => {
            let urls = utf8_value(name, env)?.unwrap_or_default();
            let exceptions = match exceptions_of(name, env) {
                Some((name, _)) => utf8_value(name, env)?,
                None => None,
            };
            environment::from_url(&urls, name, exceptions.as_deref())
        }
    };
    let (config, warnings) = parsed.map_err(LoadError::Malformed)?;
    let mut loaded = Loaded::of(config, warnings);
    loaded.config.quiet |= is_quiet(env);
    match tailscaled::from_env(env) {
        Some((host, _)) if !is_local_address(host) => loaded.warnings.push(ignored_host(host)),
        Some(address) => {
            tailscaled::relocate(&mut loaded.config.proxies, address);
            tailscaled::resolve_names(&mut loaded.config, address, env);
        }
        None => {}
    }
    if in_current {
        loaded.in_current = true;
        loaded.drop_log_file();
    }
    Ok(loaded)
}

fn is_local_address(host: IpAddr) -> bool {
    host.is_loopback() || UdpSocket::bind((host, 0)).is_ok()
}

/// TAILSCALE_SOCKS5_HOST must not redirect a config's local proxy to another machine.
fn ignored_host(host: IpAddr) -> Warning {
    Warning(Diagnostic {
        source: Source::Variable(tailscaled::HOST_VARIABLE),
        line: None,
        text: host.to_string(),
        problem: "this address is ignored: it is not one of this machine".to_owned(),
        expected: "write the proxy of another machine into the config file".to_owned(),
    })
}

/// Whether the environment requests `quiet_mode`.
pub fn is_quiet(env: Env<'_>) -> bool {
    env(QUIET_VARIABLE).is_some_and(|value| value == "1")
}

fn read_named(path: PathBuf, by: Option<&'static str>) -> Result<Where, LoadError> {
    let text = trust::read_named(&path);
    Ok(Where::File(Found {
        text: text.map_err(|error| LoadError::of_file(&path, by, error))?,
        path,
        in_current: false,
    }))
}

/// Checks the file that the launcher found again: another user who may write to a parent directory could have replaced
/// it.
fn read_found_earlier(path: PathBuf) -> Result<Where, LoadError> {
    let text = read_found(&path);
    Ok(Where::File(Found {
        text: text.map_err(|error| LoadError::of_file(&path, Some(FILE_VARIABLE), error))?,
        path,
        in_current: true,
    }))
}

/// The name and value of the variable that holds the exceptions to the proxy URLs in `variable`.
fn exceptions_of(variable: &str, env: Env<'_>) -> Option<(&'static str, OsString)> {
    // `-x` is explicit: NO_PROXY, which the user may not have thought of, does not apply.
    let names: &[&'static str] = match variable {
        URL_VARIABLE => &[URL_EXCEPTIONS],
        _ => &EXCEPTIONS,
    };
    let set = |name: &&'static str| Some((*name, env(name).filter(|value| !value.is_empty())?));
    names.iter().find_map(set)
}

fn utf8_value(name: &'static str, env: Env<'_>) -> Result<Option<String>, LoadError> {
    env(name)
        .map(|value| value.into_string().map_err(|_| LoadError::NotUtf8(name)))
        .transpose()
}

impl LoadError {
    fn of_file(path: &Path, named_by: Option<&'static str>, error: ReadError) -> LoadError {
        let path = path.to_owned();
        match error {
            ReadError::Io(error) => LoadError::Unreadable {
                path,
                named_by,
                error,
            },
            ReadError::Distrusted(why) => LoadError::Distrusted {
                path,
                named_by,
                why,
            },
        }
    }
}

impl std::error::Error for LoadError {}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let by =
            |name: &Option<&str>| name.map_or(String::new(), |name| format!(" (named by {name})"));
        match self {
            LoadError::Unreadable {
                path,
                named_by,
                error,
            } => {
                let (path, by) = (path.display(), by(named_by));
                if error.kind() == io::ErrorKind::IsADirectory {
                    return write!(
                        f,
                        "{path}: this is a directory{by}; name the config file in it"
                    );
                }
                write!(
                    f,
                    "{path}: cannot read this config file{by}: {error}; check the path and its permissions"
                )
            }
            LoadError::Distrusted {
                path,
                named_by,
                why,
            } => {
                let remedy = match path.is_relative() && named_by.is_some() {
                    true => "write its absolute path, or name another one",
                    false => "name another one",
                };
                let (path, by) = (path.display(), by(named_by));
                write!(
                    f,
                    "{path}: this config file cannot be used{by}: {why}; {remedy}"
                )
            }
            LoadError::NotUtf8(name) => {
                write!(
                    f,
                    "{name}: the value is not UTF-8; write other bytes as %XX"
                )
            }
            LoadError::NotFound {
                tried,
                ignored_files,
            } => {
                f.write_str("no configuration found; ")?;
                for Warning(ignored) in ignored_files {
                    write!(f, "{}: {}; ", ignored.source, ignored.problem)?;
                }
                f.write_str("tried ")?;
                for path in tried {
                    write!(f, "{}, ", path.display())?;
                }
                // In a set-user-ID program the environment does not count, and -f is a variable there.
                f.write_str(match sys::is_set_user_id() {
                    true => {
                        "and nothing else counts in a set-user-ID program; write one of these files"
                    }
                    false => {
                        "ALL_PROXY; write one of these files, name one with -f, or set ALL_PROXY"
                    }
                })
            }
            LoadError::Malformed(error) => error.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Dns;
    use std::fs;
    use std::sync::atomic::{AtomicU32, Ordering};

    const GOOD: &str = "strict_chain\n[ProxyList]\nsocks5 127.0.0.1 1080\n";

    /// A temporary directory, removed on drop.
    struct Directory(PathBuf);

    impl Directory {
        fn new() -> Directory {
            static NEXT: AtomicU32 = AtomicU32::new(0);
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let name = format!("tailchain-load-{}-{number}", std::process::id());
            let path = std::env::temp_dir().join(name);
            fs::create_dir(&path).unwrap();
            Directory(path)
        }

        fn file(&self, name: &str, text: &str) -> PathBuf {
            let path = self.0.join(name);
            fs::write(&path, text).unwrap();
            path
        }
    }

    impl Drop for Directory {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    type Variables<'v> = &'v [(&'v str, &'v str)];

    fn lookup(variables: Variables<'_>, name: &str) -> Option<OsString> {
        let found = variables.iter().find(|(n, _)| *n == name);
        found.map(|(_, value)| value.into())
    }

    fn find(
        file: Option<&Path>,
        variables: Variables<'_>,
        candidates: &[&Path],
    ) -> Result<Where, LoadError> {
        let system = |path: &&Path| Candidate::System(path.to_path_buf(), Owner::User);
        let candidates = candidates.iter().map(system).collect();
        let found = locate_among(file, &|name| lookup(variables, name), candidates);
        found.map(|(place, _)| place)
    }

    /// A file that the user named.
    fn placed(path: PathBuf) -> Where {
        read_named(path, None).unwrap()
    }

    fn read_from(place: Where, variables: Variables<'_>) -> Result<Loaded, LoadError> {
        parse_source(place, &|name| lookup(variables, name))
    }

    #[test]
    fn the_source_of_highest_precedence_wins() {
        let directory = Directory::new();
        let [option, variable, found] = ["o", "v", "f"].map(|name| directory.file(name, GOOD));
        let all: Variables<'_> = &[
            ("TAILCHAIN_PROXY", "socks5://h"),
            ("PROXYCHAINS_CONF_FILE", variable.to_str().unwrap()),
            ("ALL_PROXY", "socks5://h"),
            ("all_proxy", "socks5://h"),
        ];
        let candidates = [Path::new("/nowhere/a.conf"), directory.0.as_path(), &found];
        let from =
            |first: usize, candidates: &[&Path]| find(None, &all[first..], candidates).unwrap();
        let by_option = find(Some(&option), all, &candidates).unwrap();
        let file = |path: &Path| {
            Where::File(Found {
                path: path.to_owned(),
                text: GOOD.into(),
                in_current: false,
            })
        };
        assert_eq!(by_option, file(&option));
        assert_eq!(from(0, &candidates), Where::Variable("TAILCHAIN_PROXY"));
        assert_eq!(from(1, &candidates), file(&variable));
        assert_eq!(from(2, &candidates), file(&found));
        assert_eq!(from(2, &[]), Where::Variable("ALL_PROXY"));
        assert_eq!(from(3, &[]), Where::Variable("all_proxy"));
    }

    #[test]
    fn an_empty_variable_counts_as_unset() {
        let empty = [
            ("TAILCHAIN_PROXY", ""),
            ("PROXYCHAINS_CONF_FILE", ""),
            ("ALL_PROXY", ""),
            ("all_proxy", "socks5://h"),
        ];
        let place = find(None, &empty, &[]).unwrap();
        assert_eq!(place, Where::Variable("all_proxy"));
    }

    #[test]
    fn an_unreadable_named_file_is_an_error_even_if_others_exist() {
        let directory = Directory::new();
        let good = directory.file("good", GOOD);
        for (path, reason) in [
            (directory.0.join("missing"), "No such file"),
            (
                directory.0.clone(),
                "this is a directory; name the config file in it",
            ),
        ] {
            let text = path.to_str().unwrap();
            let by_option = find(Some(&path), &[], &[&good]).unwrap_err().to_string();
            assert!(by_option.starts_with(text), "{by_option}");
            assert!(!by_option.contains("named by"), "{by_option}");
            assert!(by_option.contains(reason), "{by_option}");

            let variables = [("PROXYCHAINS_CONF_FILE", text)];
            let by_variable = find(None, &variables, &[&good]).unwrap_err().to_string();
            assert!(
                by_variable.contains("(named by PROXYCHAINS_CONF_FILE)"),
                "{by_variable}"
            );
        }
    }

    #[test]
    fn without_any_source_the_error_lists_the_paths_tried() {
        let error = find(None, &[], &[Path::new("/nowhere/a.conf")]).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("tried /nowhere/a.conf, ALL_PROXY"), "{text}");
        assert!(text.contains("-f"), "{text}");
    }

    #[test]
    fn a_parse_error_names_the_file() {
        let directory = Directory::new();
        let good = read_from(placed(directory.file("good", GOOD)), &[]).unwrap();
        assert_eq!(good.config.proxies.len(), 1);
        assert!(!good.config.quiet && good.warnings.is_empty());

        let bad = directory.file("bad", "chain_len = x\n");
        let place = format!("{}:1: ", bad.display());
        let error = read_from(placed(bad), &[]).unwrap_err().to_string();
        assert!(error.starts_with(&place), "{error}");
    }

    #[test]
    fn load_finds_and_reads_in_one_step() {
        let directory = Directory::new();
        let file = directory.file("good", "quiet_mode\n[ProxyList]\nraw ::1 1\n");
        let loaded = load(Some(&file), &|_| None).unwrap();
        assert_eq!(loaded.config.source, Source::File(file));
        let missing = load(Some(&directory.0.join("missing")), &|_| None);
        assert!(matches!(missing, Err(LoadError::Unreadable { .. })));
    }

    #[test]
    fn quiet_comes_from_the_file_or_from_the_variable() {
        let directory = Directory::new();
        let file = placed(directory.file("good", GOOD));
        for (value, quiet) in [("1", true), ("0", false), ("", false)] {
            let variables = [("PROXYCHAINS_QUIET_MODE", value)];
            let loaded = read_from(file.clone(), &variables).unwrap();
            assert_eq!(loaded.config.quiet, quiet, "{value}");
        }
        let own = placed(directory.file("own", &format!("quiet_mode\n{GOOD}")));
        assert!(read_from(own, &[]).unwrap().config.quiet);
    }

    #[test]
    fn a_bypass_needs_no_configuration_and_keeps_only_how_to_log() {
        let directory = Directory::new();
        let quiet = directory.file("quiet", "quiet_mode\nproxy_dns\n[ProxyList]\nraw ::1 1\n");
        let bad = directory.file("bad", "chain_len = x\n");
        let with = |file: &Path, reason: &'static str| {
            load(Some(file), &|name| {
                (name == BYPASS_VARIABLE).then(|| reason.into())
            })
        };
        let bypassed = with(&quiet, "no key\n").unwrap().config;
        assert_eq!(bypassed.bypass.as_deref(), Some("no key?"));
        assert!(bypassed.quiet && bypassed.proxies.is_empty());
        assert_eq!(bypassed.dns, Dns::Local);
        for other in [&bad, &directory.0.join("missing")] {
            assert!(with(other, "no key").unwrap().config.bypass.is_some());
            assert!(with(other, "").is_err());
        }
    }

    #[test]
    fn no_proxy_applies_to_all_proxy_and_not_to_option_x() {
        let variables = [
            ("ALL_PROXY", "socks5h://h"),
            ("TAILCHAIN_PROXY", "socks5h://h"),
            ("NO_PROXY", ""),
            ("no_proxy", "10.0.0.0/8"),
        ];
        let read = |name| read_from(Where::Variable(name), &variables).unwrap().config;
        assert!(!read("ALL_PROXY").local_nets.is_empty());
        assert!(read("TAILCHAIN_PROXY").local_nets.is_empty());
        assert_eq!(read("ALL_PROXY").dns, Dns::Remote);
    }

    #[test]
    fn a_variable_that_is_not_utf8_is_an_error() {
        use std::os::unix::ffi::OsStringExt;
        let env = |_: &str| Some(OsString::from_vec(b"socks5://\xff".to_vec()));
        let error = parse_source(Where::Variable("ALL_PROXY"), &env).unwrap_err();
        assert!(error.to_string().starts_with("ALL_PROXY: "));
    }
}
