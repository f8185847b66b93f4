//! getaddrinfo_a(3).

use super::addrinfo::{answer_in_dns_form, asks, share_of_libc, Share};
use super::{digits, is_all_libcs, loopback, Answer};
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

/// `struct gaicb` of getaddrinfo_a(3), as far as it is read here.
#[repr(C)]
pub struct Gaicb {
    ar_name: *const c_char,
    ar_service: *const c_char,
    ar_request: *const addrinfo,
    // What follows is libc's.
}

/// getaddrinfo_a(3): the call returns when all requests are done.
const GAI_WAIT: c_int = 0;

/// What libc finds no host for (EAI_NONAME, of that request alone) and asks no server about: a label is empty.
const NO_HOST: &CStr = c"a..b";

/// The body of the hook. Each name that the proxy is to resolve is replaced by its fake address in the request
/// itself, which libc reads now or later on a thread of its own.
///
/// # Safety
/// As getaddrinfo_a(3).
pub unsafe fn getaddrinfo_a(
    mode: c_int,
    list: *mut *mut Gaicb,
    count: c_int,
    event: *mut libc::sigevent,
) -> Verdict<c_int> {
    if is_all_libcs() {
        return Verdict::Real;
    }
    let mut replaced: Vec<(*mut Gaicb, *const c_char)> = Vec::new();
    let mut failure = None;
    for index in 0..usize::try_from(count).unwrap_or(0) {
        // SAFETY: the program's own arguments: `count` pointers, NULL ones allowed.
        let place = unsafe { list.add(index).read() };
        // SAFETY: as above.
        let Some(request) = (unsafe { place.as_mut() }) else {
            continue;
        };
        // SAFETY: as above.
        let hints = unsafe { request.ar_request.as_ref() };
        let (family, flags) = hints.map_or((libc::AF_UNSPEC, 0), |h| (h.ai_family, h.ai_flags));
        if !asks(family, flags) || request.ar_name.is_null() {
            continue;
        }
        // SAFETY: as above; a C string.
        let text = unsafe { CStr::from_ptr(request.ar_name) }.to_owned();
        let instead = match instead_of(&text, family, flags) {
            // libc reads it later, on its own thread, but no later than the caller waits.
            Ok(None) if mode == GAI_WAIT => Ok(text),
            Ok(None) => continue,
            Ok(Some(digits)) => Ok(digits),
            Err(code) => Err(code),
        };
        // From malloc, since some programs free ar_name. Those that do not, and do not wait, leak some 20 bytes.
        // SAFETY: a C string.
        let copy = instead.map(|text| unsafe { libc::strdup(text.as_ptr()) });
        match copy {
            Ok(copy) if !copy.is_null() => {
                replaced.push((place, request.ar_name));
                request.ar_name = copy;
            }
            other => {
                failure = Some(other.err().unwrap_or(libc::EAI_MEMORY));
                break;
            }
        }
    }
    if let Some(code) = failure {
        // SAFETY: libc has not seen them.
        unsafe { restore(&replaced) };
        return Verdict::Return(code);
    }
    if mode != GAI_WAIT || replaced.is_empty() {
        return Verdict::Real;
    }
    // SAFETY: the program's own arguments.
    let Some(code) = (unsafe { real::getaddrinfo_a(mode, list.cast(), count, event) }) else {
        // SAFETY: there is no libc that has seen them.
        unsafe { restore(&replaced) };
        return Verdict::Fail(Errno::ENOSYS);
    };
    if code == 0 {
        // SAFETY: libc is done with all of them. (After EAI_INTR it may not be: then they stay.)
        unsafe { restore(&replaced) };
    }
    Verdict::Return(code)
}

/// What libc is to look up in place of a name; `None`: the name.
///
/// # Errors
/// The code of getaddrinfo_a(3).
fn instead_of(text: &CStr, family: c_int, flags: c_int) -> Result<Option<CString>, c_int> {
    let Ok((_, answer)) = answer_in_dns_form(text, flags) else {
        // What cannot be encoded libc cannot encode either, and says so of the one request.
        return Ok(None);
    };
    Ok(match answer {
        // What libc finds for a watched name later, on its own thread, is not seen: it goes through the proxy.
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

/// Give requests their own names back.
///
/// # Safety
/// The requests are valid, their names are from malloc, and nobody reads these any more.
unsafe fn restore(replaced: &[(*mut Gaicb, *const c_char)]) {
    for &(request, name) in replaced {
        // SAFETY: the caller's contract.
        unsafe {
            libc::free((*request).ar_name.cast_mut().cast());
            (*request).ar_name = name;
        }
    }
}
