//! The lookup of one name: which queries to send in which order, and how to interpret the replies. No I/O.

#![forbid(unsafe_code)]

use super::{dns_message, request, Failure, Kind};
use crate::dns::{read_reply, Question, Reply, CLASS_IN, TYPE_A, TYPE_AAAA};
use crate::host::HostName;
use core::fmt;
use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::Duration;

/// Upper bound of the TTL: MagicDNS answers have 10 minutes, but the tailnet may change earlier.
const MAX_TTL: Duration = Duration::from_secs(60);
/// Lower bound of the TTL, so that the concurrent connections of a web page or a pool share one query.
const MIN_TTL: Duration = Duration::from_secs(1);
/// TTL of a negative answer.
const NEGATIVE_TTL: Duration = Duration::from_secs(5);

/// The result of a lookup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// Never empty; in the order to try them.
    Addresses(Vec<IpAddr>),
    /// No such name. The proxy may still resolve it, since it also uses the machine's resolver.
    NoSuchName,
    /// The lookup failed. The proxy may still resolve the name.
    Unknown(Unanswered),
}

/// Why it is not known whether the name exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unanswered {
    Failure(Failure),
    /// The response code of a name server, e.g. 2, server failure.
    Code(u16),
}

impl fmt::Display for Unanswered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unanswered::Failure(failure) => failure.fmt(f),
            Unanswered::Code(2) => f.write_str("server failure (SERVFAIL)"),
            Unanswered::Code(5) => f.write_str("the name server refuses to answer (REFUSED)"),
            Unanswered::Code(code) => write!(f, "the name server answers with code {code}"),
        }
    }
}

/// Queries the candidate names one after the other, A before AAAA, until one has an address.
pub struct Lookup {
    name: HostName,
    kind: Kind,
    remaining: VecDeque<HostName>,
    /// The last failed query; later candidates are still tried.
    unanswered: Option<Unanswered>,
}

impl Lookup {
    /// `search` lists the search domains. A name without a dot is tried in them first, any other name last
    /// (resolv.conf(5), `search` and `ndots:1`).
    pub fn new(name: &HostName, search: &[HostName]) -> Option<Lookup> {
        let within = |domain: &HostName| {
            let whole = format!("{}.{}", name.as_str(), domain.as_str());
            HostName::new(whole.as_bytes()).ok()
        };
        let mut names: VecDeque<HostName> = search.iter().filter_map(within).collect();
        match name.as_str().contains('.') {
            true => names.push_front(name.clone()),
            false => names.push_back(name.clone()),
        }
        names.retain(|name| question(name, Kind::A).is_some());
        Some(Lookup {
            name: names.pop_front()?,
            kind: Kind::A,
            remaining: names,
            unanswered: None,
        })
    }

    /// The next request. Each one is sent on a new connection.
    pub fn request(&self) -> Vec<u8> {
        request(&self.name, self.kind)
    }

    /// Processes a response, received up to the end of the connection. Returns the result and how long to cache it, or
    /// `None` if there is another request to send.
    pub fn on_response(&mut self, response: &[u8]) -> Option<(Resolution, Duration)> {
        match self.reply(response) {
            Ok(Reply::Addresses { addresses, ttl }) => {
                let kept = Duration::from_secs(ttl.into()).clamp(MIN_TTL, MAX_TTL);
                return Some((Resolution::Addresses(addresses), kept));
            }
            Ok(Reply::NoData) if self.kind == Kind::A => {
                self.kind = Kind::Aaaa;
                return None;
            }
            Ok(Reply::NoData | Reply::NoSuchName) => {}
            Ok(Reply::Failed(code)) => self.unanswered = Some(Unanswered::Code(code)),
            // tailscaled's upstream resolver failed for this name. Any other failure would also affect the next query.
            Err(failure @ Failure::Status(500)) => {
                self.unanswered = Some(Unanswered::Failure(failure));
            }
            Err(failure) => return Some(failed(failure)),
        }
        match self.remaining.pop_front() {
            Some(name) => {
                self.name = name;
                self.kind = Kind::A;
                None
            }
            None => {
                let resolution = match self.unanswered.take() {
                    Some(why) => Resolution::Unknown(why),
                    None => Resolution::NoSuchName,
                };
                Some((resolution, NEGATIVE_TTL))
            }
        }
    }

    fn reply(&self, response: &[u8]) -> Result<Reply, Failure> {
        let message = dns_message(response)?;
        let question = question(&self.name, self.kind).ok_or(Failure::Malformed)?;
        read_reply(&message, &question).map_err(|_| Failure::Malformed)
    }
}

/// The result if a request failed, and how long to cache it.
pub fn failed(failure: Failure) -> (Resolution, Duration) {
    let kept = match failure {
        // Not cached: a failed connect is cheap, and tailscaled may start at any time.
        Failure::Io(_) => Duration::ZERO,
        _ => NEGATIVE_TTL,
    };
    (Resolution::Unknown(Unanswered::Failure(failure)), kept)
}

