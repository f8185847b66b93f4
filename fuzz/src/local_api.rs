//! tailscaled's reply to a DNS query. Input: the whole reply; or, after a byte 0, the DNS message in a valid reply.

use tailchain_core::dns::{read_reply, Question, Reply, CLASS_IN, TYPE_A, TYPE_AAAA};
use tailchain_core::host::HostName;
use tailchain_core::local_api::{dns_message, Lookup, Resolution};

const NAME: &[u8] = b"app.corp";

pub fn run(input: &[u8]) {
    match input.split_first() {
        Some((0, message)) => check_message(message),
        _ => check_response(input),
    }
}

fn check_message(message: &[u8]) {
    let response = [
        b"HTTP/1.0 200 OK\r\n\r\n{\"Resolvers\":[{}],\"Bytes\":\"".as_slice(),
        &base64(message),
        b"\"}\n",
    ]
    .concat();
    assert_eq!(dns_message(&response).as_deref(), Ok(message));
    check_response(&response);
    for qtype in [TYPE_A, TYPE_AAAA] {
        let question = Question::new(NAME, CLASS_IN, qtype).unwrap();
        if let Ok(Reply::Addresses { addresses, .. }) = read_reply(message, &question) {
            assert!(!addresses.is_empty());
            assert!(addresses.iter().all(|ip| ip.is_ipv4() == (qtype == TYPE_A)));
            // Each takes more than its own bytes.
            assert!(addresses.len() * 4 < message.len());
        }
    }
}

fn check_response(response: &[u8]) {
    let name = HostName::new(NAME).unwrap();
    let search = HostName::new(b"example").unwrap();
    let mut lookup = Lookup::new(&name, &[search]).unwrap();
    // Two names, two types.
    for _ in 0..4 {
        match lookup.on_response(response) {
            None => assert!(lookup.request().ends_with(b"\r\n\r\n")),
            Some((Resolution::Addresses(addresses), _)) => return assert!(!addresses.is_empty()),
            Some(_) => return,
        }
    }
    panic!("it never ends");
}

/// A second implementation of RFC 4648.
fn base64(bytes: &[u8]) -> Vec<u8> {
    let letters: Vec<u8> = (b'A'..=b'Z')
        .chain(b'a'..=b'z')
        .chain(b'0'..=b'9')
        .chain(*b"+/")
        .collect();
    let bits: Vec<u8> = bytes
        .iter()
        .flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1))
        .collect();
    let mut text: Vec<u8> = bits
        .chunks(6)
        .map(|six| {
            let value = six.iter().fold(0, |value, bit| value << 1 | bit) << (6 - six.len());
            letters[usize::from(value)]
        })
        .collect();
    text.resize(text.len().next_multiple_of(4), b'=');
    text
}
