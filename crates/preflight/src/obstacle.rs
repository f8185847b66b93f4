//! Why a preloaded library cannot reach a program.

use crate::elf::{Elf, Library, Target};
use crate::image::Image;
use crate::subject::Subject;
use std::ffi::CString;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// In each case the program's connections would bypass the proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// Statically linked: no dynamic loader reads LD_PRELOAD.
    Static,
    /// The Go runtime connects by raw system calls.
    Go,
    /// 32-bit program and 64-bit library, another machine, …
    OtherTarget { program: Target, library: Target },
    /// The program runs on musl and the library on glibc, or the reverse. The loader then exits.
    OtherLibc,
    /// The loader ignores LD_PRELOAD when the program gains privileges (ld.so(8), "secure-execution mode").
    SetId,
    /// File capabilities (capabilities(7)), which also count as gaining privileges.
    Capabilities,
}

impl Obstacle {
    /// Whether such a program can run under a supervisor.
    pub fn can_be_supervised(self) -> bool {
        matches!(self, Obstacle::Static | Obstacle::Go)
    }

    /// Under a supervisor the program would run, but without its privileges.
    pub fn is_about_rights(self) -> bool {
        matches!(self, Obstacle::SetId | Obstacle::Capabilities)
    }

    /// The program uses another system call ABI; under a supervisor all of its system calls fail.
    pub fn is_another_abi(self) -> bool {
        matches!(self, Obstacle::OtherTarget { program, .. } if program.bits == 32)
    }

    /// What the user can do about it.
    pub fn remedy(self) -> &'static str {
        match self {
            Obstacle::Static => "use a dynamically linked build of it",
            Obstacle::Go => "set HTTPS_PROXY or its own proxy option, if it has one",
            Obstacle::OtherTarget { .. } => "use a build of tailchain for that kind of program",
            Obstacle::OtherLibc => {
                "install the library for that libc too (musl/libtailchain.so beside the other)"
            }
            Obstacle::SetId | Obstacle::Capabilities => {
                "run a copy without these rights, or as the user who has them"
            }
        }
    }
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Obstacle::Static => f.write_str("it is statically linked"),
            Obstacle::Go => f.write_str("it is a Go program, which makes its system calls without libc"),
            Obstacle::OtherTarget { program, library } => write!(
                f,
                "it is a {}-bit program for ELF machine {} and the library is {}-bit for machine {}",
                program.bits, program.machine, library.bits, library.machine
            ),
            Obstacle::OtherLibc => f.write_str("it runs on another libc than the library was built for"),
            Obstacle::SetId => f.write_str("it is set-user-ID or set-group-ID, where LD_PRELOAD is ignored"),
            Obstacle::Capabilities => f.write_str("it has file capabilities, where LD_PRELOAD is ignored"),
        }
    }
}

/// Why `library` cannot be loaded into the program. `None` if it can, or if this cannot be determined.
pub fn find(subject: &Subject, library: &Path) -> Option<Obstacle> {
    let library = Image::open(library)
        .ok()
        .and_then(|library| Library::of(&library));
    of_elf(&subject.elf, library).or_else(|| gains_rights(&subject.file, &subject.image))
}

fn of_elf(elf: &Elf, library: Option<Library>) -> Option<Obstacle> {
    // The library does reach calls of connect by C code in a Go program.
    if elf.is_go && !elf.names_connect {
        return Some(Obstacle::Go);
    }
    let Some(libc) = elf.libc() else {
        return Some(Obstacle::Static);
    };
    let library = library?;
    if library.target != elf.target {
        return Some(Obstacle::OtherTarget {
            program: elf.target,
            library: library.target,
        });
    }
    (libc != library.libc).then_some(Obstacle::OtherLibc)
}

