use super::*;
use crate::chain::Blame;
use std::path::PathBuf;

const SOCKS5_OPEN: &[u8] = &[5, 0, 0, 1, 0, 0, 0, 0, 0, 0];

#[test]
fn each_hop_is_asked_for_the_next_and_the_last_for_the_target() {
    let first = proxy(ProxyKind::Http, "127.0.0.1:3128");
    let second = proxy(ProxyKind::Socks5, "second.example:1080");
    let third = proxy(ProxyKind::Socks4, "10.0.0.3:1081");
    let mut tunnel = Tunnel::new(&[&first, &second, &third], target("db:80"), false);
    let replies: [&[u8]; 4] = [
        b"HTTP/1.0 200 OK\r\n\r\n",
        &[5, 0],
        SOCKS5_OPEN,
        &[0, 90, 0, 0, 0, 0, 0, 0],
    ];
    let run = run(&mut tunnel, &replies, b"banner", || usize::MAX);
    assert_eq!(run.result, Ok(()));
    assert_eq!(run.left, b"banner");
    let expected = [
        &b"CONNECT second.example:1080 HTTP/1.0\r\nHost: second.example:1080\r\n\r\n"[..],
        b"\x05\x01\x00\x05\x01\x00\x01\x0a\x00\x00\x03\x04\x39",
        b"\x04\x01\x00\x50\x00\x00\x00\x01\x00db\x00",
    ]
    .concat();
    assert_eq!(run.sent, expected);
}

#[test]
fn a_raw_proxy_has_no_handshake() {
    let raw = proxy(ProxyKind::Raw, "127.0.0.1:1");
    let run_raw = ask(&raw, "db:80", &[]);
    assert_eq!(run_raw.result, Ok(()));
    assert_eq!(run_raw.sent, b"");
    let socks5 = proxy(ProxyKind::Socks5, "127.0.0.1:2");
    let mut tunnel = Tunnel::new(&[&raw, &socks5, &raw], target("db:80"), false);
    assert_eq!(tunnel.hop(), 1);
    let run = run(&mut tunnel, &[&[5, 0], SOCKS5_OPEN], b"x", || usize::MAX);
    assert_eq!(run.result, Ok(()));
    assert_eq!(run.left, b"x");
    // The SOCKS5 proxy was asked to connect to the raw one behind it.
    assert!(run.sent.ends_with(&[1, 127, 0, 0, 1, 0, 1]));
}

#[test]
fn an_empty_path_fails_rather_than_leaks() {
    let tunnel = Tunnel::new(&[], target("db:80"), false);
    assert!(matches!(tunnel.step(), Step::Fail(_)));
}

#[test]
fn a_unix_socket_can_only_come_first() {
    let socks5 = proxy(ProxyKind::Socks5, "127.0.0.1:1055");
    let unix = Proxy {
        endpoint: Endpoint::Unix(PathBuf::from("/run/proxy")),
        ..socks5.clone()
    };
    let path = [&unix, &socks5];
    assert!(matches!(
        Tunnel::new(&path, target("db:80"), false).step(),
        Step::Send(_)
    ));
    let path = [&socks5, &unix];
    let Step::Fail(failure) = Tunnel::new(&path, target("db:80"), false).step() else {
        panic!("it began");
    };
    assert_eq!(failure.blame(path.len()), Blame::Hop(1));
}

#[test]
fn a_timeout_blames_the_next_hop_only_after_a_greeting() {
    let socks5 = proxy(ProxyKind::Socks5, "127.0.0.1:1055");
    let path = [&socks5, &socks5];
    let silent_after = |said: &[&[u8]]| {
        let mut tunnel = Tunnel::new(&path, target("db:80"), false);
        let mut said = said.iter();
        loop {
            match tunnel.step() {
                Step::Send(bytes) => {
                    let n = bytes.len();
                    tunnel.sent(n);
                }
                Step::Read(_) => match said.next() {
                    Some(bytes) => tunnel.received(bytes),
                    None => tunnel.timed_out(),
                },
                Step::Fail(failure) => return failure.blame(path.len()),
                other => panic!("{other:?}"),
            }
        }
    };
    let (start, rest) = SOCKS5_OPEN.split_at(7);
    assert_eq!(silent_after(&[]), Blame::Hop(0));
    assert_eq!(silent_after(&[&[5]]), Blame::Hop(0));
    assert_eq!(silent_after(&[&[5, 0]]), Blame::Hop(1));
    // It had begun to reply: it was not waiting for another hop.
    assert_eq!(silent_after(&[&[5, 0], start]), Blame::Hop(0));
    assert_eq!(silent_after(&[&[5, 0], start, rest]), Blame::Hop(1));
    assert_eq!(
        silent_after(&[&[5, 0], start, rest, &[5, 0]]),
        Blame::Target
    );
}

#[test]
fn an_established_or_failed_tunnel_stays_so() {
    let raw = proxy(ProxyKind::Raw, "127.0.0.1:1");
    let mut tunnel = Tunnel::new(&[&raw], target("db:80"), false);
    tunnel.closed();
    tunnel.timed_out();
    tunnel.received(b"x");
    assert_eq!(tunnel.peeked(b"x"), 0);
    assert_eq!(tunnel.step(), Step::Done);

    let socks5 = proxy(ProxyKind::Socks5, "127.0.0.1:1055");
    let mut tunnel = Tunnel::new(&[&socks5], target("db:80"), false);
    tunnel.closed();
    tunnel.timed_out();
    tunnel.received(&[5, 0]);
    assert_eq!(
        tunnel.step(),
        Step::Fail(Failure::new(0, FailureKind::Closed))
    );
}

#[test]
fn bytes_that_were_not_asked_for_fail_the_tunnel() {
    let socks5 = proxy(ProxyKind::Socks5, "127.0.0.1:1055");
    let mut tunnel = Tunnel::new(&[&socks5], target("db:80"), false);
    tunnel.sent(3);
    tunnel.received(&[5, 0, 5]);
    assert!(matches!(tunnel.step(), Step::Fail(_)));
}
