//! Properties of every path, every split of the replies, and every kind of garbage.

use super::*;
use proptest::collection::vec;
use proptest::prelude::*;

/// A hop and its replies on success.
#[derive(Clone, Debug)]
struct Hop {
    proxy: Proxy,
    replies: Vec<Vec<u8>>,
}

fn socks5_open() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        vec(any::<u8>(), 6).prop_map(|rest| [&[5, 0, 0, 1], &rest[..]].concat()),
        vec(any::<u8>(), 18).prop_map(|rest| [&[5, 0, 0, 4], &rest[..]].concat()),
        vec(any::<u8>(), 0..=255)
            .prop_map(|name| { [&[5, 0, 0, 3, name.len() as u8], &name[..], &[0, 80]].concat() }),
    ]
}

fn http_open() -> impl Strategy<Value = Vec<u8>> {
    let line = prop_oneof![Just("\r\n"), Just("\n")];
    (
        200..300,
        vec("[A-Za-z-]{1,9}: [ -~]{0,40}", 0..4),
        vec(line, 5),
    )
        .prop_map(|(status, fields, ends)| {
            let mut header = format!("HTTP/1.1 {status} OK");
            for (field, end) in fields.iter().zip(&ends) {
                header.push_str(end);
                header.push_str(field);
            }
            header.push_str(ends[3]);
            header.push_str(ends[4]);
            header.into_bytes()
        })
}

fn plain(kind: ProxyKind) -> Proxy {
    proxy(kind, "proxy.example:1080")
}

/// A hop that has a handshake.
fn hop_with_handshake() -> impl Strategy<Value = Hop> {
    let with_user = |kind| proxy_with_user(kind, b"user", b"password");
    prop_oneof![
        socks5_open().prop_map(move |open| Hop {
            proxy: plain(ProxyKind::Socks5),
            replies: vec![vec![5, 0], open],
        }),
        (socks5_open(), prop_oneof![Just(1), Just(5)]).prop_map(move |(open, version)| Hop {
            proxy: with_user(ProxyKind::Socks5),
            replies: vec![vec![5, 2], vec![version, 0], open],
        }),
        (any::<[u8; 6]>(), prop_oneof![Just(0), Just(4)]).prop_map(move |(rest, version)| Hop {
            proxy: plain(ProxyKind::Socks4),
            replies: vec![[&[version, 90], &rest[..]].concat()],
        }),
        http_open().prop_map(move |open| Hop {
            proxy: with_user(ProxyKind::Http),
            replies: vec![open],
        }),
    ]
}

fn path() -> impl Strategy<Value = Vec<Hop>> {
    let raw = Just(Hop {
        proxy: plain(ProxyKind::Raw),
        replies: vec![],
    });
    vec(prop_oneof![4 => hop_with_handshake(), 1 => raw], 1..4)
}

/// A path with at least one byte of replies.
fn path_with_handshake() -> impl Strategy<Value = Vec<Hop>> {
    (path(), hop_with_handshake()).prop_map(|(mut path, hop_with_handshake)| {
        path.push(hop_with_handshake);
        path
    })
}

fn sizes() -> impl Strategy<Value = Vec<usize>> {
    prop_oneof![
        Just(vec![1]),
        Just(vec![usize::MAX]),
        vec(1_usize..40, 1..20)
    ]
}

fn drive(hops: &[Hop], replies: &[Vec<u8>], after: &[u8], sizes: &[usize], pipelined: bool) -> Run {
    let replies: Vec<&[u8]> = replies.iter().map(|reply| &reply[..]).collect();
    let path: Vec<&Proxy> = hops.iter().map(|hop| &hop.proxy).collect();
    let mut tunnel = Tunnel::new(&path, target("db.example:5432"), pipelined);
    let mut sizes = sizes.iter().cycle();
    run(&mut tunnel, &replies, after, || *sizes.next().unwrap())
}

/// What the hops send, split where a step must stop reading.
fn replies(hops: &[Hop], pipelined: bool) -> Vec<Vec<u8>> {
    hops.iter()
        .flat_map(|hop| match &hop.replies[..] {
            // A method selection and a reply, both to one segment.
            [method, reply] if pipelined => vec![[&method[..], reply].concat()],
            replies => replies.to_vec(),
        })
        .collect()
}

proptest! {
    #[test]
    fn any_split_of_valid_replies_opens_and_takes_exactly_them(
        hops in path(),
        program in vec(any::<u8>(), 0..30),
        sizes in sizes(),
        pipelined: bool,
    ) {
        let replies = replies(&hops, pipelined);
        let split = drive(&hops, &replies, &program, &sizes, pipelined);
        prop_assert_eq!(&split.result, &Ok(()));
        prop_assert_eq!(&split.left, &program);
        let whole = drive(&hops, &replies, &program, &[usize::MAX], pipelined);
        prop_assert_eq!(split.sent, whole.sent);
    }

    #[test]
    fn pipelining_sends_the_same_bytes(hops in path(), sizes in sizes()) {
        let one = drive(&hops, &replies(&hops, false), b"", &sizes, false);
        let other = drive(&hops, &replies(&hops, true), b"", &sizes, true);
        prop_assert_eq!(one.sent, other.sent);
    }

    #[test]
    fn replies_cut_off_anywhere_fail_as_closed(
        hops in path_with_handshake(),
        at: prop::sample::Index,
        sizes in sizes(),
    ) {
        let whole = replies(&hops, false).concat();
        let cut = &whole[..at.index(whole.len())];
        let run = drive(&hops, &[], cut, &sizes, false);
        prop_assert_eq!(failure(&run), &FailureKind::Closed);
        prop_assert_eq!(run.left, b"");
    }

    #[test]
    fn garbage_comes_to_an_end(
        hops in path(),
        rubbish in vec(any::<u8>(), 0..300),
        sizes in sizes(),
        pipelined: bool,
    ) {
        // `run` panics if it does not, or if a step asks for no bytes.
        let run = drive(&hops, &[], &rubbish, &sizes, pipelined);
        if let Err(failure) = run.result {
            prop_assert!(failure.hop < hops.len());
        }
    }

    #[test]
    fn a_changed_byte_opens_or_fails_and_no_split_changes_which(
        hops in path_with_handshake(),
        at: prop::sample::Index,
        byte: u8,
        program in vec(any::<u8>(), 0..300),
        sizes in sizes(),
    ) {
        let mut wire = replies(&hops, false).concat();
        let at = at.index(wire.len());
        wire[at] = byte;
        wire.extend_from_slice(&program);
        let split = drive(&hops, &[], &wire, &sizes, false);
        let whole = drive(&hops, &[], &wire, &[usize::MAX], false);
        prop_assert_eq!(split.result.is_ok(), whole.result.is_ok());
        if split.result.is_ok() {
            prop_assert_eq!(split.left, whole.left);
        }
    }
}
