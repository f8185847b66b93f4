//! getaddrinfo_a(3).

use super::addrinfo::{answer_in_dns_form, may_query, share_of_libc, Share};
use super::{digits, loopback, resolves_all_locally, Answer};
use crate::hook::boundary::Verdict;
use core::ffi::{c_char, c_int, CStr};
use hooks::real;
use libc::addrinfo;
use std::ffi::CString;
use tailchain_core::errno::Errno;

/// The hooks of this file.
pub mod hooks {
    use crate::hook::boundary::{current, hooks};
    use crate::hook::resolve::addrinfo_a;
    use core::ffi::c_int;

    hooks! {
        find current;

        /// getaddrinfo_a(3): as getaddrinfo.
        ///
        /// Not async-signal-safe; after fork and vfork: as getaddrinfo.
        fn getaddrinfo_a(mode: c_int, list: *mut *mut addrinfo_a::Gaicb, count: c_int, event: *mut libc::sigevent) -> c_int
            = addrinfo_a::getaddrinfo_a, fails libc::EAI_SYSTEM;
    }
}

/// The fields of `struct gaicb` of getaddrinfo_a(3) that are used here.
#[repr(C)]
pub struct Gaicb {
    ar_name: *const c_char,
    ar_service: *const c_char,
    ar_request: *const addrinfo,
    // libc's private fields follow.
}

/// getaddrinfo_a(3): return when all requests are done.
const GAI_WAIT: c_int = 0;

/// A name with an empty label: libc fails the request (EAI_NONAME) without querying a server.
const NO_HOST: &CStr = c"a..b";

/// The body of the hook. In each request, a name that the proxy is to resolve is replaced by its fake IP. libc reads
/// the request during the call, or later on its own thread.
///
/// # Safety
/// As getaddrinfo_a(3).
pub unsafe fn getaddrinfo_a(
    mode: c_int,
    list: *mut *mut Gaicb,
    count: c_int,
    event: *mut libc::sigevent,
) -> Verdict<c_int> {
    if resolves_all_locally() {
        return Verdict::Real;
    }
    let mut replaced: Vec<(*mut Gaicb, *const c_char)> = Vec::new();
    let mut failure = None;
    for index in 0..usize::try_from(count).unwrap_or(0) {
        // SAFETY: the program's own arguments: `count` pointers, which may be NULL.
        let pointer = unsafe { list.add(index).read() };
        // SAFETY: as above.
        let Some(request) = (unsafe { pointer.as_mut() }) else {
            continue;
        };
        // SAFETY: as above.
        let hints = unsafe { request.ar_request.as_ref() };
        let (family, flags) = hints.map_or((libc::AF_UNSPEC, 0), |h| (h.ai_family, h.ai_flags));
        if !may_query(family, flags) || request.ar_name.is_null() {
            continue;
        }
        // SAFETY: as above; a C string.
        let text = unsafe { CStr::from_ptr(request.ar_name) }.to_owned();
        let replacement = match replacement_for(&text, family, flags) {
            // libc reads it later, on its own thread, but before this call returns.
            Ok(None) if mode == GAI_WAIT => Ok(text),
            Ok(None) => continue,
            Ok(Some(digits)) => Ok(digits),
            Err(code) => Err(code),
        };
        // From malloc, since some programs free ar_name. Programs that neither free it nor wait leak some 20 bytes per
        // request.
        // SAFETY: a C string.
        let copy = replacement.map(|text| unsafe { libc::strdup(text.as_ptr()) });
        match copy {
            Ok(copy) if !copy.is_null() => {
                replaced.push((pointer, request.ar_name));
                request.ar_name = copy;
            }
            other => {
                failure = Some(other.err().unwrap_or(libc::EAI_MEMORY));
                break;
            }
        }
    }
    if let Some(code) = failure {
        // SAFETY: libc has not seen the requests.
        unsafe { restore(&replaced) };
        return Verdict::Return(code);
    }
    if mode != GAI_WAIT || replaced.is_empty() {
        return Verdict::Real;
    }
    // SAFETY: the program's own arguments.
    let Some(code) = (unsafe { real::getaddrinfo_a(mode, list.cast(), count, event) }) else {
        // SAFETY: libc lacks the function, so it has not seen the requests.
        unsafe { restore(&replaced) };
        return Verdict::Fail(Errno::ENOSYS);
    };
    if code == 0 {
        // SAFETY: libc is done with all requests. (After EAI_INTR it may not be, so the replacements stay.)
        unsafe { restore(&replaced) };
    }
    Verdict::Return(code)
}

/// The text that libc is to look up instead of a name; `None`: the name itself.
///
/// # Errors
/// The code of getaddrinfo_a(3).
fn replacement_for(text: &CStr, family: c_int, flags: c_int) -> Result<Option<CString>, c_int> {
    let Ok((_, answer)) = answer_in_dns_form(text, flags) else {
        // libc cannot encode the name either, and fails only this request.
        return Ok(None);
    };
    Ok(match answer {
        // What libc finds later on its own thread is not recorded, so a connection to a watched name goes through the
        // proxy.
        Answer::Local | Answer::DirectName(_) => None,
        Answer::Known(name, host) => match share_of_libc(&name, host, family, flags) {
            Share::All => None,
            Share::None => Some(NO_HOST.into()),
            Share::Address(ip) => Some(digits(ip)),
        },
        Answer::Loopback(_) => Some(digits(loopback(family))),
        Answer::TableFull => return Err(libc::EAI_AGAIN),
        Answer::NoName => Some(NO_HOST.into()),
        Answer::Fake(host) => Some(host.digits(family)),
    })
}

/// Restores the original names of the requests.
///
/// # Safety
/// The requests are valid, their replaced names are from malloc, and nothing reads those any more.
unsafe fn restore(replaced: &[(*mut Gaicb, *const c_char)]) {
    for &(request, name) in replaced {
        // SAFETY: the caller's contract.
        unsafe {
            libc::free((*request).ar_name.cast_mut().cast());
            (*request).ar_name = name;
        }
    }
}
