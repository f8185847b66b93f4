//! The subset of DNS messages (RFC 1035 section 4) that is needed to answer a program's address query from the name
//! table, and to read a name server's reply to a query of ours.

#![forbid(unsafe_code)]

mod reply;

pub use reply::{read_reply, Reply};

use crate::host::HostName;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Query types (RFC 1035 section 3.2.2, RFC 3596 section 2.1, RFC 9460 section 14.1).
pub const TYPE_A: u16 = 1;
pub const TYPE_CNAME: u16 = 5;
pub const TYPE_PTR: u16 = 12;
pub const TYPE_AAAA: u16 = 28;
pub const TYPE_SVCB: u16 = 64;
pub const TYPE_HTTPS: u16 = 65;
/// The class of the Internet.
pub const CLASS_IN: u16 = 1;

/// Seconds. Short, because a fake IP is valid only while its name is in the table.
const TTL: u32 = 10;

const HEADER: usize = 12;
/// Bytes of an encoded name, including length bytes and the final zero (RFC 1035 section 2.3.4).
const LONGEST_NAME: usize = 255;
const LONGEST_LABEL: usize = 63;

/// Fields of the header's second word (RFC 1035 section 4.1.1).
const QR: u16 = 0x8000;
const OPCODE: u16 = 0x7800;
const TC: u16 = 0x0200;
const RD: u16 = 0x0100;
const RA: u16 = 0x0080;
const NO_SUCH_NAME: u16 = 3;

/// Why a message cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadMessage {
    /// Truncated.
    Short,
    /// A response, or an operation other than a standard query.
    NotAQuery,
    /// Not exactly one question.
    Questions,
    /// A label of unknown type, a compression pointer that does not point backwards, or more than 255 bytes.
    Name,
    /// Not the response to our query.
    NotTheReply,
}

impl fmt::Display for BadMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            BadMessage::Short => "the DNS message ends before its question does",
            BadMessage::NotAQuery => "the DNS message is not a standard query",
            BadMessage::Questions => "the DNS message does not have exactly one question",
            BadMessage::Name => "the name in the DNS message is malformed",
            BadMessage::NotTheReply => "the DNS message does not answer the question",
        })
    }
}

impl std::error::Error for BadMessage {}

/// The question section of a query (RFC 1035 section 4.1.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// Encoded as length, label, …, 0; at most 255 bytes, no compression pointers.
    name: Vec<u8>,
    pub qtype: u16,
    pub class: u16,
}

impl Question {
    /// `name` is a domain name as res_query(3) takes it. A trailing dot is ignored; the empty name is the root. A
    /// backslash is not an escape, since host names contain none.
    ///
    /// # Errors
    ///
    /// [`BadMessage::Name`] if a label is empty or too long, or the name is too long.
    pub fn new(name: &[u8], class: u16, qtype: u16) -> Result<Question, BadMessage> {
        let mut wire = Vec::with_capacity(name.len() + 2);
        let name = name.strip_suffix(b".").unwrap_or(name);
        if !name.is_empty() {
            for label in name.split(|&b| b == b'.') {
                push_label(&mut wire, label)?;
            }
        }
        wire.push(0);
        if wire.len() > LONGEST_NAME {
            return Err(BadMessage::Name);
        }
        let name = wire;
        Ok(Question { name, qtype, class })
    }

    /// The name as a host name; `None` for the root and for names that no host can have.
    pub fn host(&self) -> Option<HostName> {
        let mut text = Vec::with_capacity(self.name.len());
        for label in labels(&self.name) {
            if label.contains(&b'.') {
                return None;
            }
            if !text.is_empty() {
                text.push(b'.');
            }
            text.extend_from_slice(label);
        }
        HostName::new(&text).ok()
    }

