//! Arguments that point to the program's memory, which another of its threads may change during the call. Memory that a
//! hook's decision depends on is copied first, and libc and the kernel get the copy. Memory that the hook has not
//! examined is passed on as it is.

mod address;
mod bytes;
mod domain;
mod host;
mod message;
mod messages;
mod pointer;

pub use address::GivenAddress;
pub use bytes::GivenBytes;
pub use domain::GivenDomain;
pub use host::GivenHost;
pub use message::GivenMessage;
pub use messages::GivenMessages;
pub use pointer::UserPtr;

use core::ptr;

/// Such an argument. It has no destructor, since it is in a frame that may be unwound, or abandoned, while libc uses
/// it.
pub trait Given {
    /// Frees the copy. The argument is not used afterwards.
    fn release(&mut self) {}
}

impl Given for GivenAddress {}
impl Given for GivenMessage {}
impl Given for GivenMessages {}

/// An address outside of user space, EFAULT to the kernel. It replaces an argument that could not be read, in case it
/// becomes readable before the kernel looks at it.
fn invalid_pointer<T>() -> *const T {
    const LAST_PAGE: usize = usize::MAX - 4095;
    ptr::without_provenance(LAST_PAGE)
}

/// As [`invalid_pointer`], for a message header. NULL stays NULL, since musl reads every other header in user space.
fn unreadable<T>(pointer: *const T) -> *const T {
    match pointer.is_null() {
        true => pointer,
        false => invalid_pointer(),
    }
}
