//! SOCKS4, and SOCKS4a if the target is a name (the two memos "SOCKS: A protocol for TCP proxy across firewalls" and
//! "SOCKS 4A: A Simple Extension to SOCKS 4 Protocol").

#![forbid(unsafe_code)]

use super::failure::FailureKind;
use super::request::{Progress, Request};
use crate::host::Host;
use std::net::IpAddr;

const VERSION: u8 = 4;
const CONNECT: u8 = 1;
const GRANTED: u8 = 90;

/// Every reply has eight bytes; only the first two carry information.
const REPLY: usize = 8;

/// An invalid address, which tells a SOCKS4a server that a name follows.
const NAME_FOLLOWS: [u8; 4] = [0, 0, 0, 1];

pub(super) fn start(request: Request<'_>, out: &mut Vec<u8>) -> Result<usize, FailureKind> {
    let (address, name) = match &request.to.host {
        Host::Ip(IpAddr::V4(ip)) => (ip.octets(), None),
        Host::Ip(IpAddr::V6(_)) => return Err(FailureKind::NoIpv6),
        Host::Name(name) => (NAME_FOLLOWS, Some(name)),
    };
    let user = request.credentials.map_or(&[][..], |c| &*c.user);
    if user.contains(&0) {
        // It would end the user ID and begin the name.
        return Err(FailureKind::Unsupported("a NUL in a SOCKS4 user"));
    }
    if user.len() > usize::from(u8::MAX) {
        return Err(FailureKind::TooLong("the user"));
    }
    out.extend_from_slice(&[VERSION, CONNECT]);
    out.extend_from_slice(&request.to.port.to_be_bytes());
    out.extend_from_slice(&address);
    out.extend_from_slice(user);
    out.push(0);
    if let Some(name) = name {
        out.extend_from_slice(name.as_str().as_bytes());
        out.push(0);
    }
    Ok(REPLY)
}

/// The reply's version is 0; some servers repeat the request's 4 instead. A rejection is recognized by its second byte,
/// in case the server closes after it.
pub(super) fn on_reply(reply: &[u8]) -> Result<Progress, FailureKind> {
    match reply {
        [] | [0 | VERSION] | [0 | VERSION, GRANTED, ..] => {
            Ok(match REPLY.saturating_sub(reply.len()) {
                0 => Progress::Established,
                missing => Progress::NeedMore(missing),
            })
        }
        [0 | VERSION, code, ..] => Err(FailureKind::Socks4(*code)),
        _ => Err(FailureKind::InvalidReply("a reply that is not SOCKS4")),
    }
}
