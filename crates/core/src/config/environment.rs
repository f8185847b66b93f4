//! A configuration from environment variables: proxy URLs, and exceptions in `NO_PROXY`.

#![forbid(unsafe_code)]

use super::builder::{ConfigBuilder, Order};
use super::error::Problem;
use super::masked::{sanitized, sanitized_url};
use super::proxy_parts::Listed;
use super::rules::{Net, Suffix};
use super::url::{self, Dialect};
use super::{Config, ConfigError, Dns, ProxyKind, Source, Warning};

/// Parses `url_list`, the value of `variable`: proxy URLs separated by commas, which form a strict chain.
///
/// As in curl, `socks5h`, `socks4a` and `http` proxies resolve names, while libc resolves them for `socks5` and `socks4`.
/// One proxy that resolves names enables `proxy_dns` for the whole chain. The default port is 1080, for `http` 8080.
///
/// A comma in a password must be written as `%2C`. An unescaped comma would split the password into apparent users,
/// hosts and ports, so each URL of a list must have a type, and errors about a list show no part of it.
///
/// `no_proxy` is parsed as by curl and Go: names (including subdomains), `.suffix`, `*`, addresses, networks and
/// `ADDRESS:PORT`, separated by commas or blanks. An invalid item is only a warning, since the variable is shared with
/// other programs.
///
/// # Errors
///
/// A malformed URL, or an empty list.
pub fn from_url(
    url_list: &str,
    variable: &'static str,
    no_proxy: Option<&str>,
) -> Result<(Config, Vec<Warning>), ConfigError> {
    let source = Source::Variable(variable);
    let mut builder = ConfigBuilder::new(Order::Strict);
    let count = url_list.split(',').count();
    let shown_alone = |url| match count {
        1 => sanitized_url(url),
        _ => String::new(),
    };
    for (url, number) in url_list.split(',').map(str::trim).zip(1u32..) {
        let listed = parse_one(url, count).map_err(|mut problem| {
            if count > 1 {
                problem.what = format!("URL {number} of {count}: {}", problem.what);
            }
            ConfigError(problem.at(&source, None, shown_alone(url)))
        })?;
        if listed.proxy.kind == ProxyKind::Http {
            builder.dns = Dns::Remote;
        }
        builder.add_proxy(listed, number);
    }
    let warnings = match no_proxy {
        Some(list) => add_exceptions(&mut builder, list),
        None => Vec::new(),
    };
    let config = builder
        .finish(&source)
        .map_err(|(problem, _)| ConfigError(problem.at(&source, None, shown_alone(url_list))))?;
    Ok((config, warnings))
}

/// One URL of `count`.
fn parse_one(url: &str, count: usize) -> Result<Listed, Problem> {
    if count > 1 && !url::is_url(url.as_bytes()) {
        return Err(Problem::new(
            "it has no type",
            "expected e.g. socks5h://127.0.0.1:1055; write a comma in a password as %2C",
        ));
    }
    url::parse(url.as_bytes(), Dialect::Environment)
}

/// The position of an item, counted from 1, is used as its line number.
fn add_exceptions(builder: &mut ConfigBuilder, list: &str) -> Vec<Warning> {
    let items = list
        .split(|c: char| c == ',' || c.is_ascii_whitespace())
        .filter(|item| !item.is_empty());
    let mut warnings = Vec::new();
    for (item, number) in items.zip(1u32..) {
        if let Err(problem) = add_exception(builder, item, number) {
            let source = Source::Variable("NO_PROXY");
            warnings.push(Warning(problem.at(
                &source,
                None,
                sanitized(item.as_bytes()),
            )));
        }
    }
    warnings
}

