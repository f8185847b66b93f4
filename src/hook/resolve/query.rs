//! res_query(3) and its variants: DNS queries that a program makes through libc.
//!
//! A, AAAA and PTR are answered here as getaddrinfo(3) and getnameinfo(3) would answer them, without a query to a
//! server. So is ANY, which also asks for addresses. CNAME, SVCB and HTTPS (Firefox asks for the last) are answered
//! with "no data". Every other type (MX, TXT, SRV, …) is libc's: a program that asks for these has no alternative.
//!
//! AAAA gets the fake IPv6 address of the name, not "no data": the hook cannot know whether the program asks for A as
//! well, and an IPv6-only program would get no address. Both addresses lead to the name.

use super::set_h_errno;
use super::{HOST_NOT_FOUND, NO_DATA, NO_RECOVERY, TRY_AGAIN};
use crate::hook::boundary::Verdict;
use crate::hook::given::{GivenBytes, GivenDomain};
use crate::state::{state, State};
use core::ffi::{c_char, c_int, c_ulong};
use core::ptr;
use tailchain_core::config::Dns;
use tailchain_core::dns::{self, Query, Question};
use tailchain_core::errno::Errno;
use tailchain_core::route::{self, NamePolicy, NameReason};
use tailchain_core::router::names::QueryAnswer;

/// The hooks of this file.
pub mod hooks {
    use crate::hook::boundary::{current, hooks};
    use crate::hook::given::{GivenBytes, GivenDomain};
    use crate::hook::resolve::query;
    use core::ffi::{c_char, c_int};

