//! A message header, with its address.

use super::{unreadable, GivenAddress};
use core::ptr;
use libc::msghdr;
use tailchain_core::sys;

/// The `const struct msghdr *` argument of sendmsg(2).
pub struct GivenMessage {
    pointer: *const msghdr,
    content: Content,
    name: GivenAddress,
}

enum Content {
    NotRead,
    Unreadable,
    Copy(msghdr),
}

impl GivenMessage {
    pub fn new(pointer: *const msghdr) -> GivenMessage {
        GivenMessage {
            pointer,
            content: Content::NotRead,
            name: GivenAddress::new(ptr::null(), 0),
        }
    }

    /// The program's header, and its address. `None`: the header is unreadable.
    ///
    /// # Safety
    /// The pointer is the program's own; it may be bad.
    pub unsafe fn read(&mut self) -> Option<(msghdr, &mut GivenAddress)> {
        if matches!(self.content, Content::NotRead) {
            self.content = match sys::was_readable(self.pointer.cast(), size_of::<msghdr>()) {
                true => {
                    // SAFETY: readable.
                    let copy = unsafe { self.pointer.read_unaligned() };
                    self.name = GivenAddress::of_message(copy.msg_name.cast(), copy.msg_namelen);
                    Content::Copy(copy)
                }
                false => Content::Unreadable,
            };
        }
        match &self.content {
            Content::Copy(copy) => Some((*copy, &mut self.name)),
            Content::NotRead | Content::Unreadable => None,
        }
    }

    /// The pointer to pass to libc. Valid until this value is moved or dropped.
    pub fn pointer(&mut self) -> *const msghdr {
        match &mut self.content {
            Content::NotRead => self.pointer,
            Content::Unreadable => unreadable(self.pointer),
            Content::Copy(copy) => {
                copy.msg_name = self.name.pointer().cast_mut().cast();
                copy
            }
        }
    }
}
