//! The config file of proxychains-ng: lines of directives, then `[ProxyList]` with the proxies to the end.

#![forbid(unsafe_code)]

use super::directive::{self, Words};
use super::draft::{Draft, Order};
use super::error::{shown, shown_proxy, Finding, Problem};
use super::{proxy_line, Config, ConfigError, Source, Warning};

/// Understands the bytes of a config file. `source` is only named in what is reported.
///
/// # Errors
///
/// The first line that cannot be understood, or that there is no proxy. A directive that is not known is a
/// warning, because proxychains-ng skips it.
pub fn parse(text: &[u8], source: Source) -> Result<(Config, Vec<Warning>), ConfigError> {
    let mut file = File {
        draft: Draft::new(Order::Dynamic),
        warnings: Vec::new(),
        source,
        in_list: false,
    };
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    for (line, number) in text.split(|b| *b == b'\n').zip(1u32..) {
        let line = line.trim_ascii();
        if line.is_empty() || line.starts_with(b"#") {
            continue;
        }
        file.take(line, number)?;
    }
    file.finish()
}

struct File {
    draft: Draft,
    warnings: Vec<Warning>,
    source: Source,
    in_list: bool,
}

impl File {
    fn take(&mut self, line: &[u8], number: u32) -> Result<(), ConfigError> {
        if self.in_list {
            return self.take_proxy(line, number);
        }
        if line == b"[ProxyList]" {
            self.in_list = true;
            return Ok(());
        }
        self.take_directive(line, number)
    }

    fn take_proxy(&mut self, line: &[u8], number: u32) -> Result<(), ConfigError> {
        let place = |problem: Problem, source| problem.at(source, Some(number), shown_proxy(line));
        let (listed, remark) =
            proxy_line::parse(line).map_err(|p| ConfigError(place(p, &self.source)))?;
        if let Some(remark) = remark {
            self.warnings.push(Warning(place(remark, &self.source)));
        }
        self.draft.add_proxy(listed, number);
        Ok(())
    }

    fn take_directive(&mut self, line: &[u8], number: u32) -> Result<(), ConfigError> {
        let (words, remark) = Words::split(line);
        let remark = match remark {
            None => directive::apply(&mut self.draft, &words, number),
            // What stands before the comment counts all the same.
            Some(remark) => directive::apply(&mut self.draft, &words, number)
                .map(|second| second.or(Some(remark))),
        };
        let place = |problem: Problem, source: &Source| -> Finding {
            let text = match directive::is_known(words.keyword) {
                true => shown(line),
                // A proxy may have been written in the wrong place: its password is not shown.
                false => shown_proxy(line),
            };
            problem.at(source, Some(number), text)
        };
        match remark {
            Ok(None) => Ok(()),
            Ok(Some(remark)) => {
                self.warnings.push(Warning(place(remark, &self.source)));
                Ok(())
            }
            Err(problem) => Err(ConfigError(place(problem, &self.source))),
        }
    }

    fn finish(self) -> Result<(Config, Vec<Warning>), ConfigError> {
        let listless = !self.in_list;
        let config = self
            .draft
            .finish(&self.source)
            .map_err(|(problem, line)| match line {
                None if listless => Problem::new(
                    "there is no [ProxyList]",
                    "add a line [ProxyList] and below it a proxy, such as socks5 127.0.0.1 1055",
                )
                .at(&self.source, None, String::new()),
                line => problem.at(&self.source, line, String::new()),
            })
            .map_err(ConfigError)?;
        Ok((config, self.warnings))
    }
}
