//! Where the preload library is.
//!
//! Searches only directories that the administrator or the user's own installation controls: beside the launcher, below
//! its prefix, and where it was installed. Never the current directory or a relative path (CVE-2015-3887).

#![forbid(unsafe_code)]

use crate::elf::Libc;
use std::fmt;
use std::path::{Path, PathBuf};

/// The second name keeps an existing `LD_PRELOAD=…/libproxychains4.so` working.
const NAMES: [&str; 2] = ["libtailchain.so", "libproxychains4.so"];

/// The library directory of the installation; `make install` sets it while building.
const INSTALLED: &str = match option_env!("TAILCHAIN_LIBDIR") {
    Some(directory) => directory,
    None => "/usr/local/lib",
};

/// Why the library cannot be preloaded.
#[derive(Debug, PartialEq, Eq)]
pub enum LibraryError {
    /// None of these directories has the library.
    NotFound(Vec<PathBuf>),
    /// The path contains a blank or a colon: these separate the paths in LD_PRELOAD and cannot be escaped (ld.so(8)).
    Unpreloadable(PathBuf),
}

impl fmt::Display for LibraryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LibraryError::NotFound(directories) => {
                write!(f, "{} is in none of", NAMES[0])?;
                for directory in directories {
                    write!(f, " {}", directory.display())?;
                }
                f.write_str("; install it beside this command or in ../lib")
            }
            LibraryError::Unpreloadable(path) => write!(
                f,
                "{} cannot be named in LD_PRELOAD because of the blank or colon in its path; install it elsewhere",
                path.display()
            ),
        }
    }
}

/// What to preload.
#[derive(Debug, PartialEq, Eq)]
pub struct Found {
    /// The library for the program.
    pub library: PathBuf,
    /// The value for LD_PRELOAD: the library, or a path that also works for child processes that run on the other libc.
    pub preload: PathBuf,
}

/// The directory of the library for musl programs, below that of the library for glibc.
const FOR_MUSL: &str = "musl";

/// One path that leads each loader to its own library, since a loader exits when it is given the other's. glibc's loader
/// replaces `$LIB` (ld.so(8), "Dynamic string tokens"); musl's takes it for the name of a directory.
const FOR_BOTH: &str = "by-libc/$LIB";

/// Finds the library for a program that runs on `libc` (`None`: unknown). `command` is the real path of this command, as
/// in `/proc/self/exe`.
pub fn find(command: Option<&Path>, libc: Option<Libc>) -> Result<Found, LibraryError> {
    let directories = directories(command);
    let for_musl = || find_in(&in_each(&directories, FOR_MUSL));
    let library = match libc {
        Some(Libc::Musl) => for_musl().or_else(|_| find_in(&directories)),
        Some(Libc::Glibc) => find_in(&directories),
        None => find_in(&directories).or_else(|error| for_musl().map_err(|_| error)),
    }?;
    let other = match libc {
        Some(Libc::Musl) => Libc::Glibc,
        Some(Libc::Glibc) | None => Libc::Musl,
    };
    let both = || find_in(&in_each(&directories, FOR_BOTH)).ok();
    // Few machines have both: the rest need not look for it everywhere.
    let preload = runs_here(other).then(both).flatten();
    Ok(Found {
        preload: preload.unwrap_or_else(|| library.clone()),
        library,
    })
}

fn in_each(directories: &[PathBuf], name: &str) -> Vec<PathBuf> {
    directories.iter().map(|one| one.join(name)).collect()
}

/// Whether this machine can run programs of that libc: its loader has a fixed path.
fn runs_here(libc: Libc) -> bool {
    let loaders: [&str; 2] = match libc {
        Libc::Glibc => ["/lib64/ld-linux-x86-64.so.2", "/lib/ld-linux-aarch64.so.1"],
        Libc::Musl => ["/lib/ld-musl-x86_64.so.1", "/lib/ld-musl-aarch64.so.1"],
    };
    loaders.iter().any(|loader| Path::new(loader).exists())
}

fn directories(command: Option<&Path>) -> Vec<PathBuf> {
    let own = command.and_then(Path::parent);
    let lib = own.and_then(Path::parent).map(|prefix| prefix.join("lib"));
    let mut directories: Vec<PathBuf> = Vec::new();
    // The directory of packages: Debian's policy keeps a library that no program links with out of /usr/lib itself.
    let private = lib.as_ref().map(|lib| lib.join("tailchain"));
    let installed = Some(PathBuf::from(INSTALLED));
    for directory in [own.map(PathBuf::from), lib, private, installed]
        .into_iter()
        .flatten()
    {
        if directory.is_absolute() && !directories.contains(&directory) {
            directories.push(directory);
        }
    }
    directories
}

