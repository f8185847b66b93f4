//! Adapts the list that libc returns for a fake IP, as if libc had resolved the name.

#[cfg(target_env = "gnu")]
pub use glibc::{complete, digits};
#[cfg(target_env = "musl")]
pub use musl::{complete, digits};

/// glibc's canonical name is a separate string, in the first entry only, and only if AI_CANONNAME is set.
#[cfg(target_env = "gnu")]
mod glibc {
    use crate::hook::resolve::{self, idn};
    use core::ffi::{c_int, CStr};
    use libc::addrinfo;
    use std::ffi::CString;
    use std::net::IpAddr;

    /// The text that libc gets instead of the name.
    pub fn digits(ip: IpAddr, _name: &CStr) -> CString {
        resolve::digits(ip)
    }

    /// # Safety
    /// `list` was returned by getaddrinfo(3), with AI_CANONNAME if `flags` has it.
    pub unsafe fn complete(list: *mut addrinfo, name: &CStr, flags: c_int) {
        // SAFETY: the caller's contract.
        unsafe { restore_flags(list, flags) };
        if flags & libc::AI_CANONNAME != 0 {
            // SAFETY: the caller's contract.
            unsafe { rename(list, &idn::canonical(&name.to_string_lossy(), flags)) };
        }
    }

    /// Restores the caller's flags: glibc copies them into every entry.
    ///
    /// # Safety
    /// `list` is NULL or was returned by getaddrinfo(3).
    unsafe fn restore_flags(list: *mut addrinfo, flags: c_int) {
        let mut next = list;
        // SAFETY: the caller's contract.
        while let Some(entry) = unsafe { next.as_mut() } {
            entry.ai_flags = flags;
            next = entry.ai_next;
        }
    }

    /// Sets the canonical name of the list.
    ///
    /// # Safety
    /// `list` is NULL or was returned by getaddrinfo(3).
    unsafe fn rename(list: *mut addrinfo, name: &str) {
        // SAFETY: the caller's contract.
        let Some(first) = (unsafe { list.as_mut() }) else {
            return;
        };
        // SAFETY: name has that many bytes; strndup adds the NUL.
        let copy = unsafe { libc::strndup(name.as_ptr().cast(), name.len()) };
        if !copy.is_null() {
            // SAFETY: freeaddrinfo frees this string with free, so it came from malloc.
            unsafe { libc::free(first.ai_canonname.cast()) };
            first.ai_canonname = copy;
        }
    }
}

/// musl's canonical name is in the same allocation as the entries, and every entry points to it, whether or not
/// AI_CANONNAME is set. It is a copy of the requested text. So the text gets padded with zeros to the length of the
/// name, which makes room for the name.
#[cfg(target_env = "musl")]
mod musl {
    use core::ffi::{c_int, CStr};
    use core::ptr;
    use libc::addrinfo;
    use std::ffi::CString;
    use std::net::IpAddr;

    /// The text that libc gets instead of the name, padded to the name's length: inet_aton(3) accepts any number of
    /// zeros after `0x`, and so does the scope of an IPv6 address.
    pub fn digits(ip: IpAddr, name: &CStr) -> CString {
        let room = name.count_bytes();
        let digits = match ip {
            IpAddr::V6(v6) => {
                let address = v6.to_string();
                let zeros = room.saturating_sub(address.len() + 1).max(1);
                format!("{address}%{:0zeros$}", 0)
            }
            IpAddr::V4(v4) => {
                let zeros = room.saturating_sub(2).max(8);
                format!("0x{:0zeros$x}", u32::from(v4))
            }
        };
        CString::new(digits).unwrap_or_default()
    }

    /// # Safety
    /// `list` was returned by getaddrinfo(3) for this text.
    pub unsafe fn complete(list: *mut addrinfo, name: &CStr, _flags: c_int) {
        // SAFETY: the caller's contract.
        let Some(first) = (unsafe { list.as_ref() }) else {
            return;
        };
        if first.ai_canonname.is_null() {
            return;
        }
        // SAFETY: a C string of libc.
        let room = unsafe { CStr::from_ptr(first.ai_canonname) }.count_bytes();
        let name = name.to_bytes_with_nul();
        if room + 1 < name.len() {
            return;
        }
        // SAFETY: there is room for the name and the NUL, in memory that belongs to this list alone.
        unsafe {
            ptr::copy_nonoverlapping(name.as_ptr().cast(), first.ai_canonname, name.len());
        }
    }
}
