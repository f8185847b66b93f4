//! The launcher's command line.
//!
//! A hand-written parser: as in proxychains-ng, the first argument that is not an option is the program, whose own options
//! need no `--`. And the launcher must start fast.

#![forbid(unsafe_code)]

use std::borrow::Cow;
use std::ffi::{OsStr, OsString};
use tailchain_core::config::Supervise;

#[derive(Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// `-q`: no messages on stderr.
    pub quiet: bool,
    /// `--strict`: do not start a program that would bypass the proxy.
    pub strict: bool,
    /// `--supervise MODE`
    pub supervise: Option<Supervise>,
    /// `-f FILE`
    pub file: Option<OsString>,
    /// `-x URL`
    pub proxy: Option<OsString>,
    /// The program and its arguments, never empty.
    pub program: Vec<OsString>,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Request {
    Run(Options),
    Help,
    Version,
}

#[derive(Debug, PartialEq, Eq)]
pub enum UsageError {
    NoProgram,
    /// The value of this option is missing.
    NoValue(&'static str),
    /// Unknown mode for `--supervise`.
    NoMode,
    /// Both `-f` and `-x` are given.
    TwoSources,
}

impl UsageError {
    /// The message to print with the usage. A bare `proxychains4` gets the usage alone.
    pub fn message(&self) -> Option<String> {
        match self {
            UsageError::NoProgram => None,
            UsageError::NoValue(option) => Some(format!("{option} requires a value")),
            UsageError::NoMode => Some("--supervise must be auto, always or never".to_owned()),
            UsageError::TwoSources => Some("-f and -x are mutually exclusive".to_owned()),
        }
    }
}

impl Options {
    /// The program's name, for messages.
    pub fn name(&self) -> Cow<'_, str> {
        let name = self.program.first();
        name.map(|name| name.to_string_lossy()).unwrap_or_default()
    }

    /// The option that selects the proxies, if given.
    pub fn source(&self) -> Option<&'static str> {
        let file = self.file.as_ref().map(|_| "-f");
        file.or(self.proxy.as_ref().map(|_| "-x"))
    }
}

/// The definition of an option.
pub struct LauncherOption {
    pub name: &'static str,
    /// The placeholder of its value, if it takes one.
    pub value: Option<&'static str>,
    /// For the usage, the man page and the completions. May contain a line break.
    pub help: &'static str,
    effect: Effect,
}

#[derive(Clone, Copy)]
enum Effect {
    File,
    Proxy,
    Quiet,
    Strict,
    Supervise,
    Version,
    Help,
}

pub const OPTIONS: &[LauncherOption] = &[
    LauncherOption {
        name: "-f",
        value: Some("config_file"),
        help: "read this configuration instead of the first one found",
        effect: Effect::File,
    },
    LauncherOption {
        name: "-x",
        value: Some("URL"),
        help: "use this proxy instead of a configuration, e.g. socks5h://localhost:1055;\n\
               several URLs, separated by commas, make a chain",
        effect: Effect::Proxy,
    },
    LauncherOption {
        name: "-q",
        value: None,
        help: "print no messages, whatever the configuration says",
        effect: Effect::Quiet,
    },
    LauncherOption {
        name: "--strict",
        value: None,
        help: "do not start a program that would bypass the proxy",
        effect: Effect::Strict,
    },
    LauncherOption {
        name: "--supervise",
        value: Some("MODE"),
        help: "auto: run a program under a supervisor if no library can be preloaded into it;\n\
               always: every program; never: none",
        effect: Effect::Supervise,
    },
    LauncherOption {
        name: "--version",
        value: None,
        help: "print the version",
        effect: Effect::Version,
    },
    LauncherOption {
        name: "--help",
        value: None,
        help: "print this text",
        effect: Effect::Help,
    },
];