fn gains_rights(file: &Path, image: &Image) -> Option<Obstacle> {
    let metadata = image.metadata().ok()?;
    // SAFETY: both only read the credentials of this process and cannot fail (getuid(2), getgid(2)).
    let (uid, gid) = unsafe { (libc::getuid(), libc::getgid()) };
    let changes_user = metadata.mode() & libc::S_ISUID != 0 && metadata.uid() != uid;
    // Without the group execute bit, S_ISGID means mandatory locking (inode(7)).
    let for_group = libc::S_ISGID | libc::S_IXGRP;
    let changes_group = metadata.mode() & for_group == for_group && metadata.gid() != gid;
    if changes_user || changes_group {
        return Some(Obstacle::SetId);
    }
    // Root already has all capabilities and gains none.
    (uid != 0 && has_capabilities(file)).then_some(Obstacle::Capabilities)
}

fn has_capabilities(file: &Path) -> bool {
    let Ok(path) = CString::new(file.as_os_str().as_bytes()) else {
        return false;
    };
    let name = c"security.capability";
    // SAFETY: both strings end with NUL and outlive the call; with size 0 nothing is written (getxattr(2)).
    let length = unsafe { libc::getxattr(path.as_ptr(), name.as_ptr(), std::ptr::null_mut(), 0) };
    length > 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::elf::Libc;
    use std::os::unix::fs::PermissionsExt;

    const HERE: Target = Target {
        bits: 64,
        machine: 62,
    };

    const LIBRARY: Library = Library {
        target: HERE,
        libc: Libc::Glibc,
    };

    fn ordinary() -> Elf {
        Elf {
            target: HERE,
            interpreter: Some("/lib64/ld-linux-x86-64.so.2".into()),
            is_go: false,
            names_connect: false,
        }
    }

    #[test]
    fn an_ordinary_program_has_no_obstacle() {
        assert_eq!(of_elf(&ordinary(), Some(LIBRARY)), None);
        assert_eq!(of_elf(&ordinary(), None), None);
    }

    #[test]
    fn a_program_without_a_loader_is_static() {
        let program = Elf {
            interpreter: None,
            ..ordinary()
        };
        assert_eq!(of_elf(&program, Some(LIBRARY)), Some(Obstacle::Static));
    }

    #[test]
    fn go_bypasses_libc_unless_its_c_code_connects() {
        let program = Elf {
            is_go: true,
            ..ordinary()
        };
        assert_eq!(of_elf(&program, Some(LIBRARY)), Some(Obstacle::Go));
        let with_c = Elf {
            names_connect: true,
            ..program
        };
        assert_eq!(of_elf(&with_c, Some(LIBRARY)), None);
    }

    #[test]
    fn another_machine_or_width_is_an_obstacle() {
        let narrow = Target {
            bits: 32,
            machine: 3,
        };
        let program = Elf {
            target: narrow,
            ..ordinary()
        };
        let expected = Obstacle::OtherTarget {
            program: narrow,
            library: HERE,
        };
        assert_eq!(of_elf(&program, Some(LIBRARY)), Some(expected));
    }

    #[test]
    fn program_and_library_must_use_the_same_libc() {
        let musl_program = Elf {
            interpreter: Some("/lib/ld-musl-x86_64.so.1".into()),
            ..ordinary()
        };
        let musl_library = Library {
            libc: Libc::Musl,
            ..LIBRARY
        };
        let other = Some(Obstacle::OtherLibc);
        assert_eq!(of_elf(&musl_program, Some(LIBRARY)), other);
        assert_eq!(of_elf(&ordinary(), Some(musl_library)), other);
        assert_eq!(of_elf(&musl_program, Some(musl_library)), None);
    }

    #[test]
    fn a_script_is_judged_by_its_interpreter() {
        let path = std::env::temp_dir().join(format!("tailchain-script-{}", std::process::id()));
        std::fs::write(&path, "#!/bin/sh\n").unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
        let subject = Subject::of(path.as_os_str(), None).unwrap();
        std::fs::remove_file(path).unwrap();
        assert_eq!(subject.file, Path::new("/bin/sh"));
        assert_eq!(find(&subject, Path::new("/nonexistent")), None);
    }
}