    hooks! {
        find current;

        /// res_query(3): an address query is answered as by getaddrinfo, in a DNS message; other types are libc's.
        ///
        /// Not async-signal-safe; after fork and vfork: as getaddrinfo.
        fn res_query(name: *const c_char, class: c_int, kind: c_int, answer: *mut u8, size: c_int) -> c_int
            = query::res_query, fails query::failed(),
            reads given: GivenBytes = GivenBytes::new(name.cast()),
            real real::res_query(given.pointer().cast(), class, kind, answer, size);

        /// res_search(3): as res_query; search domains do not apply to the proxy.
        ///
        /// Not async-signal-safe; after fork and vfork: as getaddrinfo.
        fn res_search(name: *const c_char, class: c_int, kind: c_int, answer: *mut u8, size: c_int) -> c_int
            = query::res_query, fails query::failed(),
            reads given: GivenBytes = GivenBytes::new(name.cast()),
            real real::res_search(given.pointer().cast(), class, kind, answer, size);

        /// res_querydomain(3): as res_query, for the concatenated name.
        ///
        /// Not async-signal-safe; after fork and vfork: as getaddrinfo.
        fn res_querydomain(name: *const c_char, domain: *const c_char, class: c_int, kind: c_int, answer: *mut u8, size: c_int) -> c_int
            = query::res_querydomain, fails query::failed(),
            reads given: GivenDomain = GivenDomain::new(name, domain),
            real real::res_querydomain(given.name.pointer().cast(), given.domain.pointer().cast(), class, kind, answer, size);

        /// res_send(3): as res_query, for an address query in a message that the program built itself.
        ///
        /// Not async-signal-safe; after fork and vfork: as getaddrinfo.
        fn res_send(message: *const u8, length: c_int, answer: *mut u8, size: c_int) -> c_int
            = query::res_send, fails -1,
            reads given: GivenBytes = GivenBytes::new(message),
            real real::res_send(given.pointer(), length, answer, size);

        /// res_nquery(3): as res_query.
        ///
        /// Not async-signal-safe; after fork and vfork: as getaddrinfo.
        fn res_nquery(res: *mut query::ResState, name: *const c_char, class: c_int, kind: c_int, answer: *mut u8, size: c_int) -> c_int
            = query::res_nquery, fails {
                // SAFETY: the program's own argument.
                unsafe { query::failed_n(res) }
            },
            reads given: GivenBytes = GivenBytes::new(name.cast()),
            real real::res_nquery(res, given.pointer().cast(), class, kind, answer, size),
            only target_env = "gnu";

        /// res_nsearch(3): as res_search.
        ///
        /// Not async-signal-safe; after fork and vfork: as getaddrinfo.
        fn res_nsearch(res: *mut query::ResState, name: *const c_char, class: c_int, kind: c_int, answer: *mut u8, size: c_int) -> c_int
            = query::res_nquery, fails {
                // SAFETY: the program's own argument.
                unsafe { query::failed_n(res) }
            },
            reads given: GivenBytes = GivenBytes::new(name.cast()),
            real real::res_nsearch(res, given.pointer().cast(), class, kind, answer, size),
            only target_env = "gnu";

        /// res_nquerydomain(3): as res_querydomain.
        ///
        /// Not async-signal-safe; after fork and vfork: as getaddrinfo.
        fn res_nquerydomain(res: *mut query::ResState, name: *const c_char, domain: *const c_char, class: c_int, kind: c_int, answer: *mut u8, size: c_int) -> c_int
            = query::res_nquerydomain, fails {
                // SAFETY: the program's own argument.
                unsafe { query::failed_n(res) }
            },
            reads given: GivenDomain = GivenDomain::new(name, domain),
            real real::res_nquerydomain(res, given.name.pointer().cast(), given.domain.pointer().cast(), class, kind, answer, size),
            only target_env = "gnu";

        /// res_nsend(3): as res_send.
        ///
        /// Not async-signal-safe; after fork and vfork: as getaddrinfo.
        fn res_nsend(res: *mut query::ResState, message: *const u8, length: c_int, answer: *mut u8, size: c_int) -> c_int
            = query::res_nsend, fails -1,
            reads given: GivenBytes = GivenBytes::new(message),
            real real::res_nsend(res, given.pointer(), length, answer, size),
            only target_env = "gnu";

        /// The res_query of programs linked with a glibc before 2.34.
        ///
        /// Not async-signal-safe; after fork and vfork: as getaddrinfo.
        fn __res_query(name: *const c_char, class: c_int, kind: c_int, answer: *mut u8, size: c_int) -> c_int
            = query::res_query, fails query::failed(),
            reads given: GivenBytes = GivenBytes::new(name.cast()),
            real real::__res_query(given.pointer().cast(), class, kind, answer, size),
            only target_env = "gnu";

        /// The res_search of programs linked with a glibc before 2.34.
        ///
        /// Not async-signal-safe; after fork and vfork: as getaddrinfo.
        fn __res_search(name: *const c_char, class: c_int, kind: c_int, answer: *mut u8, size: c_int) -> c_int
            = query::res_query, fails query::failed(),
            reads given: GivenBytes = GivenBytes::new(name.cast()),
            real real::__res_search(given.pointer().cast(), class, kind, answer, size),
            only target_env = "gnu";

        /// The res_querydomain of programs linked with a glibc before 2.34.
        ///
        /// Not async-signal-safe; after fork and vfork: as getaddrinfo.
        fn __res_querydomain(name: *const c_char, domain: *const c_char, class: c_int, kind: c_int, answer: *mut u8, size: c_int) -> c_int
            = query::res_querydomain, fails query::failed(),
            reads given: GivenDomain = GivenDomain::new(name, domain),
            real real::__res_querydomain(given.name.pointer().cast(), given.domain.pointer().cast(), class, kind, answer, size),
            only target_env = "gnu";

        /// The res_send of programs linked with a glibc before 2.34.
        ///
        /// Not async-signal-safe; after fork and vfork: as getaddrinfo.
        fn __res_send(message: *const u8, length: c_int, answer: *mut u8, size: c_int) -> c_int
            = query::res_send, fails -1,
            reads given: GivenBytes = GivenBytes::new(message),
            real real::__res_send(given.pointer(), length, answer, size),
            only target_env = "gnu";

        /// What programs call that were linked with res_nquery of a glibc before 2.34: as that.
        ///
        /// The res_nquery of programs linked with a glibc before 2.34.
        fn __res_nquery(res: *mut query::ResState, name: *const c_char, class: c_int, kind: c_int, answer: *mut u8, size: c_int) -> c_int
            = query::res_nquery, fails {
                // SAFETY: the program's own argument.
                unsafe { query::failed_n(res) }
            },
            reads given: GivenBytes = GivenBytes::new(name.cast()),
            real real::__res_nquery(res, given.pointer().cast(), class, kind, answer, size),
            only target_env = "gnu";

        /// The res_nsearch of programs linked with a glibc before 2.34.
        ///
        /// Not async-signal-safe; after fork and vfork: as getaddrinfo.
        fn __res_nsearch(res: *mut query::ResState, name: *const c_char, class: c_int, kind: c_int, answer: *mut u8, size: c_int) -> c_int
            = query::res_nquery, fails {
                // SAFETY: the program's own argument.
                unsafe { query::failed_n(res) }
            },
            reads given: GivenBytes = GivenBytes::new(name.cast()),
            real real::__res_nsearch(res, given.pointer().cast(), class, kind, answer, size),
            only target_env = "gnu";

        /// The res_nquerydomain of programs linked with a glibc before 2.34.
        ///
        /// Not async-signal-safe; after fork and vfork: as getaddrinfo.
        fn __res_nquerydomain(res: *mut query::ResState, name: *const c_char, domain: *const c_char, class: c_int, kind: c_int, answer: *mut u8, size: c_int) -> c_int
            = query::res_nquerydomain, fails {
                // SAFETY: the program's own argument.
                unsafe { query::failed_n(res) }
            },
            reads given: GivenDomain = GivenDomain::new(name, domain),
            real real::__res_nquerydomain(res, given.name.pointer().cast(), given.domain.pointer().cast(), class, kind, answer, size),
            only target_env = "gnu";

        /// The res_nsend of programs linked with a glibc before 2.34.
        ///
        /// Not async-signal-safe; after fork and vfork: as getaddrinfo.
        fn __res_nsend(res: *mut query::ResState, message: *const u8, length: c_int, answer: *mut u8, size: c_int) -> c_int
            = query::res_nsend, fails -1,
            reads given: GivenBytes = GivenBytes::new(message),
            real real::__res_nsend(res, given.pointer(), length, answer, size),
            only target_env = "gnu";
    }
}

