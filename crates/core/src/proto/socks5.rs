//! SOCKS5 (RFC 1928), with username/password authentication (RFC 1929).

#![forbid(unsafe_code)]

use super::failure::FailureKind;
use super::request::{Progress, Request};
use crate::host::{Host, Target};
use socks5_proto as wire;
use std::net::SocketAddr;
use wire::handshake::{self, password, Method};
use wire::{Address, Command, Reply, SOCKS_VERSION};

/// The method selection and the reply to a username and password have two bytes each (RFC 1928 section 3, RFC 1929
/// section 2).
const SHORT_REPLY: usize = 2;

/// The shortest reply to a request: its bound address is an empty domain name. Reading more at first could take bytes
/// that belong to the program.
const SHORTEST_REPLY: usize = 7;

const NOT_SOCKS5: FailureKind = FailureKind::InvalidReply("a reply that is not SOCKS5");

pub(super) struct Socks5 {
    awaiting: Awaiting,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Awaiting {
    Method,
    Password,
    Reply,
    /// The request was sent with the greeting: the method selection and the reply arrive together.
    MethodAndReply,
}

impl Socks5 {
    pub fn start(
        request: Request<'_>,
        pipelined: bool,
        out: &mut Vec<u8>,
    ) -> Result<(Socks5, usize), FailureKind> {
        let mut methods = vec![Method::NONE];
        if let Some(credentials) = request.credentials {
            for (text, what) in [
                (&*credentials.user, "the user"),
                (credentials.password.reveal(), "the password"),
            ] {
                if text.len() > usize::from(u8::MAX) {
                    return Err(FailureKind::TooLong(what));
                }
            }
            methods.push(Method::PASSWORD);
        }
        handshake::Request::new(methods).write_to_buf(out);
        let (awaiting, want) = match request.credentials {
            None if pipelined => {
                write_request(request.to, out);
                (Awaiting::MethodAndReply, SHORT_REPLY + SHORTEST_REPLY)
            }
            _ => (Awaiting::Method, SHORT_REPLY),
        };
        Ok((Socks5 { awaiting }, want))
    }

    pub fn is_greeted(&self) -> bool {
        self.awaiting == Awaiting::Reply
    }

    pub fn on_reply(
        &mut self,
        reply: &[u8],
        request: Request<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Progress, FailureKind> {
        match (self.awaiting, reply) {
            (Awaiting::Reply, _) => on_connect_reply(reply),
            (Awaiting::MethodAndReply, [SOCKS_VERSION, 0, rest @ ..]) if !rest.is_empty() => {
                on_connect_reply(rest)
            }
            (Awaiting::Method | Awaiting::MethodAndReply, [SOCKS_VERSION, method, ..]) => {
                self.on_method(Method(*method), request, out)
            }
            (Awaiting::Method, [] | [SOCKS_VERSION]) => {
                Ok(Progress::NeedMore(SHORT_REPLY - reply.len()))
            }
            (Awaiting::MethodAndReply, [] | [SOCKS_VERSION]) => Ok(Progress::NeedMore(
                SHORT_REPLY + SHORTEST_REPLY - reply.len(),
            )),
            (Awaiting::Method | Awaiting::MethodAndReply, _) => Err(NOT_SOCKS5),
            // Some servers send the version of SOCKS, 5, in place of the subnegotiation's version, 1.
            (Awaiting::Password, [1 | SOCKS_VERSION, 0, ..]) => Ok(self.send_request(request, out)),
            (Awaiting::Password, [1 | SOCKS_VERSION, _, ..]) => Err(FailureKind::AuthRefused),
            (Awaiting::Password, [] | [1 | SOCKS_VERSION]) => {
                Ok(Progress::NeedMore(SHORT_REPLY - reply.len()))
            }
            (Awaiting::Password, _) => Err(FailureKind::InvalidReply(
                "a reply that is not one to a user and password",
            )),
        }
    }

    fn on_method(
        &mut self,
        method: Method,
        request: Request<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Progress, FailureKind> {
        match (method, request.credentials) {
            (Method::NONE, _) => Ok(self.send_request(request, out)),
            (Method::PASSWORD, Some(credentials)) => {
                let user = credentials.user.to_vec();
                let password = credentials.password.reveal().to_vec();
                password::Request::new(user, password).write_to_buf(out);
                self.awaiting = Awaiting::Password;
                Ok(Progress::NextReply(SHORT_REPLY))
            }
            (Method::UNACCEPTABLE, credentials) => Err(FailureKind::NoAcceptableMethod {
                password_offered: credentials.is_some(),
            }),
            _ => Err(FailureKind::InvalidReply(
                "an authentication method that was not offered",
            )),
        }
    }

    fn send_request(&mut self, request: Request<'_>, out: &mut Vec<u8>) -> Progress {
        if self.awaiting != Awaiting::MethodAndReply {
            write_request(request.to, out);
        }
        self.awaiting = Awaiting::Reply;
        Progress::NextReply(SHORTEST_REPLY)
    }
}

fn write_request(to: &Target, out: &mut Vec<u8>) {
    let address = match &to.host {
        Host::Ip(ip) => Address::SocketAddress(SocketAddr::new(*ip, to.port)),
        // At most 255 bytes, by the type.
        Host::Name(name) => Address::DomainAddress(name.as_str().as_bytes().to_vec(), to.port),
    };
    wire::Request::new(Command::Connect, address).write_to_buf(out);
}

/// The reply of RFC 1928 section 6. A failure is recognized by its second byte, without waiting for the rest: some
/// servers omit the bound address or set its type to 0. A success is read to the last byte of its bound address, whose
/// length depends on its type.
fn on_connect_reply(reply: &[u8]) -> Result<Progress, FailureKind> {
    const SUCCEEDED: u8 = 0;
    let length = match reply {
        [] | [SOCKS_VERSION] => SHORTEST_REPLY,
        [SOCKS_VERSION, SUCCEEDED, rest @ ..] => match rest {
            [] | [_] | [_, 3] => SHORTEST_REPLY,
            [_, 1, ..] => 4 + 4 + 2,
            [_, 4, ..] => 4 + 16 + 2,
            [_, 3, length, ..] => SHORTEST_REPLY + usize::from(*length),
            _ => {
                return Err(FailureKind::InvalidReply(
                    "a bound address of an unknown type in its SOCKS5 reply",
                ))
            }
        },
        [SOCKS_VERSION, code, ..] => {
            return Err(match Reply::try_from(*code) {
                Ok(reply) => FailureKind::Reply(reply),
                Err(code) => FailureKind::UnassignedReply(code),
            })
        }
        _ => return Err(NOT_SOCKS5),
    };
    Ok(match length.saturating_sub(reply.len()) {
        0 => Progress::Established,
        missing => Progress::NeedMore(missing),
    })
}
