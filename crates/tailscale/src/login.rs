//! The arguments of `tailscale up`, and the meaning of its output.

#![forbid(unsafe_code)]

use crate::credentials::Keys;
use crate::settings::Settings;
use crate::status;
use std::ffi::OsString;
use std::time::Duration;

/// A first login, or a new one of a node whose key is no longer valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Login {
    First,
    Again,
}

pub fn arguments(
    settings: &Settings,
    keys: &Keys,
    limit: Option<Duration>,
    login: Login,
) -> Vec<OsString> {
    let mut words: Vec<OsString> = vec!["up".into()];
    words.extend_from_slice(keys.words());
    // Without it `tailscale up` would require every setting of a stored state or of `tailscale set` to be repeated.
    words.push("--reset".into());
    if login == Login::Again {
        words.push("--force-reauth".into());
    }
    let mut add = |name: &str, value: String| words.push(format!("--{name}={value}").into());
    add(
        "timeout",
        format!("{}ms", limit.unwrap_or_default().as_millis()),
    );
    add("accept-dns", settings.accept_dns.to_string());
    add("accept-routes", settings.accept_routes.to_string());
    add(
        "advertise-exit-node",
        settings.advertise_exit_node.to_string(),
    );
    add("shields-up", settings.shields_up.to_string());
    if settings.ssh {
        add("ssh", true.to_string());
    }
    if let Some(routes) = &settings.advertise_routes {
        add("advertise-routes", routes.clone());
    }
    if let Some(tags) = &settings.advertise_tags {
        add("advertise-tags", tags.clone());
    }
    if let Some(name) = &settings.hostname {
        add("hostname", name.clone());
    }
    if let Some(server) = &settings.login_server {
        add("login-server", server.clone());
    }
    words.extend(settings.extra_args.iter().map(OsString::from));
    words
}

/// If they do not accept the key, some control servers ask for a login with a browser, which nobody would do.
pub fn asks_for_a_browser(output: &str) -> bool {
    output.contains("To authenticate, visit")
}

/// Whether a failure of `tailscale up` is temporary: the control server limits the rate of logins, e.g. when many dynos are
/// deployed; and the API that exchanges an OAuth secret for a key may be down.
pub fn is_to_be_tried_again(output: &str) -> bool {
    output.contains("rate limited") || is_about_api(output) && !is_refused_by_api(output)
}

/// Whether the failure is one of the API that gives an auth key for an OAuth secret or an identity token.
pub fn is_about_api(output: &str) -> bool {
    output.contains("/api/v2/") || output.contains("token exchange failed")
}

/// Whether the API gave a final refusal, unlike an error of the network or of the server.
fn is_refused_by_api(output: &str) -> bool {
    const BEFORE_STATUS: [&str; 3] = [
        "oauth2: cannot fetch token: ",
        "token exchange failed with status ",
        "Status: ",
    ];
    BEFORE_STATUS
        .into_iter()
        .filter_map(|text| output.split_once(text))
        .any(|(_, rest)| rest.get(..3).is_some_and(status::is_final))
}

