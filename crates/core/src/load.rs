//! Finds the configuration and reads it.

#![forbid(unsafe_code)]

use crate::config::bypass::bypassing;
use crate::config::{self, environment, locate, tailscaled, Config, ConfigError, Source, Warning};
use core::fmt;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The path of a config file.
pub const FILE_VARIABLE: &str = "PROXYCHAINS_CONF_FILE";
/// `1`: as `quiet_mode` in the file.
pub const QUIET_VARIABLE: &str = "PROXYCHAINS_QUIET_MODE";
/// Proxy URLs that are used instead of any file; the launcher's `-x` sets it.
pub const URL_VARIABLE: &str = "TAILCHAIN_PROXY";
/// Why nothing is to be proxied; while it is set, everything goes directly and no proxy is needed.
pub const BYPASS_VARIABLE: &str = "TAILCHAIN_BYPASS";
/// Asked when there is no file, in this order; the exceptions beside them.
const FALLBACKS: [&str; 2] = ["ALL_PROXY", "all_proxy"];
const EXCEPTIONS: [&str; 2] = ["NO_PROXY", "no_proxy"];

/// An environment: the value of a variable, `None` when it is not set.
pub type Env<'e> = &'e dyn Fn(&str) -> Option<OsString>;

/// Where the configuration is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Where {
    /// A file, its path as it was given, and what it says: whether a file can be read is for the kernel to say.
    File(PathBuf, Vec<u8>),
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
    /// A file that somebody named cannot be read.
    Unreadable {
        path: PathBuf,
        /// The variable; `None` when the command line names it, where its writer sees it.
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
    locate_among(file, env, locate::candidates(env))
}

fn locate_among(
    file: Option<&Path>,
    env: Env<'_>,
    candidates: Vec<PathBuf>,
) -> Result<Where, LoadError> {
    let set = |name: &str| env(name).filter(|value| !value.is_empty());
    if let Some(path) = file {
        return named(path.to_owned(), None);
    }
    if set(URL_VARIABLE).is_some() {
        return Ok(Where::Variable(URL_VARIABLE));
    }
    if let Some(path) = set(FILE_VARIABLE) {
        return named(path.into(), Some(FILE_VARIABLE));
    }
    for path in &candidates {
        if let Ok(text) = fs::read(path) {
            return Ok(Where::File(path.clone(), text));
        }
    }
    match FALLBACKS.into_iter().find(|name| set(name).is_some()) {
        Some(name) => Ok(Where::Variable(name)),
        None => Err(LoadError::Nowhere { tried: candidates }),
    }
}

/// Finds the configuration as [`locate()`] does, and understands it. With `TAILCHAIN_BYPASS` nothing of it is
/// needed, and nothing that is wrong with it matters.
///
/// # Errors
///
/// As [`locate()`]; besides, what is found is malformed.
pub fn load(file: Option<&Path>, env: Env<'_>) -> Result<Loaded, LoadError> {
    let usual = || understand(locate(file, env)?, env);
    match env(BYPASS_VARIABLE).filter(|reason| !reason.is_empty()) {
        None => usual(),
        Some(reason) => {
            let usual = usual().ok().map(|loaded| loaded.config);
            let mut config = bypassing(reason.as_encoded_bytes(), BYPASS_VARIABLE, usual);
            config.quiet |= is_quiet(env);
            Ok(Loaded {
                config,
                warnings: Vec::new(),
            })
        }
    }
}

