//! The file that the kernel and the dynamic loader will load for a command line.

#![forbid(unsafe_code)]

use crate::elf::{Elf, Libc};
use crate::image::Image;
use crate::program;
use std::ffi::OsStr;
use std::path::PathBuf;

pub struct Subject {
    /// The program; the interpreter where the program is a script.
    pub file: PathBuf,
    pub image: Image,
    pub elf: Elf,
}

impl Subject {
    /// For `name` as it would be given to execvp(3). `None` where it cannot be determined.
    pub fn of(name: &OsStr, path: Option<&OsStr>) -> Option<Subject> {
        let file = program::in_path(name, path)?;
        let image = Image::open(&file).ok()?;
        // The kernel ignores the set-ID bits of a script, so only the file that is really loaded counts.
        let (file, image) = match program::interpreter(&image, path) {
            Some(interpreter) => {
                let image = Image::open(&interpreter).ok()?;
                (interpreter, image)
            }
            None => (file, image),
        };
        let elf = Elf::of(&image)?;
        Some(Subject { file, image, elf })
    }

    pub fn libc(&self) -> Option<Libc> {
        self.elf.libc()
    }
}
