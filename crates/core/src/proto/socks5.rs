//! SOCKS5: RFC 1928, and user/password as in RFC 1929.

#![forbid(unsafe_code)]

use super::failure::FailureKind;
use super::talk::{Ask, Heard};
use crate::host::{Host, Target};
use socks5_proto::handshake::{self, password, Method};
use socks5_proto::{Address, Command, Reply, Request, SOCKS_VERSION};
use std::net::SocketAddr;

/// A method choice and a user/password verdict are two bytes each (RFC 1928 section 3, RFC 1929 section 2).
const SHORT_REPLY: usize = 2;

/// The shortest reply to a request: its bound address is a domain name of no letters. Asking for more at first
/// could take bytes of the program.
const LEAST_REPLY: usize = 7;

const NOT_SOCKS5: FailureKind = FailureKind::Nonsense("a reply that is not SOCKS5");

pub(super) struct Socks5 {
    awaiting: Awaiting,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Awaiting {
    Method,
    Password,
    Reply,
    /// The request went out with the greeting: the method, and the reply behind it.
    MethodAndReply,
}

impl Socks5 {
    pub fn open(
        ask: Ask<'_>,
        pipelined: bool,
        out: &mut Vec<u8>,
    ) -> Result<(Socks5, usize), FailureKind> {
        let mut methods = vec![Method::NONE];
        if let Some(credentials) = ask.credentials {
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
        let (awaiting, want) = match ask.credentials {
            None if pipelined => {
                write_request(ask.to, out);
                (Awaiting::MethodAndReply, SHORT_REPLY + LEAST_REPLY)
            }
            _ => (Awaiting::Method, SHORT_REPLY),
        };
        Ok((Socks5 { awaiting }, want))
    }

    pub fn is_greeted(&self) -> bool {
        self.awaiting == Awaiting::Reply
    }

    pub fn hear(
        &mut self,
        reply: &[u8],
        ask: Ask<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Heard, FailureKind> {
        match (self.awaiting, reply) {
            (Awaiting::Reply, _) => hear_reply(reply),
            (Awaiting::MethodAndReply, [SOCKS_VERSION, 0, rest @ ..]) if !rest.is_empty() => {
                hear_reply(rest)
            }
            (Awaiting::Method | Awaiting::MethodAndReply, [SOCKS_VERSION, method, ..]) => {
                self.hear_method(Method(*method), ask, out)
            }
            (Awaiting::Method, [] | [SOCKS_VERSION]) => Ok(Heard::More(SHORT_REPLY - reply.len())),
            (Awaiting::MethodAndReply, [] | [SOCKS_VERSION]) => {
                Ok(Heard::More(SHORT_REPLY + LEAST_REPLY - reply.len()))
            }
            (Awaiting::Method | Awaiting::MethodAndReply, _) => Err(NOT_SOCKS5),
            // Some servers put the version of SOCKS where that of the subnegotiation, 1, belongs.
            (Awaiting::Password, [1 | SOCKS_VERSION, 0, ..]) => Ok(self.request(ask, out)),
            (Awaiting::Password, [1 | SOCKS_VERSION, _, ..]) => Err(FailureKind::AuthRefused),
            (Awaiting::Password, [] | [1 | SOCKS_VERSION]) => {
                Ok(Heard::More(SHORT_REPLY - reply.len()))
            }
            (Awaiting::Password, _) => Err(FailureKind::Nonsense(
                "a reply that is not one to a user and password",
            )),
        }
    }

    fn hear_method(
        &mut self,
        method: Method,
        ask: Ask<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Heard, FailureKind> {
        match (method, ask.credentials) {
            (Method::NONE, _) => Ok(self.request(ask, out)),
            (Method::PASSWORD, Some(credentials)) => {
                let user = credentials.user.to_vec();
                let password = credentials.password.reveal().to_vec();
                password::Request::new(user, password).write_to_buf(out);
                self.awaiting = Awaiting::Password;
                Ok(Heard::Next(SHORT_REPLY))
            }
            (Method::UNACCEPTABLE, credentials) => Err(FailureKind::NoAcceptableMethod {
                password_offered: credentials.is_some(),
            }),
            _ => Err(FailureKind::Nonsense(
                "an authentication method that was not offered",
            )),
        }
    }

    fn request(&mut self, ask: Ask<'_>, out: &mut Vec<u8>) -> Heard {
        if self.awaiting != Awaiting::MethodAndReply {
            write_request(ask.to, out);
        }
        self.awaiting = Awaiting::Reply;
        Heard::Next(LEAST_REPLY)
    }
}

fn write_request(to: &Target, out: &mut Vec<u8>) {
    let address = match &to.host {
        Host::Ip(ip) => Address::SocketAddress(SocketAddr::new(*ip, to.port)),
        // At most 255 bytes, by the type.
        Host::Name(name) => Address::DomainAddress(name.as_str().as_bytes().to_vec(), to.port),
    };
    Request::new(Command::Connect, address).write_to_buf(out);
}

/// The reply of RFC 1928 section 6. A refusal is known from its second byte, and what follows it is of no use:
/// some servers leave the address out or its type 0. A success is read to the last byte of its bound address,
/// whose length only its own type tells.
fn hear_reply(reply: &[u8]) -> Result<Heard, FailureKind> {
    const SUCCEEDED: u8 = 0;
    let length = match reply {
        [] | [SOCKS_VERSION] => LEAST_REPLY,
        [SOCKS_VERSION, SUCCEEDED, rest @ ..] => match rest {
            [] | [_] | [_, 3] => LEAST_REPLY,
            [_, 1, ..] => 4 + 4 + 2,
            [_, 4, ..] => 4 + 16 + 2,
            [_, 3, letters, ..] => LEAST_REPLY + usize::from(*letters),
            _ => {
                return Err(FailureKind::Nonsense(
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
        0 => Heard::Open,
        missing => Heard::More(missing),
    })
}
