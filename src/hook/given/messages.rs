//! The headers of sendmmsg(2), copied in batches: copies of all headers of one call would not fit on every stack, and a
//! hook that may carry data must not allocate.

use super::{unreadable, GivenAddress};
use crate::hook::boundary::{guard, Verdict};
use crate::hook::send::hooks::real;
use core::ffi::{c_int, c_uint};
use core::mem::MaybeUninit;
use core::ptr;
use libc::mmsghdr;
use tailchain_core::errno::Errno;
use tailchain_core::sys::{self, Fd};

/// The batch size.
const AT_ONCE: usize = 16;

/// The `struct mmsghdr *` and length arguments of sendmmsg(2).
pub struct GivenMessages {
    messages: *mut mmsghdr,
    count: usize,
    /// How many messages were examined, including those in the current batch.
    read: usize,
    headers: [MaybeUninit<mmsghdr>; AT_ONCE],
    names: [MaybeUninit<GivenAddress>; AT_ONCE],
    copied: usize,
    end: End,
}

/// What follows the current batch.
#[derive(Clone, Copy)]
enum End {
    /// More messages; before the first `read`, all of them.
    More,
    Last,
    /// A message whose header is not readable or whose length field is not writable.
    Unreadable,
    Refused(Errno),
}

impl GivenMessages {
    pub fn new(messages: *mut mmsghdr, count: c_uint) -> GivenMessages {
        GivenMessages {
            messages,
            // The kernel handles at most this many in one call.
            count: count.min(libc::UIO_MAXIOV as c_uint) as usize,
            read: 0,
            headers: [const { MaybeUninit::uninit() }; AT_ONCE],
            names: [const { MaybeUninit::uninit() }; AT_ONCE],
            copied: 0,
            end: End::More,
        }
    }

    /// Copies the next batch, up to the first message that is refused.
    ///
    /// # Safety
    /// The pointer is the program's own; it may be bad.
    pub unsafe fn read(&mut self, refused: impl Fn(&mut GivenAddress) -> Option<Errno>) {
        self.copied = 0;
        for (header, name) in self.headers.iter_mut().zip(&mut self.names) {
            if self.read >= self.count {
                self.end = End::Last;
                return;
            }
            let message = self.messages.wrapping_add(self.read);
            if !sys::was_readable(message.cast(), size_of::<mmsghdr>())
                || !sys::was_writable(message.cast(), size_of::<mmsghdr>())
            {
                self.end = End::Unreadable;
                return;
            }
            // SAFETY: readable.
            let copy = unsafe { message.read_unaligned() };
            let given = &copy.msg_hdr;
            let name = name.write(GivenAddress::of_message(
                given.msg_name.cast(),
                given.msg_namelen,
            ));
            if let Some(errno) = refused(name) {
                self.end = End::Refused(errno);
                return;
            }
            header.write(copy);
            self.read += 1;
            self.copied += 1;
        }
    }

    /// The address of the first message, after `read`.
    pub fn first_name(&mut self) -> Option<&mut GivenAddress> {
        if self.copied == 0 {
            return None;
        }
        // SAFETY: written by `read`.
        let first = |name: &mut MaybeUninit<GivenAddress>| unsafe { name.as_mut_ptr().as_mut() };
        self.names.first_mut().and_then(first)
    }

    /// The errno of the call, if its very first message is refused.
    pub fn refusal(&self) -> Option<Errno> {
        match self.end {
            End::Refused(errno) if self.read == 0 => Some(errno),
            _ => None,
        }
    }

    /// The real call, in batches if `read` was called. It stops at the first message that cannot be sent, and fails
    /// only if that is the very first. Must not be called inside the boundary, since the thread may be cancelled here.
    ///
    /// # Safety
    /// As sendmmsg(2).
    pub unsafe fn send(
        &mut self,
        fd: Fd,
        flags: c_int,
        refused: impl Fn(&mut GivenAddress) -> Option<Errno>,
    ) -> Option<c_int> {
        if self.read == 0 && self.copied == 0 && matches!(self.end, End::More | End::Last) {
            // SAFETY: the program's own arguments.
            return unsafe { real::sendmmsg(fd, self.messages, self.count as c_uint, flags) };
        }
        let before = sys::errno();
        let mut total = 0;
        loop {
            if self.copied > 0 {
                // SAFETY: the headers are our copies; what they point to is the program's.
                let sent = unsafe { self.send_copies(fd, flags) }?;
                total += sent.max(0);
                if sent < self.copied as c_int {
                    return Some(batch_result(total, sent, before));
                }
            }
            match self.end {
                End::More => {}
                End::Last => return Some(total),
                End::Unreadable if total == 0 => {
                    let messages = unreadable(self.messages).cast_mut();
                    // SAFETY: the kernel rejects the pointer.
                    return unsafe { real::sendmmsg(fd, messages, 1, flags) };
                }
                End::Refused(errno) if total == 0 => {
                    sys::set_errno(errno.raw());
                    return Some(-1);
                }
                End::Unreadable | End::Refused(_) => return Some(total),
            }
            let next = guard(|| {
                // SAFETY: the caller's contract.
                unsafe { self.read(&refused) };
                Verdict::Return(())
            });
            if !matches!(next, Verdict::Return(())) {
                return Some(total);
            }
        }
    }

    /// # Safety
    /// As sendmmsg(2).
    unsafe fn send_copies(&mut self, fd: Fd, flags: c_int) -> Option<c_int> {
        let copies = self.headers.as_mut_ptr().cast::<mmsghdr>();
        for (index, name) in self.names.iter().take(self.copied).enumerate() {
            // SAFETY: `read` wrote `copied` elements of both arrays.
            unsafe {
                let name = name.assume_init_ref().pointer();
                (*copies.add(index)).msg_hdr.msg_name = name.cast_mut().cast();
            }
        }
        // SAFETY: `read` wrote `copied` headers.
        let sent = unsafe { real::sendmmsg(fd, copies, self.copied as c_uint, flags) }?;
        let first = self.messages.wrapping_add(self.read - self.copied);
        for index in 0..usize::try_from(sent).unwrap_or(0) {
            // SAFETY: the index is within the copies and within the program's messages, which are writable.
            unsafe {
                let length = (*copies.add(index)).msg_len;
                ptr::addr_of_mut!((*first.wrapping_add(index)).msg_len).write_unaligned(length);
            }
        }
        Some(sent)
    }
}

/// The result of a call that has sent `total` messages, where the last batch returned `last`.
fn batch_result(total: c_int, last: c_int, errno_before: c_int) -> c_int {
    if total == 0 {
        return last;
    }
    sys::set_errno(errno_before);
    total
}
