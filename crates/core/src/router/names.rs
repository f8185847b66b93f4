//! The decision about one name or DNS query, or one reverse lookup: who answers, and what.

use super::{Fake, Router};
use crate::config::Dns;
use crate::dns::{self, Question};
use crate::host::{Host, HostName};
use crate::hosts::{KnownHost, Spelling};
use crate::route::{self, NamePolicy, NameReason, Route};
use core::ffi::c_int;
use std::ffi::CString;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Query type and class `*` (RFC 1035 sections 3.2.3 and 3.2.5).
const ANY: u16 = 255;

/// How a lookup of a name is answered.
pub enum Answer {
    /// libc resolves it.
    Local,
    /// It is in /etc/hosts. libc resolves it only if there is an address of the requested family; else libc would query
    /// a name server.
    Known(HostName, KnownHost),
    /// `localhost` or below it, and not in /etc/hosts: the loopback addresses (RFC 6761 section 6.3).
    Loopback(HostName),
    /// libc resolves it, and its addresses are reached directly or are those of a proxy.
    DirectName(HostName),
    /// The proxy resolves it; the program gets this fake IP.
    Fake(FakeHost),
    /// The name table is full. The lookup fails, since libc would query a name server.
    TableFull,
    /// Not a valid host name. The lookup fails, since libc might query a name server.
    NoName,
}

/// A name and its fake IPs.
pub struct FakeHost {
    pub name: HostName,
    pub v4: Ipv4Addr,
    pub v6: Ipv6Addr,
}

impl FakeHost {
    /// The fake IP for a lookup of `family`: IPv6 if `family` is AF_INET6, else IPv4.
    pub fn address(&self, family: c_int) -> IpAddr {
        match family {
            libc::AF_INET6 => self.v6.into(),
            _ => self.v4.into(),
        }
    }

    /// [`FakeHost::address`] in numeric form.
    pub fn digits(&self, family: c_int) -> CString {
        digits(self.address(family))
    }
}

/// How a reverse lookup is answered.
pub enum Reverse {
    /// libc looks it up: the address is reached directly, so it may be sent to a name server.
    Local,
    /// libc finds this name in /etc/hosts.
    Known(HostName),
    /// The name of a fake IP.
    Name(HostName),
    /// No name is known, and a name server must not be queried.
    Unknown,
}

/// Who answers a DNS query.
pub enum QueryAnswer {
    /// The name server.
    Server,
    /// We do, with this answer.
    Here(dns::Answer),
    /// The name table is full: the query fails.
    TableFull,
}

impl KnownHost {
    /// Whether there is an address for a lookup of `family`.
    pub fn has(&self, family: c_int) -> bool {
        match family {
            libc::AF_INET => self.v4.is_some(),
            libc::AF_INET6 => self.v6.is_some(),
            _ => true,
        }
    }
}

/// The loopback address of a family; for AF_UNSPEC the IPv4 one, which every machine has.
pub fn loopback(family: c_int) -> IpAddr {
    match family {
        libc::AF_INET6 => Ipv6Addr::LOCALHOST.into(),
        _ => Ipv4Addr::LOCALHOST.into(),
    }
}

impl Router {
    /// Decides about the name in a DNS query.
    pub fn answer_for(&self, name: HostName) -> Answer {
        match self.local_answer(name, None) {
            Ok(answer) => answer,
            Err(remote) => self.remote_answer(remote),
        }
    }

    /// Decides about the host name in a getaddrinfo(3) or gethostbyname(3) call.
    pub fn answer_for_host(&self, name: HostName, spelling: Spelling) -> Answer {
        match self.local_answer(name, Some(spelling)) {
            Ok(answer) => answer,
            Err(remote) if remote.is_well_formed() => self.remote_answer(remote),
            Err(_) => Answer::NoName,
        }
    }

    /// The answer if the name is resolved locally; the name as `Err` if the proxy resolves it.
    fn local_answer(&self, name: HostName, spelling: Option<Spelling>) -> Result<Answer, HostName> {
        let mut knows = |name: &HostName| match spelling {
            Some(spelling) => self.knows_as(name, spelling),
            None => self.knows(name),
        };
        match route::name_policy(&self.config, &name, &mut knows) {
            NamePolicy::Local(NameReason::LocalDomain(_)) => Ok(Answer::DirectName(name)),
            NamePolicy::Local(_) if route::names_a_proxy(&self.config, &name) => {
                Ok(Answer::DirectName(name))
            }
            NamePolicy::Local(NameReason::KnownLocally) => {
                // The machine's own name may not be in /etc/hosts; libc's other NSS modules resolve it.
                Ok(match self.known_host(&name, spelling) {
                    Some(host) => Answer::Known(name, host),
                    None => Answer::Local,
                })
            }
            NamePolicy::Local(NameReason::Localhost) if self.config.dns == Dns::Remote => {
                Ok(match self.known_host(&name, spelling) {
                    Some(host) => Answer::Known(name, host),
                    None => Answer::Loopback(name),
                })
            }
            NamePolicy::Local(_) => Ok(Answer::Local),
            NamePolicy::Remote => Err(name),
        }
    }

