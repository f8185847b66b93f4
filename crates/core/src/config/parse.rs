//! The config file format of proxychains-ng: directives, one per line, then `[ProxyList]` and the proxies.

#![forbid(unsafe_code)]

use super::builder::{ConfigBuilder, Order};
use super::directive;
use super::error::{Diagnostic, Problem};
use super::masked::{sanitized, sanitized_listed, sanitized_proxy};
use super::words::Words;
use super::{proxy_line, Config, ConfigError, Source, Warning};

/// Parses a config file. `source` is used in messages only.
///
/// # Errors
///
/// A malformed line, or an empty proxy list. An unknown directive is only a warning, since proxychains-ng skips it.
pub fn parse(text: &[u8], source: Source) -> Result<(Config, Vec<Warning>), ConfigError> {
    let mut file = File {
        builder: ConfigBuilder::new(Order::Dynamic),
        warnings: Vec::new(),
        source,
        in_list: false,
        near_miss: None,
    };
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    for (line, number) in text.split(|b| *b == b'\n').zip(1u32..) {
        let line = line.trim_ascii();
        if line.is_empty() || line.starts_with(b"#") {
            continue;
        }
        file.parse_line(line, number)?;
    }
    file.finish()
}

struct File {
    builder: ConfigBuilder,
    warnings: Vec<Warning>,
    source: Source,
    in_list: bool,
    /// The number and text of the first line that resembles `[ProxyList]`.
    near_miss: Option<(u32, String)>,
}

impl File {
    fn parse_line(&mut self, line: &[u8], number: u32) -> Result<(), ConfigError> {
        if self.in_list {
            return self.parse_proxy(line, number);
        }
        if line == HEADING {
            self.in_list = true;
            return Ok(());
        }
        if self.near_miss.is_none() && resembles_heading(line) {
            // The line may continue with a proxy, so mask passwords.
            self.near_miss = Some((number, sanitized_proxy(line)));
        }
        self.parse_directive(line, number)
    }

    fn parse_proxy(&mut self, line: &[u8], number: u32) -> Result<(), ConfigError> {
        let place =
            |problem: Problem, source| problem.at(source, Some(number), sanitized_listed(line));
        let (listed, note) =
            proxy_line::parse(line).map_err(|p| ConfigError(place(p, &self.source)))?;
        if let Some(note) = note {
            self.warnings.push(Warning(place(note, &self.source)));
        }
        self.builder.add_proxy(listed, number);
        Ok(())
    }

    fn parse_directive(&mut self, line: &[u8], number: u32) -> Result<(), ConfigError> {
        let (words, note) = Words::split(line);
        let note = match note {
            None => directive::apply(&mut self.builder, &words, number),
            // The directive before the comment still applies.
            Some(note) => directive::apply(&mut self.builder, &words, number)
                .map(|second| second.or(Some(note))),
        };
        let place = |problem: Problem, source: &Source| -> Diagnostic {
            let text = match directive::is_known(words.keyword) {
                true => sanitized(line),
                // It may be a proxy line above [ProxyList], so mask passwords.
                false => sanitized_proxy(line),
            };
            problem.at(source, Some(number), text)
        };
        match note {
            Ok(None) => Ok(()),
            Ok(Some(note)) => {
                self.warnings.push(Warning(place(note, &self.source)));
                Ok(())
            }
            Err(problem) => Err(ConfigError(place(problem, &self.source))),
        }
    }

    fn finish(self) -> Result<(Config, Vec<Warning>), ConfigError> {
        let (source, near_miss) = (self.source, self.near_miss);
        match self.builder.finish(&source) {
            Ok(config) => Ok((config, self.warnings)),
            Err((_, None)) if !self.in_list => Err(ConfigError(no_list(&source, near_miss))),
            Err((problem, line)) => Err(ConfigError(problem.at(&source, line, String::new()))),
        }
    }
}

const HEADING: &[u8] = b"[ProxyList]";

/// proxychains-ng accepts only the exact line `[ProxyList]`.
fn resembles_heading(line: &[u8]) -> bool {
    line.get(..HEADING.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(HEADING))
}

