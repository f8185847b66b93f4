//! A driver without a socket, and the proxies and targets that the tests share.

mod http;
mod properties;
mod socks4;
mod socks5;
mod whole_path;

use super::{Failure, FailureKind, Step, Tunnel};
use crate::config::{Credentials, Endpoint, Proxy, ProxyKind, Secret};
use crate::host::{Host, Target};

/// The result of a tunnel, and where the bytes went.
struct Run {
    sent: Vec<u8>,
    /// What the proxy sent and nobody read: it belongs to the program.
    left: Vec<u8>,
    /// The number of reads; a peek and the read of what it saw are two.
    reads: usize,
    result: Result<(), Failure>,
}

/// Drives the tunnel against a proxy that sends `replies` and then `after`, whatever it receives, and then
/// closes. `piece` gives the size of each write and read.
///
/// Panics when a step asks for bytes beyond the current reply, or when there is no end to the steps.
fn run(
    tunnel: &mut Tunnel<'_>,
    replies: &[&[u8]],
    after: &[u8],
    mut piece: impl FnMut() -> usize,
) -> Run {
    let mut wire = replies.concat();
    wire.extend_from_slice(after);
    let ends: Vec<usize> = replies
        .iter()
        .scan(0, |end, reply| {
            *end += reply.len();
            Some(*end)
        })
        .collect();
    let (mut sent, mut at, mut reads) = (Vec::new(), 0, 0);
    let mut result = None;
    // Each step moves a byte or is the last; no path of these tests sends more than 8192 bytes.
    for _ in 0..8192 + wire.len() {
        match tunnel.step() {
            Step::Send(bytes) => {
                let n = piece().clamp(1, bytes.len());
                sent.extend_from_slice(&bytes[..n]);
                tunnel.sent(n);
            }
            Step::Read(n) => {
                assert!(n > 0);
                if let Some(end) = ends.iter().find(|end| **end > at) {
                    assert!(
                        at + n <= *end,
                        "asked for {n} bytes with {} left of the reply",
                        end - at
                    );
                }
                let n = piece().clamp(1, n).min(wire.len() - at);
                reads += 1;
                tunnel.received(&wire[at..at + n]);
                at += n;
            }
            Step::Peek(n) => {
                assert!(n > 0);
                let n = piece().clamp(1, n).min(wire.len() - at);
                reads += 2;
                at += tunnel.peeked(&wire[at..at + n]);
            }
            Step::Done => {
                result = Some(Ok(()));
                break;
            }
            Step::Fail(failure) => {
                result = Some(Err(failure));
                break;
            }
        }
    }
    Run {
        sent,
        left: wire[at..].to_vec(),
        reads,
        result: result.expect("a tunnel comes to an end"),
    }
}

/// One proxy, one target, whole reads.
fn ask(proxy: &Proxy, to: &str, replies: &[&[u8]]) -> Run {
    let mut tunnel = Tunnel::new(&[proxy], target(to), false);
    run(&mut tunnel, replies, b"", || usize::MAX)
}

/// As [`ask`], with bytes that need not be replies of the proxy's protocol.
fn ask_anyone(proxy: &Proxy, to: &str, wire: &[u8]) -> Run {
    let mut tunnel = Tunnel::new(&[proxy], target(to), false);
    run(&mut tunnel, &[], wire, || usize::MAX)
}

fn failure(run: &Run) -> &FailureKind {
    &run.result.as_ref().expect_err("a failure").kind
}

fn proxy(kind: ProxyKind, at: &str) -> Proxy {
    Proxy {
        kind,
        endpoint: Endpoint::Tcp(target(at)),
        credentials: None,
    }
}

fn proxy_with_user(kind: ProxyKind, user: &[u8], password: &[u8]) -> Proxy {
    Proxy {
        credentials: Some(Credentials {
            user: user.into(),
            password: Secret::new(password),
        }),
        ..proxy(kind, "127.0.0.1:1055")
    }
}

fn target(text: &str) -> Target {
    let (host, port) = text.rsplit_once(':').unwrap();
    Target {
        host: Host::parse(host).unwrap(),
        port: port.parse().unwrap(),
    }
}
