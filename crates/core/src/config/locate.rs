//! The search path for config files.

#![forbid(unsafe_code)]

use std::ffi::OsString;
use std::path::{Path, PathBuf};

const NAME: &str = "proxychains.conf";

/// The config file in the current directory.
pub const CURRENT: &str = "./proxychains.conf";

/// Set at build time (`make install SYSCONFDIR=`).
const SYSCONFDIR: &str = match option_env!("TAILCHAIN_SYSCONFDIR") {
    Some(directory) => directory,
    None => "/etc",
};

/// Whose configuration applies to a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// The user's, for an ordinary program.
    User,
    /// Root's, for a set-user-ID program.
    Root,
}

/// A path to try, by who may write there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Candidate {
    /// [`CURRENT`].
    Current,
    /// Below `HOME`.
    Home(PathBuf),
    /// In `SYSCONFDIR` or `/etc`, and who must own it.
    System(PathBuf, Owner),
}

impl Candidate {
    pub fn path(&self) -> PathBuf {
        match self {
            Candidate::Current => PathBuf::from(CURRENT),
            Candidate::Home(path) | Candidate::System(path, _) => path.clone(),
        }
    }
}

/// The search path, in order of precedence. `env` looks up an environment variable; only `HOME` is used. (For `-f` and
/// `PROXYCHAINS_CONF_FILE` see [`crate::load`].)
pub fn candidates(owner: Owner, env: &dyn Fn(&str) -> Option<OsString>) -> Vec<Candidate> {
    let mut places = Vec::new();
    if owner == Owner::User {
        places.push(Candidate::Current);
        if let Some(home) = env("HOME").filter(|home| !home.is_empty()) {
            let home = PathBuf::from(home);
            places.push(Candidate::Home(home.join(".proxychains").join(NAME)));
            places.push(Candidate::Home(home.join("config/settings").join(NAME)));
        }
    }
    let mut system = vec![Path::new(SYSCONFDIR).join(NAME)];
    let etc = Path::new("/etc").join(NAME);
    if !system.contains(&etc) {
        system.push(etc);
    }
    // Debian's name.
    system.push(PathBuf::from("/etc/proxychains4.conf"));
    places.extend(
        system
            .into_iter()
            .map(|path| Candidate::System(path, owner)),
    );
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(owner: Owner, home: Option<&str>) -> Vec<String> {
        candidates(owner, &|name| {
            (name == "HOME").then(|| home.map(OsString::from))?
        })
        .iter()
        .map(|place| place.path().display().to_string())
        .collect()
    }

    #[test]
    fn the_current_directory_comes_first_then_home_then_the_system() {
        let places = paths(Owner::User, Some("/home/u"));
        assert_eq!(
            places.get(..3).unwrap(),
            [
                "./proxychains.conf",
                "/home/u/.proxychains/proxychains.conf",
                "/home/u/config/settings/proxychains.conf"
            ]
        );
        assert!(places.contains(&format!("{SYSCONFDIR}/proxychains.conf")));
        let last = places.len() - 2;
        assert_eq!(
            places.get(last..).unwrap(),
            ["/etc/proxychains.conf", "/etc/proxychains4.conf"]
        );
    }

    #[test]
    fn without_home_only_the_other_paths_are_searched() {
        for home in [None, Some("")] {
            let places = paths(Owner::User, home);
            assert!(!places.iter().any(|place| place.contains(".proxychains/")));
            assert!(places.contains(&"/etc/proxychains.conf".to_owned()));
        }
    }

    #[test]
    fn for_a_set_user_id_program_only_system_paths_are_searched() {
        let places = paths(Owner::Root, Some("/home/u"));
        assert!(places
            .iter()
            .all(|place| !place.starts_with(['.']) && !place.contains("/home/u")));
        assert!(places.contains(&"/etc/proxychains.conf".to_owned()));
    }
}