fn no_list(source: &Source, near_miss: Option<(u32, String)>) -> Diagnostic {
    match near_miss {
        Some((number, text)) => Problem::new(
            "unknown heading",
            "write [ProxyList] and nothing else on the line",
        )
        .at(source, Some(number), text),
        None => Problem::new(
            "there is no [ProxyList]",
            "add a line [ProxyList] and below it a proxy, e.g. socks5 127.0.0.1 1055",
        )
        .at(source, None, String::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{ChainKind, Dns};
    use proptest::prelude::*;

    fn read(text: &str) -> Result<(Config, Vec<Warning>), String> {
        parse(text.as_bytes(), Source::File("p.conf".into())).map_err(|error| error.to_string())
    }

    /// All constructs in the sample files of proxychains-ng and Debian, active or commented out.
    const ALL_CONSTRUCTS: &str = "\
# a comment\n\
\n\
  \t strict_chain \t \n\
#dynamic_chain\n\
round_robin_chain\n\
chain_len = 2\n\
quiet_mode\n\
proxy_dns \n\
remote_dns_subnet 127 \n\
remote_dns_subnet 224\n\
tcp_read_time_out 15000\n\
tcp_connect_time_out 8000\n\
localnet 192.168.1.0:80/255.255.255.0\n\
localnet 192.168.100.0/255.255.255.0\n\
localnet 0.0.0.0:81/0.0.0.0\n\
localnet [::]:81/0\n\
localnet 127.0.0.0/255.0.0.0\n\
localnet ::1/128\n\
dnat 1.1.1.1:1234  1.1.1.2:443\n\
dnat 1.1.1.2:443  1.1.1.2\n\
dnat 1.1.1.1  1.1.1.2:443\n\
dnat 1.1.1.1  1.1.1.2\n\
[ProxyList]\n\
# add proxy here ...\n\
  \tsocks5\t192.168.67.78\t1080\tlamer\tsecret\n\
http\t192.168.89.3\t8080\tjustu\thidden\n\
socks4\t192.168.1.49\t1080\n\
raw \t127.0.0.1 9050 \t\n";

    #[test]
    fn all_constructs_of_proxychains_ng_are_understood() {
        for text in [
            ALL_CONSTRUCTS.to_owned(),
            ALL_CONSTRUCTS.replace('\n', "\r\n"),
            format!("\u{feff}{ALL_CONSTRUCTS}"),
            ALL_CONSTRUCTS.trim_end().to_owned(),
        ] {
            let (config, warnings) = read(&text).unwrap();
            assert_eq!(warnings, []);
            assert_eq!(config.chain, ChainKind::RoundRobin { len: 2 });
            assert_eq!(config.dns, Dns::Remote);
            assert_eq!(config.fake_subnet, 224);
            assert_eq!(config.proxies.len(), 4);
            let line = config.local_nets.matches([8, 8, 8, 8].into(), 81);
            assert_eq!(line, Some(15));
            let login = config.proxies[0].credentials.as_ref().unwrap();
            assert_eq!(login.password.reveal(), b"secret");
        }
    }

    #[test]
    fn without_proxies_the_error_says_what_to_add() {
        for (text, problem) in [
            ("", "there is no [ProxyList]"),
            (
                "strict_chain\nsocks5 127.0.0.1 1080",
                "there is no [ProxyList]",
            ),
            ("[ProxyList]", "the proxy list is empty"),
            (
                "[ProxyList]\n# socks5 127.0.0.1 1080\n",
                "the proxy list is empty",
            ),
        ] {
            let error = read(text).unwrap_err();
            let expected = format!("p.conf: {problem}; add ");
            assert!(error.starts_with(&expected), "{error}");
        }
    }

    #[test]
    fn a_mistyped_heading_is_an_error_unless_a_correct_one_follows() {
        for (line, shown) in [
            ("[proxylist]", "[proxylist]"),
            ("[ProxyList] # mine", "[ProxyList] # ***"),
            (
                "[ProxyList]socks5 ::1 1 user s3cret",
                "[ProxyList]socks5 ::1 1 user ***",
            ),
        ] {
            let text = format!("proxy_dns\n{line}\nsocks5 127.0.0.1 1080\n");
            assert_eq!(
                read(&text).unwrap_err(),
                format!(
                    "p.conf:2: `{shown}`: unknown heading; \
                     write [ProxyList] and nothing else on the line"
                )
            );
            let corrected = format!("{text}[ProxyList]\nraw ::1 1\n");
            assert_eq!(read(&corrected).unwrap().0.proxies.len(), 1, "{line}");
            let emptied = format!("{text}[ProxyList]\n");
            assert!(read(&emptied).unwrap_err().contains("list is empty"));
        }
    }

    #[test]
    fn a_bad_proxy_line_is_an_error_without_its_password() {
        for line in [
            "socks5 127.0.0.1 0 user s3cret",
            "socks5 127.0.0.1 user s3cret",
            "socks5://user:s3cret@127.0.0.1:0",
            "socks9 127.0.0.1 1080 user s3cret",
        ] {
            let error = read(&format!("[ProxyList]\n{line}")).unwrap_err();
            assert!(error.starts_with("p.conf:2: `"), "{error}");
            assert!(!error.contains("s3cret"), "{error}");
        }
    }

    #[test]
    fn a_proxy_above_the_list_is_warned_about_without_its_password() {
        let line = "socks5 127.0.0.1 1080 user s3cret";
        let (_, warnings) = read(&format!("{line}\n[ProxyList]\nraw ::1 1")).unwrap();
        let text = warnings[0].to_string();
        assert!(
            !text.contains("s3cret") && text.contains("below [ProxyList]"),
            "{text}"
        );
    }

    #[test]
    fn a_proxy_type_with_remote_names_enables_proxy_dns() {
        for (line, dns) in [
            ("socks5 ::1 1080", Dns::Local),
            ("socks5h ::1 1080", Dns::Remote),
            ("socks5h://[::1]:1080", Dns::Remote),
            ("http ::1 1080", Dns::Local),
        ] {
            let (config, _) = read(&format!("[ProxyList]\n{line}")).unwrap();
            assert_eq!(config.dns, dns, "{line}");
        }
    }

    #[test]
    fn a_chain_longer_than_the_list_is_an_error_at_its_line() {
        let error = read("chain_len = 2\nrandom_chain\n[ProxyList]\nraw ::1 1").unwrap_err();
        assert!(error.starts_with("p.conf:1: chain_len is 2, but the number of proxies is 1; "));
        let strict = read("chain_len = 2\nstrict_chain\n[ProxyList]\nraw ::1 1");
        assert!(strict.is_ok());
    }

    #[test]
    fn a_unix_socket_can_only_be_first() {
        let with = |head: &str, list: &str| read(&format!("{head}\n[ProxyList]\n{list}"));
        let (unix, tcp) = ("socks5 unix:/run/p.sock", "socks5 ::1 1080");
        assert!(with("strict_chain", &format!("{unix}\n{tcp}")).is_ok());
        assert!(with("random_chain", &format!("{tcp}\n{unix}")).is_ok());
        for head in ["strict_chain", "dynamic_chain", "random_chain\nchain_len 2"] {
            let error = with(head, &format!("{tcp}\n{unix}")).unwrap_err();
            assert!(error.contains("unix socket"), "{head}: {error}");
        }
    }

    #[test]
    fn a_very_long_line_is_truncated_in_messages() {
        let long = "x".repeat(1 << 20);
        let error = read(&format!("localnet {long}\n")).unwrap_err();
        assert!(error.len() < 500, "{}", error.len());
        let comment = format!("# {long}\n[ProxyList]\nraw ::1 1 {}", "u".repeat(255));
        assert!(read(&comment).is_ok());
    }

    #[test]
    fn a_directive_that_is_not_utf8_is_an_error() {
        let text = b"localdomain \xff.example\n[ProxyList]\nraw ::1 1";
        let error = parse(text, Source::File("p.conf".into())).unwrap_err();
        assert!(error.to_string().contains("not UTF-8"));
    }

    proptest! {
        #[test]
        fn parsing_any_bytes_does_not_panic(text in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = parse(&text, Source::File("p.conf".into()));
        }

        #[test]
        fn parsing_any_sequence_of_keywords_does_not_panic(
            words in proptest::collection::vec(
                prop_oneof![
                    Just("\n"), Just(" "), Just("="), Just("#"), Just("[ProxyList]\n"), Just("localnet"),
                    Just("dnat"), Just("chain_len"), Just("socks5"), Just("://"), Just("@"), Just(":"),
                    Just("unix:/"), Just("10.0.0.0/8"), Just("[::1]"), Just("1080"), Just("tailnet_only"),
                    Just("\u{e9}"), Just("\0"),
                ],
                0..60,
            ),
        ) {
            let _ = read(&words.concat());
        }

        #[test]
        fn no_message_contains_a_password(head in "[a-z0-9 :/.@#]{0,20}", tail in "[a-z0-9 :/.@#]{0,20}") {
            let text = format!("[ProxyList]\nsocks5://u{head}:S3CRET{tail}@h:x");
            let output = match read(&text) {
                Ok((config, warnings)) => format!("{config:?} {warnings:?}"),
                Err(error) => error,
            };
            prop_assert!(!output.contains("S3CRET"));
        }
    }
}
