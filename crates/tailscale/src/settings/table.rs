//! The table of all settings of Tailscale, each an environment variable. The code, `tailchain run --help` and
//! docs/heroku.md use it.

#![forbid(unsafe_code)]

use tailchain_core::config::tailscaled::{HOST_VARIABLE, PORT_VARIABLE};

pub struct Setting {
    pub name: &'static str,
    /// The variables of Tailscale's own container with the same meaning. Ours takes precedence.
    pub container: &'static [&'static str],
    /// Its effect and its default.
    pub doc: &'static str,
    /// The value is a secret.
    pub is_secret: bool,
}

impl Setting {
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        std::iter::once(self.name).chain(self.container.iter().copied())
    }
}

macro_rules! settings {
    ($($id:ident = $name:expr, [$($container:literal),*], $doc:literal $(, $secret:ident)?;)*) => {
        $(pub const $id: Setting = Setting {
            name: $name,
            container: &[$($container),*],
            doc: $doc,
            is_secret: settings!(@secret $($secret)?),
        };)*
        pub const ALL: &[&Setting] = &[$(&$id),*];
    };
    (@secret secret) => { true };
    (@secret) => { false };
}

settings! {
    AUTH_KEY = "TAILSCALE_AUTH_KEY", ["TS_AUTHKEY", "TS_AUTH_KEY"],
        "the auth key, or an OAuth client's secret; `file:PATH` names a file that holds it; without a key Tailscale is not started", secret;
    CLIENT_ID = "TAILSCALE_CLIENT_ID", ["TS_CLIENT_ID"],
        "an OAuth or federated identity's client id, in place of an auth key";
    CLIENT_SECRET = "TAILSCALE_CLIENT_SECRET", ["TS_CLIENT_SECRET"],
        "the OAuth client's secret; also as `file:PATH`", secret;
    ID_TOKEN = "TAILSCALE_ID_TOKEN", ["TS_ID_TOKEN"],
        "workload identity: the token of the identity provider; also as `file:PATH`, which is read at each login", secret;
    AUDIENCE = "TAILSCALE_AUDIENCE", ["TS_AUDIENCE"],
        "workload identity: ask the platform for a token with this audience";
    HIDE_KEY = "TAILSCALE_HIDE_KEY", [],
        "give the app a placeholder instead of the secrets above; default true";
    HOSTNAME = "TAILSCALE_HOSTNAME", ["TS_HOSTNAME"],
        "the machine's name; default `COMMIT-DYNO-APP` with Heroku's dyno metadata, else the machine's own";
    ACCEPT_DNS = "TAILSCALE_ACCEPT_DNS", ["TS_ACCEPT_DNS"],
        "use the tailnet's DNS settings, including MagicDNS; default true (the container's is false)";
    ACCEPT_ROUTES = "TAILSCALE_ACCEPT_ROUTES", [],
        "use subnet routes that others advertise; default true";
    ADVERTISE_ROUTES = "TAILSCALE_ADVERTISE_ROUTES", ["TS_ROUTES"],
        "subnet routes to offer, e.g. `10.0.0.0/24,10.1.0.0/24`";
    ADVERTISE_EXIT_NODES = "TAILSCALE_ADVERTISE_EXIT_NODES", [],
        "offer to be an exit node; default false";
    ADVERTISE_TAGS = "TAILSCALE_ADVERTISE_TAGS", [],
        "tags for this machine, e.g. `tag:web,tag:production`; an OAuth secret needs them";
    EXIT_NODE = "TAILSCALE_EXIT_NODE", [],
        "name or address of the exit node to use for connections through the proxy; the start fails if there is none of that name";
    SHIELDS_UP = "TAILSCALE_SHIELDS_UP", [],
        "block connections from the tailnet to this machine; default false";
    SSH = "TAILSCALE_SSH", [],
        "run Tailscale's SSH server; unless it runs as root, it admits only its own user; default false";
    SERVE_CONFIG = "TAILSCALE_SERVE_CONFIG", ["TS_SERVE_CONFIG"],
        "a JSON file for `tailscale serve`; `${TS_CERT_DOMAIN}` in it is replaced by the machine's name; read after each login";
    EXTRA_ARGS = "TAILSCALE_EXTRA_ARGS", ["TS_EXTRA_ARGS"],
        "additional options of `tailscale up`, separated by blanks";
    DAEMON_EXTRA_ARGS = "TAILSCALED_EXTRA_ARGS", ["TS_TAILSCALED_EXTRA_ARGS"],
        "additional options of `tailscaled`, separated by blanks";
    VERBOSE = "TAILSCALED_VERBOSE", [],
        "verbosity of tailscaled; default 0";
    LOGIN_SERVER = "TAILSCALE_LOGIN_SERVER", [],
        "a control server other than Tailscale's";
    TIMEOUT = "TAILSCALE_TIMEOUT", ["TS_BOOT_TIMEOUT"],
        "how long the start may take, e.g. `50s` (default) or `1m30s`; `0s` waits forever";
    DRAIN_TIMEOUT = "TAILSCALE_DRAIN_TIMEOUT", [],
        "how long tailscaled waits for the app after SIGTERM; default `20s`; Heroku kills after 30 s, and the logout may take 5 s";
    SOCKS5_HOST = HOST_VARIABLE, [],
        "the address of this machine where tailscaled's SOCKS5 proxy listens; default 127.0.0.2; see below";
    SOCKS5_PORT = PORT_VARIABLE, [],
        "its port; default 1055";
    SOCKS5_SERVER = "TS_SOCKS5_SERVER", [],
        "both in one, `[HOST]:PORT`, as for Tailscale's container";
    HTTP_PROXY = "TAILSCALE_OUTBOUND_HTTP_PROXY_LISTEN", ["TS_OUTBOUND_HTTP_PROXY_LISTEN"],
        "`[HOST]:PORT` for an HTTP proxy into the tailnet; default none";
    PROGRAMS = "TAILSCALE_DIR", [],
        "the directory of `tailscale` and `tailscaled`; set by the buildpack, elsewhere they are found in `PATH`";
    SOCKET = "TAILSCALE_SOCKET", ["TS_SOCKET"],
        "tailscaled's socket; set by the buildpack, elsewhere in a temporary directory";
    STATE_DIR = "TAILSCALE_STATE_DIR", ["TS_STATE_DIR"],
        "store the machine's identity and tailscaled's other files in this directory; default none: the identity is in memory, each start is a new machine, and one with an ephemeral key leaves the tailnet when it ends";
    FILES_DIR = "TAILSCALE_FILES_DIR", [],
        "the directory of tailscaled's other files, e.g. certificates, if there is no state directory; set by the buildpack, elsewhere a temporary directory";
}

