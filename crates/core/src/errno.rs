//! `Errno`: an error number as the kernel would return it.
//!
//! [`crate::proto::failure`] maps a proxy's reply to an errno.

#![forbid(unsafe_code)]

use core::fmt;

/// An errno value (errno(3)). Never 0: success has no `Errno`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Errno(core::num::NonZeroI32);

macro_rules! errnos {
    ($($name:ident)*) => {
        impl Errno {
            $(pub const $name: Errno = Errno::known(libc::$name);)*

            /// The symbolic name, `None` for a value that is not in the list below.
            pub const fn name(self) -> Option<&'static str> {
                match self.0.get() {
                    $(libc::$name => Some(stringify!($name)),)*
                    _ => None,
                }
            }
        }
    };
}

errnos! {
    EACCES EADDRINUSE EMSGSIZE EADDRNOTAVAIL EAFNOSUPPORT EAGAIN EALREADY EBADF EBUSY ECONNABORTED ECONNREFUSED ECONNRESET
    EFAULT EHOSTUNREACH EINPROGRESS EINTR EINVAL EIO EISCONN EMFILE ENETDOWN ENETUNREACH ENOBUFS ENOENT ENOMEM
    ENOSYS ENOTCONN ENOTSOCK ENXIO ELOOP EFBIG EOPNOTSUPP EPERM EPIPE EPROTO ESRCH ETIMEDOUT ENFILE ENOSPC EEXIST ERANGE EPROTOTYPE
}

impl Errno {
    const fn known(value: i32) -> Errno {
        match core::num::NonZeroI32::new(value) {
            Some(value) => Errno(value),
            // No libc constant is 0; a constant expression cannot call a fallible conversion.
            None => Errno(core::num::NonZeroI32::MAX),
        }
    }

    /// From a raw value. 0, which is not an error, becomes `EIO`, so that a failure stays a failure.
    pub const fn from_raw(value: i32) -> Errno {
        match core::num::NonZeroI32::new(value) {
            Some(value) => Errno(value),
            None => Errno::EIO,
        }
    }

    pub const fn raw(self) -> i32 {
        self.0.get()
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "errno {}", self.0),
        }
    }
}

impl core::error::Error for Errno {}

impl fmt::Debug for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
