//! Where `tailscaled` and `tailscale` are.

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

/// In none of these directories are both.
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
            "{DAEMON} and {CLIENT} are not together in any of {}; install Tailscale, or name their directory in TAILSCALE_DIR",
            directories.join(":")
        )
    }
}

/// In `given` alone if it is; else in `path` (`$PATH`), beside this command, and where the buildpack has them.
/// Both from one directory, so that their versions fit.
///
/// # Errors
///
/// They are in none of these.
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
    fn the_directories_are_searched_in_order_and_none_is_relative() {
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
