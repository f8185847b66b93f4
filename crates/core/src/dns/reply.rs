//! A name server's reply to an address query.

use super::{
    read_name, read_question, word, BadMessage, Question, CLASS_IN, HEADER, NO_SUCH_NAME, OPCODE,
    QR, TYPE_A, TYPE_AAAA,
};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const TYPE_CNAME: u16 = 5;
const RCODE: u16 = 0x000f;
/// Longer than any CNAME chain that resolvers follow.
const LONGEST_CHAIN: usize = 16;

/// A name server's reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    Addresses {
        /// Never empty.
        addresses: Vec<IpAddr>,
        /// The smallest TTL of the records used, in seconds.
        ttl: u32,
    },
    /// The name exists, but has no address of this family (RFC 2308 section 2.2).
    NoData,
    /// The name does not exist (NXDOMAIN).
    NoSuchName,
    /// Another response code (RFC 1035 section 4.1.1), e.g. 2, server failure.
    Failed(u16),
}

struct Record {
    name: Vec<u8>,
    ttl: u32,
    data: Data,
}

enum Data {
    Address(IpAddr),
    Alias(Vec<u8>),
    Other,
}

/// Parses the reply to `question`, an A or AAAA query, and follows CNAME records.
///
/// # Errors
///
/// [`BadMessage::NotTheReply`] if the message does not answer `question`; otherwise the parse error.
pub fn read_reply(message: &[u8], question: &Question) -> Result<Reply, BadMessage> {
    let flags = word(message, 2)?;
    if flags & QR == 0 || flags & OPCODE != 0 {
        return Err(BadMessage::NotTheReply);
    }
    if word(message, 4)? != 1 {
        return Err(BadMessage::Questions);
    }
    let (asked, mut at) = read_question(message, HEADER)?;
    if !is_same(&asked, question) {
        return Err(BadMessage::NotTheReply);
    }
    match flags & RCODE {
        0 => {}
        NO_SUCH_NAME => return Ok(Reply::NoSuchName),
        code => return Ok(Reply::Failed(code)),
    }
    let mut records = Vec::new();
    for _ in 0..word(message, 6)? {
        let (record, end) = read_record(message, at)?;
        records.push(record);
        at = end;
    }
    Ok(addresses_of(&question.name, question.qtype, &records))
}

fn is_same(asked: &Question, question: &Question) -> bool {
    asked.qtype == question.qtype
        && asked.class == question.class
        && asked.name.eq_ignore_ascii_case(&question.name)
}

fn addresses_of(name: &[u8], qtype: u16, records: &[Record]) -> Reply {
    let mut name = name;
    let mut ttl = u32::MAX;
    for _ in 0..LONGEST_CHAIN {
        let own = || {
            records
                .iter()
                .filter(|record| record.name.eq_ignore_ascii_case(name))
        };
        let mut addresses = Vec::new();
        for record in own() {
            match record.data {
                Data::Address(ip) if ip.is_ipv4() == (qtype == TYPE_A) => {
                    addresses.push(ip);
                    ttl = ttl.min(record.ttl);
                }
                _ => {}
            }
        }
        if !addresses.is_empty() {
            return Reply::Addresses { addresses, ttl };
        }
        let alias = own().find_map(|record| match &record.data {
            Data::Alias(target) => Some((target, record.ttl)),
            _ => None,
        });
        let Some((target, alias_ttl)) = alias else {
            return Reply::NoData;
        };
        name = target;
        ttl = ttl.min(alias_ttl);
    }
    Reply::NoData
}

