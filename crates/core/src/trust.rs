//! Ownership checks for config files: a file that was found, not named, is trusted only if no other user can have
//! written it.
//!
//! The checks use fstat(2) on the opened file and directory, so neither can be replaced between check and read.

#![forbid(unsafe_code)]

use crate::name_table::sys::{effective_user, open_at};
use crate::private_group::is_private;
use core::fmt;
use std::ffi::{CString, OsStr};
use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

/// Why a file is not trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Distrust {
    /// A FIFO, a socket or a device.
    NotRegular,
    TooLarge,
    SymbolicLink,
    /// Owned by this other user.
    Foreign(u32),
    /// Other users may write it.
    Writable,
    ForeignDirectory(u32),
    WritableDirectory,
    /// In a set-user-ID program: a user other than root owns or may write the file or a directory above it.
    NotRoots,
}

impl fmt::Display for Distrust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Distrust::NotRegular => f.write_str("it is not a regular file"),
            Distrust::TooLarge => f.write_str("it is larger than 1 MiB"),
            Distrust::SymbolicLink => f.write_str("it is a symbolic link"),
            Distrust::Foreign(user) => write!(f, "it belongs to another user (uid {user})"),
            Distrust::Writable => f.write_str("other users may write it"),
            Distrust::ForeignDirectory(user) => {
                write!(f, "its directory belongs to another user (uid {user})")
            }
            Distrust::WritableDirectory => f.write_str("other users may write its directory"),
            Distrust::NotRoots => f.write_str(
                "users other than root may change it, and this is a set-user-ID program",
            ),
        }
    }
}

#[derive(Debug)]
pub enum ReadError {
    Io(io::Error),
    Distrusted(Distrust),
}

impl From<io::Error> for ReadError {
    fn from(error: io::Error) -> ReadError {
        ReadError::Io(error)
    }
}

/// Whether a symbolic link is followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Links {
    Refused,
    /// For directories that dotfile managers fill with links. The directory is checked, so the user or root has made the
    /// link, and its target is checked like any file.
    Followed,
}

/// O_NONBLOCK, because opening a FIFO would wait for a writer.
const READ: libc::c_int = libc::O_RDONLY | libc::O_NONBLOCK | libc::O_NOCTTY;

/// Reads a file that the user named. It must be a regular file; the owner does not matter.
pub fn read_named(path: &Path) -> Result<Vec<u8>, ReadError> {
    let file = File::options().read(true).custom_flags(READ).open(path)?;
    let metadata = file.metadata()?;
    if metadata.is_dir() {
        return Err(io::Error::from(io::ErrorKind::IsADirectory).into());
    }
    read(file, &metadata)
}

/// Reads `name` in `directory` if both belong to this user or root and no other user may write them.
pub fn read_own(directory: &Path, name: &OsStr, links: Links) -> Result<Vec<u8>, ReadError> {
    let path = |path: &OsStr| CString::new(path.as_bytes()).map_err(io::Error::from);
    let flags = libc::O_PATH | libc::O_DIRECTORY;
    let directory = File::from(open_at(None, &path(directory.as_os_str())?, flags, 0)?);
    let flags = match links {
        Links::Refused => READ | libc::O_NOFOLLOW,
        Links::Followed => READ,
    };
    let opened = open_at(Some(directory.as_fd()), &path(name)?, flags, 0);
    let file = File::from(opened.map_err(|error| match error.raw_os_error() {
        Some(libc::ELOOP) => ReadError::Distrusted(Distrust::SymbolicLink),
        // The errno of openat(2) for a socket, and for a device without a driver.
        Some(libc::ENXIO | libc::ENODEV) => ReadError::Distrusted(Distrust::NotRegular),
        _ => ReadError::Io(error),
    })?);
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(ReadError::Distrusted(Distrust::NotRegular));
    }
    let directory_metadata = directory.metadata()?;
    let user = effective_user();
    let checks = [
        (!is_of(user, &metadata), Distrust::Foreign(metadata.uid())),
        (others_may_write(&metadata), Distrust::Writable),
        (
            !is_of(user, &directory_metadata),
            Distrust::ForeignDirectory(directory_metadata.uid()),
        ),
        (
            others_may_write(&directory_metadata),
            Distrust::WritableDirectory,
        ),
    ];
    match checks.into_iter().find(|(wrong, _)| *wrong) {
        Some((_, distrust)) => Err(ReadError::Distrusted(distrust)),
        None => read(file, &metadata),
    }
}

/// Reads a file if only root can have written it; symbolic links are followed.
pub fn read_roots(path: &Path) -> Result<Vec<u8>, ReadError> {
    let path = fs::canonicalize(path)?;
    let flags = READ | libc::O_NOFOLLOW;
    let file = File::options().read(true).custom_flags(flags).open(&path)?;
    let metadata = file.metadata()?;
    let is_roots = |metadata: &Metadata| is_of(ROOT, metadata) && !others_may_write(metadata);
    // Further up, a writable directory with the sticky bit, such as /tmp, is safe: other users cannot rename its entries.
    let is_safe_above = |metadata: &Metadata| {
        is_of(ROOT, metadata)
            && (!others_may_write(metadata) || metadata.mode() & libc::S_ISVTX != 0)
    };
    let mut above = path.ancestors().skip(1).map(fs::metadata);
    let is_trusted = is_roots(&metadata)
        && above
            .next()
            .is_some_and(|metadata| metadata.is_ok_and(|metadata| is_roots(&metadata)))
        && above.all(|metadata| metadata.is_ok_and(|metadata| is_safe_above(&metadata)));
    match is_trusted {
        true => read(file, &metadata),
        false => Err(ReadError::Distrusted(Distrust::NotRoots)),
    }
}

/// Twenty times the size of a config with a thousand rules. Every process reads the file, so a larger one is refused.
const MAX_SIZE: u64 = 1 << 20;

fn read(file: File, metadata: &Metadata) -> Result<Vec<u8>, ReadError> {
    if !metadata.is_file() {
        return Err(ReadError::Distrusted(Distrust::NotRegular));
    }
    // With room for std's last read, which finds the end, so that it reads the file at once.
    let room = metadata.len().min(MAX_SIZE) as usize + 64;
    let mut text = Vec::with_capacity(room);
    // `take` instead of the file size, since the file may grow meanwhile.
    let read = file.take(MAX_SIZE + 1).read_to_end(&mut text)?;
    match read as u64 > MAX_SIZE {
        true => Err(ReadError::Distrusted(Distrust::TooLarge)),
        false => Ok(text),
    }
}

const ROOT: u32 = 0;

fn is_of(user: u32, metadata: &Metadata) -> bool {
    metadata.uid() == user || metadata.uid() == ROOT
}

/// The owner's private group counts as the owner ([`is_private`]), and so does root's group, whose members are as
/// privileged as root.
fn others_may_write(metadata: &Metadata) -> bool {
    let may_be_written_by = |bit| metadata.mode() & bit != 0;
    let is_owners = || metadata.gid() == ROOT || is_private(metadata.uid(), metadata.gid());
    may_be_written_by(libc::S_IWOTH) || (may_be_written_by(libc::S_IWGRP) && !is_owners())
}
