use super::*;

const GRANTED: &[u8] = &[0, 90, 0, 0, 0, 0, 0, 0];

fn socks4() -> Proxy {
    proxy(ProxyKind::Socks4, "127.0.0.1:1080")
}

#[test]
fn asks_for_an_address_with_its_user() {
    let run = ask(&socks4(), "1.2.3.4:80", &[GRANTED]);
    assert_eq!(run.result, Ok(()));
    assert_eq!(run.sent, b"\x04\x01\x00\x50\x01\x02\x03\x04\x00");
    let with_user = proxy_with_user(ProxyKind::Socks4, b"me", b"");
    let run = ask(&with_user, "1.2.3.4:80", &[GRANTED]);
    assert_eq!(run.sent, b"\x04\x01\x00\x50\x01\x02\x03\x04me\x00");
}

#[test]
fn asks_for_a_name_in_the_4a_way() {
    let run = ask(&socks4(), "db:80", &[GRANTED]);
    assert_eq!(run.result, Ok(()));
    assert_eq!(run.sent, b"\x04\x01\x00\x50\x00\x00\x00\x01\x00db\x00");
}

#[test]
fn refuses_what_it_cannot_carry_before_anything_is_sent() {
    let nul = proxy_with_user(ProxyKind::Socks4, b"me\0evil", b"");
    let long = proxy_with_user(ProxyKind::Socks4, &[b'x'; 256], b"");
    for (proxy, to, expected) in [
        (&socks4(), "[fd00::1]:80", FailureKind::NoIpv6),
        (
            &nul,
            "db:80",
            FailureKind::Unsupported("a NUL in a SOCKS4 user"),
        ),
        (&long, "db:80", FailureKind::TooLong("the user")),
    ] {
        let run = ask(proxy, to, &[]);
        assert_eq!(failure(&run), &expected);
        assert_eq!(run.sent, b"");
    }
}

#[test]
fn accepts_a_reply_that_repeats_the_version_of_the_request() {
    let run = ask(&socks4(), "1.2.3.4:80", &[&[4, 90, 1, 2, 3, 4, 5, 6]]);
    assert_eq!(run.result, Ok(()));
}

#[test]
fn knows_a_rejection_from_two_bytes_and_an_invalid_reply_from_one() {
    for (reply, expected) in [
        (&[0, 91][..], FailureKind::Socks4(91)),
        (&[0, 91, 0, 0, 0, 0, 0, 0], FailureKind::Socks4(91)),
        (&[4, 93], FailureKind::Socks4(93)),
        (&[0, 0], FailureKind::Socks4(0)),
        (
            &[5],
            FailureKind::InvalidReply("a reply that is not SOCKS4"),
        ),
        (&[0, 90, 0], FailureKind::Closed),
    ] {
        let run = ask_anyone(&socks4(), "1.2.3.4:80", reply);
        assert_eq!(failure(&run), &expected);
    }
}
