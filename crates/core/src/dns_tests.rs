use super::*;
use proptest::prelude::*;

fn host(text: &str) -> HostName {
    HostName::new(text.as_bytes()).unwrap()
}

fn query(name: &str, qtype: u16) -> Query {
    Query {
        id: 0x1234,
        recursion_desired: true,
        question: Question::new(name.as_bytes(), CLASS_IN, qtype).unwrap(),
    }
}

/// As dig sends it: `db.ts.net A`, with an EDNS record after the question.
const FROM_DIG: &[u8] = b"\x12\x34\x01\x20\0\x01\0\0\0\0\0\x01\x02db\x02ts\x03net\0\0\x01\0\x01\
    \0\0\x29\x04\xd0\0\0\0\0\0\0";

#[test]
fn a_query_from_dig_is_understood() {
    assert_eq!(Query::parse(FROM_DIG), Ok(query("db.ts.net", TYPE_A)));
}

#[test]
fn an_address_answer_is_byte_for_byte_as_the_rfc_has_it() {
    let answer = Answer::Address("224.1.2.3".parse().unwrap());
    let expected = b"\x12\x34\x81\x80\0\x01\0\x01\0\0\0\0\x02db\x02ts\x03net\0\0\x01\0\x01\
        \xc0\x0c\0\x01\0\x01\0\0\0\x0a\0\x04\xe0\x01\x02\x03";
    let message = query("db.ts.net.", TYPE_A).answer(&answer, 512).unwrap();
    assert_eq!(message, expected);
}

#[test]
fn the_other_answers_have_their_type_and_code() {
    let ask = query("db", TYPE_AAAA);
    let v6 = ask
        .answer(&Answer::Address("fd00::1".parse().unwrap()), 512)
        .unwrap();
    assert_eq!(v6[20..22], [0xc0, 0x0c]);
    assert_eq!(v6[22..24], [0, 28]);
    assert_eq!(v6[30..32], [0, 16]);
    let ptr = query("3.2.1.224.in-addr.arpa", TYPE_PTR);
    let ptr = ptr.answer(&Answer::Name(host("db.ts.net")), 512).unwrap();
    assert!(ptr.ends_with(b"\0\x0b\x02db\x02ts\x03net\0"));
    let nodata = ask.answer(&Answer::NoData, 512).unwrap();
    assert_eq!(nodata[2..8], [0x81, 0x80, 0, 1, 0, 0]);
    let nxdomain = ask.answer(&Answer::NoSuchName, 512).unwrap();
    assert_eq!(nxdomain[2..8], [0x81, 0x83, 0, 1, 0, 0]);
}

#[test]
fn an_answer_that_does_not_fit_is_marked_as_truncated() {
    let ask = query("db", TYPE_A);
    let answer = Answer::Address("224.1.2.3".parse().unwrap());
    let cut = ask.answer(&answer, 20).unwrap();
    assert_eq!(cut.len(), 20);
    assert_eq!(cut[2..8], [0x83, 0x80, 0, 1, 0, 0]);
    assert_eq!(ask.answer(&answer, 19), None);
}

#[test]
fn reverse_names_are_addresses() {
    let reverse = |name| query(name, TYPE_PTR).question.reverse_address();
    assert_eq!(reverse("3.2.1.224.IN-ADDR.arpa"), "224.1.2.3".parse().ok());
    let v6 = "1.".to_owned() + &"0.".repeat(29) + "d.f.ip6.arpa";
    assert_eq!(reverse(&v6), "fd00::1".parse().ok());
    for bad in [
        "2.1.224.in-addr.arpa",
        "300.2.1.224.in-addr.arpa",
        "x.in-addr.arpa",
        "1.0.ip6.arpa",
        "+1.ip6.arpa",
        "db.ts.net",
    ] {
        assert_eq!(reverse(bad), None, "{bad}");
    }
    assert_eq!(reverse(&("0.".to_owned() + &v6)), None);
}

