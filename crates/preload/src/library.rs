//! Where the preload library is.
//!
//! Only folders that the administrator or the user's own installation controls are searched: beside the
//! launcher, and where it was installed. Never the current folder (CVE-2015-3887), never a relative path.

#![forbid(unsafe_code)]

use std::fmt;
use std::path::{Path, PathBuf};

/// The second name is for those who write `LD_PRELOAD=…/libproxychains4.so` already.
const NAMES: [&str; 2] = ["libtailchain.so", "libproxychains4.so"];

/// The library folder of the installation; `make install` sets it while building.
const INSTALLED: &str = match option_env!("TAILCHAIN_LIBDIR") {
    Some(folder) => folder,
    None => "/usr/local/lib",
};

/// Why there is nothing to preload.
#[derive(Debug, PartialEq, Eq)]
pub enum LibraryError {
    /// In none of these folders.
    NotFound(Vec<PathBuf>),
    /// LD_PRELOAD separates by blanks and colons and knows no escape (ld.so(8)).
    Unpreloadable(PathBuf),
}

impl fmt::Display for LibraryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LibraryError::NotFound(folders) => {
                write!(f, "{} is in none of", NAMES[0])?;
                for folder in folders {
                    write!(f, " {}", folder.display())?;
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

/// The library that belongs to the command at `command` (a real path, as `/proc/self/exe` gives it).
pub fn find(command: Option<&Path>) -> Result<PathBuf, LibraryError> {
    find_in(folders(command))
}

fn folders(command: Option<&Path>) -> Vec<PathBuf> {
    let own = command.and_then(Path::parent);
    let lib = own.and_then(Path::parent).map(|prefix| prefix.join("lib"));
    let mut folders: Vec<PathBuf> = Vec::new();
    for folder in [own.map(PathBuf::from), lib, Some(PathBuf::from(INSTALLED))]
        .into_iter()
        .flatten()
    {
        if folder.is_absolute() && !folders.contains(&folder) {
            folders.push(folder);
        }
    }
    folders
}

fn find_in(folders: Vec<PathBuf>) -> Result<PathBuf, LibraryError> {
    let candidates = NAMES
        .iter()
        .flat_map(|name| folders.iter().map(move |folder| folder.join(name)));
    let found = candidates.into_iter().find(|path| path.is_file());
    match found {
        Some(path) if separates_in_ld_preload(&path) => Err(LibraryError::Unpreloadable(path)),
        Some(path) => Ok(path),
        None => Err(LibraryError::NotFound(folders)),
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

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Folder {
            let path = std::env::temp_dir()
                .join(format!("tailchain-library-{name}-{}", std::process::id()));
            std::fs::create_dir_all(path.join("bin")).unwrap();
            std::fs::create_dir_all(path.join("lib")).unwrap();
            Folder(path)
        }

        fn file(&self, name: &str) -> PathBuf {
            let path = self.0.join(name);
            std::fs::write(&path, "").unwrap();
            path
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn beside_the_command_comes_before_the_lib_folder() {
        let folder = Folder::new("beside");
        let command = folder.0.join("bin/proxychains4");
        let in_lib = folder.file("lib/libtailchain.so");
        assert_eq!(find(Some(&command)), Ok(in_lib));
        let beside = folder.file("bin/libtailchain.so");
        assert_eq!(find(Some(&command)), Ok(beside));
    }

    #[test]
    fn our_own_name_anywhere_comes_before_the_borrowed_one() {
        let folder = Folder::new("names");
        folder.file("bin/libproxychains4.so");
        let own = folder.file("lib/libtailchain.so");
        assert_eq!(find(Some(&folder.0.join("bin/proxychains4"))), Ok(own));
    }

    #[test]
    fn no_folder_is_relative() {
        assert_eq!(folders(None), [PathBuf::from(INSTALLED)]);
        assert_eq!(
            folders(Some(Path::new("bin/proxychains4"))),
            [PathBuf::from(INSTALLED)]
        );
    }

    #[test]
    fn a_path_that_ld_preload_would_split_is_an_error() {
        let folder = Folder::new("a b");
        let path = folder.file("lib/libtailchain.so");
        assert_eq!(
            find_in(vec![folder.0.join("lib")]),
            Err(LibraryError::Unpreloadable(path))
        );
    }

    #[test]
    fn nothing_found_names_the_folders() {
        let error = find_in(vec![PathBuf::from("/nonexistent")]).unwrap_err();
        assert!(error.to_string().contains("/nonexistent"), "{error}");
    }
}