    /// The address in a PTR query: `4.3.2.1.in-addr.arpa` (RFC 1035 section 3.5), or 32 hex digits below `ip6.arpa`
    /// (RFC 3596 section 2.5).
    pub fn reverse_address(&self) -> Option<IpAddr> {
        let host = self.host()?;
        if let Some(octets) = host.as_str().strip_suffix(".in-addr.arpa") {
            let Ipv4Addr { .. } = octets.parse().ok()?;
            let reversed: Vec<&str> = octets.split('.').rev().collect();
            return reversed.join(".").parse().ok().map(IpAddr::V4);
        }
        let digits = host.as_str().strip_suffix(".ip6.arpa")?;
        let mut bits = 0u128;
        let mut count = 0;
        for label in digits.split('.').rev() {
            let one_digit = label.len() == 1 && count < 32;
            let digit = u128::from_str_radix(label, 16).ok().filter(|_| one_digit)?;
            bits = bits << 4 | digit;
            count += 1;
        }
        (count == 32).then(|| Ipv6Addr::from_bits(bits).into())
    }
}

/// A query message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    pub id: u16,
    pub recursion_desired: bool,
    pub question: Question,
}

impl Query {
    /// Parses a message and ignores what follows the question, e.g. EDNS (RFC 6891).
    pub fn parse(message: &[u8]) -> Result<Query, BadMessage> {
        let flags = word(message, 2)?;
        if flags & (QR | OPCODE) != 0 {
            return Err(BadMessage::NotAQuery);
        }
        if word(message, 4)? != 1 {
            return Err(BadMessage::Questions);
        }
        let (question, _) = read_question(message, HEADER)?;
        Ok(Query {
            id: word(message, 0)?,
            recursion_desired: flags & RD != 0,
            question,
        })
    }

    /// Encodes the query.
    pub fn to_message(&self) -> Vec<u8> {
        let flags = if self.recursion_desired { RD } else { 0 };
        self.message(flags, 0)
    }

    /// Encodes a response of at most `limit` bytes. A longer response is cut after the question and marked as
    /// truncated (RFC 2181 section 9). `None` if even that does not fit.
    pub fn answer(&self, answer: &Answer, limit: usize) -> Option<Vec<u8>> {
        let rd = if self.recursion_desired { RD } else { 0 };
        let (code, record) = match answer {
            Answer::Address(ip) => (0, Some(address_record(*ip))),
            Answer::Name(name) => {
                let name = Question::new(name.as_str().as_bytes(), CLASS_IN, TYPE_PTR).ok()?;
                (0, Some((TYPE_PTR, name.name)))
            }
            Answer::NoData => (0, None),
            Answer::NoSuchName => (NO_SUCH_NAME, None),
        };
        let flags = QR | RA | rd | code;
        let mut message = self.message(flags, u16::from(record.is_some()));
        if let Some((rtype, data)) = record {
            // The owner name: a compression pointer to the question, which always follows the header.
            push_word(&mut message, 0xc000 | HEADER as u16);
            push_word(&mut message, rtype);
            push_word(&mut message, CLASS_IN);
            message.extend_from_slice(&TTL.to_be_bytes());
            push_word(&mut message, u16::try_from(data.len()).ok()?);
            message.extend_from_slice(&data);
        }
        if message.len() > limit {
            message = self.message(flags | TC, 0);
        }
        (message.len() <= limit).then_some(message)
    }

    /// Header and question.
    fn message(&self, flags: u16, answers: u16) -> Vec<u8> {
        let mut message = Vec::with_capacity(512);
        for word in [self.id, flags, 1, answers, 0, 0] {
            push_word(&mut message, word);
        }
        message.extend_from_slice(&self.question.name);
        push_word(&mut message, self.question.qtype);
        push_word(&mut message, self.question.class);
        message
    }
}

/// The content of a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// An A or AAAA record.
    Address(IpAddr),
    /// A PTR record.
    Name(HostName),
    /// The name exists, but has no record of the type asked for (NODATA, RFC 2308 section 2.2).
    NoData,
    /// The name does not exist (NXDOMAIN).
    NoSuchName,
}

fn address_record(ip: IpAddr) -> (u16, Vec<u8>) {
    match ip {
        IpAddr::V4(ip) => (TYPE_A, ip.octets().to_vec()),
        IpAddr::V6(ip) => (TYPE_AAAA, ip.octets().to_vec()),
    }
}

fn push_label(wire: &mut Vec<u8>, label: &[u8]) -> Result<(), BadMessage> {
    match u8::try_from(label.len()) {
        Ok(len) if len > 0 && label.len() <= LONGEST_LABEL => {
            wire.push(len);
            wire.extend_from_slice(label);
            Ok(())
        }
        _ => Err(BadMessage::Name),
    }
}

