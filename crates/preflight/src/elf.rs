//! The facts about an ELF file that decide whether a library can be preloaded into it (elf(5)).
//!
//! Reads the program headers only: section headers are at the end of the file, and may have been stripped.

#![forbid(unsafe_code)]

use crate::image::Image;
use elf::abi::{DT_STRSZ, DT_STRTAB, EI_NIDENT, PT_DYNAMIC, PT_INTERP, PT_LOAD, PT_NOTE};
use elf::dynamic::DynamicTable;
use elf::endian::AnyEndian;
use elf::file::{parse_ident, Class, FileHeader, ELF32_EHDR_TAILSIZE, ELF64_EHDR_TAILSIZE};
use elf::note::{Note, NoteIterator};
use elf::segment::{ProgramHeader, SegmentTable};
use std::borrow::Cow;
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

/// The platform of an ELF file. A library can be loaded only into a program with an equal `Target`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// 32 or 64.
    pub bits: u8,
    /// `e_machine`, e.g. 62 for x86-64 and 183 for AArch64.
    pub machine: u16,
}

/// The C library that a program runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Libc {
    Glibc,
    Musl,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Elf {
    pub target: Target,
    /// The dynamic loader (PT_INTERP); without one nothing can be preloaded.
    pub interpreter: Option<OsString>,
    /// Built by Go, whose network code makes raw system calls even when the program is linked with libc.
    pub is_go: bool,
    /// Whether the dynamic string table contains `connect`. Looked up for Go programs only: the table of a browser has
    /// megabytes.
    pub names_connect: bool,
}

impl Elf {
    /// `None` if this is not a well-formed ELF file, e.g. a script.
    pub fn of(image: &Image) -> Option<Elf> {
        let file = Parsed::of(image)?;
        let is_go = file.is_go();
        Some(Elf {
            target: file.target(),
            interpreter: file.interpreter(),
            is_go,
            names_connect: is_go && file.names(b"connect").unwrap_or(false),
        })
    }

    /// The libc that the dynamic loader belongs to.
    pub fn libc(&self) -> Option<Libc> {
        let loader = Path::new(self.interpreter.as_ref()?).file_name()?;
        Some(match loader.as_bytes().starts_with(b"ld-musl") {
            true => Libc::Musl,
            false => Libc::Glibc,
        })
    }
}

/// The platform of the preload library. The commands may have another: those of a package are static.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Library {
    pub target: Target,
    /// Determined from the string table.
    pub libc: Libc,
}

impl Library {
    /// `None` if this is not an ELF file.
    pub fn of(image: &Image) -> Option<Library> {
        let file = Parsed::of(image)?;
        Some(Library {
            target: file.target(),
            libc: match file.names(b"libc.so.6").unwrap_or(true) {
                true => Libc::Glibc,
                false => Libc::Musl,
            },
        })
    }
}

struct Parsed<'i> {
    image: &'i Image,
    header: FileHeader<AnyEndian>,
    segments: Vec<ProgramHeader>,
}

impl<'i> Parsed<'i> {
    fn of(image: &'i Image) -> Option<Parsed<'i>> {
        let (ident, rest) = image.start().split_at_checked(EI_NIDENT)?;
        let ident = parse_ident(ident).ok()?;
        let tail = match ident.1 {
            Class::ELF32 => ELF32_EHDR_TAILSIZE,
            Class::ELF64 => ELF64_EHDR_TAILSIZE,
        };
        let header = FileHeader::parse_tail(ident, rest.get(..tail)?).ok()?;
        let size = u64::from(header.e_phentsize) * u64::from(header.e_phnum);
        let table = image.bytes(header.e_phoff, size)?;
        let segments = SegmentTable::new(header.endianness, header.class, &table)
            .iter()
            .collect();
        Some(Parsed {
            image,
            header,
            segments,
        })
    }

    fn target(&self) -> Target {
        Target {
            bits: match self.header.class {
                Class::ELF32 => 32,
                Class::ELF64 => 64,
            },
            machine: self.header.e_machine,
        }
    }

    fn of_kind(&self, kind: u32) -> impl Iterator<Item = &ProgramHeader> {
        self.segments
            .iter()
            .filter(move |segment| segment.p_type == kind)
    }

    fn data(&self, segment: &ProgramHeader) -> Option<Cow<'i, [u8]>> {
        self.image.bytes(segment.p_offset, segment.p_filesz)
    }

