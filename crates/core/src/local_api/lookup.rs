//! The lookup of one name: which queries, in which order, and what follows from the answers. No I/O.

#![forbid(unsafe_code)]

use super::{dns_message, request, Failure, Kind};
use crate::dns::{read_reply, Question, Reply, CLASS_IN, TYPE_A, TYPE_AAAA};
use crate::host::HostName;
use core::fmt;
use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::Duration;

/// However long an answer may be kept by its TTL: addresses of MagicDNS have 10 minutes, and change with the tailnet.
const LONGEST: Duration = Duration::from_secs(60);
/// The connections of a page or of a pool come together: they need not ask one by one.
const SHORTEST: Duration = Duration::from_secs(1);
/// For what could not be resolved.
const WITHOUT_ADDRESS: Duration = Duration::from_secs(5);

/// What tailscaled says of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// Never none; in the order to try them.
    Addresses(Vec<IpAddr>),
    /// No such name. The proxy may know it all the same: it asks the machine's own resolver.
    NoSuchName,
    /// It could not be asked, or did not know. The proxy may know more.
    Unknown(Unanswered),
}

/// Why a name has neither an address nor none.
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

/// Names are asked for one after the other, IPv4 addresses first, until one has an address.
pub struct Lookup {
    name: HostName,
    kind: Kind,
    further: VecDeque<HostName>,
    unanswered: Option<Unanswered>,
}

impl Lookup {
    /// `search` are domains to look for the name in: before it where it has no dot, else after it (resolv.conf(5),
    /// `search` and `ndots:1`).
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
            further: names,
            unanswered: None,
        })
    }

    /// The request that is to be sent, on a connection of its own.
    pub fn request(&self) -> Vec<u8> {
        request(&self.name, self.kind)
    }

    /// All that was received, up to the end of the connection. `None`: send the next request.
    pub fn answered(&mut self, response: &[u8]) -> Option<(Resolution, Duration)> {
        match self.reply(response) {
            Ok(Reply::Addresses { addresses, ttl }) => {
                let kept = Duration::from_secs(ttl.into()).clamp(SHORTEST, LONGEST);
                return Some((Resolution::Addresses(addresses), kept));
            }
            Ok(Reply::NoData) if self.kind == Kind::A => {
                self.kind = Kind::Aaaa;
                return None;
            }
            Ok(Reply::NoData | Reply::NoSuchName) => {}
            Ok(Reply::Failed(code)) => self.unanswered = Some(Unanswered::Code(code)),
            // A resolver that does not answer is an error of this query alone; with the others no query has a chance.
            Err(failure @ Failure::Status(500)) => {
                self.unanswered = Some(Unanswered::Failure(failure));
            }
            Err(failure) => return Some(failed(failure)),
        }
        match self.further.pop_front() {
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
                Some((resolution, WITHOUT_ADDRESS))
            }
        }
    }

    fn reply(&self, response: &[u8]) -> Result<Reply, Failure> {
        let message = dns_message(response)?;
        let question = question(&self.name, self.kind).ok_or(Failure::Malformed)?;
        read_reply(&message, &question).map_err(|_| Failure::Malformed)
    }
}

/// What follows where tailscaled cannot be asked, and for how long that holds.
pub fn failed(failure: Failure) -> (Resolution, Duration) {
    let kept = match failure {
        // To find out costs next to nothing, and it may start at any time.
        Failure::Io(_) => Duration::ZERO,
        _ => WITHOUT_ADDRESS,
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

    /// tailscaled's answer to what `lookup` asks now.
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
        lookup.answered(&response).map(|(resolution, _)| resolution)
    }

    #[test]
    fn ipv6_is_asked_for_where_there_is_no_ipv4_address() {
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
    fn search_domains_come_first_for_a_short_name_and_last_for_another() {
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
    fn a_name_without_data_is_no_name_and_a_server_failure_is_no_answer() {
        let mut lookup = lookup("db.x", &[]);
        assert_eq!(step(&mut lookup, &Answer::NoData), None);
        assert_eq!(
            step(&mut lookup, &Answer::NoData),
            Some(Resolution::NoSuchName)
        );
        let mut lookup = self::lookup("db.x", &["corp"]);
        assert_eq!(lookup.answered(b"HTTP/1.0 500 X\r\n\r\ntimeout"), None);
        assert_eq!(
            step(&mut lookup, &Answer::NoSuchName),
            Some(Resolution::Unknown(Unanswered::Failure(Failure::Status(
                500
            ))))
        );
    }

    #[test]
    fn where_this_user_may_not_ask_no_further_name_is_tried() {
        let mut lookup = lookup("db", &["corp"]);
        let (resolution, kept) = lookup.answered(b"HTTP/1.0 403 X\r\n\r\n").unwrap();
        assert_eq!(
            resolution,
            Resolution::Unknown(Unanswered::Failure(Failure::Denied))
        );
        assert_eq!(kept, WITHOUT_ADDRESS);
    }

    #[test]
    fn an_answer_is_kept_for_its_ttl_within_bounds() {
        let mut lookup = lookup("db.x", &[]);
        let response = answer(&lookup, &Answer::Address("10.0.0.1".parse().unwrap()));
        let (_, kept) = lookup.answered(&response).unwrap();
        // The TTL of `Query::answer`.
        assert_eq!(kept, Duration::from_secs(10));
    }

    #[test]
    fn what_is_no_name_of_dns_is_not_asked() {
        assert!(Lookup::new(&host("a..b"), &[]).is_none());
        assert!(Lookup::new(&host(&"a".repeat(64)), &[]).is_none());
    }
}
