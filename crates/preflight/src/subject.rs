//! The file that the kernel loads for a command line.

#![forbid(unsafe_code)]

use crate::elf::{Elf, Libc};
use crate::image::Image;
use crate::program;
use std::ffi::OsStr;
use std::path::PathBuf;

pub struct Subject {
    /// The program, or its interpreter if it is a script.
    pub file: PathBuf,
    pub image: Image,
    pub elf: Elf,
}

impl Subject {
    /// Finds the file for `name`, an argument of execvp(3). `None` if it cannot be determined.
    pub fn of(name: &OsStr, path: Option<&OsStr>) -> Option<Subject> {
        let file = program::in_path(name, path)?;
        let image = Image::open(&file).ok()?;
        // The kernel ignores the set-user-ID bit of a script, so only the file that is really loaded counts.
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
