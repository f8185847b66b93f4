//! Finds the table's memory: a file that all processes of the user share, or else anonymous memory.
//!
//! The directories are tried in order: `$XDG_RUNTIME_DIR`, `/dev/shm`, `/tmp`. In each, `tailchain-UID` must be a real
//! directory of ours that nobody else may enter; where another user was first to create it (the last two are writable
//! by everybody), it is skipped. A file that is not a table of this layout is left alone and the next name is tried;
//! nothing is ever truncated, replaced or repaired, because others may have it mapped. A new table gets its name, with
//! link(2), only when its header is complete.
//!
//! Once it is mapped, chroot(2), setuid(2) and the removal of the file do not matter; no fd stays open.

#![forbid(unsafe_code)]

use super::layout::{header, seed_of, HEADER_WORDS, SIZE, VERSION, WORD};
use super::memory::Memory;
use super::sys::{self, Backing};
use std::ffi::{CStr, CString, OsString};
use std::fmt;
use std::fs::{File, Metadata};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

/// How many file names are tried in a directory if the earlier ones hold something else.
const FILES: usize = 4;

/// Where a table is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A file that all processes of the user share.
    File(PathBuf),
    /// Memory that this process shares with the children that it forks from now on; no directory could be used.
    Memory,
    /// None: memory could not be mapped either, and no name can be entered.
    Unavailable,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::File(path) => path.display().fmt(f),
            Place::Memory => f.write_str("memory of this process and its children"),
            Place::Unavailable => f.write_str("unavailable: out of memory"),
        }
    }
}

/// A table's mapping and the seed of its hashes.
pub struct Found {
    pub place: Place,
    pub memory: Option<Memory>,
    pub seed: u64,
}

/// Never fails: see [`Place`].
pub fn find(env: &dyn Fn(&str) -> Option<OsString>) -> Found {
    let runtime = env("XDG_RUNTIME_DIR").map(PathBuf::from);
    // A relative path must be ignored: XDG Base Directory Specification.
    let runtime = runtime.filter(|path| path.is_absolute());
    let directories = runtime
        .into_iter()
        .chain(["/dev/shm", "/tmp"].map(PathBuf::from));
    for directory in directories {
        if let Ok((path, memory, seed)) = in_directory(&directory) {
            return Found {
                place: Place::File(path),
                memory: Some(memory),
                seed,
            };
        }
    }
    let memory = Memory::map(Backing::Shared, SIZE).ok();
    Found {
        place: match memory {
            Some(_) => Place::Memory,
            None => Place::Unavailable,
        },
        memory,
        seed: random(),
    }
}

/// A number that nobody can predict (from the standard library's source of hash keys, getrandom(2)).
pub fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

fn in_directory(base: &Path) -> io::Result<(PathBuf, Memory, u64)> {
    let user = sys::effective_user();
    let own = base.join(format!("tailchain-{user}"));
    let own_path = CString::new(own.as_os_str().as_bytes())?;
    let flags = libc::O_RDONLY | libc::O_DIRECTORY | libc::O_NOFOLLOW;
    let open = || sys::open_at(None, &own_path, flags, 0);
    let directory = match open() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            match sys::make_directory(&own_path, 0o700) {
                // Another process was faster.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                made => made?,
            }
            open()?
        }
        opened => opened?,
    };
    let directory = File::from(directory);
    check_private(&directory)?;
    for number in 0..FILES {
        let name = c_string(match number {
            0 => format!("names-{VERSION}"),
            _ => format!("names-{VERSION}.{number}"),
        })?;
        let table = match open_table(directory.as_fd(), &name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                match create_table(directory.as_fd(), &name) {
                    // Another process was faster.
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                        open_table(directory.as_fd(), &name)
                    }
                    created => Ok(created?),
                }
            }
            opened => opened,
        };
        if let Ok((memory, seed)) = table {
            let name = OsString::from_vec(name.into_bytes());
            return Ok((own.join(name), memory, seed));
        }
    }
    Err(wrong("no file in the directory is a table of this version"))
}

/// Errors: it belongs to another user, or others may read or write it.
fn check_private(file: &File) -> io::Result<Metadata> {
    let status = file.metadata()?;
    if status.uid() != sys::effective_user() || status.mode() & 0o077 != 0 {
        return Err(wrong("not a file of this user alone"));
    }
    Ok(status)
}

/// Errors: ENOENT, or it is not a table of ours.
fn open_table(directory: BorrowedFd, name: &CStr) -> io::Result<(Memory, u64)> {
    // O_NONBLOCK: another user may have put a FIFO there.
    let flags = libc::O_RDWR | libc::O_NOFOLLOW | libc::O_NONBLOCK;
    let file = File::from(sys::open_at(Some(directory), name, flags, 0)?);
    let status = check_private(&file)?;
    if !status.is_file() || status.len() != SIZE as u64 {
        return Err(wrong("not of a table's size"));
    }
    let mut bytes = [0; HEADER_WORDS * WORD];
    file.read_exact_at(&mut bytes, 0)?;
    let mut words = [0; HEADER_WORDS];
    for (word, bytes) in words.iter_mut().zip(bytes.as_chunks::<WORD>().0) {
        *word = u64::from_ne_bytes(*bytes);
    }
    let seed = seed_of(words).ok_or_else(|| wrong("not a table of this version"))?;
    Ok((Memory::map(Backing::File(file.as_fd()), SIZE)?, seed))
}

/// Errors: EEXIST if the name exists by now; ENOSPC if the whole table would not fit (creating a sparse file would
/// succeed, and writing to it fail later); those of openat(2), ftruncate(2), pwrite(2) and linkat(2).
fn create_table(directory: BorrowedFd, name: &CStr) -> io::Result<(Memory, u64)> {
    if sys::free_space(directory)? < SIZE as u64 {
        return Err(io::Error::from_raw_os_error(libc::ENOSPC));
    }
    let seed = random();
    let draft = c_string(format!("new-{}-{:x}", std::process::id(), random()))?;
    let flags = libc::O_RDWR | libc::O_CREAT | libc::O_EXCL | libc::O_NOFOLLOW;
    let file = File::from(sys::open_at(Some(directory), &draft, flags, 0o600)?);
    let made = fill(&file, seed).and_then(|memory| {
        sys::link(directory, &draft, name)?;
        Ok((memory, seed))
    });
    // A temporary file that is left behind takes one page and is harmless.
    let _ = sys::unlink(directory, &draft);
    made
}

fn fill(file: &File, seed: u64) -> io::Result<Memory> {
    let bytes: Vec<u8> = header(seed)
        .into_iter()
        .flat_map(u64::to_ne_bytes)
        .collect();
    file.set_len(SIZE as u64)?;
    file.write_all_at(&bytes, 0)?;
    Memory::map(Backing::File(file.as_fd()), SIZE)
}

fn c_string(text: String) -> io::Result<CString> {
    Ok(CString::new(text)?)
}

fn wrong(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}
