//! DNS messages that a program, or a resolver library in it, wrote.

use tailchain_core::dns::{Answer, BadMessage, Query, Question, CLASS_IN, TYPE_PTR};
use tailchain_core::host::HostName;

const HEADER: usize = 12;

pub fn run(input: &[u8]) {
    question_from_text(input);
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
        for limit in [usize::MAX, 512, message.len(), message.len() - 1] {
            check_answer(&query, &message, answer, limit);
        }
    }
    query.question.reverse_address();
}

/// The answer begins with the query's own question, fits, and says truthfully whether it was cut.
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
    let length = usize::from(u16::from_be_bytes([record[10], record[11]]));
    assert_eq!(record.len(), 12 + length, "the length of its data");
}

fn question(name: &HostName) -> Result<Question, BadMessage> {
    Question::new(name.as_str().as_bytes(), CLASS_IN, TYPE_PTR)
}

/// A name that can be asked for is the host that it was, whatever its case.
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
