//! What proxies reply, through the tunnel that a connection uses.
//!
//! Input: a byte of setup (see `Setup`); how the socket splits what passes it (a byte for the number of pieces, then
//! the size of each); then all that ever arrives on the socket: the replies of one to three hops, and what the server
//! behind them sends.

use crate::cursor::Cursor;
use tailchain_core::config::{Credentials, Endpoint, Proxy, ProxyKind, Secret};
use tailchain_core::host::{Host, Target};
use tailchain_core::proto::{Failure, Step, Tunnel};

/// The bits of the first byte.
struct Setup {
    has_credentials: bool,
    pipelined: bool,
    /// Beyond the limit of an HTTP header, which no input would reach by itself.
    is_long: bool,
    hops: usize,
    /// How far each hop's kind is, in `KINDS`, from that of the one before it.
    turn: usize,
}

const KINDS: [ProxyKind; 4] = [
    ProxyKind::Socks5,
    ProxyKind::Socks4,
    ProxyKind::Http,
    ProxyKind::Raw,
];

impl Setup {
    fn new(bits: u8) -> Setup {
        let is_set = |bit: u8| bits >> bit & 1 != 0;
        Setup {
            has_credentials: is_set(0),
            pipelined: is_set(2),
            is_long: is_set(3),
            hops: 1 + usize::from(is_set(1)) + usize::from(is_set(4)),
            turn: usize::from(bits >> 5 & 3),
        }
    }

    fn path(&self, first: ProxyKind) -> Vec<Proxy> {
        KINDS
            .into_iter()
            .cycle()
            .skip_while(|kind| *kind != first)
            // With 0 all hops have the same kind: start at any of them.
            .step_by(if self.turn == 0 {
                KINDS.len()
            } else {
                self.turn
            })
            .take(self.hops)
            .map(|kind| proxy(kind, self.has_credentials))
            .collect()
    }
}

/// The result of one tunnel.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    sent: Vec<u8>,
    /// Bytes read from the socket, if it is of further use.
    taken: Option<usize>,
    result: Result<(), Failure>,
}

pub fn run(first: ProxyKind, input: &[u8]) {
    let mut cursor = Cursor(input);
    let setup = Setup::new(cursor.byte());
    let count = usize::from(cursor.byte() % 16);
    let mut pieces: Vec<usize> = cursor
        .bytes(count)
        .iter()
        .map(|size| 1 + usize::from(*size))
        .collect();
    // Without sizes, all at once.
    if pieces.is_empty() {
        pieces.push(usize::MAX);
    }
    let mut stream = cursor.0.to_vec();
    if setup.is_long {
        let middle = stream.len() / 2;
        stream.splice(middle..middle, std::iter::repeat_n(b'x', 70_000));
    }

    let proxies = setup.path(first);
    let path: Vec<&Proxy> = proxies.iter().collect();
    let drive = |sizes: &[usize]| drive(&path, setup.pipelined, &stream, sizes);
    let whole = drive(&[usize::MAX]);
    assert_eq!(whole, drive(&[1]), "byte by byte");
    assert_eq!(whole, drive(&pieces), "in pieces of {pieces:?}");

    let mut end = 0;
    let failing = path.iter().position(|proxy| {
        let replies = stream.get(end..).unwrap_or_default();
        let length = success_length(proxy.kind, setup.has_credentials, replies);
        end += length.unwrap_or(0);
        length.is_none()
    });
    match &whole.result {
        Ok(()) => {
            assert_eq!(failing, None, "a tunnel through a hop that failed");
            assert_eq!(whole.taken, Some(end), "taken up to the end of the replies");
        }
        Err(failure) => assert_eq!(Some(failure.hop), failing, "{failure:?}"),
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

/// A driver whose reads and writes move at most `sizes` bytes, each size in turn.
fn drive(path: &[&Proxy], pipelined: bool, stream: &[u8], sizes: &[usize]) -> Outcome {
    let host = Host::parse("db.example").expect("a host name");
    let mut tunnel = Tunnel::new(path, Target { host, port: 5432 }, pipelined);
    let (mut sent, mut taken) = (Vec::new(), 0);
    let mut sizes = sizes.iter().cycle();
    let mut next = |want: usize| {
        assert!(want > 0, "a step that moves nothing");
        want.min(*sizes.next().expect("never empty"))
    };
    let coming = |taken: usize, size: usize| &stream[taken..stream.len().min(taken + size)];
    let result = loop {
        match tunnel.step() {
            Step::Send(bytes) => {
                let count = next(bytes.len());
                sent.extend_from_slice(&bytes[..count]);
                tunnel.sent(count);
            }
            Step::Read(want) => {
                let bytes = coming(taken, next(want));
                taken += bytes.len();
                tunnel.received(bytes);
            }
            Step::Peek(want) => {
                let bytes = coming(taken, next(want));
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

/// The length of a hop's replies if they report success, by a second implementation of the protocols.
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
                // Neither the status line nor the status may be empty.
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
