//! The arguments of getaddrinfo(3).

use super::{Given, GivenBytes};
use core::ffi::c_char;
use libc::addrinfo;

/// The `node` and `hints` arguments.
pub struct GivenHost {
    pub node: GivenBytes,
    hints: *const addrinfo,
    copy: Option<addrinfo>,
}

impl GivenHost {
    pub fn new(node: *const c_char, hints: *const addrinfo) -> GivenHost {
        GivenHost {
            node: GivenBytes::new(node.cast()),
            hints,
            copy: None,
        }
    }

    /// # Safety
    /// The pointer is NULL or valid.
    pub unsafe fn hints(&mut self) -> Option<addrinfo> {
        if self.copy.is_none() {
            // SAFETY: the caller's contract.
            self.copy = unsafe { self.hints.as_ref() }.copied();
        }
        self.copy
    }

    /// The pointer to pass to libc as `hints`.
    pub fn hints_pointer(&self) -> *const addrinfo {
        self.copy.as_ref().map_or(self.hints, core::ptr::from_ref)
    }
}

impl Given for GivenHost {
    fn release(&mut self) {
        self.node.release();
    }
}