/// Parses the arguments after the command's own name.
pub fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Request, UsageError> {
    let mut options = Options::default();
    let mut words = words.into_iter();
    let first = loop {
        let word = words.next().ok_or(UsageError::NoProgram)?;
        if word == "--" {
            break words.next().ok_or(UsageError::NoProgram)?;
        }
        let Some(option) = OPTIONS.iter().find(|option| word == option.name) else {
            break word;
        };
        let mut value = || words.next().ok_or(UsageError::NoValue(option.name));
        match option.effect {
            Effect::File => options.file = Some(value()?),
            Effect::Proxy => options.proxy = Some(value()?),
            Effect::Quiet => options.quiet = true,
            Effect::Strict => options.strict = true,
            Effect::Supervise => {
                options.supervise = Some(supervise(&value()?).ok_or(UsageError::NoMode)?);
            }
            Effect::Version => return Ok(Request::Version),
            Effect::Help => return Ok(Request::Help),
        }
    };
    if options.file.is_some() && options.proxy.is_some() {
        return Err(UsageError::TwoSources);
    }
    options.program = std::iter::once(first).chain(words).collect();
    Ok(Request::Run(options))
}

fn supervise(mode: &OsStr) -> Option<Supervise> {
    let named = |(name, _): &&(&str, Supervise)| mode == *name;
    Supervise::NAMES.iter().find(named).map(|(_, mode)| *mode)
}

pub fn usage(command: &OsStr) -> String {
    let command = command.to_string_lossy();
    let mut text = format!(
        "Usage: {command} [-q] [-f config_file | -x URL] [--strict] [--supervise MODE] program [argument...]\n\
         Runs the program with its TCP connections sent through proxies.\n\n"
    );
    for option in OPTIONS {
        let mut left = match option.value {
            Some(value) => format!("{} {value}", option.name),
            None => option.name.to_owned(),
        };
        for line in option.help.lines() {
            text.push_str(&format!("  {left:<16}  {line}\n"));
            left.clear();
        }
    }
    text.push_str(
        "\n`tailchain --help` lists the commands that check and explain a configuration.\n",
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(words: &[&str]) -> Result<Request, UsageError> {
        parse(words.iter().map(OsString::from))
    }

    fn run(words: &[&str]) -> Options {
        match parsed(words) {
            Ok(Request::Run(options)) => options,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn options_end_at_the_first_other_argument() {
        let options = run(&["-q", "curl", "-q", "-f", "x"]);
        assert!(options.quiet);
        assert_eq!(options.file, None);
        assert_eq!(options.program, ["curl", "-q", "-f", "x"]);
    }

    #[test]
    fn two_dashes_end_the_options() {
        assert_eq!(run(&["--", "-q"]).program, ["-q"]);
        assert_eq!(run(&["sh", "--", "x"]).program, ["sh", "--", "x"]);
    }

    #[test]
    fn an_unknown_option_is_taken_for_the_program_as_proxychains_ng_does() {
        assert_eq!(run(&["-z", "curl"]).program, ["-z", "curl"]);
    }

    #[test]
    fn no_program_or_no_value_is_a_usage_error() {
        for words in [&[][..], &["-q"], &["--"], &["-f", "x"]] {
            assert_eq!(parsed(words), Err(UsageError::NoProgram), "{words:?}");
        }
        assert_eq!(parsed(&["-f"]), Err(UsageError::NoValue("-f")));
        assert_eq!(
            parsed(&["-x", "u", "-f", "x", "curl"]),
            Err(UsageError::TwoSources)
        );
    }

    #[test]
    fn each_option_is_parsed() {
        let options = run(&["--strict", "-f", "a", "-f", "b", "true"]);
        assert!(options.strict);
        assert_eq!(options.file, Some("b".into()));
        assert_eq!(
            run(&["-x", "socks5h://h:1", "true"]).proxy,
            Some("socks5h://h:1".into())
        );
        assert_eq!(parsed(&["--help"]), Ok(Request::Help));
        assert_eq!(parsed(&["-q", "--version"]), Ok(Request::Version));
    }
}
