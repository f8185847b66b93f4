//! The settings of Tailscale, read from the environment. An empty variable counts as unset.

#![forbid(unsafe_code)]

pub mod reader;
pub mod table;

pub use reader::{Env, Reader, SettingsError};

use crate::credentials::Credentials;
use crate::hostname;
use crate::listener::Listener;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::time::Duration;
use tailchain_core::config::tailscaled::{self, DEFAULT_HOST, DEFAULT_PORT};

/// The variable that messages name if there is no key.
pub const KEY_VARIABLE: &str = table::AUTH_KEY.name;

/// Below Heroku's boot timeout: a web process must listen within 60 seconds.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(50);
/// Together with the time to stop tailscaled, below the 30 seconds between Heroku's SIGTERM and SIGKILL.
pub(super) const DEFAULT_DRAIN: Duration = Duration::from_secs(20);

pub struct Settings {
    pub credentials: Credentials,
    /// Whether the program gets placeholders in place of the secrets.
    pub hide_key: bool,
    pub accept_dns: bool,
    pub accept_routes: bool,
    pub advertise_routes: Option<String>,
    pub advertise_exit_node: bool,
    pub advertise_tags: Option<String>,
    pub exit_node: Option<String>,
    /// `None`: the machine's own name.
    pub hostname: Option<String>,
    pub shields_up: bool,
    pub ssh: bool,
    pub serve_config: Option<PathBuf>,
    /// A control server other than Tailscale's.
    pub login_server: Option<String>,
    /// Further options of `tailscale up`; `daemon_extra_args`: of tailscaled.
    pub extra_args: Vec<String>,
    pub daemon_extra_args: Vec<String>,
    pub verbose: u32,
    /// The time limit of a start; `None`: no limit.
    pub timeout: Option<Duration>,
    /// How long to wait for the program after a signal that asks it to end.
    pub drain: Duration,
    /// Where tailscaled's SOCKS5 proxy listens.
    pub listener: Listener,
    pub http_proxy: Option<String>,
    /// The directory of `tailscale` and `tailscaled`; `None`: search for it.
    pub programs: Option<PathBuf>,
    /// tailscaled's own socket; `None`: in a private directory.
    pub socket: Option<PathBuf>,
    /// The node's state, which outlives tailscaled; `None`: in memory, and the node logs out when tailscaled ends.
    pub state: Option<PathBuf>,
    /// tailscaled's other files, e.g. certificates; `None`: with the state, else in a private directory.
    pub files: Option<PathBuf>,
    /// Warnings about variables that have no effect.
    pub without_effect: Vec<String>,
}

impl Settings {
    /// `None` without credentials: then Tailscale is not to be started. An invalid value is an error even so: better in a
    /// review app, which has no key, than in production.
    ///
    /// # Errors
    ///
    /// A value is invalid.
    pub fn from_env(env: Env<'_>) -> Result<Option<Settings>, SettingsError> {
        let reader = Reader(env);
        let timeout = reader.duration(&table::TIMEOUT, DEFAULT_TIMEOUT)?;
        let settings = Settings {
            credentials: Credentials::read(&reader)?,
            hide_key: reader.flag(&table::HIDE_KEY, true)?,
            accept_dns: reader.flag(&table::ACCEPT_DNS, true)?,
            accept_routes: reader.flag(&table::ACCEPT_ROUTES, true)?,
            advertise_routes: reader.text(&table::ADVERTISE_ROUTES)?,
            advertise_exit_node: reader.flag(&table::ADVERTISE_EXIT_NODES, false)?,
            advertise_tags: reader.text(&table::ADVERTISE_TAGS)?,
            exit_node: reader.text(&table::EXIT_NODE)?,
            hostname: hostname(&reader)?,
            shields_up: reader.flag(&table::SHIELDS_UP, false)?,
            ssh: reader.flag(&table::SSH, false)?,
            serve_config: reader.path(&table::SERVE_CONFIG),
            login_server: reader.text(&table::LOGIN_SERVER)?,
            extra_args: reader.words(&table::EXTRA_ARGS)?,
            daemon_extra_args: reader.words(&table::DAEMON_EXTRA_ARGS)?,
            verbose: reader.number(&table::VERBOSE, 0, "a number such as 0 or 1")?,
            timeout: (!timeout.is_zero()).then_some(timeout),
            drain: reader.duration(&table::DRAIN_TIMEOUT, DEFAULT_DRAIN)?,
            listener: listener(&reader)?,
            http_proxy: reader.text(&table::HTTP_PROXY)?,
            programs: reader.path(&table::PROGRAMS),
            socket: reader.path(&table::SOCKET),
            state: reader.path(&table::STATE_DIR),
            files: reader.path(&table::FILES_DIR),
            without_effect: reader.without_effect(),
        };
        Ok((!settings.credentials.is_empty()).then_some(settings))
    }
}