fn push_word(message: &mut Vec<u8>, word: u16) {
    message.extend_from_slice(&word.to_be_bytes());
}

fn word(message: &[u8], at: usize) -> Result<u16, BadMessage> {
    match message.get(at..).and_then(<[u8]>::first_chunk) {
        Some(bytes) => Ok(u16::from_be_bytes(*bytes)),
        None => Err(BadMessage::Short),
    }
}

/// The labels of a name without pointers.
fn labels(mut wire: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (&len, rest) = wire.split_first()?;
        let (label, rest) = rest.split_at_checked(usize::from(len))?;
        wire = rest;
        (len > 0).then_some(label)
    })
}

/// The questions of a message, be it a query or a response.
pub fn questions(message: &[u8]) -> Result<Vec<Question>, BadMessage> {
    let mut at = HEADER;
    let mut all = Vec::new();
    for _ in 0..word(message, 4)? {
        let (question, end) = read_question(message, at)?;
        all.push(question);
        at = end;
    }
    Ok(all)
}

/// The addresses in the answer section, up to the first malformed record.
pub fn addresses(message: &[u8]) -> Vec<IpAddr> {
    let mut found = Vec::new();
    // Terminates although the record count is untrusted: each record takes at least 11 bytes.
    let _ = read_addresses(message, &mut found);
    found
}

fn read_addresses(message: &[u8], found: &mut Vec<IpAddr>) -> Result<(), BadMessage> {
    let mut at = HEADER;
    for _ in 0..word(message, 4)? {
        (_, at) = read_question(message, at)?;
    }
    for _ in 0..word(message, 6)? {
        let (_, end) = read_name(message, at)?;
        let (rtype, length) = (word(message, end)?, usize::from(word(message, end + 8)?));
        let data = message.get(end + 10..end + 10 + length);
        let data = data.ok_or(BadMessage::Short)?;
        match (rtype, data.len()) {
            (TYPE_A, 4) => found.extend(data.first_chunk::<4>().map(|ip| IpAddr::from(*ip))),
            (TYPE_AAAA, 16) => found.extend(data.first_chunk::<16>().map(|ip| IpAddr::from(*ip))),
            _ => {}
        }
        at = end + 10 + length;
    }
    Ok(())
}

/// The question at `at`, and the offset of its end.
fn read_question(message: &[u8], at: usize) -> Result<(Question, usize), BadMessage> {
    let (name, end) = read_name(message, at)?;
    let question = Question {
        name,
        qtype: word(message, end)?,
        class: word(message, end + 2)?,
    };
    Ok((question, end + 4))
}

/// The name at `at` with its compression pointers resolved (RFC 1035 section 4.1.4), and the offset of its end. Each
/// pointer must point before the fragment that it terminates, so a loop is impossible.
fn read_name(message: &[u8], at: usize) -> Result<(Vec<u8>, usize), BadMessage> {
    let mut name = Vec::new();
    let mut end = None;
    let (mut fragment, mut here) = (at, at);
    loop {
        let len = *message.get(here).ok_or(BadMessage::Short)?;
        match len {
            0 => {
                name.push(0);
                let end = end.unwrap_or(here + 1);
                return match name.len() {
                    ..=LONGEST_NAME => Ok((name, end)),
                    _ => Err(BadMessage::Name),
                };
            }
            1..=0x3f => {
                let next = here + 1 + usize::from(len);
                let label = message.get(here + 1..next).ok_or(BadMessage::Short)?;
                push_label(&mut name, label)?;
                here = next;
            }
            0xc0.. => {
                end = end.or(Some(here + 2));
                let target = usize::from(word(message, here)? & 0x3fff);
                if target >= fragment || target < HEADER {
                    return Err(BadMessage::Name);
                }
                (fragment, here) = (target, target);
            }
            _ => return Err(BadMessage::Name),
        }
        if name.len() > LONGEST_NAME {
            return Err(BadMessage::Name);
        }
    }
}

#[cfg(test)]
#[path = "dns_tests.rs"]
mod tests;
