//! Whose a config file is: one that was found, not named, counts only where nobody else can have written it.
//!
//! Every answer is about the file that was opened, by fstat(2), and about the directory that it was opened in: nothing
//! can be exchanged between the check and the reading.

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

/// Why a file does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Distrust {
    /// A FIFO, a socket, a device.
    NotRegular,
    TooLarge,
    SymbolicLink,
    /// This user is its owner.
    Foreign(u32),
    /// Its mode lets others write.
    Writable,
    ForeignDirectory(u32),
    WritableDirectory,
    /// In a set-user-ID program: somebody other than root owns or may write the file, or a directory above it.
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

/// What becomes of a file that is a symbolic link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Links {
    Refused,
    /// For a directory that dotfile managers fill with links. The directory is checked, so the user or root made the
    /// link; what it leads to is checked as any file.
    Followed,
}

/// O_NONBLOCK: somebody may have put a FIFO there, and opening it would wait for a writer.
const READ: libc::c_int = libc::O_RDONLY | libc::O_NONBLOCK | libc::O_NOCTTY;

/// Reads a file that somebody named: anybody's, but a regular one.
pub fn read_named(path: &Path) -> Result<Vec<u8>, ReadError> {
    let file = File::options().read(true).custom_flags(READ).open(path)?;
    let about = file.metadata()?;
    if about.is_dir() {
        return Err(io::Error::from(io::ErrorKind::IsADirectory).into());
    }
    read(file, &about)
}

/// Reads `name` in `directory` if both belong to this user or to root, and nobody else may write them.
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
        // What openat(2) gives for a socket, and for a device without a driver.
        Some(libc::ENXIO | libc::ENODEV) => ReadError::Distrusted(Distrust::NotRegular),
        _ => ReadError::Io(error),
    })?);
    let about = file.metadata()?;
    if !about.is_file() {
        return Err(ReadError::Distrusted(Distrust::NotRegular));
    }
    let place = directory.metadata()?;
    let user = effective_user();
    let found = [
        (!is_of(user, &about), Distrust::Foreign(about.uid())),
        (others_may_write(&about), Distrust::Writable),
        (
            !is_of(user, &place),
            Distrust::ForeignDirectory(place.uid()),
        ),
        (others_may_write(&place), Distrust::WritableDirectory),
    ];
    match found.into_iter().find(|(wrong, _)| *wrong) {
        Some((_, distrust)) => Err(ReadError::Distrusted(distrust)),
        None => read(file, &about),
    }
}

/// Reads a file if only root can have written it, whichever links lead there.
pub fn read_roots(path: &Path) -> Result<Vec<u8>, ReadError> {
    let path = fs::canonicalize(path)?;
    let flags = READ | libc::O_NOFOLLOW;
    let file = File::options().read(true).custom_flags(flags).open(&path)?;
    let about = file.metadata()?;
    let is_roots = |about: &Metadata| is_of(ROOT, about) && !others_may_write(about);
    // A directory that others may write but whose entries they may not move, such as /tmp, is no harm further up.
    let is_safe_above = |about: &Metadata| {
        is_of(ROOT, about) && (!others_may_write(about) || about.mode() & libc::S_ISVTX != 0)
    };
    let mut above = path.ancestors().skip(1).map(fs::metadata);
    let is_trusted = is_roots(&about)
        && above
            .next()
            .is_some_and(|about| about.is_ok_and(|about| is_roots(&about)))
        && above.all(|about| about.is_ok_and(|about| is_safe_above(&about)));
    match is_trusted {
        true => read(file, &about),
        false => Err(ReadError::Distrusted(Distrust::NotRoots)),
    }
}

/// A config of a thousand rules is a twentieth of it. What is larger is another file, which every process would read.
const MAX_SIZE: u64 = 1 << 20;

fn read(file: File, about: &Metadata) -> Result<Vec<u8>, ReadError> {
    if !about.is_file() {
        return Err(ReadError::Distrusted(Distrust::NotRegular));
    }
    let mut text = Vec::new();
    // It may grow meanwhile.
    let read = file.take(MAX_SIZE + 1).read_to_end(&mut text)?;
    match read as u64 > MAX_SIZE {
        true => Err(ReadError::Distrusted(Distrust::TooLarge)),
        false => Ok(text),
    }
}

const ROOT: u32 = 0;

fn is_of(user: u32, about: &Metadata) -> bool {
    about.uid() == user || about.uid() == ROOT
}

/// A group that is the owner's own counts as the owner ([`is_private`]). Root's group counts too: its members are
/// root in all but name.
fn others_may_write(about: &Metadata) -> bool {
    let may_be_written_by = |bit| about.mode() & bit != 0;
    let is_owners = || about.gid() == ROOT || is_private(about.uid(), about.gid());
    may_be_written_by(libc::S_IWOTH) || (may_be_written_by(libc::S_IWGRP) && !is_owners())
}