    fn interpreter(&self) -> Option<OsString> {
        let path = self.data(self.of_kind(PT_INTERP).next()?)?;
        let path = path.split(|byte| *byte == 0).next()?;
        Some(OsString::from_vec(path.to_vec()))
    }

    /// The Go linker writes its build id into a note with the owner `Go`, also when an external linker is used.
    fn is_go(&self) -> bool {
        let is_owner = |note: Note<'_>| match note {
            Note::Unknown(note) => note.name_str().is_ok_and(|owner| owner == "Go"),
            _ => false,
        };
        self.of_kind(PT_NOTE).any(|segment| {
            let (align, data) = (usize::try_from(segment.p_align), self.data(segment));
            let (Ok(align), Some(data)) = (align, data) else {
                return false;
            };
            NoteIterator::new(self.header.endianness, self.header.class, align, &data).any(is_owner)
        })
    }

    /// Whether the dynamic string table (DT_STRTAB) contains `name`, possibly as the suffix of a longer name, which ld.bfd
    /// stores only once.
    fn names(&self, name: &[u8]) -> Option<bool> {
        let dynamic = self.data(self.of_kind(PT_DYNAMIC).next()?)?;
        let dynamic = DynamicTable::new(self.header.endianness, self.header.class, &dynamic);
        let value = |tag| {
            dynamic
                .iter()
                .find(|entry| entry.d_tag == tag)
                .map(|entry| entry.d_val())
        };
        let (address, size) = (value(DT_STRTAB)?, value(DT_STRSZ)?);
        let offset = self.of_kind(PT_LOAD).find_map(|load| {
            let inside = address
                .checked_sub(load.p_vaddr)
                .filter(|inside| *inside < load.p_filesz)?;
            load.p_offset.checked_add(inside)
        })?;
        let strings = self.image.bytes(offset, size)?;
        Some(
            strings
                .split(|byte| *byte == 0)
                .any(|text| text.ends_with(name)),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn this() -> Image {
        Image::open(&std::env::current_exe().unwrap()).unwrap()
    }

    #[test]
    fn a_dynamic_program_has_a_loader_and_the_target_of_this_machine() {
        let this = this();
        let elf = Elf::of(&this).unwrap();
        assert!(elf.interpreter.is_some());
        assert_eq!(elf.target.bits, usize::BITS as u8);
        let library = Library::of(&this).unwrap();
        assert_eq!(elf.target, library.target);
        assert_eq!(Some(library.libc), elf.libc());
        assert!(!elf.is_go);
    }

    #[test]
    fn the_string_table_is_found_through_the_program_headers() {
        let this = this();
        let file = Parsed::of(&this).unwrap();
        assert_eq!(file.names(b"getpid"), Some(true));
        assert_eq!(file.names(b"getpid_of_nobody"), Some(false));
    }

    #[test]
    fn other_files_and_truncated_ones_are_rejected() {
        let whole = this().start().to_vec();
        let endless = {
            let mut start = whole.clone();
            // e_phoff, far beyond the end of the file.
            start[32..40].fill(0x7f);
            start
        };
        let cases = [
            ("script", &b"#!/bin/sh\n"[..]),
            ("short", &whole[..40]),
            ("empty", b""),
            ("endless", &endless),
        ];
        for (name, bytes) in cases {
            let path =
                std::env::temp_dir().join(format!("tailchain-elf-{name}-{}", std::process::id()));
            std::fs::write(&path, bytes).unwrap();
            assert_eq!(Elf::of(&Image::open(&path).unwrap()), None, "{name}");
            std::fs::remove_file(path).unwrap();
        }
    }
}
