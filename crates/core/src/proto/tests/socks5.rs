use super::*;
use socks5_proto::Reply;

const CHOSE_NONE: &[u8] = &[5, 0];
const CHOSE_PASSWORD: &[u8] = &[5, 2];
const OPEN: &[u8] = &[5, 0, 0, 1, 0, 0, 0, 0, 0, 0];

fn socks5() -> Proxy {
    proxy(ProxyKind::Socks5, "127.0.0.1:1055")
}

#[test]
fn offers_no_password_without_a_user_and_asks_for_a_name_as_a_name() {
    let run = ask(&socks5(), "db.example:5432", &[CHOSE_NONE, OPEN]);
    assert_eq!(run.result, Ok(()));
    assert_eq!(
        run.sent,
        b"\x05\x01\x00\x05\x01\x00\x03\x0adb.example\x15\x38"
    );
}

#[test]
fn asks_for_addresses_by_their_family() {
    let run = ask(&socks5(), "100.64.0.2:80", &[CHOSE_NONE, OPEN]);
    assert_eq!(
        run.sent,
        b"\x05\x01\x00\x05\x01\x00\x01\x64\x40\x00\x02\x00\x50"
    );
    let run = ask(&socks5(), "[fd7a::1]:80", &[CHOSE_NONE, OPEN]);
    assert_eq!(
        run.sent,
        b"\x05\x01\x00\x05\x01\x00\x04\xfd\x7a\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\x00\x50"
    );
}

#[test]
fn gives_user_and_password_when_the_proxy_wants_them() {
    let with_user = proxy_with_user(ProxyKind::Socks5, b"me", b"secret");
    // Some servers answer with the version of SOCKS, 5, in place of the subnegotiation's.
    for version in [1, 5] {
        let run = ask(
            &with_user,
            "1.2.3.4:1",
            &[CHOSE_PASSWORD, &[version, 0], OPEN],
        );
        assert_eq!(run.result, Ok(()));
        assert_eq!(
            run.sent,
            b"\x05\x02\x00\x02\x01\x02me\x06secret\x05\x01\x00\x01\x01\x02\x03\x04\x00\x01"
        );
    }
}

#[test]
fn keeps_user_and_password_from_a_proxy_that_does_not_want_them() {
    let with_user = proxy_with_user(ProxyKind::Socks5, b"me", b"secret");
    let run = ask(&with_user, "1.2.3.4:1", &[CHOSE_NONE, OPEN]);
    assert_eq!(run.result, Ok(()));
    assert_eq!(
        run.sent,
        b"\x05\x02\x00\x02\x05\x01\x00\x01\x01\x02\x03\x04\x00\x01"
    );
}

#[test]
fn names_what_was_wrong_with_the_greeting() {
    let (plain, with_user) = (
        socks5(),
        proxy_with_user(ProxyKind::Socks5, b"me", b"secret"),
    );
    for (proxy, replies, expected) in [
        (
            &plain,
            &[&[5, 0xff][..]][..],
            FailureKind::NoAcceptableMethod {
                password_offered: false,
            },
        ),
        (
            &with_user,
            &[&[5, 0xff]],
            FailureKind::NoAcceptableMethod {
                password_offered: true,
            },
        ),
        (
            &plain,
            &[CHOSE_PASSWORD],
            FailureKind::InvalidReply("an authentication method that was not offered"),
        ),
        (
            &plain,
            &[b"HTTP/1.1 400 Bad Request\r\n\r\n"],
            FailureKind::InvalidReply("a reply that is not SOCKS5"),
        ),
        (
            &with_user,
            &[CHOSE_PASSWORD, &[1, 1]],
            FailureKind::AuthRefused,
        ),
        (
            &with_user,
            &[CHOSE_PASSWORD, &[2, 0]],
            FailureKind::InvalidReply("a reply that is not one to a user and password"),
        ),
        (&plain, &[&[5]], FailureKind::Closed),
    ] {
        let run = ask_anyone(proxy, "1.2.3.4:1", &replies.concat());
        assert_eq!(failure(&run), &expected);
    }
}

#[test]
fn knows_a_refusal_from_two_bytes() {
    for (code, expected) in [
        (1, FailureKind::Reply(Reply::GeneralFailure)),
        (5, FailureKind::Reply(Reply::ConnectionRefused)),
        (8, FailureKind::Reply(Reply::AddressTypeNotSupported)),
        (9, FailureKind::UnassignedReply(9)),
        (255, FailureKind::UnassignedReply(255)),
    ] {
        for rest in [
            &[][..],
            &[0, 0, 0, 0, 0, 0, 0, 0],
            &[0, 1, 0, 0, 0, 0, 0, 0],
        ] {
            let reply = [&[5, 0, 5, code], rest].concat();
            let run = ask_anyone(&socks5(), "1.2.3.4:1", &reply);
            assert_eq!(failure(&run), &expected);
        }
    }
}

#[test]
fn a_bound_address_of_an_unknown_type_is_an_invalid_reply() {
    for atyp in [0, 2, 5, 255] {
        let reply = [5, 0, 5, 0, 0, atyp, 0, 0, 0, 0, 0, 0];
        let run = ask_anyone(&socks5(), "1.2.3.4:1", &reply);
        assert!(matches!(failure(&run), FailureKind::InvalidReply(_)));
    }
}

#[test]
fn reads_a_usual_reply_in_three_reads() {
    let run = ask(&socks5(), "1.2.3.4:1", &[CHOSE_NONE, OPEN]);
    assert_eq!(run.reads, 3);
}

#[test]
fn pipelined_greeting_and_request_go_out_at_once() {
    let proxy = socks5();
    let mut tunnel = Tunnel::new(&[&proxy], target("1.2.3.4:1"), true);
    assert_eq!(
        tunnel.step(),
        Step::Send(b"\x05\x01\x00\x05\x01\x00\x01\x01\x02\x03\x04\x00\x01")
    );
    let run = run(
        &mut tunnel,
        &[&[CHOSE_NONE, OPEN].concat()],
        b"hello",
        || usize::MAX,
    );
    assert_eq!(run.result, Ok(()));
    assert_eq!(run.sent.len(), 13);
    assert_eq!(run.left, b"hello");
    // The method selection with the shortest reply, and the rest of the address.
    assert_eq!(run.reads, 2);
}

#[test]
fn a_greeting_that_offers_a_user_is_never_pipelined() {
    let with_user = proxy_with_user(ProxyKind::Socks5, b"me", b"secret");
    let tunnel = Tunnel::new(&[&with_user], target("1.2.3.4:1"), true);
    assert_eq!(tunnel.step(), Step::Send(b"\x05\x02\x00\x02"));
}

#[test]
fn refuses_a_user_or_password_that_does_not_fit() {
    let long = [b'x'; 256];
    for (user, password, what) in [
        (&long[..], &b"p"[..], "the user"),
        (b"u", &long, "the password"),
    ] {
        let proxy = proxy_with_user(ProxyKind::Socks5, user, password);
        assert_eq!(
            failure(&ask(&proxy, "1.2.3.4:1", &[])),
            &FailureKind::TooLong(what)
        );
    }
    let proxy = proxy_with_user(ProxyKind::Socks5, &long[..255], &long[..255]);
    let run = ask(&proxy, "1.2.3.4:1", &[CHOSE_PASSWORD, &[1, 0], OPEN]);
    assert_eq!(run.result, Ok(()));
}
