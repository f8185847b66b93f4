//! Where the preload library is.
//!
//! Only directories that the administrator or the user's own installation controls are searched: beside the
//! launcher, below its prefix, and where it was installed. The current directory and relative paths are never searched (CVE-2015-3887).

#![forbid(unsafe_code)]

use std::fmt;
use std::path::{Path, PathBuf};

/// The second name is for those who write `LD_PRELOAD=…/libproxychains4.so` already.
const NAMES: [&str; 2] = ["libtailchain.so", "libproxychains4.so"];

/// The library directory of the installation; `make install` sets it while building.
const INSTALLED: &str = match option_env!("TAILCHAIN_LIBDIR") {
    Some(directory) => directory,
    None => "/usr/local/lib",
};

/// Why there is nothing to preload.
#[derive(Debug, PartialEq, Eq)]
pub enum LibraryError {
    /// In none of these directories.
    NotFound(Vec<PathBuf>),
    /// LD_PRELOAD separates by blanks and colons and knows no escape (ld.so(8)).
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

/// The library for the command at `command` (a real path, as `/proc/self/exe` gives it).
pub fn find(command: Option<&Path>) -> Result<PathBuf, LibraryError> {
    find_in(directories(command))
}

fn directories(command: Option<&Path>) -> Vec<PathBuf> {
    let own = command.and_then(Path::parent);
    let lib = own.and_then(Path::parent).map(|prefix| prefix.join("lib"));
    let mut directories: Vec<PathBuf> = Vec::new();
    // Where packages have it: by the rules of Debian a library that nobody links with is not in /usr/lib itself.
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

fn find_in(directories: Vec<PathBuf>) -> Result<PathBuf, LibraryError> {
    let candidates = NAMES.iter().flat_map(|name| {
        directories
            .iter()
            .map(move |directory| directory.join(name))
    });
    let found = candidates.into_iter().find(|path| path.is_file());
    match found {
        Some(path) if separates_in_ld_preload(&path) => Err(LibraryError::Unpreloadable(path)),
        Some(path) => Ok(path),
        None => Err(LibraryError::NotFound(directories)),
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
        assert_eq!(find(Some(&command)), Ok(in_lib));
        let beside = directory.file("bin/libtailchain.so");
        assert_eq!(find(Some(&command)), Ok(beside));
    }

    #[test]
    fn our_own_name_anywhere_comes_before_the_borrowed_one() {
        let directory = TempDir::new("names");
        directory.file("bin/libproxychains4.so");
        let own = directory.file("lib/libtailchain.so");
        assert_eq!(find(Some(&directory.0.join("bin/proxychains4"))), Ok(own));
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
            find_in(vec![directory.0.join("lib")]),
            Err(LibraryError::Unpreloadable(path))
        );
    }

    #[test]
    fn nothing_found_names_the_folders() {
        let error = find_in(vec![PathBuf::from("/nonexistent")]).unwrap_err();
        assert!(error.to_string().contains("/nonexistent"), "{error}");
    }
}
