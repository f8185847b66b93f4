//! The words of `tailscale up`, and what its answer means.

#![forbid(unsafe_code)]

use super::settings::Settings;
use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

/// `key` is a file, because the command line can be seen by everybody on the machine.
pub fn arguments(settings: &Settings, key: &Path, limit: Option<Duration>) -> Vec<OsString> {
    let mut words = vec!["up".into(), super::daemon::option("--auth-key=file:", key)];
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
    if let Some(tags) = &settings.advertise_tags {
        add("advertise-tags", tags.clone());
    }
    if let Some(name) = &settings.hostname {
        add("hostname", name.clone());
    }
    if let Some(server) = &settings.login_server {
        add("login-server", server.clone());
    }
    words
}

/// With a key that is not accepted, some control servers ask for a login by browser. Nobody would come.
pub fn asks_for_a_browser(output: &str) -> bool {
    output.contains("To authenticate, visit")
}

/// `tailscale up` gives up where tailscaled goes on trying: when many machines log in at once (a deploy of many dynos),
/// the control server lets some wait.
pub fn is_to_be_tried_again(output: &str) -> bool {
    output.contains("rate limited")
}

/// What `tailscale up` wrote, for a message of ours: on one line, without the key.
pub fn complaint(output: &str, settings: &Settings) -> String {
    let key = String::from_utf8_lossy(settings.auth_key.reveal());
    let lines: Vec<&str> = output
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    lines.join("; ").replace(&*key, "***")
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

    fn words(settings: &Settings) -> Vec<String> {
        arguments(settings, Path::new("/key"), Some(Duration::from_secs(2)))
            .into_iter()
            .map(|word| word.into_string().unwrap())
            .collect()
    }

    #[test]
    fn the_defaults_are_said_and_the_key_is_not() {
        assert_eq!(
            words(&settings(&[])),
            [
                "up",
                "--auth-key=file:/key",
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
        ]));
        for option in [
            "--accept-dns=false",
            "--accept-routes=false",
            "--advertise-exit-node=true",
            "--shields-up=true",
            "--advertise-tags=tag:a,tag:b",
            "--hostname=db",
            "--login-server=http://127.0.0.1:1",
        ] {
            assert!(
                words.iter().any(|word| word == option),
                "{option}: {words:?}"
            );
        }
    }

    #[test]
    fn a_complaint_is_one_line_without_the_key() {
        let complaint = complaint(
            "\nbackend error:\n invalid key tskey-s3cret\n",
            &settings(&[]),
        );
        assert_eq!(complaint, "backend error:; invalid key ***");
    }
}
