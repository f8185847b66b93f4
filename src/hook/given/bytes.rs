//! Bytes: a C string, or a buffer whose length is another argument.

use super::Given;
use core::ffi::{c_char, CStr};
use core::{ptr, slice};
use tailchain_core::errno::Errno;

/// A `const char *` argument, or a `const void *` with its length in another argument.
pub struct GivenBytes {
    pointer: *const u8,
    short: [u8; SHORT],
    /// From malloc if `short` is too small, else NULL. It leaks if the thread is cancelled inside libc.
    long: *mut u8,
    /// The length of the copy; `None` until it is made.
    length: Option<usize>,
}

/// Large enough for any name, and for a DNS query with one.
const SHORT: usize = 320;

impl GivenBytes {
    pub fn new(pointer: *const u8) -> GivenBytes {
        GivenBytes {
            pointer,
            short: [0; SHORT],
            long: ptr::null_mut(),
            length: None,
        }
    }

    /// The string, copied on the first call. `None`: the pointer is NULL.
    ///
    /// # Errors
    /// ENOMEM if the string is too long for the inline buffer and malloc fails.
    ///
    /// # Safety
    /// The pointer is NULL or a C string.
    pub unsafe fn text(&mut self) -> Result<Option<&CStr>, Errno> {
        if self.pointer.is_null() {
            return Ok(None);
        }
        if self.length.is_none() {
            // SAFETY: the caller's contract. If the string shrinks meanwhile, the first NUL ends it.
            let length = unsafe { CStr::from_ptr(self.pointer.cast::<c_char>()) }.count_bytes();
            // SAFETY: as above, and the NUL.
            unsafe { self.copy(length, 1)? };
        }
        let length = self.length.unwrap_or_default();
        // SAFETY: written above, with a NUL at the end.
        let copy = unsafe { slice::from_raw_parts(self.begin(), length + 1) };
        CStr::from_bytes_until_nul(copy).map(Some).or(Ok(None))
    }

    /// The first `length` bytes, copied on the first call. `None`: the pointer is NULL.
    ///
    /// # Errors
    /// ENOMEM if the buffer is too long for the inline copy and malloc fails.
    ///
    /// # Safety
    /// The pointer is NULL, or readable for `length` bytes.
    pub unsafe fn bytes(&mut self, length: usize) -> Result<Option<&[u8]>, Errno> {
        if self.pointer.is_null() {
            return Ok(None);
        }
        if self.length.is_none() {
            // SAFETY: the caller's contract.
            unsafe { self.copy(length, 0)? };
        }
        // SAFETY: written above.
        Ok(Some(unsafe {
            slice::from_raw_parts(self.begin(), self.length.unwrap_or_default())
        }))
    }

    /// The pointer to pass to libc. Valid until `release`, or until this value is moved.
    pub fn pointer(&self) -> *const u8 {
        match self.length {
            None => self.pointer,
            Some(_) => self.begin(),
        }
    }

    fn begin(&self) -> *const u8 {
        match self.long.is_null() {
            true => self.short.as_ptr(),
            false => self.long,
        }
    }

    /// # Safety
    /// The pointer is readable for `length` bytes.
    unsafe fn copy(&mut self, length: usize, zeros: usize) -> Result<(), Errno> {
        let mut copy = self.short.as_mut_ptr();
        if length + zeros > self.short.len() {
            // SAFETY: malloc has no precondition; `release` frees the memory.
            self.long = unsafe { libc::malloc(length + zeros) }.cast();
            if self.long.is_null() {
                return Err(Errno::ENOMEM);
            }
            copy = self.long;
        }
        // SAFETY: the copy is new and has room for `length + zeros` bytes.
        unsafe {
            ptr::copy_nonoverlapping(self.pointer, copy, length);
            ptr::write_bytes(copy.add(length), 0, zeros);
        }
        self.length = Some(length);
        Ok(())
    }
}

impl Given for GivenBytes {
    fn release(&mut self) {
        // SAFETY: NULL, or from malloc and not used any more.
        unsafe { libc::free(self.long.cast()) };
        self.long = ptr::null_mut();
    }
}
