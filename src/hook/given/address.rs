//! A socket address.

use super::nowhere;
use core::ffi::c_int;
use libc::{sockaddr, socklen_t};
use tailchain_core::sys::SockAddr;

/// The `const struct sockaddr *` and `socklen_t` of a call.
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

/// Whether so many bytes at an address can be read: [`tailchain_core::sys::is_readable`] or its quicker sibling.
pub type Check = fn(*const u8, usize) -> bool;

impl GivenAddress {
    pub fn new(pointer: *const sockaddr, length: socklen_t) -> GivenAddress {
        GivenAddress {
            pointer,
            length,
            content: Content::NotRead,
        }
    }

    /// The address in a message: of one that is too long the kernel takes the beginning.
    pub fn of_message(pointer: *const sockaddr, length: socklen_t) -> GivenAddress {
        const LONGEST: socklen_t = size_of::<libc::sockaddr_storage>() as socklen_t;
        let length = match c_int::try_from(length) {
            Ok(_) => length.min(LONGEST),
            // Negative, as the kernel has it: EINVAL.
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

    /// The address. `None`: the kernel refuses it, for its length or because it cannot be read, or there is none.
    ///
    /// # Safety
    /// `check` tells readable memory from other, or the program vouches for the pointer.
    pub unsafe fn read(&mut self, check: Check) -> Option<&SockAddr> {
        if matches!(self.content, Content::NotRead) {
            let length = self.length as usize;
            let is_possible = (1..=size_of::<libc::sockaddr_storage>()).contains(&length);
            if self.pointer.is_null() || !is_possible {
                return None;
            }
            self.content = match check(self.pointer.cast(), length) {
                // SAFETY: all of it is readable.
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

    /// What libc is to get. It lives as long as this does, and does not move with it.
    pub fn pointer(&self) -> *const sockaddr {
        match &self.content {
            Content::NotRead => self.pointer,
            Content::Unreadable => nowhere(),
            Content::Copy(address) => address.as_ptr(),
        }
    }
}
