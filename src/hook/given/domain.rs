//! A name and the domain to append.

use super::{Given, GivenBytes};
use core::ffi::c_char;

/// The `name` and `domain` arguments of res_querydomain(3).
pub struct GivenDomain {
    pub name: GivenBytes,
    pub domain: GivenBytes,
}

impl GivenDomain {
    pub fn new(name: *const c_char, domain: *const c_char) -> GivenDomain {
        GivenDomain {
            name: GivenBytes::new(name.cast()),
            domain: GivenBytes::new(domain.cast()),
        }
    }
}

impl Given for GivenDomain {
    fn release(&mut self) {
        self.name.release();
        self.domain.release();
    }
}