/// Variables of Tailscale's container that cannot be honoured, and the reason. Setting one gives a warning.
pub const WITHOUT_EFFECT: &[(&str, &str)] = &[
    (
        "TS_KUBE_SECRET",
        "the state is in memory or in TAILSCALE_STATE_DIR",
    ),
    ("TS_DEST_IP", "it needs a TUN device"),
    ("TS_EXPERIMENTAL_DEST_DNS_NAME", "it needs a TUN device"),
    ("TS_TAILNET_TARGET_IP", "it needs a TUN device"),
    ("TS_TAILNET_TARGET_FQDN", "it needs a TUN device"),
    (
        "TS_EXPERIMENTAL_ENABLE_FORWARDING_OPTIMIZATIONS",
        "it needs a TUN device",
    ),
    (
        "TS_EXPERIMENTAL_VERSIONED_CONFIG_DIR",
        "the settings are environment variables; TAILSCALED_EXTRA_ARGS can name a --config",
    ),
    (
        "TS_LOCAL_ADDR_PORT",
        "there is no server for metrics and health",
    ),
    (
        "TS_HEALTHCHECK_ADDR_PORT",
        "there is no server for metrics and health",
    ),
    (
        "TS_ENABLE_METRICS",
        "there is no server for metrics and health",
    ),
    (
        "TS_ENABLE_HEALTH_CHECK",
        "there is no server for metrics and health",
    ),
    (
        "TS_DEBUG_ADDR_PORT",
        "TAILSCALED_EXTRA_ARGS can name a --debug address",
    ),
    ("TS_EGRESS_PROXIES_CONFIG_PATH", "it is for Kubernetes"),
    ("TS_INGRESS_PROXIES_CONFIG_PATH", "it is for Kubernetes"),
    ("TS_EXPERIMENTAL_CERT_SHARE", "it is for Kubernetes"),
    (
        "TS_EXPERIMENTAL_SERVICE_AUTO_ADVERTISEMENT",
        "services are not advertised",
    ),
];

/// For `tailchain run --help`.
pub fn help() -> String {
    let mut text = String::from("Settings, all of them environment variables:\n");
    for setting in ALL {
        let names: Vec<&str> = setting.names().collect();
        text.push_str(&format!("  {}\n      {}\n", names.join(", "), setting.doc));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENT: &str = include_str!("../../../../docs/heroku.md");

    fn row(setting: &Setting) -> String {
        let code = |name: &str| format!("`{name}`");
        let container: Vec<String> = setting.container.iter().map(|name| code(name)).collect();
        format!(
            "| {} | {} | {} |",
            code(setting.name),
            container.join(", "),
            setting.doc
        )
    }

    #[test]
    fn the_document_has_this_table() {
        let rows: Vec<String> = ALL.iter().map(|setting| row(setting)).collect();
        let rows = rows.join("\n");
        assert!(DOCUMENT.contains(&rows), "docs/heroku.md needs:\n{rows}");
        for (name, why) in WITHOUT_EFFECT {
            let row = format!("| `{name}` | {why} |");
            assert!(DOCUMENT.contains(&row), "docs/heroku.md needs:\n{row}");
        }
    }

    #[test]
    fn no_name_has_two_meanings() {
        let mut names: Vec<&str> = ALL.iter().flat_map(|setting| setting.names()).collect();
        names.extend(WITHOUT_EFFECT.iter().map(|(name, _)| *name));
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