fn understand(place: Where, env: Env<'_>) -> Result<Loaded, LoadError> {
    let parsed = match place {
        Where::File(path, text) => config::parse(&text, Source::File(path)),
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
    config.quiet |= is_quiet(env);
    if let Some(address) = tailscaled::from_env(env) {
        tailscaled::relocate(&mut config.proxies, address);
    }
    Ok(Loaded { config, warnings })
}

fn is_quiet(env: Env<'_>) -> bool {
    env(QUIET_VARIABLE).is_some_and(|value| value == "1")
}

fn named(path: PathBuf, by: Option<&'static str>) -> Result<Where, LoadError> {
    match fs::read(&path) {
        Ok(text) => Ok(Where::File(path, text)),
        Err(error) => Err(LoadError::Unreadable {
            path,
            named_by: by,
            error,
        }),
    }
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
                let path = path.display();
                let by = named_by.map_or(String::new(), |name| format!(" (named by {name})"));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Dns;
    use std::sync::atomic::{AtomicU32, Ordering};

    const GOOD: &str = "strict_chain\n[ProxyList]\nsocks5 127.0.0.1 1080\n";

    /// A folder of this test alone, removed at its end.
    struct Folder(PathBuf);

    impl Folder {
        fn new() -> Folder {
            static NEXT: AtomicU32 = AtomicU32::new(0);
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let name = format!("tailchain-load-{}-{number}", std::process::id());
            let path = std::env::temp_dir().join(name);
            fs::create_dir(&path).unwrap();
            Folder(path)
        }

        fn file(&self, name: &str, text: &str) -> PathBuf {
            let path = self.0.join(name);
            fs::write(&path, text).unwrap();
            path
        }
    }

    impl Drop for Folder {
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
        let candidates = candidates.iter().map(|path| path.to_path_buf()).collect();
        locate_among(file, &|name| lookup(variables, name), candidates)
    }

    /// A file as it is found.
    fn placed(path: PathBuf) -> Where {
        named(path, None).unwrap()
    }

    fn read_from(place: Where, variables: Variables<'_>) -> Result<Loaded, LoadError> {
        understand(place, &|name| lookup(variables, name))
    }

    #[test]
    fn the_first_of_the_ways_to_name_a_configuration_wins() {
        let folder = Folder::new();
        let [option, variable, found] = ["o", "v", "f"].map(|name| folder.file(name, GOOD));
        let all: Variables<'_> = &[
            ("TAILCHAIN_PROXY", "socks5://h"),
            ("PROXYCHAINS_CONF_FILE", variable.to_str().unwrap()),
            ("ALL_PROXY", "socks5://h"),
            ("all_proxy", "socks5://h"),
        ];
        let candidates = [Path::new("/nowhere/a.conf"), folder.0.as_path(), &found];
        let from =
            |first: usize, candidates: &[&Path]| find(None, &all[first..], candidates).unwrap();
        let by_option = find(Some(&option), all, &candidates).unwrap();
        let file = |path: &Path| Where::File(path.to_owned(), GOOD.into());
        assert_eq!(by_option, file(&option));
        assert_eq!(from(0, &candidates), Where::Variable("TAILCHAIN_PROXY"));
        assert_eq!(from(1, &candidates), file(&variable));
        assert_eq!(from(2, &candidates), file(&found));
        assert_eq!(from(2, &[]), Where::Variable("ALL_PROXY"));
        assert_eq!(from(3, &[]), Where::Variable("all_proxy"));
    }

    #[test]
    fn an_empty_variable_is_as_none() {
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
    fn a_file_that_was_named_and_cannot_be_read_is_an_error_though_others_could() {
        let folder = Folder::new();
        let good = folder.file("good", GOOD);
        for (path, reason) in [
            (folder.0.join("missing"), "No such file"),
            (
                folder.0.clone(),
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
    fn nothing_at_all_tells_what_was_tried_and_what_to_do() {
        let error = find(None, &[], &[Path::new("/nowhere/a.conf")]).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("tried /nowhere/a.conf, ALL_PROXY"), "{text}");
        assert!(text.contains("-f"), "{text}");
    }

    #[test]
    fn a_file_is_read_and_its_errors_name_it() {
        let folder = Folder::new();
        let good = read_from(placed(folder.file("good", GOOD)), &[]).unwrap();
        assert_eq!(good.config.proxies.len(), 1);
        assert!(!good.config.quiet && good.warnings.is_empty());

        let bad = folder.file("bad", "chain_len = x\n");
        let place = format!("{}:1: ", bad.display());
        let error = read_from(placed(bad), &[]).unwrap_err().to_string();
        assert!(error.starts_with(&place), "{error}");
    }

    #[test]
    fn load_finds_and_reads_in_one_step() {
        let folder = Folder::new();
        let file = folder.file("good", "quiet_mode\n[ProxyList]\nraw ::1 1\n");
        let loaded = load(Some(&file), &|_| None).unwrap();
        assert_eq!(loaded.config.source, Source::File(file));
        let missing = load(Some(&folder.0.join("missing")), &|_| None);
        assert!(matches!(missing, Err(LoadError::Unreadable { .. })));
    }

    #[test]
    fn quiet_comes_from_the_file_or_from_the_variable() {
        let folder = Folder::new();
        let file = placed(folder.file("good", GOOD));
        for (value, quiet) in [("1", true), ("0", false), ("", false)] {
            let variables = [("PROXYCHAINS_QUIET_MODE", value)];
            let loaded = read_from(file.clone(), &variables).unwrap();
            assert_eq!(loaded.config.quiet, quiet, "{value}");
        }
        let own = placed(folder.file("own", &format!("quiet_mode\n{GOOD}")));
        assert!(read_from(own, &[]).unwrap().config.quiet);
    }

    #[test]
    fn a_bypass_needs_no_configuration_and_keeps_only_how_to_log() {
        let folder = Folder::new();
        let quiet = folder.file("quiet", "quiet_mode\nproxy_dns\n[ProxyList]\nraw ::1 1\n");
        let bad = folder.file("bad", "chain_len = x\n");
        let with = |file: &Path, reason: &'static str| {
            load(Some(file), &|name| {
                (name == BYPASS_VARIABLE).then(|| reason.into())
            })
        };
        let bypassed = with(&quiet, "no key\n").unwrap().config;
        assert_eq!(bypassed.bypass.as_deref(), Some("no key?"));
        assert!(bypassed.quiet && bypassed.proxies.is_empty());
        assert_eq!(bypassed.dns, Dns::Local);
        for other in [&bad, &folder.0.join("missing")] {
            assert!(with(other, "no key").unwrap().config.bypass.is_some());
            assert!(with(other, "").is_err());
        }
    }

    #[test]
    fn exceptions_belong_to_all_proxy_and_not_to_the_option_x() {
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
        let error = understand(Where::Variable("ALL_PROXY"), &env).unwrap_err();
        assert!(error.to_string().starts_with("ALL_PROXY: "));
    }
}