#[test]
fn a_compressed_question_is_followed_back_only() {
    // The name `db` + a pointer; what it points to lies in front of it only with a forged header.
    let forward = b"\0\0\0\0\0\x01\0\0\0\0\0\0\x02db\xc0\x14\0\x01\0\x01\x02ts\0";
    assert_eq!(Query::parse(forward), Err(BadMessage::Name));
    let itself = b"\0\0\0\0\0\x01\0\0\0\0\0\0\xc0\x0c\0\x01\0\x01";
    assert_eq!(Query::parse(itself), Err(BadMessage::Name));
    let mut back = vec![0; HEADER];
    back.extend_from_slice(b"\x02ts\0\x02db\xc0\x0c");
    let (name, end) = read_name(&back, HEADER + 4).unwrap();
    assert_eq!(
        (name.as_slice(), end),
        (b"\x02db\x02ts\0".as_slice(), back.len())
    );
}

#[test]
fn malformed_names_are_errors() {
    for bad in ["a..b", ".", "..", &"x".repeat(64), &"abc.".repeat(64)] {
        let made = Question::new(bad.as_bytes(), CLASS_IN, TYPE_A);
        assert_eq!(made.is_err(), bad != ".", "{bad}");
    }
    let dotted = Query::parse(b"\0\0\0\0\0\x01\0\0\0\0\0\0\x03a.b\0\0\x01\0\x01").unwrap();
    assert_eq!(dotted.question.host(), None, "one label, not two");
}

#[test]
fn responses_and_several_questions_are_not_answered() {
    let mut message = query("db", TYPE_A).to_message();
    message[5] = 2;
    assert_eq!(Query::parse(&message), Err(BadMessage::Questions));
    message[2] |= 0x80;
    assert_eq!(Query::parse(&message), Err(BadMessage::NotAQuery));
}

#[test]
fn a_message_that_was_cut_anywhere_in_its_question_is_short() {
    let message = query("db.ts.net", TYPE_A).to_message();
    for len in 0..message.len() {
        assert_eq!(
            Query::parse(&message[..len]),
            Err(BadMessage::Short),
            "{len}"
        );
    }
}

proptest! {
    #[test]
    fn any_bytes_are_parsed_or_refused(bytes: Vec<u8>) {
        if let Ok(query) = Query::parse(&bytes) {
            query.question.host();
            query.question.reverse_address();
            prop_assert_eq!(Query::parse(&query.to_message()), Ok(query));
        }
    }

    #[test]
    fn garbage_after_a_good_header_is_parsed_or_refused(tail: Vec<u8>) {
        let mut bytes = b"\0\x07\x01\0\0\x01\0\0\0\0\0\0".to_vec();
        bytes.extend_from_slice(&tail);
        if let Ok(query) = Query::parse(&bytes) {
            prop_assert!(query.to_message().len() <= HEADER + LONGEST_NAME + 4);
            prop_assert_eq!(Query::parse(&query.to_message()), Ok(query));
        }
    }

    #[test]
    fn host_names_come_back_from_a_message(text in "[a-z0-9_-]{1,20}(\\.[a-z0-9_-]{1,20}){0,8}") {
        let parsed = Query::parse(&query(&text, TYPE_A).to_message()).unwrap();
        prop_assert_eq!(parsed.question.host(), Some(host(&text)));
    }
}

#[test]
fn the_addresses_of_an_answer_are_found() {
    let question = Question::new(b"db.example", CLASS_IN, TYPE_A).unwrap();
    let query = Query {
        id: 7,
        recursion_desired: true,
        question,
    };
    for ip in ["10.1.2.3", "fd00::7"] {
        let ip: IpAddr = ip.parse().unwrap();
        let message = query.answer(&Answer::Address(ip), 512).unwrap();
        assert_eq!(addresses(&message), [ip]);
        for length in 0..message.len() {
            assert!(addresses(&message[..length]).is_empty());
        }
    }
    assert!(addresses(&query.to_message()).is_empty());
}
