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

/// In none of these folders are both.
#[derive(Debug, PartialEq, Eq)]
pub struct NotFound(Vec<PathBuf>);

impl fmt::Display for NotFound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let folders: Vec<String> = self
            .0
            .iter()
            .map(|folder| folder.display().to_string())
            .collect();
        write!(
            f,
            "{DAEMON} and {CLIENT} are not together in any of {}; install Tailscale, or name their folder in TAILSCALE_DIR",
            folders.join(":")
        )
    }
}

/// In `given` alone if it is; else in `path` (`$PATH`), beside this command, and where the buildpack has them.
/// Both from one folder, so that their versions fit.
///
/// # Errors
///
/// They are in none of these.
pub fn find(
    given: Option<&Path>,
    path: Option<&OsStr>,
    own: Option<&Path>,
) -> Result<Programs, NotFound> {
    let folders = match given {
        Some(folder) => vec![folder.to_owned()],
        None => folders(path, own),
    };
    let in_folder = |folder: &PathBuf| {
        let programs = Programs {
            daemon: folder.join(DAEMON),
            client: folder.join(CLIENT),
        };
        (programs.daemon.is_file() && programs.client.is_file()).then_some(programs)
    };
    folders.iter().find_map(in_folder).ok_or(NotFound(folders))
}

fn folders(path: Option<&OsStr>, own: Option<&Path>) -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = path
        .map(|path| std::env::split_paths(path).collect())
        .unwrap_or_default();
    // Of the current folder nobody said that it holds programs.
    folders.retain(|folder| folder.is_absolute());
    if let Some(beside) = own.and_then(Path::parent) {
        folders.push(beside.to_owned());
        // vendor/proxychains-ng/bin -> vendor/tailscale
        let vendor = beside.parent().and_then(Path::parent);
        folders.extend(vendor.map(|vendor| vendor.join(CLIENT)));
    }
    folders
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folders_are_searched_in_order_and_none_is_relative() {
        let own = Path::new("/app/vendor/proxychains-ng/bin/tailchain");
        let error = find(None, Some(OsStr::new("/nowhere/a:b:/nowhere/c")), Some(own));
        let folders = [
            "/nowhere/a",
            "/nowhere/c",
            "/app/vendor/proxychains-ng/bin",
            "/app/vendor/tailscale",
        ];
        assert_eq!(error, Err(NotFound(folders.map(PathBuf::from).to_vec())));
    }

    #[test]
    fn a_given_folder_is_the_only_one() {
        let given = Path::new("/nowhere/given");
        let error = find(Some(given), Some(OsStr::new("/bin")), None);
        assert_eq!(error, Err(NotFound(vec![given.to_owned()])));
    }
}
