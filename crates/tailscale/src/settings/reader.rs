//! Reads settings from an environment.

#![forbid(unsafe_code)]

use super::table::{self, Setting};
use crate::duration;
use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;
use tailchain_core::config::Secret;

/// An environment: returns the value of a variable, `None` if it is not set.
pub type Env<'e> = &'e dyn Fn(&str) -> Option<OsString>;

/// An invalid value of a variable. Displayed as "NAME: `VALUE`: expected WHAT".
#[derive(Debug, PartialEq, Eq)]
pub struct SettingsError {
    pub name: &'static str,
    pub value: String,
    pub expected: &'static str,
}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: `{}`: expected {}",
            self.name, self.value, self.expected
        )
    }
}

/// The variable that is set, and its value.
pub type Found<T> = Option<(&'static str, T)>;

pub struct Reader<'e>(pub Env<'e>);

impl Reader<'_> {
    /// The value of a variable; an empty one counts as unset.
    pub fn value(&self, name: &str) -> Option<OsString> {
        (self.0)(name).filter(|value| !value.is_empty())
    }

    pub fn set(&self, setting: &Setting) -> Found<OsString> {
        setting
            .names()
            .find_map(|name| Some((name, self.value(name)?)))
    }

    pub fn path(&self, setting: &Setting) -> Option<PathBuf> {
        self.set(setting).map(|(_, value)| PathBuf::from(value))
    }

    pub fn found(&self, setting: &Setting) -> Result<Found<String>, SettingsError> {
        let Some((name, value)) = self.set(setting) else {
            return Ok(None);
        };
        match value.into_string() {
            Ok(value) => Ok(Some((name, value))),
            Err(value) => Err(SettingsError {
                name,
                value: value.to_string_lossy().into_owned(),
                expected: "text in UTF-8",
            }),
        }
    }

    pub fn text(&self, setting: &Setting) -> Result<Option<String>, SettingsError> {
        Ok(self.found(setting)?.map(|(_, value)| value))
    }

    /// Splits at blanks like Tailscale's container, without quoting.
    pub fn words(&self, setting: &Setting) -> Result<Vec<String>, SettingsError> {
        let text = self.text(setting)?.unwrap_or_default();
        Ok(text.split_whitespace().map(ToOwned::to_owned).collect())
    }

    pub fn secret(&self, setting: &Setting) -> Result<Found<Secret>, SettingsError> {
        let Some((name, key)) = self.set(setting) else {
            return Ok(None);
        };
        // An error message must not contain the secret.
        match key.to_str().map(str::trim) {
            Some("") => Ok(None),
            Some(key) if key.starts_with("file:") || is_one_word(key) => {
                Ok(Some((name, Secret::new(key.as_bytes()))))
            }
            _ => Err(SettingsError {
                name,
                value: "***".to_owned(),
                expected: "a key without blanks, such as tskey-auth-…; copy it again",
            }),
        }
    }

    pub fn flag(&self, setting: &Setting, default: bool) -> Result<bool, SettingsError> {
        match self.found(setting)? {
            None => Ok(default),
            Some((name, value)) => flag(name, value),
        }
    }

    pub fn number<N: std::str::FromStr>(
        &self,
        setting: &Setting,
        default: N,
        expected: &'static str,
    ) -> Result<N, SettingsError> {
        let Some((name, value)) = self.found(setting)? else {
            return Ok(default);
        };
        value.parse().map_err(|_| SettingsError {
            name,
            value,
            expected,
        })
    }

    pub fn duration(
        &self,
        setting: &Setting,
        default: Duration,
    ) -> Result<Duration, SettingsError> {
        let Some((name, value)) = self.found(setting)? else {
            return Ok(default);
        };
        duration::parse(&value).ok_or(SettingsError {
            name,
            value,
            expected: "a duration such as 50s or 1m30s",
        })
    }

    /// Warnings about variables of Tailscale's container that have no effect here.
    pub fn without_effect(&self) -> Vec<String> {
        let mut lines: Vec<String> = table::WITHOUT_EFFECT
            .iter()
            .filter(|(name, _)| self.value(name).is_some())
            .map(|(name, why)| format!("{name} has no effect: {why}"))
            .collect();
        const USERSPACE: &str = "TS_USERSPACE";
        let userspace = self
            .value(USERSPACE)
            .and_then(|value| value.into_string().ok());
        if userspace.is_some_and(|value| flag(USERSPACE, value) == Ok(false)) {
            lines.push(format!(
                "{USERSPACE} has no effect: tailscaled runs without a TUN device"
            ));
        }
        lines
    }
}

fn is_one_word(key: &str) -> bool {
    key.bytes().all(|byte| byte.is_ascii_graphic())
}

fn flag(name: &'static str, value: String) -> Result<bool, SettingsError> {
    match value.to_ascii_lowercase().as_str() {
        "true" | "t" | "1" | "yes" | "on" => Ok(true),
        "false" | "f" | "0" | "no" | "off" => Ok(false),
        _ => Err(SettingsError {
            name,
            value,
            expected: "true or false",
        }),
    }
}
