//! Arguments that name memory of the program's, which another of its threads may change meanwhile. What a decision was
//! made about is copied first, and the copy is what libc and the kernel get; what nobody has looked at is passed on as it is.

mod address;
mod message;
mod messages;
mod pointer;

pub use address::GivenAddress;
pub use message::GivenMessage;
pub use messages::GivenMessages;
pub use pointer::UserPtr;

use core::ptr;

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
