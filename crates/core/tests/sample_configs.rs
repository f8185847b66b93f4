//! Sample configs: those shipped by tailchain and by Debian's proxychains-ng.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stderr)]

use std::path::{Path, PathBuf};
use std::time::Duration;
use tailchain_core::config::{ChainKind, Dns, ProxyDown};
use tailchain_core::load::{load, Loaded};

fn loaded(path: &Path) -> Loaded {
    load(Some(path), &|_| None).unwrap()
}

fn shipped() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../conf/proxychains.conf")
}

#[test]
fn the_shipped_config_is_clean_and_says_what_a_dyno_needs() {
    let Loaded {
        config, warnings, ..
    } = loaded(&shipped());
    assert_eq!(warnings, []);
    assert_eq!(config.chain, ChainKind::Strict);
    assert_eq!(config.dns, Dns::Remote);
    assert_eq!(config.read_timeout, Duration::from_millis(15_000));
    assert_eq!(config.connect_timeout, Duration::from_millis(8_000));
    assert_eq!(config.proxy_down, ProxyDown::Fail);
    assert!(!config.wait.is_zero() && config.retry > 0);
    for loopback in ["127.0.0.1", "127.255.255.255", "::1"] {
        let ip = loopback.parse().unwrap();
        assert!(config.local_nets.matches(ip, 5432).is_some(), "{loopback}");
    }
    assert!(config.allow_nets.is_empty() && config.allow_domains.is_empty());
    assert_eq!(config.proxies.len(), 1);
    assert_eq!(config.proxies[0].endpoint.to_string(), "127.0.0.1:1055");
}

/// The examples in the shipped config's comments are valid as well: every commented-out directive, and `tailnet_only`
/// with its `#` removed.
#[test]
fn what_the_shipped_config_shows_in_comments_is_clean_too() {
    let text = std::fs::read_to_string(shipped()).unwrap();
    assert!(text.contains("\n# tailnet_only\n"));
    let mut examples = 0;
    let uncommented: Vec<&str> = text
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(example) if example.starts_with(|c: char| c.is_ascii_lowercase()) => {
                examples += 1;
                example
            }
            _ if line == "# tailnet_only" => "tailnet_only",
            Some(_) | None => line,
        })
        .collect();
    assert!(examples > 10, "{examples}");
    let source = tailchain_core::config::Source::File("all".into());
    let (config, warnings) =
        tailchain_core::config::parse(uncommented.join("\n").as_bytes(), source).unwrap();
    assert_eq!(warnings, []);
    assert_eq!(config.proxies.len(), 1);
    let tailnet = "100.64.0.1".parse().unwrap();
    assert!(config.allow_nets.matches(tailnet, 1).is_some());
    assert!(config.quiet && config.log_file.is_some());
}

#[test]
fn debians_config_is_understood_unchanged() {
    let path = Path::new("/etc/proxychains4.conf");
    if !path.exists() {
        eprintln!("SKIPPED: {} is not installed", path.display());
        return;
    }
    let Loaded {
        config, warnings, ..
    } = loaded(path);
    assert_eq!(warnings, []);
    assert!(!config.proxies.is_empty());
}
