//! The loaded object that an address belongs to, and whether that is libc.

#[cfg_attr(target_env = "gnu", path = "glibc.rs")]
#[cfg_attr(not(target_env = "gnu"), path = "musl.rs")]
mod libc;

use super::link_map::Object;

/// The object of an address: of running code, or of a function that was just looked up.
pub fn of(address: usize) -> Option<Object> {
    libc::of(address)
}

/// Whether the object is part of libc.
pub fn is_of_libc(object: Object) -> bool {
    libc::is_of_libc(object)
}
