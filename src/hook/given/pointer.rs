//! A pointer to something small.

use tailchain_core::sys;

/// A pointer argument, which may be a bad one: to a value of a type for which any bytes are valid.
#[derive(Clone, Copy)]
pub struct UserPtr<T>(*const T);

impl<T: Copy> UserPtr<T> {
    /// # Safety
    /// Any bytes are a valid `T`.
    pub unsafe fn new(pointer: *const T) -> UserPtr<T> {
        UserPtr(pointer)
    }

    /// What it points to, however it is aligned. `None`: the memory cannot be read, and the kernel or libc is to say so.
    pub fn read(self) -> Option<T> {
        sys::is_readable(self.0.cast(), size_of::<T>()).then(|| {
            // SAFETY: it was readable just now, and by `new` any bytes are a valid value.
            unsafe { self.0.read_unaligned() }
        })
    }
}
