//! The few facts about an ELF file that decide whether a library can be preloaded into it (elf(5)).
//!
//! Only headers, notes and one string table are read, never the whole file: the launcher looks at every
//! program that it starts.

#![forbid(unsafe_code)]

use elf::abi::{DT_STRSZ, DT_STRTAB, PT_DYNAMIC, PT_INTERP, PT_LOAD, PT_NOTE};
use elf::endian::AnyEndian;
use elf::note::Note;
use elf::segment::ProgramHeader;
use elf::ElfStream;
use std::ffi::OsString;
use std::fs::File;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

type Stream = ElfStream<AnyEndian, File>;

/// A string table over this many bytes is not searched: no real program has one (1 GiB is corruption).
const LONGEST_STRING_TABLE: u64 = 256 << 20;

/// What an ELF file is made for: a library can be loaded only into a program with an equal `Target`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// 32 or 64.
    pub bits: u8,
    /// `e_machine`, such as 62 for x86-64 and 183 for AArch64.
    pub machine: u16,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Elf {
    pub target: Target,
    /// The dynamic loader that the program asks for (PT_INTERP); without one nothing can be preloaded.
    pub interpreter: Option<OsString>,
    /// Made by the Go linker: its network code makes raw system calls, even when it is linked with libc.
    pub is_go: bool,
    /// `connect` is among the names of its dynamic string table.
    pub names_connect: bool,
}

impl Elf {
    /// `None` when the file cannot be read or is no well-formed ELF file, as a script is.
    pub fn read(path: &Path) -> Option<Elf> {
        let mut stream = Stream::open_stream(File::open(path).ok()?).ok()?;
        let is_go = is_go(&mut stream);
        Some(Elf {
            target: target(&stream),
            interpreter: interpreter(&mut stream),
            is_go,
            // Only of interest for Go programs; for a browser it would mean reading megabytes.
            names_connect: is_go && names(&mut stream, b"connect").unwrap_or(false),
        })
    }
}

/// `None` when the file cannot be read or is no ELF file.
pub fn target_of(path: &Path) -> Option<Target> {
    let stream = Stream::open_stream(File::open(path).ok()?).ok()?;
    Some(target(&stream))
}

fn target(stream: &Stream) -> Target {
    Target {
        bits: match stream.ehdr.class {
            elf::file::Class::ELF32 => 32,
            elf::file::Class::ELF64 => 64,
        },
        machine: stream.ehdr.e_machine,
    }
}

fn segments(stream: &Stream, kind: u32) -> Vec<ProgramHeader> {
    let of_kind = |segment: &&ProgramHeader| segment.p_type == kind;
    stream.segments().iter().filter(of_kind).copied().collect()
}

fn interpreter(stream: &mut Stream) -> Option<OsString> {
    let segment = segments(stream, PT_INTERP).first().copied()?;
    let path = stream.segment_data(&segment).ok()?;
    let path = path.split(|byte| *byte == 0).next()?;
    Some(OsString::from_vec(path.to_vec()))
}

/// The Go linker leaves its build id in a note whose owner is `Go`, also when another linker finishes the job.
fn is_go(stream: &mut Stream) -> bool {
    segments(stream, PT_NOTE).iter().any(|segment| {
        stream
            .segment_data_as_notes(segment)
            .is_ok_and(|mut notes| {
                notes.any(|note| matches!(note, Note::Unknown(note) if note.name_str().is_ok_and(|owner| owner == "Go")))
            })
    })
}

/// Whether the dynamic string table (DT_STRTAB) holds `name`. The program headers lead there, so a program
/// whose section headers were stripped is understood too.
fn names(stream: &mut Stream, name: &[u8]) -> Option<bool> {
    segments(stream, PT_DYNAMIC).first()?;
    let (mut address, mut size) = (None, None);
    for entry in stream.dynamic().ok()??.iter() {
        match entry.d_tag {
            DT_STRTAB => address = Some(entry.d_ptr()),
            DT_STRSZ => size = Some(entry.d_val()),
            _ => {}
        }
    }
    let (address, size) = (address?, size?);
    let loaded = segments(stream, PT_LOAD);
    let holder = loaded.iter().find(|load| {
        address
            .checked_sub(load.p_vaddr)
            .is_some_and(|at| at < load.p_filesz)
    })?;
    let table = ProgramHeader {
        p_offset: holder.p_offset.checked_add(address - holder.p_vaddr)?,
        p_filesz: size.min(LONGEST_STRING_TABLE),
        ..*holder
    };
    let strings = stream.segment_data(&table).ok()?;
    Some(strings.split(|byte| *byte == 0).any(|text| text == name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn a_dynamic_program_has_a_loader_and_the_target_of_this_machine() {
        let this = std::env::current_exe().unwrap();
        let elf = Elf::read(&this).unwrap();
        assert!(elf.interpreter.is_some());
        assert_eq!(elf.target.bits, usize::BITS as u8);
        assert_eq!(Some(elf.target), target_of(&this));
        assert!(!elf.is_go);
    }

    #[test]
    fn the_string_table_is_found_through_the_program_headers() {
        let this = std::env::current_exe().unwrap();
        let mut stream = Stream::open_stream(File::open(this).unwrap()).unwrap();
        assert_eq!(names(&mut stream, b"getpid"), Some(true));
        assert_eq!(names(&mut stream, b"getpid_of_nobody"), Some(false));
    }

    #[test]
    fn what_is_not_elf_or_is_cut_off_is_nothing() {
        let folder = std::env::temp_dir().join(format!("tailchain-elf-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let whole = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        for (name, bytes) in [
            ("script", &b"#!/bin/sh\n"[..]),
            ("short", &whole[..40]),
            ("empty", b""),
        ] {
            let path = folder.join(name);
            File::create(&path).unwrap().write_all(bytes).unwrap();
            assert_eq!(Elf::read(&path), None, "{name}");
        }
        std::fs::remove_dir_all(folder).unwrap();
    }
}