/// The output of `tailscale up` on one line, without secrets.
pub fn complaint(output: &str, keys: &Keys) -> String {
    let lines: Vec<&str> = output
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    let text = keys.redact(&lines.join("; "));
    match text.contains("require --advertise-tags") {
        true => format!("{text}: set TAILSCALE_ADVERTISE_TAGS, e.g. tag:web"),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(variables: &'static [(&str, &str)]) -> Settings {
        Settings::from_env(&|name| match name {
            "TAILSCALE_AUTH_KEY" => Some("tskey-s3cret".into()),
            _ => variables
                .iter()
                .find(|(own, _)| *own == name)
                .map(|(_, value)| value.into()),
        })
        .unwrap()
        .unwrap()
    }

    fn keys() -> Keys {
        settings(&[]).credentials.open().unwrap()
    }

    fn words(settings: &Settings) -> Vec<String> {
        let limit = Some(Duration::from_secs(2));
        let keys = settings.credentials.open().unwrap();
        let words = arguments(settings, &keys, limit, Login::First).into_iter();
        // Leaves out the option with the path of the memory file.
        words
            .map(|word| word.into_string().unwrap())
            .filter(|word| !word.starts_with("--auth-key=file:/proc/self/fd/"))
            .collect()
    }

    #[test]
    fn the_defaults_are_given_explicitly_and_the_key_is_not() {
        assert_eq!(
            words(&settings(&[])),
            [
                "up",
                "--reset",
                "--timeout=2000ms",
                "--accept-dns=true",
                "--accept-routes=true",
                "--advertise-exit-node=false",
                "--shields-up=false"
            ]
        );
    }

    #[test]
    fn each_setting_becomes_its_option() {
        let words = words(&settings(&[
            ("TAILSCALE_ACCEPT_DNS", "false"),
            ("TAILSCALE_ACCEPT_ROUTES", "false"),
            ("TAILSCALE_ADVERTISE_EXIT_NODES", "true"),
            ("TAILSCALE_SHIELDS_UP", "true"),
            ("TAILSCALE_ADVERTISE_TAGS", "tag:a,tag:b"),
            ("TAILSCALE_HOSTNAME", "db"),
            ("TAILSCALE_LOGIN_SERVER", "http://127.0.0.1:1"),
            ("TS_ROUTES", "10.0.0.0/8"),
            ("TAILSCALE_SSH", "1"),
            ("TS_EXTRA_ARGS", "--stateful-filtering --operator=me"),
        ]));
        for option in [
            "--accept-dns=false",
            "--accept-routes=false",
            "--advertise-exit-node=true",
            "--shields-up=true",
            "--advertise-tags=tag:a,tag:b",
            "--hostname=db",
            "--login-server=http://127.0.0.1:1",
            "--advertise-routes=10.0.0.0/8",
            "--ssh=true",
            "--stateful-filtering",
            "--operator=me",
        ] {
            assert!(
                words.iter().any(|word| word == option),
                "{option}: {words:?}"
            );
        }
    }

    #[test]
    fn only_temporary_failures_are_retried() {
        let post = r#"Post "https://api.tailscale.com/api/v2/tailnet/-/keys": "#;
        for passing in [
            "backend error: node registration rate limited; will retry after 1s",
            &format!(
                r#"{post}Post "https://x/api/v2/oauth/token": dial tcp 127.0.0.1:9: connect: connection refused"#
            ),
            &format!("{post}oauth2: cannot fetch token: 503 Service Unavailable"),
            &format!("{post}oauth2: cannot fetch token: 429 Too Many Requests"),
            r#"failed to exchange JWT for access token: unexpected token exchange request error: Post "https://x/api/v2/oauth/token-exchange": EOF"#,
            "failed to exchange JWT for access token: token exchange failed with status 500: later",
        ] {
            assert!(is_to_be_tried_again(passing), "{passing}");
        }
        for refusal in [
            "backend error: invalid key",
            "oauth authkeys require --advertise-tags",
            &format!("{post}oauth2: cannot fetch token: 401 Unauthorized"),
            "failed to exchange JWT for access token: token exchange failed with status 403: no",
        ] {
            assert!(!is_to_be_tried_again(refusal), "{refusal}");
        }
    }

    #[test]
    fn missing_tags_are_reported_with_their_variable() {
        let complaint = complaint("oauth authkeys require --advertise-tags\n", &keys());
        assert!(
            complaint.contains("TAILSCALE_ADVERTISE_TAGS"),
            "{complaint}"
        );
    }

    #[test]
    fn a_complaint_is_one_line_without_the_key() {
        let complaint = complaint("\nbackend error:\n invalid key tskey-s3cret\n", &keys());
        assert_eq!(complaint, "backend error:; invalid key ***");
    }
}