fn hostname(reader: &Reader<'_>) -> Result<Option<String>, SettingsError> {
    let given = reader.text(&table::HOSTNAME)?;
    Ok(given.or_else(|| hostname::of_dyno(&|name| reader.value(name)?.into_string().ok())))
}

/// The address from `TAILSCALE_SOCKS5_HOST` and `…_PORT`, or else from the container's variable, which has both.
fn listener(reader: &Reader<'_>) -> Result<Listener, SettingsError> {
    let (host, port) = match reader.found(&table::SOCKS5_SERVER)? {
        None => (DEFAULT_HOST, DEFAULT_PORT),
        Some((name, value)) => host_and_port(&value).ok_or(SettingsError {
            name,
            value,
            expected: "[HOST]:PORT, such as 127.0.0.2:1055",
        })?,
    };
    let host = match reader.found(&table::SOCKS5_HOST)? {
        None => host,
        Some((name, value)) => tailscaled::host(&value).ok_or(SettingsError {
            name,
            value,
            expected: "an address of this machine, such as 127.0.0.2",
        })?,
    };
    const EXPECTED: &str = "a port from 1 to 65535";
    match reader.number(&table::SOCKS5_PORT, port, EXPECTED)? {
        0 => Err(SettingsError {
            name: table::SOCKS5_PORT.name,
            value: "0".to_owned(),
            expected: EXPECTED,
        }),
        port => Ok(Listener::new(host, port)),
    }
}

/// Parsed as by Go's `net.Listen`: without a host it is the wildcard address.
fn host_and_port(text: &str) -> Option<(IpAddr, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    let bare = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    let host = match bare.unwrap_or(host) {
        "" => Ipv4Addr::UNSPECIFIED.into(),
        host => tailscaled::host(host)?,
    };
    Some((host, port.parse().ok().filter(|port| *port != 0)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsString;

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
    fn an_invalid_value_is_an_error_even_without_a_key() {
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
        let key = |variables| {
            let keys = read(variables).unwrap().unwrap().credentials.open();
            keys.unwrap().redact("a b")
        };
        assert_eq!(key(&[("TS_AUTHKEY", "b\n")]), "a ***");
        assert_eq!(key(&[("TS_AUTH_KEY", "b")]), "a ***");
        let both = [("TS_AUTHKEY", "b"), ("TAILSCALE_AUTH_KEY", "a")];
        assert_eq!(key(&both), "*** b");
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
    fn a_timeout_of_zero_means_no_limit() {
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

    #[test]
    fn our_variables_take_precedence_over_the_containers() {
        let settings = with("TS_SOCKS5_SERVER", "localhost:1080").unwrap();
        assert_eq!(settings.listener.to_string(), "127.0.0.1:1080");
        for (server, listens) in [(":1055", "0.0.0.0:1055"), ("[::1]:1", "[::1]:1")] {
            let settings = with("TS_SOCKS5_SERVER", server).unwrap();
            assert_eq!(settings.listener.to_string(), listens);
        }
        assert!(with("TS_SOCKS5_SERVER", "1055").is_err());
        let both = read(&[
            ("TS_AUTHKEY", "k"),
            ("TS_SOCKS5_SERVER", ":1080"),
            ("TAILSCALE_SOCKS5_HOST", "127.0.0.3"),
            ("TS_HOSTNAME", "b"),
            ("TAILSCALE_HOSTNAME", "a"),
            ("TS_ACCEPT_DNS", "F"),
            ("TS_EXTRA_ARGS", " --ssh  --accept-risk=all "),
        ]);
        let both = both.unwrap().unwrap();
        assert_eq!(both.listener.to_string(), "127.0.0.3:1080");
        assert_eq!(both.hostname.as_deref(), Some("a"));
        assert!(!both.accept_dns);
        assert_eq!(both.extra_args, ["--ssh", "--accept-risk=all"]);
    }

    #[test]
    fn variables_without_effect_are_reported() {
        let lines = |name, value| with(name, value).unwrap().without_effect;
        assert_eq!(lines("TS_USERSPACE", "true"), [""; 0]);
        assert!(lines("TS_USERSPACE", "false")[0].starts_with("TS_USERSPACE has no effect"));
        assert_eq!(
            lines("TS_DEST_IP", "10.0.0.1"),
            ["TS_DEST_IP has no effect: it needs a TUN device"]
        );
    }

    #[test]
    fn an_identity_needs_no_key() {
        let variables = [("TS_CLIENT_ID", "id"), ("TS_AUDIENCE", "here")];
        assert!(read(&variables).unwrap().is_some());
    }
}