/// The resource record at `at` (RFC 1035 section 4.1.3), and the offset of its end.
fn read_record(message: &[u8], at: usize) -> Result<(Record, usize), BadMessage> {
    let (name, at) = read_name(message, at)?;
    let (rtype, class) = (word(message, at)?, word(message, at + 2)?);
    let ttl = u32::from(word(message, at + 4)?) << 16 | u32::from(word(message, at + 6)?);
    let begin = at + 10;
    let end = begin + usize::from(word(message, at + 8)?);
    let data = message.get(begin..end).ok_or(BadMessage::Short)?;
    let data = match (class, rtype) {
        (CLASS_IN, TYPE_A) => {
            let octets: [u8; 4] = data.try_into().map_err(|_| BadMessage::Short)?;
            Data::Address(Ipv4Addr::from(octets).into())
        }
        (CLASS_IN, TYPE_AAAA) => {
            let octets: [u8; 16] = data.try_into().map_err(|_| BadMessage::Short)?;
            Data::Address(Ipv6Addr::from(octets).into())
        }
        (CLASS_IN, TYPE_CNAME) => match read_name(message, begin)? {
            (target, after) if after == end => Data::Alias(target),
            _ => return Err(BadMessage::Name),
        },
        _ => Data::Other,
    };
    // RFC 2181 section 8: a TTL with the most significant bit set counts as 0.
    let ttl = if ttl >> 31 == 1 { 0 } else { ttl };
    Ok((Record { name, ttl, data }, end))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dns::push_word;

    fn question(name: &str, qtype: u16) -> Question {
        Question::new(name.as_bytes(), CLASS_IN, qtype).unwrap()
    }

    fn wire(name: &str) -> Vec<u8> {
        question(name, TYPE_A).name
    }

    fn message(code: u16, asked: &Question, records: &[(&str, u16, u32, Vec<u8>)]) -> Vec<u8> {
        let mut message = Vec::new();
        for word in [1, QR | code, 1, records.len() as u16, 0, 0] {
            push_word(&mut message, word);
        }
        message.extend_from_slice(&asked.name);
        push_word(&mut message, asked.qtype);
        push_word(&mut message, asked.class);
        for (name, rtype, ttl, data) in records {
            message.extend_from_slice(&wire(name));
            push_word(&mut message, *rtype);
            push_word(&mut message, CLASS_IN);
            message.extend_from_slice(&ttl.to_be_bytes());
            push_word(&mut message, data.len() as u16);
            message.extend_from_slice(data);
        }
        message
    }

    fn read(code: u16, qtype: u16, records: &[(&str, u16, u32, Vec<u8>)]) -> Reply {
        let asked = question("app.corp", qtype);
        read_reply(&message(code, &asked, records), &asked).unwrap()
    }

    fn found(addresses: &[&str], ttl: u32) -> Reply {
        let addresses = addresses.iter().map(|text| text.parse().unwrap());
        Reply::Addresses {
            addresses: addresses.collect(),
            ttl,
        }
    }

    #[test]
    fn addresses_come_with_the_shortest_ttl() {
        let a = |last, ttl| ("App.Corp", TYPE_A, ttl, vec![10, 0, 0, last]);
        let reply = read(0, TYPE_A, &[a(1, 60), a(2, 5)]);
        assert_eq!(reply, found(&["10.0.0.1", "10.0.0.2"], 5));
        let v6 = vec![0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
        let reply = read(0, TYPE_AAAA, &[("app.corp", TYPE_AAAA, 7, v6)]);
        assert_eq!(reply, found(&["fd00::1"], 7));
    }

    #[test]
    fn aliases_are_followed_in_any_record_order() {
        let records = [
            ("c.corp", TYPE_A, 60, vec![10, 0, 0, 3]),
            ("app.corp", TYPE_CNAME, 9, wire("b.corp")),
            ("other.corp", TYPE_A, 60, vec![10, 0, 0, 9]),
            ("b.corp", TYPE_CNAME, 30, wire("C.corp")),
        ];
        assert_eq!(read(0, TYPE_A, &records), found(&["10.0.0.3"], 9));
    }

    #[test]
    fn dangling_and_circular_aliases_yield_no_address() {
        let cycle = [
            ("app.corp", TYPE_CNAME, 9, wire("b.corp")),
            ("b.corp", TYPE_CNAME, 9, wire("app.corp")),
        ];
        assert_eq!(read(0, TYPE_A, &cycle), Reply::NoData);
        assert_eq!(read(0, TYPE_A, &cycle[..1]), Reply::NoData);
    }

    #[test]
    fn response_codes_are_distinguished() {
        assert_eq!(read(0, TYPE_A, &[]), Reply::NoData);
        assert_eq!(read(3, TYPE_A, &[]), Reply::NoSuchName);
        assert_eq!(read(2, TYPE_A, &[]), Reply::Failed(2));
        assert_eq!(read(5, TYPE_A, &[]), Reply::Failed(5));
    }

    #[test]
    fn an_answer_to_another_question_is_rejected() {
        let asked = question("app.corp", TYPE_A);
        for other in [question("app.corp", TYPE_AAAA), question("b.corp", TYPE_A)] {
            let reply = read_reply(&message(0, &other, &[]), &asked);
            assert_eq!(reply, Err(BadMessage::NotTheReply));
        }
        let mut query = message(0, &asked, &[]);
        query[2] = 0;
        assert_eq!(read_reply(&query, &asked), Err(BadMessage::NotTheReply));
    }

    #[test]
    fn a_truncated_record_is_an_error() {
        let asked = question("app.corp", TYPE_A);
        let whole = message(0, &asked, &[("app.corp", TYPE_A, 1, vec![10, 0, 0, 1])]);
        for end in asked.name.len() + HEADER + 4..whole.len() {
            assert!(read_reply(&whole[..end], &asked).is_err(), "{end}");
        }
        let short = message(0, &asked, &[("app.corp", TYPE_A, 1, vec![10, 0, 0])]);
        assert_eq!(read_reply(&short, &asked), Err(BadMessage::Short));
    }
}
