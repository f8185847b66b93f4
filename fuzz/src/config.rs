//! Config files.

use tailchain_core::config::{parse, ChainKind, Config, ConfigError, Diagnostic, Source, Warning};

type Parsed = Result<(Config, Vec<Warning>), ConfigError>;

pub fn run(input: &[u8]) {
    never_shows_a_password(input);
    let parsed = read(input);
    let lines = 1 + input.iter().filter(|byte| **byte == b'\n').count();
    match &parsed {
        Err(error) => check_diagnostic(&error.0, lines),
        Ok((config, warnings)) => {
            check_config(config);
            for warning in warnings {
                check_diagnostic(&warning.0, lines);
            }
        }
    }
    let with_crs = input
        .split(|byte| *byte == b'\n')
        .collect::<Vec<_>>()
        .join(b"\r\n".as_slice());
    assert_same(&parsed, &read(&with_crs), "with CRs");
    let commented = [input, b"\n\n  # a comment\n \t "].concat();
    assert_same(&parsed, &read(&commented), "with a comment at its end");
}

fn read(text: &[u8]) -> Parsed {
    parse(text, Source::File("p.conf".into()))
}

fn check_config(config: &Config) {
    assert!(!config.proxies.is_empty());
    match config.chain {
        ChainKind::Random { len } | ChainKind::RoundRobin { len } => {
            assert!(
                (1..=config.proxies.len()).contains(&len),
                "{:?}",
                config.chain
            );
        }
        ChainKind::Strict | ChainKind::Dynamic => {}
    }
}

/// A diagnostic names an existing line; it is short and has no control characters.
fn check_diagnostic(diagnostic: &Diagnostic, lines: usize) {
    if let Some(line) = diagnostic.line {
        assert!(
            (1..=lines).contains(&(line as usize)),
            "{diagnostic:?} of {lines} lines"
        );
    }
    let message = diagnostic.to_string();
    assert!(message.len() < 1000, "{message}");
    assert!(!message.chars().any(char::is_control), "{message:?}");
}

/// Proxies compared by value as well: their printed form has no passwords.
fn assert_same(one: &Parsed, other: &Parsed, what: &str) {
    assert_eq!(format!("{one:?}"), format!("{other:?}"), "{what}");
    if let (Ok((one, _)), Ok((other, _))) = (one, other) {
        assert_eq!(one.proxies, other.proxies, "{what}");
    }
}

/// With a known password in the input: what surrounds it, on other lines and on its own.
fn never_shows_a_password(input: &[u8]) {
    const PASSWORD: &[u8] = b"Pa55W0rd";
    if contains(input, PASSWORD) {
        return;
    }
    let (head, tail) = input.split_at(input.len() / 2);
    let (word, behind) = (last_word(head), first_word(tail));
    let lines = [
        [b"socks5 127.0.0.1 1080 user ".as_slice(), PASSWORD, b""].concat(),
        [b"socks5 127.0.0.1 99999 user ".as_slice(), PASSWORD, behind].concat(),
        [b"socks5 127.0.0.1 99999 user ".as_slice(), word, PASSWORD].concat(),
        [b"socks5://user:".as_slice(), PASSWORD, b"@127.0.0.1:1080"].concat(),
        [
            b"socks5://user:".as_slice(),
            word,
            PASSWORD,
            behind,
            b"@127.0.0.1:port",
        ]
        .concat(),
    ];
    for line in lines {
        let told = match read(&[head, b"\n", &line, b"\n", tail].concat()) {
            Err(error) => format!("{error} {error:?}"),
            Ok((config, warnings)) => format!("{config:?} {warnings:?}"),
        };
        assert!(
            !contains(told.as_bytes(), PASSWORD),
            "{}: {told}",
            line.escape_ascii()
        );
    }
}

fn first_word(text: &[u8]) -> &[u8] {
    let mut words = text.split(u8::is_ascii_whitespace);
    words.next().unwrap_or_default()
}

fn last_word(text: &[u8]) -> &[u8] {
    let mut words = text.rsplit(u8::is_ascii_whitespace);
    words.next().unwrap_or_default()
}

fn contains(text: &[u8], word: &[u8]) -> bool {
    text.windows(word.len()).any(|window| window == word)
}
