//! What the environment says about Tailscale. A variable that is empty is as one that is not set.

#![forbid(unsafe_code)]

use super::listener::Listener;
use super::{duration, hostname};
use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;
use tailchain_core::config::tailscaled::{
    self, DEFAULT_HOST, DEFAULT_PORT, HOST_VARIABLE, PORT_VARIABLE,
};
use tailchain_core::config::Secret;

/// Where an auth key is looked for, in this order; the second is what Tailscale's own container calls it.
pub const KEY_VARIABLES: [&str; 2] = ["TAILSCALE_AUTH_KEY", "TS_AUTHKEY"];

/// Below the 60 seconds that Heroku gives a web process until it has to listen.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(50);
/// With the time to stop tailscaled, below the 30 seconds between Heroku's SIGTERM and its SIGKILL.
pub(super) const DEFAULT_DRAIN: Duration = Duration::from_secs(20);

pub struct Settings {
    pub auth_key: Secret,
    pub accept_dns: bool,
    pub accept_routes: bool,
    pub advertise_exit_node: bool,
    pub advertise_tags: Option<String>,
    /// `None`: the machine's own name.
    pub hostname: Option<String>,
    pub shields_up: bool,
    /// A control server other than Tailscale's.
    pub login_server: Option<String>,
    pub verbose: u32,
    /// The longest that a start may take; `None` is for ever.
    pub timeout: Option<Duration>,
    /// How long a program that was asked to end may go on.
    pub drain: Duration,
    /// Where tailscaled's SOCKS5 proxy listens.
    pub listener: Listener,
    /// Where `tailscale` and `tailscaled` are; `None`: looked for.
    pub programs: Option<PathBuf>,
    /// tailscaled's own socket; `None`: in a private folder.
    pub socket: Option<PathBuf>,
    /// The node's state, which outlives tailscaled; `None`: in memory, and the node logs out when tailscaled ends.
    pub state: Option<PathBuf>,
    /// tailscaled's other files, such as certificates; `None`: with the state, else in a private folder.
    pub files: Option<PathBuf>,
}

/// A variable whose value is not understood. Displayed as "NAME: `VALUE`: what was expected".
#[derive(Debug, PartialEq, Eq)]
pub struct SettingsError {
    name: &'static str,
    value: String,
    expected: &'static str,
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

type Env<'e> = &'e dyn Fn(&str) -> Option<OsString>;

impl Settings {
    /// `None` without an auth key: then Tailscale is not wanted. A wrong value is an error all the same: it is
    /// better seen in a review app than when the key is there.
    ///
    /// # Errors
    ///
    /// A value that is not understood.
    pub fn from_env(env: Env<'_>) -> Result<Option<Settings>, SettingsError> {
        let reader = Reader(env);
        let auth_key = reader.auth_key()?;
        let is_wanted = auth_key.is_some();
        let timeout = reader.duration("TAILSCALE_TIMEOUT", DEFAULT_TIMEOUT)?;
        let settings = Settings {
            auth_key: auth_key.unwrap_or_else(|| Secret::new([])),
            accept_dns: reader.flag("TAILSCALE_ACCEPT_DNS", true)?,
            accept_routes: reader.flag("TAILSCALE_ACCEPT_ROUTES", true)?,
            advertise_exit_node: reader.flag("TAILSCALE_ADVERTISE_EXIT_NODES", false)?,
            advertise_tags: reader.text("TAILSCALE_ADVERTISE_TAGS")?,
            hostname: reader.hostname()?,
            shields_up: reader.flag("TAILSCALE_SHIELDS_UP", false)?,
            login_server: reader.text("TAILSCALE_LOGIN_SERVER")?,
            verbose: reader.number("TAILSCALED_VERBOSE", 0, "a number such as 0 or 1")?,
            timeout: (!timeout.is_zero()).then_some(timeout),
            drain: reader.duration("TAILSCALE_DRAIN_TIMEOUT", DEFAULT_DRAIN)?,
            listener: reader.listener()?,
            programs: reader.path("TAILSCALE_DIR"),
            socket: reader.path("TAILSCALE_SOCKET"),
            state: reader.path("TAILSCALE_STATE_DIR"),
            files: reader.path("TAILSCALE_FILES_DIR"),
        };
        Ok(is_wanted.then_some(settings))
    }
}

struct Reader<'e>(Env<'e>);