/// The start of `res_state` of resolv.h: `res_h_errno` is at byte 496.
#[repr(C)]
pub struct ResState {
    _before: [c_ulong; 62],
    res_h_errno: c_int,
}

extern "C" {
    fn __res_state() -> *mut ResState;
}

/// The program's buffer for an answer.
struct OutBuf {
    buffer: *mut u8,
    size: c_int,
}

impl OutBuf {
    /// Writes the message to the program's buffer and returns its length. Like libc's recvfrom(2), it truncates a
    /// message that is too long.
    ///
    /// # Errors
    /// The errno of libc when it gets no valid answer.
    ///
    /// # Safety
    /// `buffer` is writable for `size` bytes.
    unsafe fn put(&self, query: &Query, answer: &dns::Answer) -> Result<c_int, Errno> {
        /// The size of a DNS header.
        const HEADER: usize = 12;
        let limit = usize::try_from(self.size).unwrap_or(0);
        if limit < HEADER {
            return Err(Errno::EINVAL);
        }
        let message = query.answer(answer, usize::MAX).ok_or(Errno::EINVAL)?;
        if limit < query.to_message().len() {
            return Err(Errno::ETIMEDOUT);
        }
        let length = message.len().min(limit);
        // SAFETY: at most `limit` bytes.
        unsafe { ptr::copy_nonoverlapping(message.as_ptr(), self.buffer, length) };
        c_int::try_from(length).map_err(|_| Errno::EINVAL)
    }
}

