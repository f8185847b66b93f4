//! Credentials for the login: an auth key, an OAuth client's secret, or a token of an identity provider.
//!
//! `tailscale up` gets a secret in an anonymous memory file (memfd_create(2)). The secret is neither on the command line nor
//! in a directory, and nothing remains of it, however this process ends.

#![forbid(unsafe_code)]

use crate::settings::reader::{Reader, SettingsError};
use crate::settings::table;
use crate::sys::memory_file;
use std::ffi::OsString;
use std::fs;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use tailchain_core::config::Secret;

/// Replaces a secret in the app's environment. An app that only tests whether the variable is set, as the Django settings
/// in docs/heroku.md do, still works.
pub const PLACEHOLDER: &str = "hidden-by-tailchain";
const FILE: &str = "file:";

/// A secret and the variable that it came from.
struct Given {
    option: &'static str,
    name: &'static str,
    value: Secret,
}

#[derive(Default)]
pub struct Credentials {
    secrets: Vec<Given>,
    client_id: Option<String>,
    audience: Option<String>,
}

impl Credentials {
    /// # Errors
    ///
    /// A value is invalid, or two settings exclude each other.
    pub fn read(reader: &Reader<'_>) -> Result<Credentials, SettingsError> {
        let mut credentials = Credentials {
            client_id: reader.text(&table::CLIENT_ID)?,
            audience: reader.text(&table::AUDIENCE)?,
            ..Credentials::default()
        };
        for (option, setting) in [
            ("auth-key", &table::AUTH_KEY),
            ("client-secret", &table::CLIENT_SECRET),
            ("id-token", &table::ID_TOKEN),
        ] {
            if let Some((name, value)) = reader.secret(setting)? {
                credentials.secrets.push(Given {
                    option,
                    name,
                    value,
                });
            }
        }
        credentials.check()
    }

    /// The same checks as in Tailscale's container.
    fn check(self) -> Result<Credentials, SettingsError> {
        let has = |option: &str| self.secrets.iter().find(|given| given.option == option);
        let identity = has("id-token").map(|given| given.name);
        let identity = identity.or(self.audience.is_some().then_some(table::AUDIENCE.name));
        let invalid = |name, expected| {
            Err(SettingsError {
                name,
                value: "***".to_owned(),
                expected,
            })
        };
        match (has("auth-key"), identity, &self.client_id) {
            (Some(key), Some(_), _) => invalid(
                key.name,
                "no auth key beside a workload identity; unset one of them",
            ),
            (None, Some(name), None) => invalid(name, "TAILSCALE_CLIENT_ID beside it"),
            (None, Some(name), Some(_)) if has("client-secret").is_some() => invalid(
                name,
                "no TAILSCALE_CLIENT_SECRET beside it; unset one of them",
            ),
            _ => Ok(self),
        }
    }

    /// Whether there are no credentials to log in with.
    pub fn is_empty(&self) -> bool {
        self.secrets.is_empty() && self.client_id.is_none()
    }

    /// The secrets for one `tailscale up`. Reads the files that settings name.
    ///
    /// # Errors
    ///
    /// A file cannot be read, or a secret is a placeholder.
    pub fn open(&self) -> Result<Keys, String> {
        let mut keys = Keys {
            words: Vec::new(),
            files: Vec::new(),
            secrets: Vec::new(),
        };
        for given in &self.secrets {
            let secret = given.content()?;
            let file = memory_file::with(secret.reveal()).map_err(|error| {
                format!("cannot make a memory file for {}: {error}", given.name)
            })?;
            let fd = file.as_raw_fd();
            let word = format!("--{}={FILE}/proc/self/fd/{fd}", given.option);
            keys.words.push(word.into());
            keys.files.push(file);
            keys.secrets.push(secret);
        }
        for (option, value) in [("client-id", &self.client_id), ("audience", &self.audience)] {
            let word = value.as_ref().map(|value| format!("--{option}={value}"));
            keys.words.extend(word.map(OsString::from));
        }
        Ok(keys)
    }
}

impl Given {
    fn content(&self) -> Result<Secret, String> {
        let text = String::from_utf8_lossy(self.value.reveal());
        if text == PLACEHOLDER {
            return Err(format!(
                "{} is a placeholder: the process that started this one has the key. Start Tailscale there, or set {}=false there",
                self.name,
                table::HIDE_KEY.name
            ));
        }
        let Some(path) = text.strip_prefix(FILE) else {
            return Ok(self.value.clone());
        };
        let content = fs::read_to_string(path)
            .map_err(|error| format!("{}: cannot read {path}: {error}", self.name))?;
        Ok(Secret::new(content.trim().as_bytes()))
    }
}