impl Reader<'_> {
    fn set(&self, name: &str) -> Option<OsString> {
        (self.0)(name).filter(|value| !value.is_empty())
    }

    fn path(&self, name: &str) -> Option<PathBuf> {
        self.set(name).map(PathBuf::from)
    }

    fn text(&self, name: &'static str) -> Result<Option<String>, SettingsError> {
        let not_utf8 = |value: OsString| SettingsError {
            name,
            value: value.to_string_lossy().into_owned(),
            expected: "text in UTF-8",
        };
        self.set(name)
            .map(|value| value.into_string().map_err(not_utf8))
            .transpose()
    }

    fn auth_key(&self) -> Result<Option<Secret>, SettingsError> {
        let Some((name, key)) = KEY_VARIABLES
            .into_iter()
            .find_map(|name| Some((name, self.set(name)?)))
        else {
            return Ok(None);
        };
        // What is wrong with a secret is said without it.
        match key.to_str().map(str::trim) {
            Some("") => Ok(None),
            Some(key) if key.bytes().all(|byte| byte.is_ascii_graphic()) => {
                Ok(Some(Secret::new(key.as_bytes())))
            }
            _ => Err(SettingsError {
                name,
                value: "***".to_owned(),
                expected: "a key without blanks, such as tskey-auth-…; copy it again",
            }),
        }
    }

    fn flag(&self, name: &'static str, default: bool) -> Result<bool, SettingsError> {
        let Some(value) = self.text(name)? else {
            return Ok(default);
        };
        match value.to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" | "on" => Ok(true),
            "false" | "0" | "no" | "off" => Ok(false),
            _ => Err(SettingsError {
                name,
                value,
                expected: "true or false",
            }),
        }
    }

    fn number<N: std::str::FromStr>(
        &self,
        name: &'static str,
        default: N,
        expected: &'static str,
    ) -> Result<N, SettingsError> {
        let Some(value) = self.text(name)? else {
            return Ok(default);
        };
        value.parse().map_err(|_| SettingsError {
            name,
            value,
            expected,
        })
    }

    fn listener(&self) -> Result<Listener, SettingsError> {
        let host = match self.text(HOST_VARIABLE)? {
            None => DEFAULT_HOST,
            Some(value) => tailscaled::host(&value).ok_or(SettingsError {
                name: HOST_VARIABLE,
                value,
                expected: "an address of this machine, such as 127.0.0.2",
            })?,
        };
        Ok(Listener::new(host, self.port(PORT_VARIABLE)?))
    }

    fn port(&self, name: &'static str) -> Result<u16, SettingsError> {
        const EXPECTED: &str = "a port from 1 to 65535";
        match self.number(name, DEFAULT_PORT, EXPECTED)? {
            0 => Err(SettingsError {
                name,
                value: "0".to_owned(),
                expected: EXPECTED,
            }),
            port => Ok(port),
        }
    }

    fn duration(&self, name: &'static str, default: Duration) -> Result<Duration, SettingsError> {
        let Some(value) = self.text(name)? else {
            return Ok(default);
        };
        duration::parse(&value).ok_or(SettingsError {
            name,
            value,
            expected: "a duration such as 50s or 1m30s",
        })
    }

    fn hostname(&self) -> Result<Option<String>, SettingsError> {
        let given = self.text("TAILSCALE_HOSTNAME")?;
        Ok(given.or_else(|| hostname::of_dyno(&|name| self.set(name)?.into_string().ok())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Option<Settings>, SettingsError> {
        Settings::from_env(&|name| {
            let found = variables.iter().find(|(own, _)| *own == name);
            found.map(|(_, value)| OsString::from(value))
        })
    }

    fn with(name: &str, value: &str) -> Result<Settings, String> {
        read(&[("TAILSCALE_AUTH_KEY", "tskey-x"), (name, value)])
            .map(|settings| settings.unwrap())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn without_a_key_nothing_is_wanted_but_a_wrong_value_is_said() {
        assert!(read(&[]).unwrap().is_none());
        let timeout = |value| read(&[("TAILSCALE_AUTH_KEY", ""), ("TAILSCALE_TIMEOUT", value)]);
        assert!(timeout("1m").unwrap().is_none());
        assert!(timeout("soon").is_err());
    }

    #[test]
    fn the_defaults_are_those_of_the_readme() {
        let settings = with("X", "").unwrap();
        assert!(settings.accept_dns && settings.accept_routes);
        assert!(!settings.advertise_exit_node && !settings.shields_up);
        assert_eq!((settings.advertise_tags, settings.hostname), (None, None));
        assert_eq!(settings.verbose, 0);
        assert_eq!(settings.listener.to_string(), "127.0.0.2:1055");
        assert_eq!(settings.timeout, Some(Duration::from_secs(50)));
        assert_eq!(settings.drain, Duration::from_secs(20));
    }

    #[test]
    fn the_key_has_two_names_and_the_first_wins() {
        let second = read(&[("TS_AUTHKEY", "b\n")]).unwrap().unwrap();
        assert_eq!(second.auth_key.reveal(), b"b");
        let both = read(&[("TS_AUTHKEY", "b"), ("TAILSCALE_AUTH_KEY", "a")]);
        assert_eq!(both.unwrap().unwrap().auth_key.reveal(), b"a");
    }

    #[test]
    fn a_key_with_a_blank_is_refused_and_not_shown() {
        let error = read(&[("TAILSCALE_AUTH_KEY", "tskey s3cret")])
            .err()
            .unwrap();
        assert!(error.to_string().starts_with("TAILSCALE_AUTH_KEY: `***`"));
    }

    #[test]
    fn flags_are_words_for_yes_and_no() {
        for (value, flag) in [("true", true), ("ON", true), ("0", false), ("no", false)] {
            assert_eq!(
                with("TAILSCALE_SHIELDS_UP", value).unwrap().shields_up,
                flag
            );
            assert_eq!(
                with("TAILSCALE_ACCEPT_DNS", value).unwrap().accept_dns,
                flag
            );
        }
        assert_eq!(
            with("TAILSCALE_SHIELDS_UP", "maybe").err().unwrap(),
            "TAILSCALE_SHIELDS_UP: `maybe`: expected true or false"
        );
    }

    #[test]
    fn a_timeout_of_zero_is_for_ever() {
        let timeout = |value| with("TAILSCALE_TIMEOUT", value).unwrap().timeout;
        assert_eq!(timeout("0s"), None);
        assert_eq!(timeout("1m"), Some(Duration::from_secs(60)));
        assert!(with("TAILSCALE_TIMEOUT", "60").is_err());
    }

    #[test]
    fn numbers_have_their_range() {
        let listener = |name, value| with(name, value).unwrap().listener.to_string();
        assert_eq!(listener("TAILSCALE_SOCKS5_PORT", "1080"), "127.0.0.2:1080");
        assert_eq!(
            listener("TAILSCALE_SOCKS5_HOST", "localhost"),
            "127.0.0.1:1055"
        );
        assert!(with("TAILSCALE_SOCKS5_HOST", "db.example").is_err());
        for port in ["0", "65536", "x"] {
            assert!(with("TAILSCALE_SOCKS5_PORT", port).is_err(), "{port}");
        }
        assert_eq!(with("TAILSCALED_VERBOSE", "2").unwrap().verbose, 2);
        assert!(with("TAILSCALED_VERBOSE", "-1").is_err());
    }
}
