//! Finds `tailscaled` and `tailscale`.

#![forbid(unsafe_code)]

use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};

const DAEMON: &str = "tailscaled";
const CLIENT: &str = "tailscale";

#[derive(Debug, PartialEq, Eq)]
pub struct Programs {
    pub daemon: PathBuf,
    pub client: PathBuf,
}

/// None of these directories has both programs.
#[derive(Debug, PartialEq, Eq)]
pub struct NotFound(Vec<PathBuf>);

impl fmt::Display for NotFound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let directories: Vec<String> = self
            .0
            .iter()
            .map(|directory| directory.display().to_string())
            .collect();
        write!(
            f,
            "none of these directories has both {DAEMON} and {CLIENT}: {}; install Tailscale, or set TAILSCALE_DIR to their directory",
            directories.join(":")
        )
    }
}

/// Searches `given` alone if it is `Some`, else `path` (`$PATH`), the directory of this command, and that of the buildpack.
/// Both programs come from one directory, so that their versions match.
///
/// # Errors
///
/// None of these directories has both programs.
pub fn find(
    given: Option<&Path>,
    path: Option<&OsStr>,
    own: Option<&Path>,
) -> Result<Programs, NotFound> {
    let directories = match given {
        Some(directory) => vec![directory.to_owned()],
        None => directories(path, own),
    };
    let in_directory = |directory: &PathBuf| {
        let programs = Programs {
            daemon: directory.join(DAEMON),
            client: directory.join(CLIENT),
        };
        (programs.daemon.is_file() && programs.client.is_file()).then_some(programs)
    };
    directories
        .iter()
        .find_map(in_directory)
        .ok_or(NotFound(directories))
}

fn directories(path: Option<&OsStr>, own: Option<&Path>) -> Vec<PathBuf> {
    let mut directories: Vec<PathBuf> = path
        .map(|path| std::env::split_paths(path).collect())
        .unwrap_or_default();
    // Ignore relative PATH entries.
    directories.retain(|directory| directory.is_absolute());
    if let Some(beside) = own.and_then(Path::parent) {
        directories.push(beside.to_owned());
        // vendor/proxychains-ng/bin -> vendor/tailscale
        let vendor = beside.parent().and_then(Path::parent);
        directories.extend(vendor.map(|vendor| vendor.join(CLIENT)));
    }
    directories
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absolute_directories_are_searched_in_order() {
        let own = Path::new("/app/vendor/proxychains-ng/bin/tailchain");
        let error = find(None, Some(OsStr::new("/nowhere/a:b:/nowhere/c")), Some(own));
        let directories = [
            "/nowhere/a",
            "/nowhere/c",
            "/app/vendor/proxychains-ng/bin",
            "/app/vendor/tailscale",
        ];
        assert_eq!(
            error,
            Err(NotFound(directories.map(PathBuf::from).to_vec()))
        );
    }

    #[test]
    fn a_given_directory_is_the_only_one() {
        let given = Path::new("/nowhere/given");
        let error = find(Some(given), Some(OsStr::new("/bin")), None);
        assert_eq!(error, Err(NotFound(vec![given.to_owned()])));
    }
}