    fn remote_answer(&self, name: HostName) -> Answer {
        match self.assign(&name) {
            Some(id) => Answer::Fake(FakeHost {
                v4: self.fakes.address_v4(id),
                v6: self.fakes.address_v6(id),
                name,
            }),
            None => Answer::TableFull,
        }
    }

    /// Decides about a reverse lookup.
    pub fn reverse(&self, ip: IpAddr) -> Reverse {
        if self.config.dns == Dns::Local {
            return Reverse::Local;
        }
        // Port 0: a rule for a single port does not make the address direct.
        let address = SocketAddr::new(ip, 0);
        let is_direct = || matches!(self.route(address), Route::Direct { .. });
        match self.fake_name(address) {
            Fake::Name(name) => Reverse::Name(name),
            Fake::Unknown => Reverse::Unknown,
            Fake::No => match self.known_name(ip) {
                Some(name) => Reverse::Known(name),
                None if is_direct() => Reverse::Local,
                None => Reverse::Unknown,
            },
        }
    }

    /// Decides about a DNS query. A, AAAA, PTR and ANY are answered from the name table. CNAME, SVCB and HTTPS records
    /// would lead to other names and addresses, so a name that the proxy resolves has none.
    pub fn answer_query(&self, question: &Question) -> QueryAnswer {
        if self.config.dns == Dns::Local || !matches!(question.class, dns::CLASS_IN | ANY) {
            return QueryAnswer::Server;
        }
        match question.qtype {
            dns::TYPE_A | dns::TYPE_AAAA | ANY => self.query_for_address(question),
            dns::TYPE_PTR => self.query_for_name(question),
            dns::TYPE_CNAME | dns::TYPE_SVCB | dns::TYPE_HTTPS => self.query_for_alias(question),
            _ if question
                .host()
                .is_some_and(|name| route::is_localhost(&name)) =>
            {
                QueryAnswer::Here(dns::Answer::NoData)
            }
            _ => QueryAnswer::Server,
        }
    }

    fn query_for_address(&self, question: &Question) -> QueryAnswer {
        let host = question.host().map(|name| Host::parse(name.as_str()));
        let Some(Ok(Host::Name(name))) = host else {
            // A numeric address or an invalid host name.
            return QueryAnswer::Here(dns::Answer::NoSuchName);
        };
        match self.answer_for(name) {
            Answer::Local | Answer::DirectName(_) => QueryAnswer::Server,
            Answer::Known(name, host) => {
                QueryAnswer::Here(match address_of(host, question.qtype) {
                    dns::Answer::NoData if route::is_localhost(&name) => {
                        loopback_record(question.qtype)
                    }
                    answer => answer,
                })
            }
            Answer::Loopback(_) => QueryAnswer::Here(loopback_record(question.qtype)),
            Answer::TableFull => QueryAnswer::TableFull,
            Answer::NoName => QueryAnswer::Here(dns::Answer::NoSuchName),
            Answer::Fake(host) if question.qtype == dns::TYPE_AAAA => {
                QueryAnswer::Here(dns::Answer::Address(host.v6.into()))
            }
            Answer::Fake(host) => QueryAnswer::Here(dns::Answer::Address(host.v4.into())),
        }
    }

    fn query_for_alias(&self, question: &Question) -> QueryAnswer {
        let host = question.host().map(|name| Host::parse(name.as_str()));
        let Some(Ok(Host::Name(name))) = host else {
            return QueryAnswer::Here(dns::Answer::NoSuchName);
        };
        match self.local_answer(name, None) {
            Ok(Answer::Known(..) | Answer::Loopback(_)) | Err(_) => {
                QueryAnswer::Here(dns::Answer::NoData)
            }
            Ok(_) => QueryAnswer::Server,
        }
    }

    fn query_for_name(&self, question: &Question) -> QueryAnswer {
        match question.reverse_address().map(|ip| self.reverse(ip)) {
            // PTR queries that are not about an address, e.g. DNS-SD (RFC 6763).
            None | Some(Reverse::Local) => QueryAnswer::Server,
            Some(Reverse::Name(name) | Reverse::Known(name)) => {
                QueryAnswer::Here(dns::Answer::Name(name))
            }
            Some(Reverse::Unknown) => QueryAnswer::Here(dns::Answer::NoSuchName),
        }
    }
}

/// The answer to an address query for a name in /etc/hosts.
fn address_of(host: KnownHost, qtype: u16) -> dns::Answer {
    let (v4, v6) = (host.v4.map(IpAddr::from), host.v6.map(IpAddr::from));
    let found = match qtype {
        dns::TYPE_A => v4,
        dns::TYPE_AAAA => v6,
        _ => v4.or(v6),
    };
    found.map_or(dns::Answer::NoData, dns::Answer::Address)
}

fn loopback_record(qtype: u16) -> dns::Answer {
    let family = match qtype {
        dns::TYPE_AAAA => libc::AF_INET6,
        _ => libc::AF_INET,
    };
    dns::Answer::Address(loopback(family))
}

pub fn digits(ip: IpAddr) -> CString {
    CString::new(ip.to_string()).unwrap_or_default()
}