fn find_in(directories: &[PathBuf]) -> Result<PathBuf, LibraryError> {
    let candidates = NAMES.iter().flat_map(|name| {
        directories
            .iter()
            .map(move |directory| directory.join(name))
    });
    let found = candidates.into_iter().find(|path| path.is_file());
    match found {
        Some(path) if separates_in_ld_preload(&path) => Err(LibraryError::Unpreloadable(path)),
        Some(path) => Ok(path),
        None => Err(LibraryError::NotFound(directories.to_vec())),
    }
}

fn separates_in_ld_preload(path: &Path) -> bool {
    path.as_os_str()
        .as_encoded_bytes()
        .iter()
        .any(|byte| matches!(byte, b' ' | b':'))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct TempDir(PathBuf);

    impl TempDir {
        fn new(name: &str) -> TempDir {
            let path = std::env::temp_dir()
                .join(format!("tailchain-library-{name}-{}", std::process::id()));
            std::fs::create_dir_all(path.join("bin")).unwrap();
            std::fs::create_dir_all(path.join("lib")).unwrap();
            TempDir(path)
        }

        fn file(&self, name: &str) -> PathBuf {
            let path = self.0.join(name);
            std::fs::write(&path, "").unwrap();
            path
        }
    }

    impl Drop for TempDir {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn beside_the_command_comes_before_the_lib_directory() {
        let directory = TempDir::new("beside");
        let command = directory.0.join("bin/proxychains4");
        let in_lib = directory.file("lib/libtailchain.so");
        assert_eq!(library(&command, None), in_lib);
        let beside = directory.file("bin/libtailchain.so");
        assert_eq!(library(&command, None), beside);
    }

    #[test]
    fn our_own_name_comes_before_that_of_proxychains() {
        let directory = TempDir::new("names");
        directory.file("bin/libproxychains4.so");
        let own = directory.file("lib/libtailchain.so");
        assert_eq!(library(&directory.0.join("bin/proxychains4"), None), own);
    }

    fn library(command: &Path, libc: Option<Libc>) -> PathBuf {
        find(Some(command), libc).unwrap().library
    }

    #[test]
    fn the_programs_libc_decides() {
        let directory = TempDir::new("libc");
        let command = directory.0.join("bin/proxychains4");
        std::fs::create_dir_all(directory.0.join("lib/musl")).unwrap();
        let musl = directory.file("lib/musl/libtailchain.so");
        assert_eq!(library(&command, Some(Libc::Musl)), musl);
        assert_eq!(library(&command, None), musl);
        let glibc = directory.file("lib/libtailchain.so");
        assert_eq!(library(&command, Some(Libc::Glibc)), glibc);
        assert_eq!(library(&command, None), glibc);
        assert_eq!(library(&command, Some(Libc::Musl)), musl);
        std::fs::remove_file(musl).unwrap();
        assert_eq!(library(&command, Some(Libc::Musl)), glibc);
    }

    #[test]
    fn where_both_kinds_of_programs_run_one_path_serves_both() {
        let directory = TempDir::new("both");
        let command = directory.0.join("bin/proxychains4");
        let glibc = directory.file("lib/libtailchain.so");
        std::fs::create_dir_all(directory.0.join("lib/by-libc/$LIB")).unwrap();
        let both = directory.file("lib/by-libc/$LIB/libtailchain.so");
        let found = find(Some(&command), Some(Libc::Glibc)).unwrap();
        assert_eq!(found.library, glibc);
        let expected = if runs_here(Libc::Musl) { both } else { glibc };
        assert_eq!(found.preload, expected);
    }

    #[test]
    fn no_directory_is_relative() {
        assert_eq!(directories(None), [PathBuf::from(INSTALLED)]);
        assert_eq!(
            directories(Some(Path::new("bin/proxychains4"))),
            [PathBuf::from(INSTALLED)]
        );
    }

    #[test]
    fn a_path_that_ld_preload_would_split_is_an_error() {
        let directory = TempDir::new("a b");
        let path = directory.file("lib/libtailchain.so");
        assert_eq!(
            find_in(&[directory.0.join("lib")]),
            Err(LibraryError::Unpreloadable(path))
        );
    }

    #[test]
    fn the_error_lists_the_directories() {
        let error = find_in(&[PathBuf::from("/nonexistent")]).unwrap_err();
        assert!(error.to_string().contains("/nonexistent"), "{error}");
    }
}