fn question(name: &HostName, kind: Kind) -> Option<Question> {
    let qtype = match kind {
        Kind::A => TYPE_A,
        Kind::Aaaa => TYPE_AAAA,
    };
    Question::new(name.as_str().as_bytes(), CLASS_IN, qtype).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dns::{Answer, Query};
    use crate::proto::base64;

    fn host(text: &str) -> HostName {
        HostName::new(text.as_bytes()).unwrap()
    }

    fn lookup(name: &str, search: &[&str]) -> Lookup {
        let search: Vec<HostName> = search.iter().map(|domain| host(domain)).collect();
        Lookup::new(&host(name), &search).unwrap()
    }

    fn asked(lookup: &Lookup) -> String {
        format!("{} {}", lookup.name, lookup.kind.as_str())
    }

    /// A response to the current request of `lookup`.
    fn answer(lookup: &Lookup, answer: &Answer) -> Vec<u8> {
        let query = Query {
            id: 1,
            recursion_desired: true,
            question: question(&lookup.name, lookup.kind).unwrap(),
        };
        let mut response = b"HTTP/1.0 200 OK\r\n\r\n{\"Bytes\":\"".to_vec();
        base64::encode(&query.answer(answer, 512).unwrap(), &mut response);
        response.extend_from_slice(b"\"}\n");
        response
    }

    fn step(lookup: &mut Lookup, with: &Answer) -> Option<Resolution> {
        let response = answer(lookup, with);
        lookup
            .on_response(&response)
            .map(|(resolution, _)| resolution)
    }

    #[test]
    fn aaaa_is_queried_if_there_is_no_a_record() {
        let mut lookup = lookup("10-0-0-1-via-7", &[]);
        assert_eq!(asked(&lookup), "10-0-0-1-via-7 A");
        assert_eq!(step(&mut lookup, &Answer::NoData), None);
        assert_eq!(asked(&lookup), "10-0-0-1-via-7 AAAA");
        let address: IpAddr = "fd7a::1".parse().unwrap();
        assert_eq!(
            step(&mut lookup, &Answer::Address(address)),
            Some(Resolution::Addresses(vec![address]))
        );
    }

    #[test]
    fn search_domains_come_first_for_a_name_without_a_dot_and_last_otherwise() {
        let mut short = lookup("db", &["a.corp", "b.corp"]);
        for expected in ["db.a.corp A", "db.b.corp A", "db A"] {
            assert_eq!(asked(&short), expected);
            let last = (expected == "db A").then_some(Resolution::NoSuchName);
            assert_eq!(step(&mut short, &Answer::NoSuchName), last);
        }
        let mut dotted = lookup("db.x", &["a.corp"]);
        assert_eq!(asked(&dotted), "db.x A");
        assert_eq!(step(&mut dotted, &Answer::NoSuchName), None);
        assert_eq!(asked(&dotted), "db.x.a.corp A");
    }

    #[test]
    fn nodata_means_no_such_name_and_a_server_failure_means_unknown() {
        let mut lookup = lookup("db.x", &[]);
        assert_eq!(step(&mut lookup, &Answer::NoData), None);
        assert_eq!(
            step(&mut lookup, &Answer::NoData),
            Some(Resolution::NoSuchName)
        );
        let mut lookup = self::lookup("db.x", &["corp"]);
        assert_eq!(lookup.on_response(b"HTTP/1.0 500 X\r\n\r\ntimeout"), None);
        assert_eq!(
            step(&mut lookup, &Answer::NoSuchName),
            Some(Resolution::Unknown(Unanswered::Failure(Failure::Status(
                500
            ))))
        );
    }

    #[test]
    fn after_a_denial_no_other_name_is_tried() {
        let mut lookup = lookup("db", &["corp"]);
        let (resolution, kept) = lookup.on_response(b"HTTP/1.0 403 X\r\n\r\n").unwrap();
        assert_eq!(
            resolution,
            Resolution::Unknown(Unanswered::Failure(Failure::Denied))
        );
        assert_eq!(kept, NEGATIVE_TTL);
    }

    #[test]
    fn an_answer_is_cached_for_its_ttl_within_bounds() {
        let mut lookup = lookup("db.x", &[]);
        let response = answer(&lookup, &Answer::Address("10.0.0.1".parse().unwrap()));
        let (_, kept) = lookup.on_response(&response).unwrap();
        // The TTL of `Query::answer`.
        assert_eq!(kept, Duration::from_secs(10));
    }

    #[test]
    fn an_invalid_dns_name_is_not_queried() {
        assert!(Lookup::new(&host("a..b"), &[]).is_none());
        assert!(Lookup::new(&host(&"a".repeat(64)), &[]).is_none());
    }
}
