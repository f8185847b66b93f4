//! Socket addresses in the kernel's form.

use core::ffi::c_int;
use core::mem;
use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// A socket address in the kernel's form, with its length.
#[derive(Clone, Copy)]
pub struct SockAddr {
    pub(super) storage: libc::sockaddr_storage,
    pub(super) length: libc::socklen_t,
}

impl SockAddr {
    fn from_part<T: Copy>(part: T, length: usize) -> SockAddr {
        const { assert!(mem::size_of::<T>() <= mem::size_of::<libc::sockaddr_storage>()) };
        // SAFETY: all zeroes is a valid sockaddr_storage.
        let mut storage: libc::sockaddr_storage = unsafe { mem::zeroed() };
        // SAFETY: T fits, as asserted, and storage is aligned for every sockaddr.
        unsafe { (&raw mut storage).cast::<T>().write(part) };
        SockAddr {
            storage,
            length: length as libc::socklen_t,
        }
    }

    /// A unix socket's path; `ENAMETOOLONG`-like lengths become `None`.
    pub fn unix(path: &Path) -> Option<SockAddr> {
        // SAFETY: all zeroes is a valid sockaddr_un.
        let mut part: libc::sockaddr_un = unsafe { mem::zeroed() };
        let bytes = path.as_os_str().as_bytes();
        if bytes.len() >= part.sun_path.len() {
            return None;
        }
        part.sun_family = libc::AF_UNIX as libc::sa_family_t;
        for (to, from) in part.sun_path.iter_mut().zip(bytes) {
            *to = *from as libc::c_char;
        }
        Some(SockAddr::from_part(part, mem::size_of_val(&part)))
    }

    /// A unix socket's name in the abstract namespace (unix(7)). `None`: too long.
    pub fn unix_abstract(name: &[u8]) -> Option<SockAddr> {
        // SAFETY: all zeroes is a valid sockaddr_un.
        let mut part: libc::sockaddr_un = unsafe { mem::zeroed() };
        part.sun_family = libc::AF_UNIX as libc::sa_family_t;
        // Its first byte is the NUL that makes it abstract.
        let room = part.sun_path.get_mut(1..=name.len())?;
        for (to, from) in room.iter_mut().zip(name) {
            *to = *from as libc::c_char;
        }
        let length = mem::offset_of!(libc::sockaddr_un, sun_path) + 1 + name.len();
        Some(SockAddr::from_part(part, length))
    }

    /// The name of a unix socket address in the abstract namespace.
    pub fn abstract_name(&self) -> Option<&[u8]> {
        let path = mem::offset_of!(libc::sockaddr_un, sun_path);
        if self.family() != libc::AF_UNIX {
            return None;
        }
        // SAFETY: the storage's bytes, all of them initialized; the length is checked by get().
        let all: &[u8; mem::size_of::<libc::sockaddr_storage>()] =
            unsafe { &*(&raw const self.storage).cast() };
        all.get(path..self.length as usize)?.strip_prefix(b"\0")
    }

    /// Copy an address that a program passed. `None` for a NULL pointer or a length out of range.
    ///
    /// # Safety
    /// `address` is NULL or readable for `length` bytes.
    pub unsafe fn copy_from(
        address: *const libc::sockaddr,
        length: libc::socklen_t,
    ) -> Option<SockAddr> {
        if address.is_null() || length as usize > mem::size_of::<libc::sockaddr_storage>() {
            return None;
        }
        // SAFETY: all zeroes is a valid sockaddr_storage.
        let mut storage: libc::sockaddr_storage = unsafe { mem::zeroed() };
        // SAFETY: the caller vouches for the source; the length was checked against the destination.
        unsafe {
            core::ptr::copy_nonoverlapping(
                address.cast::<u8>(),
                (&raw mut storage).cast::<u8>(),
                length as usize,
            )
        };
        Some(SockAddr { storage, length })
    }

