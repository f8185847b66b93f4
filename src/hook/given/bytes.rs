//! Bytes: a string, or as many as another argument says.

use super::Given;
use core::ffi::{c_char, CStr};
use core::{ptr, slice};
use tailchain_core::errno::Errno;

/// The `const char *` of a call, or its `const void *` where another argument says how long it is.
pub struct GivenBytes {
    pointer: *const u8,
    short: [u8; SHORT],
    /// From malloc, where that is too short, or NULL. It leaks when the thread is cancelled while libc has it.
    long: *mut u8,
    /// Of the copy, once there is one.
    length: Option<usize>,
}

/// Room for any name, and for the DNS query with one.
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

    /// The string, once and for all. `None`: it is NULL.
    ///
    /// # Errors
    /// ENOMEM, of one that is too long for the stack.
    ///
    /// # Safety
    /// The pointer is NULL or a C string.
    pub unsafe fn text(&mut self) -> Result<Option<&CStr>, Errno> {
        if self.pointer.is_null() {
            return Ok(None);
        }
        if self.length.is_none() {
            // SAFETY: the caller's contract. What comes after the first NUL by now is cut off.
            let length = unsafe { CStr::from_ptr(self.pointer.cast::<c_char>()) }.count_bytes();
            // SAFETY: as above, and the NUL.
            unsafe { self.copy(length, 1)? };
        }
        let length = self.length.unwrap_or_default();
        // SAFETY: written above, with a NUL at the end.
        let copy = unsafe { slice::from_raw_parts(self.begin(), length + 1) };
        CStr::from_bytes_until_nul(copy).map(Some).or(Ok(None))
    }

    /// So many bytes, once and for all. `None`: it is NULL.
    ///
    /// # Errors
    /// ENOMEM, of what is too long for the stack.
    ///
    /// # Safety
    /// The pointer is NULL, or readable for so many bytes.
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

    /// What libc is to get. It lives until it is released, and does not move with this.
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
            // SAFETY: no precondition; it is freed when this is released.
            self.long = unsafe { libc::malloc(length + zeros) }.cast();
            if self.long.is_null() {
                return Err(Errno::ENOMEM);
            }
            copy = self.long;
        }
        // SAFETY: there is room for them in the copy, which is new.
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
        // SAFETY: NULL, or from malloc and of no use any more.
        unsafe { libc::free(self.long.cast()) };
        self.long = ptr::null_mut();
    }
}
