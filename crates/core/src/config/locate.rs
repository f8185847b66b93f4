//! Where a config file is looked for when nobody named one.

#![forbid(unsafe_code)]

use std::ffi::OsString;
use std::path::{Path, PathBuf};

const NAME: &str = "proxychains.conf";

/// The folder that `make install SYSCONFDIR=` chose.
const SYSCONFDIR: &str = match option_env!("TAILCHAIN_SYSCONFDIR") {
    Some(folder) => folder,
    None => "/etc",
};

/// The places, first to last. `env` gives the value of an environment variable; only `HOME` is asked for.
/// (`-f` and `PROXYCHAINS_CONF_FILE` name a file: see [`crate::load`].)
pub fn candidates(env: &dyn Fn(&str) -> Option<OsString>) -> Vec<PathBuf> {
    let mut places = vec![Path::new(".").join(NAME)];
    if let Some(home) = env("HOME").filter(|home| !home.is_empty()) {
        let home = PathBuf::from(home);
        places.push(home.join(".proxychains").join(NAME));
        places.push(home.join("config/settings").join(NAME));
    }
    places.push(Path::new(SYSCONFDIR).join(NAME));
    let etc = Path::new("/etc").join(NAME);
    if !places.contains(&etc) {
        places.push(etc);
    }
    // Debian's name.
    places.push(PathBuf::from("/etc/proxychains4.conf"));
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_home(home: Option<&str>) -> Vec<String> {
        candidates(&|name| (name == "HOME").then(|| home.map(OsString::from))?)
            .iter()
            .map(|place| place.display().to_string())
            .collect()
    }

    #[test]
    fn the_working_folder_comes_first_then_home_then_the_system() {
        let places = with_home(Some("/home/u"));
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
            let places = with_home(home);
            assert!(!places.iter().any(|place| place.contains(".proxychains/")));
            assert!(places.contains(&"/etc/proxychains.conf".to_owned()));
        }
    }
}
