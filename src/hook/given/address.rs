//! A socket address.

use super::invalid_pointer;
use core::ffi::c_int;
use libc::{sockaddr, socklen_t};
use tailchain_core::sys::SockAddr;

/// The `const struct sockaddr *` and `socklen_t` arguments of a call.
pub struct GivenAddress {
    pointer: *const sockaddr,
    length: socklen_t,
    content: Content,
}

enum Content {
    NotRead,
    Unreadable,
    Copy(SockAddr),
}

/// Whether a range of memory can be read: [`tailchain_core::sys::is_readable`] or its faster variant.
pub type Check = fn(*const u8, usize) -> bool;

impl GivenAddress {
    pub fn new(pointer: *const sockaddr, length: socklen_t) -> GivenAddress {
        GivenAddress {
            pointer,
            length,
            content: Content::NotRead,
        }
    }

    /// The address in a message header. The kernel truncates an address that is too long.
    pub fn of_message(pointer: *const sockaddr, length: socklen_t) -> GivenAddress {
        const LONGEST: socklen_t = size_of::<libc::sockaddr_storage>() as socklen_t;
        let length = match c_int::try_from(length) {
            Ok(_) => length.min(LONGEST),
            // The kernel takes the length as negative: EINVAL.
            Err(_) => length,
        };
        GivenAddress::new(pointer, length)
    }

    pub fn is_null(&self) -> bool {
        self.pointer.is_null()
    }

    pub fn length(&self) -> socklen_t {
        self.length
    }

    /// The address. `None`: it is absent, unreadable, or of a length that the kernel rejects.
    ///
    /// # Safety
    /// `check` recognizes unreadable memory, or the program guarantees that the pointer is valid.
    pub unsafe fn read(&mut self, check: Check) -> Option<&SockAddr> {
        if matches!(self.content, Content::NotRead) {
            let length = self.length as usize;
            let is_possible = (1..=size_of::<libc::sockaddr_storage>()).contains(&length);
            if self.pointer.is_null() || !is_possible {
                return None;
            }
            self.content = match check(self.pointer.cast(), length) {
                // SAFETY: the whole range is readable.
                true => unsafe { SockAddr::copy_from(self.pointer, self.length) }
                    .map_or(Content::Unreadable, Content::Copy),
                false => Content::Unreadable,
            };
        }
        match &self.content {
            Content::Copy(address) => Some(address),
            Content::NotRead | Content::Unreadable => None,
        }
    }

    /// The pointer to pass to libc. Valid until this value is moved or dropped.
    pub fn pointer(&self) -> *const sockaddr {
        match &self.content {
            Content::NotRead => self.pointer,
            Content::Unreadable => invalid_pointer(),
            Content::Copy(address) => address.as_ptr(),
        }
    }
}
