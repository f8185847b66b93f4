use super::*;

fn http() -> Proxy {
    proxy(ProxyKind::Http, "127.0.0.1:3128")
}

fn answered(header: &[u8]) -> Run {
    ask_anyone(&http(), "db:5432", header)
}

#[test]
fn asks_with_a_host_header_and_brackets_around_ipv6() {
    let ok: &[u8] = b"HTTP/1.1 200 OK\r\n\r\n";
    let run = ask(&http(), "db:5432", &[ok]);
    assert_eq!(
        run.sent,
        b"CONNECT db:5432 HTTP/1.0\r\nHost: db:5432\r\n\r\n"
    );
    let run = ask(&http(), "[fd00::1]:80", &[ok]);
    assert_eq!(
        run.sent,
        b"CONNECT [fd00::1]:80 HTTP/1.0\r\nHost: [fd00::1]:80\r\n\r\n"
    );
}

#[test]
fn gives_user_and_password_as_basic_authentication() {
    let proxy = proxy_with_user(ProxyKind::Http, b"Aladdin", b"open sesame");
    let run = ask(&proxy, "db:1", &[b"HTTP/1.0 200\r\n\r\n"]);
    assert_eq!(run.result, Ok(()));
    // The example of RFC 7617 section 2.
    assert_eq!(
        run.sent,
        b"CONNECT db:1 HTTP/1.0\r\nHost: db:1\r\nProxy-Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n\r\n"
    );
}

#[test]
fn refuses_a_user_with_a_colon_before_anything_is_sent() {
    let run = ask(&proxy_with_user(ProxyKind::Http, b"a:b", b"c"), "db:1", &[]);
    assert_eq!(
        failure(&run),
        &FailureKind::Unsupported("a colon in an HTTP user")
    );
    assert_eq!(run.sent, b"");
}

#[test]
fn any_2xx_opens_and_leaves_what_follows_the_empty_line() {
    for header in [
        &b"HTTP/1.1 200 OK\r\n\r\n"[..],
        b"HTTP/1.0 200\r\n\r\n",
        b"HTTP/1.0 200\n\n",
        b"HTTP/1.1 204 No Content\r\nVia: x\r\n\r\n",
        b"HTTP/1.1 299 \nA: b\r\n\n",
        b"HTTP/1.1  200  Connection established\nA: b\n\r\n",
        // The body that this announces does not exist (RFC 9110 section 9.3.6).
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
    ] {
        for program in [&b""[..], b"SSH-2.0", b"\r\n\r\n", b"\n"] {
            let run = answered(&[header, program].concat());
            assert_eq!(run.result, Ok(()), "{:?}", header.escape_ascii());
            assert_eq!(run.left, program);
        }
    }
}

#[test]
fn a_usual_header_takes_one_look_and_one_read() {
    assert_eq!(answered(b"HTTP/1.1 200 OK\r\n\r\n").reads, 2);
}

#[test]
fn other_statuses_fail_with_the_reason_tailscale_gives() {
    for (header, status, reason) in [
        (&b"HTTP/1.1 403 Forbidden\r\n\r\n"[..], 403, None),
        (b"HTTP/1.1 100 Continue\r\n\r\n", 100, None),
        (
            b"HTTP/1.1 500 Internal Server Error\r\ntailscale-connect-ERROR:  connection was refused \r\n\r\n",
            500,
            Some("connection was refused"),
        ),
        (
            b"HTTP/1.0 500 x\nTailscale-Connect-Error:a: b\x1b[2J\xff\n\n",
            500,
            Some("a: b?[2J?"),
        ),
        (
            b"HTTP/1.0 502 x\r\nTailscale-Connect-Error: \r\n\r\n",
            502,
            None,
        ),
    ] {
        assert_eq!(
            failure(&answered(header)),
            &FailureKind::Http {
                status,
                reason: reason.map(Into::into)
            }
        );
    }
}

#[test]
fn a_reason_is_cut_to_a_bounded_length() {
    let header = [
        b"HTTP/1.0 500 x\r\nTailscale-Connect-Error: ",
        &[b'x'; 5000][..],
        b"\r\n\r\n",
    ]
    .concat();
    match failure(&answered(&header)) {
        FailureKind::Http {
            reason: Some(reason),
            ..
        } => assert_eq!(reason.len(), 200),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_invalid_reply_is_known_without_waiting_for_an_empty_line() {
    for reply in [
        &[5, 0][..],
        b"\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1\r\n\r\n",
        b"HTTP/1.1 OK\r\n\r\n",
        b"HTTP/1.1 20\r\n\r\n",
        b"HTTP/1.1 2000 OK\r\n\r\n",
        b"HTTP/1.1 099 x\r\n\r\n",
    ] {
        let run = answered(reply);
        assert!(
            matches!(failure(&run), FailureKind::InvalidReply(_)),
            "{:?}",
            reply.escape_ascii()
        );
    }
}

#[test]
fn a_header_may_have_64_kib_and_no_more() {
    let header_of = |length: usize| {
        let (first, last) = (&b"HTTP/1.1 200 OK\r\nX: "[..], &b"\r\n\r\n"[..]);
        let filling = vec![b'x'; length - first.len() - last.len()];
        [first, &filling, last].concat()
    };
    let run = answered(&[&header_of(64 * 1024)[..], b"SSH"].concat());
    assert_eq!(run.result, Ok(()));
    assert_eq!(run.left, b"SSH");
    assert_eq!(
        failure(&answered(&header_of(64 * 1024 + 1))),
        &FailureKind::InvalidReply("an HTTP header of over 64 KiB")
    );
}

#[test]
fn a_header_that_ends_early_is_a_closed_connection() {
    assert_eq!(
        failure(&answered(b"HTTP/1.1 200 OK\r\nA: b\r\n")),
        &FailureKind::Closed
    );
}
