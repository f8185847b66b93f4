//! Generates conf/proxychains.conf, the shipped config.

use super::text::{plain, wrapped};
use tailchain_core::config::{Section, DIRECTIVES};

const HEAD: &str = "\
# Configuration of tailchain; proxychains-ng reads it too and skips what it does not know.
#
# Meant for a program that reaches a Tailscale network through
#     tailscaled --tun=userspace-networking --socks5-server=localhost:1055
# `tailchain check FILE` says what a file means, `tailchain explain HOST PORT` where a connection would go.
#
# One directive a line. A comment has its own line. Directives come before [ProxyList], proxies after it.
";

const PROXIES: &str = "
# TYPE HOST PORT [USER PASSWORD]   or   TYPE://[USER:PASSWORD@]HOST:PORT
# TYPE is socks5, socks4, http or raw (which passes bytes on unchanged). With socks5h and socks4a in place of
# socks5 and socks4 the proxy resolves names even without proxy_dns. HOST is an address or a name; the first
# proxy may be a unix socket: socks5 unix:/run/tailscale.sock. proxychains-ng stops at socks5h, socks4a and unix:.
#
#   socks5  192.0.2.1          1080  user  password
#   http    proxy.example.com  8080

[ProxyList]
socks5 127.0.0.1 1055
";

const WIDTH: usize = 110;

/// Leaves out directives that are only accepted for compatibility with old files.
pub fn shipped() -> String {
    let mut text = HEAD.to_owned();
    let mut section = None;
    for directive in DIRECTIVES.iter().filter(|d| !d.shipped.is_empty()) {
        if section.replace(directive.section) != Some(directive.section) {
            text.push_str(&heading(title(directive.section)));
        }
        let comment = format!("{} {}", directive.summary, directive.detail);
        text.push('\n');
        for line in wrapped(&plain(&comment), WIDTH) {
            text.push_str(&format!("# {line}\n"));
        }
        for line in directive.shipped {
            text.push_str(&format!("{line}\n"));
        }
    }
    text + &heading("The proxies") + PROXIES
}

fn heading(title: &str) -> String {
    format!("\n# ---- {title} {:-<1$}\n", "", 102 - title.len())
}

fn title(section: Section) -> &'static str {
    match section {
        Section::Chain => "The chain: which proxies of the list a connection passes",
        Section::Names => "Names",
        Section::Routing => "What is proxied",
        Section::Retries => "Timeouts and retries",
        Section::Messages => "Messages",
    }
}
