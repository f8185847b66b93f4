//! The launcher's command line.
//!
//! Scanned by hand: as in proxychains-ng, options end at the first word that is not one, so that the
//! program's own options need no `--`; and the launcher must start fast.

#![forbid(unsafe_code)]

use std::borrow::Cow;
use std::ffi::{OsStr, OsString};

#[derive(Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// `-q`: nothing of ours on stderr.
    pub quiet: bool,
    /// `--strict`: a program that would go around the proxy is not started.
    pub strict: bool,
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
    /// This option needs a value after it.
    NoValue(&'static str),
    /// `-f` and `-x` both say which proxies to use.
    TwoSources,
}

impl UsageError {
    /// What to tell the user beside the usage; a bare `proxychains4` needs no complaint.
    pub fn message(&self) -> Option<String> {
        match self {
            UsageError::NoProgram => None,
            UsageError::NoValue(option) => Some(format!("{option} needs a value")),
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

    /// The option that says which proxies to use, if one does.
    pub fn source(&self) -> Option<&'static str> {
        let file = self.file.as_ref().map(|_| "-f");
        file.or(self.proxy.as_ref().map(|_| "-x"))
    }
}

/// `words` are the arguments after the command's own name.
pub fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Request, UsageError> {
    let mut options = Options::default();
    let mut words = words.into_iter();
    let first = loop {
        let word = words.next().ok_or(UsageError::NoProgram)?;
        match word.to_str() {
            Some("-q") => options.quiet = true,
            Some("--strict") => options.strict = true,
            Some("-f") => options.file = Some(words.next().ok_or(UsageError::NoValue("-f"))?),
            Some("-x") => options.proxy = Some(words.next().ok_or(UsageError::NoValue("-x"))?),
            Some("--help") => return Ok(Request::Help),
            Some("--version") => return Ok(Request::Version),
            Some("--") => break words.next().ok_or(UsageError::NoProgram)?,
            _ => break word,
        }
    };
    if options.file.is_some() && options.proxy.is_some() {
        return Err(UsageError::TwoSources);
    }
    options.program = std::iter::once(first).chain(words).collect();
    Ok(Request::Run(options))
}

pub fn usage(command: &OsStr) -> String {
    let command = command.to_string_lossy();
    format!(
        "Usage: {command} [-q] [-f config_file | -x URL] [--strict] program [argument...]\n\
         Runs the program with its TCP connections sent through proxies.\n\
         \n  -f config_file  read this configuration instead of the first one found\
         \n  -x URL          no configuration: use this proxy, such as socks5h://localhost:1055;\
         \n                  several of them, separated by commas, make a chain\
         \n  -q              quiet: no messages, whatever the configuration says\
         \n  --strict        do not start a program that would go around the proxy\
         \n  --version       print the version\
         \n  --help          print this text\
         \n\nSee `tailchain --help` for what checks and explains a configuration.\n"
    )
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
    fn options_end_at_the_first_word_that_is_not_one() {
        let options = run(&["-q", "curl", "-q", "-f", "x"]);
        assert!(options.quiet);
        assert_eq!(options.file, None);
        assert_eq!(options.program, ["curl", "-q", "-f", "x"]);
    }

    #[test]
    fn two_dashes_end_the_options_and_are_not_the_program() {
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
    fn each_option_is_kept() {
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