/// The common part of the six functions that take a name.
///
/// # Safety
/// `res` is an initialised res_state, and `out` is the program's buffer.
unsafe fn answer_query(
    res: *mut ResState,
    name: &[u8],
    class: c_int,
    qtype: c_int,
    out: &OutBuf,
) -> Verdict<c_int> {
    // libc truncates both to 16 bits as well.
    let (class, qtype) = (class as u16, qtype as u16);
    let state = state();
    let (question, query_answer) = match Question::new(name, class, qtype) {
        Ok(question) => {
            let query_answer = state.answer_query(&question);
            (question, query_answer)
        }
        Err(_) if state.config.dns == Dns::Local => return Verdict::Real,
        // SAFETY: the caller's contract.
        Err(_) => return Verdict::Return(unsafe { fail(res, NO_RECOVERY) }),
    };
    let query = Query {
        id: 0,
        recursion_desired: true,
        question,
    };
    match query_answer {
        QueryAnswer::Server => Verdict::Real,
        // SAFETY: the caller's contract.
        QueryAnswer::TableFull => Verdict::Return(unsafe { fail(res, TRY_AGAIN) }),
        // SAFETY: the caller's contract.
        QueryAnswer::Here(answer) => match unsafe { out.put(&query, &answer) } {
            // libc too leaves the message in the buffer.
            Ok(_) if answer == dns::Answer::NoSuchName => {
                // SAFETY: the caller's contract.
                Verdict::Return(unsafe { fail(res, HOST_NOT_FOUND) })
            }
            Ok(_) if answer == dns::Answer::NoData => {
                // SAFETY: the caller's contract.
                Verdict::Return(unsafe { fail(res, NO_DATA) })
            }
            Ok(length) => Verdict::Return(length),
            Err(errno) => Verdict::Fail(errno),
        },
    }
}

/// Fails with -1, and sets h_errno and the resolver state's error to the reason.
///
/// # Safety
/// `res` is a res_state.
unsafe fn fail(res: *mut ResState, reason: c_int) -> c_int {
    // SAFETY: the caller's contract.
    if let Some(res) = unsafe { res.as_mut() } {
        res.res_h_errno = reason;
    }
    set_h_errno(reason);
    -1
}

/// The result of a failed query hook: as libc's when it cannot query a server, whatever the reason.
pub fn failed() -> c_int {
    // SAFETY: the state of this thread.
    unsafe { failed_n(own_state()) }
}

/// The same with a resolver state of the program.
///
/// # Safety
/// As res_nquery(3).
pub unsafe fn failed_n(res: *mut ResState) -> c_int {
    // SAFETY: the caller's contract.
    unsafe { fail(res, TRY_AGAIN) }
}

/// The resolver state of this thread.
fn own_state() -> *mut ResState {
    // SAFETY: it returns a pointer to a thread-local variable.
    unsafe { __res_state() }
}

/// The body of the hooks res_query and res_search. Search domains do not apply to the proxy, so both are the same.
///
/// # Safety
/// As res_query(3).
pub unsafe fn res_query(
    given: &mut GivenBytes,
    name: *const c_char,
    class: c_int,
    qtype: c_int,
    buffer: *mut u8,
    size: c_int,
) -> Verdict<c_int> {
    // SAFETY: the program's own arguments.
    unsafe { res_nquery(given, own_state(), name, class, qtype, buffer, size) }
}

/// The body of the hooks res_nquery and res_nsearch.
///
/// # Safety
/// As res_nquery(3).
#[allow(clippy::too_many_arguments)]
pub unsafe fn res_nquery(
    given: &mut GivenBytes,
    res: *mut ResState,
    _name: *const c_char,
    class: c_int,
    qtype: c_int,
    buffer: *mut u8,
    size: c_int,
) -> Verdict<c_int> {
    // SAFETY: the program's own arguments.
    match unsafe { given.text() } {
        Ok(Some(name)) => {
            let out = OutBuf { buffer, size };
            // SAFETY: as above.
            unsafe { answer_query(res, name.to_bytes(), class, qtype, &out) }
        }
        Ok(None) => Verdict::Real,
        Err(errno) => Verdict::Fail(errno),
    }
}

