//! Where a config file is looked for when nobody named one.

#![forbid(unsafe_code)]

use std::ffi::OsString;
use std::path::{Path, PathBuf};

const NAME: &str = "proxychains.conf";

/// The one of the current directory.
pub const CURRENT: &str = "./proxychains.conf";

/// The directory that `make install SYSCONFDIR=` chose.
const SYSCONFDIR: &str = match option_env!("TAILCHAIN_SYSCONFDIR") {
    Some(directory) => directory,
    None => "/etc",
};

/// Who decides about a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// The user, about a program of their own.
    User,
    /// Root, about a set-user-ID program that some user started.
    Root,
}

/// A place, by who writes there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Candidate {
    /// [`CURRENT`].
    Current,
    /// Below `HOME`.
    Home(PathBuf),
    /// `SYSCONFDIR`, `/etc`, and whom it must belong to.
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

/// The places, first to last. `env` gives the value of an environment variable; only `HOME` is asked for.
/// (`-f` and `PROXYCHAINS_CONF_FILE` name a file: see [`crate::load`].)
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
    fn without_a_home_no_place_is_relative_to_nothing() {
        for home in [None, Some("")] {
            let places = paths(Owner::User, home);
            assert!(!places.iter().any(|place| place.contains(".proxychains/")));
            assert!(places.contains(&"/etc/proxychains.conf".to_owned()));
        }
    }

    #[test]
    fn for_a_set_user_id_program_there_is_the_system_alone() {
        let places = paths(Owner::Root, Some("/home/u"));
        assert!(places
            .iter()
            .all(|place| !place.starts_with(['.']) && !place.contains("/home/u")));
        assert!(places.contains(&"/etc/proxychains.conf".to_owned()));
    }
}