/// The secrets of one `tailscale up`, in memory files.
pub struct Keys {
    words: Vec<OsString>,
    files: Vec<OwnedFd>,
    secrets: Vec<Secret>,
}

impl Keys {
    /// The options of `tailscale up`.
    pub fn words(&self) -> &[OsString] {
        &self.words
    }

    /// The fds that `tailscale up` has to inherit.
    pub fn fds(&self) -> Vec<RawFd> {
        self.files.iter().map(AsRawFd::as_raw_fd).collect()
    }

    /// `text` with each secret replaced.
    pub fn redact(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for secret in &self.secrets {
            let secret = String::from_utf8_lossy(secret.reveal());
            if !secret.is_empty() {
                text = text.replace(&*secret, "***");
            }
        }
        text
    }
}

/// The variables with secrets, and their placeholders for the environment of the app. The path of a file is not a secret.
pub fn placeholders(reader: &Reader<'_>) -> Vec<(&'static str, &'static str)> {
    let is_literal = |name: &str| {
        let value = reader.value(name);
        value.is_some_and(|value| !value.as_encoded_bytes().starts_with(FILE.as_bytes()))
    };
    names()
        .filter(|name| is_literal(name))
        .map(|name| (name, PLACEHOLDER))
        .collect()
}

/// The variables that hold secrets.
pub fn names() -> impl Iterator<Item = &'static str> {
    let secret = table::ALL.iter().filter(|setting| setting.is_secret);
    secret.flat_map(|setting| setting.names())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Credentials, SettingsError> {
        Credentials::read(&Reader(&|name| {
            let found = variables.iter().find(|(own, _)| *own == name);
            found.map(|(_, value)| OsString::from(value))
        }))
    }

    fn words(variables: &[(&str, &str)]) -> Vec<String> {
        let keys = read(variables).unwrap().open().unwrap();
        let words = keys.words().iter();
        words
            .map(|word| word.to_str().unwrap().to_owned())
            .collect()
    }

    #[test]
    fn a_secret_is_passed_by_fd_and_the_rest_in_the_option() {
        let [key] = &words(&[("TS_AUTHKEY", "tskey-x")])[..] else {
            panic!("one word");
        };
        assert!(key.starts_with("--auth-key=file:/proc/self/fd/"), "{key}");
        let words = words(&[("TAILSCALE_CLIENT_ID", "id"), ("TS_ID_TOKEN", "token")]);
        assert!(words[0].starts_with("--id-token=file:/proc/self/fd/"));
        assert_eq!(words[1], "--client-id=id");
    }

    #[test]
    fn settings_that_exclude_each_other_are_an_error() {
        let key = ("TAILSCALE_AUTH_KEY", "tskey-x");
        let id = ("TAILSCALE_CLIENT_ID", "id");
        for wrong in [
            vec![key, ("TAILSCALE_AUDIENCE", "a")],
            vec![key, ("TAILSCALE_ID_TOKEN", "t"), id],
            vec![("TAILSCALE_ID_TOKEN", "t")],
            vec![("TS_AUDIENCE", "a")],
            vec![id, ("TS_AUDIENCE", "a"), ("TS_CLIENT_SECRET", "s")],
        ] {
            assert!(read(&wrong).is_err(), "{wrong:?}");
        }
        assert!(read(&[id, ("TS_CLIENT_SECRET", "s")]).is_ok());
    }

    #[test]
    fn a_placeholder_and_a_missing_file_are_errors() {
        for (value, said) in [
            (PLACEHOLDER, "TAILSCALE_AUTH_KEY is a placeholder"),
            ("file:/nowhere/key", "cannot read /nowhere/key"),
        ] {
            let credentials = read(&[("TAILSCALE_AUTH_KEY", value)]).unwrap();
            let error = credentials.open().err().unwrap();
            assert!(error.contains(said), "{error}");
        }
    }

    #[test]
    fn secrets_are_redacted_from_messages() {
        let keys = read(&[("TS_CLIENT_SECRET", "s3cret")])
            .unwrap()
            .open()
            .unwrap();
        assert_eq!(keys.redact("no: s3cret!"), "no: ***!");
    }
}
