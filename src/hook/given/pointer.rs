//! A pointer to a small value.

use tailchain_core::sys;

/// A pointer argument, possibly bad, to a type for which any bytes are valid.
#[derive(Clone, Copy)]
pub struct UserPtr<T>(*const T);

impl<T: Copy> UserPtr<T> {
    /// # Safety
    /// Any bytes are a valid `T`.
    pub unsafe fn new(pointer: *const T) -> UserPtr<T> {
        UserPtr(pointer)
    }

    /// The value, at any alignment. `None`: the memory is not readable, and the kernel or libc reports the error.
    pub fn read(self) -> Option<T> {
        sys::is_readable(self.0.cast(), size_of::<T>()).then(|| {
            // SAFETY: it was readable just now, and by `new` any bytes are a valid value.
            unsafe { self.0.read_unaligned() }
        })
    }
}