    /// An address in the kernel's form. `None`: too long.
    pub fn from_bytes(bytes: &[u8]) -> Option<SockAddr> {
        let length = libc::socklen_t::try_from(bytes.len()).ok()?;
        // SAFETY: a slice is readable for its length.
        unsafe { SockAddr::copy_from(bytes.as_ptr().cast(), length) }
    }

    /// The same bytes.
    pub fn as_bytes(&self) -> &[u8] {
        // SAFETY: the storage's bytes, all of them initialized; the length is checked by get().
        let all: &[u8; mem::size_of::<libc::sockaddr_storage>()] =
            unsafe { &*(&raw const self.storage).cast() };
        all.get(..self.length as usize).unwrap_or_default()
    }

    /// For libc: as long as [`SockAddr::as_bytes`].
    pub fn as_ptr(&self) -> *const libc::sockaddr {
        (&raw const self.storage).cast()
    }

    /// Return it to a program as getpeername(2) does: as much as fits, and the full length.
    ///
    /// # Safety
    /// `length` is writable, and `address` is writable for `*length` bytes.
    pub unsafe fn copy_to(&self, address: *mut libc::sockaddr, length: *mut libc::socklen_t) {
        // SAFETY: the caller vouches for both.
        unsafe {
            let room = (*length).min(self.length) as usize;
            core::ptr::copy_nonoverlapping(
                (&raw const self.storage).cast::<u8>(),
                address.cast::<u8>(),
                room,
            );
            *length = self.length;
        }
    }

    pub fn family(&self) -> c_int {
        c_int::from(self.storage.ss_family)
    }

    /// The internet address, if it is one of full length.
    pub fn inet(&self) -> Option<SocketAddr> {
        self.inet_as(self.family())
    }

    /// The same, as if it were of `family`.
    pub fn inet_as(&self, family: c_int) -> Option<SocketAddr> {
        let storage = &raw const self.storage;
        match family {
            libc::AF_INET if self.length as usize >= mem::size_of::<libc::sockaddr_in>() => {
                // SAFETY: storage is larger than, and aligned for, a sockaddr_in; any bytes are valid.
                let part = unsafe { storage.cast::<libc::sockaddr_in>().read() };
                let ip = u32::from_be(part.sin_addr.s_addr);
                Some((std::net::Ipv4Addr::from(ip), u16::from_be(part.sin_port)).into())
            }
            // The kernel accepts a sockaddr_in6 without its scope (SIN6_LEN_RFC2133, 24 bytes).
            libc::AF_INET6 if self.length >= 24 => {
                // SAFETY: as above, for a sockaddr_in6.
                let part = unsafe { storage.cast::<libc::sockaddr_in6>().read() };
                Some(SocketAddr::V6(std::net::SocketAddrV6::new(
                    part.sin6_addr.s6_addr.into(),
                    u16::from_be(part.sin6_port),
                    part.sin6_flowinfo,
                    part.sin6_scope_id,
                )))
            }
            _ => None,
        }
    }
}

impl From<SocketAddr> for SockAddr {
    fn from(address: SocketAddr) -> SockAddr {
        match address {
            SocketAddr::V4(v4) => {
                // SAFETY: all zeroes is a valid sockaddr_in.
                let mut part: libc::sockaddr_in = unsafe { mem::zeroed() };
                part.sin_family = libc::AF_INET as libc::sa_family_t;
                part.sin_port = v4.port().to_be();
                part.sin_addr.s_addr = u32::from(*v4.ip()).to_be();
                SockAddr::from_part(part, mem::size_of_val(&part))
            }
            SocketAddr::V6(v6) => {
                // SAFETY: all zeroes is a valid sockaddr_in6.
                let mut part: libc::sockaddr_in6 = unsafe { mem::zeroed() };
                part.sin6_family = libc::AF_INET6 as libc::sa_family_t;
                part.sin6_port = v6.port().to_be();
                part.sin6_flowinfo = v6.flowinfo();
                part.sin6_addr.s6_addr = v6.ip().octets();
                part.sin6_scope_id = v6.scope_id();
                SockAddr::from_part(part, mem::size_of_val(&part))
            }
        }
    }
}
