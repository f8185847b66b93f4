//! Arguments that name memory of the program's, which another of its threads may change meanwhile. What a decision was
//! made about is copied first, and the copy is what libc and the kernel get; what nobody has looked at is passed on as it is.

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

/// Some such argument. It has nothing to drop, since it is in a frame that may be unwound, or left, while libc has it.
pub trait Given {
    /// It is not needed any more.
    fn release(&mut self) {}
}

impl Given for GivenAddress {}
impl Given for GivenMessage {}
impl Given for GivenMessages {}

/// Where nothing of a program's can be: to the kernel, EFAULT. It stands for an argument that could not be read, which
/// could become readable until the kernel looks at it.
fn nowhere<T>() -> *const T {
    const LAST_PAGE: usize = usize::MAX - 4095;
    ptr::without_provenance(LAST_PAGE)
}

/// As [`nowhere`], for the header of a message. NULL stays NULL: musl's functions read headers themselves, any but that.
fn unreadable<T>(pointer: *const T) -> *const T {
    match pointer.is_null() {
        true => pointer,
        false => nowhere(),
    }
}