fn add_exception(builder: &mut ConfigBuilder, item: &str, number: u32) -> Result<(), Problem> {
    if item == "*" {
        builder.local_domains.insert(Suffix::everything(), number);
        builder
            .local_nets
            .extend(Net::everything().map(|net| (net, number)));
        return Ok(());
    }
    let bare_v6 = item.strip_prefix('[').and_then(|i| i.strip_suffix(']'));
    if let Ok(net) = Net::parse(bare_v6.unwrap_or(item)) {
        builder.local_nets.push((net, number));
        return Ok(());
    }
    if item.contains('/') {
        return Err(Problem::new(
            "this network is ignored: it is malformed",
            "expected e.g. 10.0.0.0/8",
        ));
    }
    if item.contains(':') {
        // The decision is made when the name is resolved, before the port is known. Excepting the name on every port would
        // let connections bypass the proxy that the user did not except.
        return Err(Problem::new(
            "this item is ignored: a name cannot be excepted on one port only",
            "write the name without the port",
        ));
    }
    builder.local_domains.insert(Suffix::parse(item)?, number);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ChainKind;
    use crate::host::HostName;
    use std::time::Duration;

    fn config(urls: &str) -> Config {
        from_url(urls, "ALL_PROXY", None).unwrap().0
    }

    #[test]
    fn one_url_is_a_strict_chain_with_the_defaults_of_a_file() {
        let config = config("socks5h://127.0.0.1:1055");
        assert_eq!(config.source, Source::Variable("ALL_PROXY"));
        assert_eq!(config.chain, ChainKind::Strict);
        assert_eq!(config.proxies.len(), 1);
        assert_eq!(config.read_timeout, Duration::from_millis(4000));
        assert_eq!(config.connect_timeout, Duration::from_millis(10_000));
        assert!(config.local_nets.is_empty() && config.local_domains.is_empty());
    }

    #[test]
    fn urls_form_a_chain_in_order() {
        let config = config("socks5://10.0.0.1:1, http://u:p@10.0.0.2");
        let hops: Vec<String> = config
            .proxies
            .iter()
            .map(|p| p.endpoint.to_string())
            .collect();
        assert_eq!(hops, ["10.0.0.1:1", "10.0.0.2:8080"]);
    }

    #[test]
    fn the_type_determines_who_resolves_names() {
        for (url, dns) in [
            ("socks5://h", Dns::Local),
            ("socks5h://h", Dns::Remote),
            ("socks4://h", Dns::Local),
            ("socks4a://h", Dns::Remote),
            ("http://h", Dns::Remote),
            ("h:8080", Dns::Remote),
            ("socks5://h,socks5h://h", Dns::Remote),
        ] {
            assert_eq!(config(url).dns, dns, "{url}");
        }
    }

    #[test]
    fn a_bad_url_is_an_error_that_hides_the_password() {
        for url in [
            "",
            ",",
            "socks5://u:s3cret@h:1,",
            "socks5://u:s3cret@h:0",
            "socks5://u:s3cret@h:1,socks9://u:s3cret@h:1",
            "socks5://h:1,socks5://u:s3cret@unix:/p",
        ] {
            let error = from_url(url, "ALL_PROXY", None).unwrap_err().to_string();
            assert!(error.starts_with("ALL_PROXY: "), "{error}");
            assert!(!error.contains("s3cret"), "{error}");
        }
    }

    #[test]
    fn no_proxy_excepts_names_networks_and_addresses() {
        let list =
            "localhost, .internal example.org,10.0.0.0/8,192.168.1.1,[fd00::1],::2,172.16.0.1:5432";
        let (config, warnings) = from_url("socks5h://h", "ALL_PROXY", Some(list)).unwrap();
        assert_eq!(warnings, []);
        let name = |n: &str| {
            let name = HostName::new(n.as_bytes()).unwrap();
            config.local_domains.matches(&name)
        };
        assert_eq!(name("db.internal"), Some(2));
        assert_eq!(name("www.example.org"), Some(3));
        assert_eq!(name("example.com"), None);
        let net = |ip: &str, port| config.local_nets.matches(ip.parse().unwrap(), port);
        assert_eq!(net("10.1.2.3", 80), Some(4));
        assert_eq!(net("192.168.1.1", 80), Some(5));
        assert_eq!(net("192.168.1.2", 80), None);
        assert_eq!(net("fd00::1", 80), Some(6));
        assert_eq!(net("::2", 80), Some(7));
        assert_eq!(net("172.16.0.1", 5432), Some(8));
        assert_eq!(net("172.16.0.1", 5433), None);
    }

    #[test]
    fn a_star_excepts_everything() {
        let (config, _) = from_url("socks5h://h", "ALL_PROXY", Some("*")).unwrap();
        let name = HostName::new(b"any.name").unwrap();
        assert_eq!(config.local_domains.matches(&name), Some(1));
        for ip in ["8.8.8.8", "2001:db8::1"] {
            assert_eq!(config.local_nets.matches(ip.parse().unwrap(), 1), Some(1));
        }
    }

    #[test]
    fn a_password_with_a_comma_is_an_error_that_shows_no_part_of_it() {
        for url in [
            "socks5://user:s3cret,tail@h:1",
            "socks5://h:1,user:s3cret,@h:1",
            "socks5://user:head,s3cret@h:0",
            "socks5://user:head,s3cret/",
            "socks5://user:1,s3cret@h:1",
            "socks5://user:1,s3cret:tail@h:1",
            "socks5://user:1,s3cret",
            "socks5://user:1,s3cret@tail@h:1",
            "socks5://user:1,2,s3cret",
            "socks5://user:1,s3cret://tail@h:1",
            "socks5://user:1,socks5://s3cret@h:0",
            "socks5://user:1,socks5://s3cret:99999",
            "socks5://s3cret:99999,tail@h:1",
            "user:1,s3cret@h:1",
        ] {
            let error = from_url(url, "ALL_PROXY", None).unwrap_err();
            let shown = format!("{error} {error:?}");
            assert!(!shown.contains("s3cret"), "{url} -> {shown}");
            assert!(!shown.contains("99999"), "{url} -> {shown}");
        }
    }

    #[test]
    fn an_error_in_a_list_has_the_position_of_the_url() {
        for (urls, expected) in [
            (
                "socks5://h:1, socks5://h:0",
                "ALL_PROXY: URL 2 of 2: the port is wrong; ",
            ),
            (
                "socks5://h:1,h:2,raw://h:3",
                "ALL_PROXY: URL 2 of 3: it has no type; ",
            ),
            (
                "socks5://h:0",
                "ALL_PROXY: `socks5://h:0`: the port is wrong; ",
            ),
        ] {
            let error = from_url(urls, "ALL_PROXY", None).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{error}");
        }
    }

    #[test]
    fn an_invalid_item_is_a_warning_and_excepts_nothing() {
        let list = Some("db.internal:5432,10.0.0.0/99,a..b");
        let (config, warnings) = from_url("socks5h://h", "ALL_PROXY", list).unwrap();
        assert_eq!(warnings.len(), 3);
        assert!(warnings[0]
            .to_string()
            .starts_with("NO_PROXY: `db.internal:5432`: "));
        assert!(config.local_nets.is_empty() && config.local_domains.is_empty());
    }
}
