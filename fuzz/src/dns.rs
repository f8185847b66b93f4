//! DNS messages written by a program, or by a resolver library in it.

use crate::cursor::Cursor;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use tailchain_core::dns::{
    Answer, BadMessage, Query, Question, CLASS_IN, TYPE_A, TYPE_AAAA, TYPE_PTR,
};
use tailchain_core::host::HostName;

const HEADER: usize = 12;

pub fn run(input: &[u8]) {
    question_from_text(input);
    reverse_questions(input);
    let Ok(query) = Query::parse(input) else {
        return;
    };
    let message = query.to_message();
    assert_eq!(
        Query::parse(&message).as_ref(),
        Ok(&query),
        "written and read"
    );
    for len in 0..message.len() {
        let cut = Query::parse(&message[..len]);
        assert_eq!(cut, Err(BadMessage::Short), "cut at {len}");
    }

    let mut answers = vec![
        Answer::Address([224, 0, 0, 1].into()),
        Answer::Address([0xfd00, 0, 0, 0, 0, 0, 0, 1].into()),
        Answer::NoData,
        Answer::NoSuchName,
    ];
    answers.extend(query.question.host().map(Answer::Name));
    for answer in &answers {
        let whole = query
            .answer(answer, usize::MAX)
            .map_or(512, |bytes| bytes.len());
        for limit in [usize::MAX, whole, whole - 1, message.len()] {
            check_answer(&query, &message, answer, limit);
            if let Some(bytes) = query.answer(answer, limit) {
                assert_eq!(bytes[2] & 2 != 0, limit < whole, "truncated");
            }
        }
        assert_eq!(query.answer(answer, message.len() - 1), None);
    }
    if let Some(address) = query.question.reverse_address() {
        let host = query.question.host().map(|host| host.to_string());
        assert_eq!(host, Some(reverse_name(address)), "{address}");
    }
}

/// The reply begins with the query's question, fits, and has the truncation flag if and only if it was truncated.
fn check_answer(query: &Query, message: &[u8], answer: &Answer, limit: usize) {
    let Some(bytes) = query.answer(answer, limit) else {
        let unspeakable = matches!(answer, Answer::Name(name) if question(name).is_err());
        assert!(
            limit < message.len() || unspeakable,
            "no answer within {limit}"
        );
        return;
    };
    assert!(bytes.len() <= limit);
    assert_eq!(bytes[..2], message[..2], "id");
    assert_eq!(bytes[2] & 0x80, 0x80, "a response");
    assert_eq!(bytes[4..6], [0, 1], "one question");
    assert_eq!(
        bytes[HEADER..message.len()],
        message[HEADER..],
        "the question"
    );
    let (records, truncated) = (u16::from_be_bytes([bytes[6], bytes[7]]), bytes[2] & 2 != 0);
    let has_record = matches!(answer, Answer::Address(_) | Answer::Name(_));
    assert_eq!(records == 1, has_record && !truncated);
    let Some(record) = (records == 1).then(|| &bytes[message.len()..]) else {
        assert_eq!(bytes.len(), message.len());
        return;
    };
    assert_eq!(record[..2], [0xc0, 12], "its owner is the question's name");
    let (rtype, data) = expected_record(answer);
    assert_eq!(record[2..6], [0, rtype as u8, 0, CLASS_IN as u8]);
    let length = usize::from(u16::from_be_bytes([record[10], record[11]]));
    assert_eq!(record[12..].len(), length, "the length of its data");
    assert_eq!(record[12..], data);
}

fn expected_record(answer: &Answer) -> (u16, Vec<u8>) {
    match answer {
        Answer::Address(IpAddr::V4(ip)) => (TYPE_A, ip.octets().into()),
        Answer::Address(IpAddr::V6(ip)) => (TYPE_AAAA, ip.octets().into()),
        Answer::Name(name) => {
            let mut wire = Vec::new();
            for label in name.as_str().split('.') {
                wire.push(label.len() as u8);
                wire.extend_from_slice(label.as_bytes());
            }
            wire.push(0);
            (TYPE_PTR, wire)
        }
        Answer::NoData | Answer::NoSuchName => (0, Vec::new()),
    }
}

/// The PTR name of each address leads back to it.
fn reverse_questions(input: &[u8]) {
    let mut cursor = Cursor(input);
    for address in [
        IpAddr::from(Ipv6Addr::from(cursor.array())),
        IpAddr::from(Ipv4Addr::from(cursor.array())),
    ] {
        let name = reverse_name(address);
        let question = Question::new(name.as_bytes(), CLASS_IN, TYPE_PTR).expect("a short name");
        assert_eq!(question.reverse_address(), Some(address), "{name}");
    }
}

/// Each octet, or each nibble, from the last to the first.
fn reverse_name(address: IpAddr) -> String {
    let (labels, zone): (Vec<String>, _) = match address {
        IpAddr::V4(ip) => (ip.octets().map(|octet| octet.to_string()).into(), "in-addr"),
        IpAddr::V6(ip) => {
            let digits = ip
                .octets()
                .into_iter()
                .flat_map(|octet| [octet >> 4, octet & 15]);
            (digits.map(|digit| format!("{digit:x}")).collect(), "ip6")
        }
    };
    let labels: Vec<_> = labels.into_iter().rev().collect();
    format!("{}.{zone}.arpa", labels.join("."))
}

fn question(name: &HostName) -> Result<Question, BadMessage> {
    Question::new(name.as_str().as_bytes(), CLASS_IN, TYPE_PTR)
}

/// A name that can be queried is the same host, whatever its case.
fn question_from_text(text: &[u8]) {
    let Ok(question) = Question::new(text, CLASS_IN, TYPE_PTR) else {
        return;
    };
    assert_eq!(question.host(), HostName::new(text).ok());
    let query = Query {
        id: 7,
        recursion_desired: true,
        question,
    };
    assert_eq!(Query::parse(&query.to_message()), Ok(query));
}