/// The body of the hook.
///
/// # Safety
/// As res_querydomain(3).
#[allow(clippy::too_many_arguments)]
pub unsafe fn res_querydomain(
    given: &mut GivenDomain,
    name: *const c_char,
    domain: *const c_char,
    class: c_int,
    qtype: c_int,
    buffer: *mut u8,
    size: c_int,
) -> Verdict<c_int> {
    // SAFETY: the program's own arguments.
    unsafe { res_nquerydomain(given, own_state(), name, domain, class, qtype, buffer, size) }
}

/// The body of the hook.
///
/// # Safety
/// As res_nquerydomain(3).
#[allow(clippy::too_many_arguments)]
pub unsafe fn res_nquerydomain(
    given: &mut GivenDomain,
    res: *mut ResState,
    _name: *const c_char,
    _domain: *const c_char,
    class: c_int,
    qtype: c_int,
    buffer: *mut u8,
    size: c_int,
) -> Verdict<c_int> {
    // SAFETY: the program's own arguments; domain may be NULL.
    let texts = unsafe { (given.name.text(), given.domain.text()) };
    let whole = match texts {
        (Ok(Some(name)), Ok(Some(domain))) => [name.to_bytes(), domain.to_bytes()].join(&b'.'),
        (Ok(Some(name)), Ok(None)) => name.to_bytes().to_vec(),
        (Ok(None), _) => return Verdict::Real,
        (Err(errno), _) | (_, Err(errno)) => return Verdict::Fail(errno),
    };
    let out = OutBuf { buffer, size };
    // SAFETY: as above.
    unsafe { answer_query(res, &whole, class, qtype, &out) }
}

/// The body of the hook: a message that the program built itself. If it is not a standard query with one question, it
/// cannot be answered here; it is refused if it may contain a name for the proxy.
///
/// # Safety
/// As res_send(3).
pub unsafe fn res_send(
    given: &mut GivenBytes,
    _message: *const u8,
    length: c_int,
    buffer: *mut u8,
    size: c_int,
) -> Verdict<c_int> {
    let length = usize::try_from(length).unwrap_or(0);
    if length == 0 {
        return Verdict::Real;
    }
    // SAFETY: the program's own arguments.
    let message = match unsafe { given.bytes(length) } {
        Ok(Some(message)) => message,
        Ok(None) => return Verdict::Real,
        Err(errno) => return Verdict::Fail(errno),
    };
    let Ok(query) = Query::parse(message) else {
        return match holds_only_local_names(state(), message) {
            true => Verdict::Real,
            // As when no server listens.
            false => Verdict::Fail(Errno::ECONNREFUSED),
        };
    };
    match state().answer_query(&query.question) {
        QueryAnswer::Server => Verdict::Real,
        // As when no server answers.
        QueryAnswer::TableFull => Verdict::Fail(Errno::ETIMEDOUT),
        QueryAnswer::Here(answer) => {
            // SAFETY: the program's own arguments.
            match unsafe { OutBuf { buffer, size }.put(&query, &answer) } {
                Ok(length) => Verdict::Return(length),
                Err(errno) => Verdict::Fail(errno),
            }
        }
    }
}

/// Whether libc may resolve all names in a message's questions. False if the message cannot be parsed.
fn holds_only_local_names(state: &State, message: &[u8]) -> bool {
    let is_local = |question: &Question| {
        question.host().is_some_and(|name| {
            let policy = route::name_policy(&state.config, &name, &mut |name| state.knows(name));
            !matches!(
                policy,
                NamePolicy::Remote
                    | NamePolicy::Local(NameReason::KnownLocally | NameReason::Localhost)
            )
        })
    };
    state.config.dns == Dns::Local
        || dns::questions(message)
            .is_ok_and(|questions| !questions.is_empty() && questions.iter().all(is_local))
}

/// The body of the hook.
///
/// # Safety
/// As res_nsend(3).
#[cfg(target_env = "gnu")]
pub unsafe fn res_nsend(
    given: &mut GivenBytes,
    _res: *mut ResState,
    message: *const u8,
    length: c_int,
    buffer: *mut u8,
    size: c_int,
) -> Verdict<c_int> {
    // SAFETY: passed on.
    unsafe { res_send(given, message, length, buffer, size) }
}
