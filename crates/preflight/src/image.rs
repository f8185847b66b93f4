//! An executable file, opened once, with its first page read once.
//!
//! The first page nearly always has everything that the launcher needs to know: the `#!` line, or the headers, the loader's
//! name and the notes of an ELF file. This keeps the check of each started program cheap.

#![forbid(unsafe_code)]

use std::borrow::Cow;
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

const PAGE: usize = 4096;

/// Larger than the string table of any program; a larger size means that the file is corrupt.
const LONGEST_READ: u64 = 256 << 20;

pub struct Image {
    file: File,
    start: Vec<u8>,
}

impl Image {
    /// # Errors
    ///
    /// As open(2) and read(2).
    pub fn open(path: &Path) -> io::Result<Image> {
        let file = File::open(path)?;
        let mut start = vec![0; PAGE];
        let length = file.read_at(&mut start, 0)?;
        start.truncate(length);
        Ok(Image { file, start })
    }

    /// The first page, or the whole of a shorter file.
    pub fn start(&self) -> &[u8] {
        &self.start
    }

    /// `length` bytes at `offset`; `None` beyond the end of the file.
    pub fn bytes(&self, offset: u64, length: u64) -> Option<Cow<'_, [u8]>> {
        let end = offset.checked_add(length)?;
        let range = usize::try_from(offset).ok()?..usize::try_from(end).ok()?;
        if let Some(known) = self.start.get(range) {
            return Some(Cow::Borrowed(known));
        }
        let length = usize::try_from(length.min(LONGEST_READ)).ok()?;
        let mut bytes = vec![0; length];
        self.file.read_exact_at(&mut bytes, offset).ok()?;
        Some(Cow::Owned(bytes))
    }

    /// # Errors
    ///
    /// As fstat(2).
    pub fn metadata(&self) -> io::Result<Metadata> {
        self.file.metadata()
    }
}
