//! What proxies answer, through the tunnel that a connection uses.
//!
//! Input: a byte of setup, a byte of split, then all that ever comes on the socket: the replies of one or two
//! hops and what the server behind them says.

use crate::cursor::Cursor;
use tailchain_core::config::{Credentials, Endpoint, Proxy, ProxyKind, Secret};
use tailchain_core::host::{Host, Target};
use tailchain_core::proto::{Failure, Step, Tunnel};

/// How one tunnel went.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    sent: Vec<u8>,
    /// Bytes taken off the socket, where it is of further use.
    taken: Option<usize>,
    result: Result<(), Failure>,
}

pub fn run(kind: ProxyKind, input: &[u8]) {
    let mut cursor = Cursor(input);
    let setup = cursor.byte();
    let split = usize::from(cursor.byte());
    let proxy = proxy(kind, setup & 1 != 0);
    let hops = 1 + usize::from(setup & 2 != 0);
    let pipelined = setup & 4 != 0;
    let mut stream = cursor.0.to_vec();
    if setup & 8 != 0 {
        // Past the limit of an HTTP header, which no input would reach by itself.
        let middle = stream.len() / 2;
        stream.splice(middle..middle, std::iter::repeat_n(b'x', 70_000));
    }

    let path = vec![&proxy; hops];
    let drive = |sizes: &[usize]| drive(&path, pipelined, &stream, sizes);
    let whole = drive(&[usize::MAX]);
    assert_eq!(whole, drive(&[1]), "byte by byte");
    let some = [1 + split % 7, 1 + split / 7, 1 + split];
    assert_eq!(whole, drive(&some), "in pieces of {some:?}");

    let end = (0..hops).try_fold(0, |end, _| {
        let has_credentials = proxy.credentials.is_some();
        Some(end + success_length(kind, has_credentials, stream.get(end..)?)?)
    });
    match &whole.result {
        Ok(()) => assert_eq!(whole.taken, end, "taken up to the end of the replies"),
        Err(_) => assert_eq!(end, None, "replies of success, but {whole:?}"),
    }
}

fn proxy(kind: ProxyKind, has_credentials: bool) -> Proxy {
    let host = Host::parse("proxy.example").expect("a host name");
    Proxy {
        kind,
        endpoint: Endpoint::Tcp(Target { host, port: 1080 }),
        credentials: has_credentials.then(|| Credentials {
            user: b"user".as_slice().into(),
            password: Secret::new(b"password".as_slice()),
        }),
    }
}

/// A driver whose reads give at most so many bytes, `sizes` in turn.
fn drive(path: &[&Proxy], pipelined: bool, stream: &[u8], sizes: &[usize]) -> Outcome {
    let host = Host::parse("db.example").expect("a host name");
    let mut tunnel = Tunnel::new(path, Target { host, port: 5432 });
    tunnel.pipeline(pipelined);
    let (mut sent, mut taken) = (Vec::new(), 0);
    let mut sizes = sizes.iter().cycle();
    let mut next = |taken: usize, want: usize| {
        assert!(want > 0, "a step that moves nothing");
        let size = sizes.next().expect("never empty");
        &stream[taken..stream.len().min(taken + want.min(*size))]
    };
    let result = loop {
        match tunnel.step() {
            Step::Send(bytes) => {
                assert!(!bytes.is_empty(), "a step that moves nothing");
                let count = bytes.len();
                sent.extend_from_slice(bytes);
                tunnel.sent(count);
            }
            Step::Take(want) => {
                let bytes = next(taken, want);
                taken += bytes.len();
                tunnel.received(bytes);
            }
            Step::Peek(want) => {
                let bytes = next(taken, want);
                let count = tunnel.peeked(bytes);
                assert!(count <= bytes.len(), "takes what it has not seen");
                taken += count;
            }
            Step::Done => break Ok(()),
            Step::Fail(failure) => break Err(failure),
        }
    };
    Outcome {
        sent,
        taken: result.is_ok().then_some(taken),
        result,
    }
}

/// How long a hop's replies are if they say that it is connected, by a second reading of the protocols.
fn success_length(kind: ProxyKind, has_credentials: bool, replies: &[u8]) -> Option<usize> {
    match kind {
        ProxyKind::Raw => Some(0),
        ProxyKind::Socks4 => match replies.get(..8)? {
            [0 | 4, 90, ..] => Some(8),
            _ => None,
        },
        ProxyKind::Socks5 => {
            let greeting = match replies {
                [5, 0, ..] => 2,
                [5, 2, 1 | 5, 0, ..] if has_credentials => 4,
                _ => return None,
            };
            let reply = replies.get(greeting..)?;
            let address = match reply {
                [5, 0, _, 1, ..] => 4,
                [5, 0, _, 4, ..] => 16,
                [5, 0, _, 3, letters, ..] => 1 + usize::from(*letters),
                _ => return None,
            };
            let length = 4 + address + 2;
            (reply.len() >= length).then_some(greeting + length)
        }
        ProxyKind::Http => {
            let mut length = 0;
            for line in replies.split_inclusive(|byte| *byte == b'\n') {
                length += line.len();
                // Neither the status line nor what it stands for may be empty.
                if length > line.len() && matches!(line, b"\n" | b"\r\n") {
                    return is_http_success(replies)
                        .then_some(length)
                        .filter(|n| *n <= 64 * 1024);
                }
            }
            None
        }
    }
}

fn is_http_success(reply: &[u8]) -> bool {
    let line = reply
        .split(|byte| *byte == b'\n')
        .next()
        .unwrap_or_default();
    let mut words = line.trim_ascii_end().split(|byte| *byte == b' ');
    let is_http = words.next().is_some_and(|word| word.starts_with(b"HTTP/"));
    let status = words.find(|word| !word.is_empty());
    is_http && matches!(status, Some([b'2', b'0'..=b'9', b'0'..=b'9']))
}
