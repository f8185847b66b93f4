//! Lookup tables for the routing directives.

#![forbid(unsafe_code)]

mod dnat;
mod domain;
mod net;
mod net_set;

pub use dnat::DnatTable;
pub use domain::DomainSet;
pub use net_set::NetSet;

pub(super) use dnat::Dnat;
pub(super) use domain::Suffix;
pub(super) use net::Net;

use super::error::Problem;

/// A decimal port; 0 means any port, as in proxychains-ng.
fn parse_port(text: &str) -> Result<u16, Problem> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(bad_port());
    }
    text.parse().map_err(|_| bad_port())
}

fn bad_port() -> Problem {
    Problem::new(
        "the port is not a number from 1 to 65535",
        "write the port in digits or leave it out",
    )
}
