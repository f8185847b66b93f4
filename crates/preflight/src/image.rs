//! A file that is about to be run: opened once, its first page read once.
//!
//! That page nearly always holds all there is to know about a program (a `#!` line, or the headers, the
//! loader's name and the notes of an ELF file), and the launcher looks at every program that it starts.

#![forbid(unsafe_code)]

use std::borrow::Cow;
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

const PAGE: usize = 4096;

/// More than any program's string table; a file that asks for more is corrupt.
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

    /// The first page, or less of a shorter file.
    pub fn start(&self) -> &[u8] {
        &self.start
    }

    /// These bytes of the file; `None` when it does not have them.
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
