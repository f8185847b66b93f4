//! `/etc/hosts` and the machine's own name. libc resolves these names; they are never sent to a proxy.

#![forbid(unsafe_code)]

use crate::host::HostName;
use crate::name_table::sys;
use std::collections::HashMap;
use std::fs::{self, Metadata};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

/// The names and addresses of a hosts file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KnownNames {
    names: HashMap<HostName, KnownHost>,
    /// Those that end with a dot there.
    absolute: HashMap<HostName, KnownHost>,
    addresses: HashMap<IpAddr, HostName>,
}

/// How a name is spelled. libc finds one in a hosts file only if it is spelled the same way there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spelling {
    Plain,
    /// With a dot at its end.
    Absolute,
}

impl Spelling {
    pub fn of(text: &[u8]) -> Spelling {
        match text.ends_with(b".") {
            true => Spelling::Absolute,
            false => Spelling::Plain,
        }
    }
}

/// The first address of each family that a hosts file has for a name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KnownHost {
    pub v4: Option<Ipv4Addr>,
    pub v6: Option<Ipv6Addr>,
}

impl KnownHost {
    /// libc returns `::1` and IPv4-mapped addresses for both families.
    fn add(&mut self, address: IpAddr) {
        let (v4, v6) = match address {
            IpAddr::V4(v4) => (Some(v4), None),
            IpAddr::V6(Ipv6Addr::LOCALHOST) => {
                (Some(Ipv4Addr::LOCALHOST), Some(Ipv6Addr::LOCALHOST))
            }
            IpAddr::V6(v6) => (v6.to_ipv4_mapped(), Some(v6)),
        };
        self.v4 = self.v4.or(v4);
        self.v6 = self.v6.or(v6);
    }
}

impl KnownNames {
    /// Parses a file in the format of hosts(5). A line that does not begin with an address is skipped, as by libc.
    pub fn parse(bytes: &[u8]) -> KnownNames {
        let mut known = KnownNames::default();
        for (name, spelling, address) in entries(bytes) {
            known
                .addresses
                .entry(address.to_canonical())
                .or_insert_with(|| name.clone());
            let names = match spelling {
                Spelling::Plain => &mut known.names,
                Spelling::Absolute => &mut known.absolute,
            };
            names.entry(name).or_default().add(address);
        }
        known
    }

    /// Whether it is there, with a dot at its end or without.
    pub fn contains(&self, name: &HostName) -> bool {
        self.any_host(name).is_some()
    }

    pub fn host(&self, name: &HostName, spelling: Spelling) -> Option<KnownHost> {
        let names = match spelling {
            Spelling::Plain => &self.names,
            Spelling::Absolute => &self.absolute,
        };
        names.get(name).copied()
    }

    /// As [`KnownNames::host`], however it is spelled: to DNS both are the same name.
    pub fn any_host(&self, name: &HostName) -> Option<KnownHost> {
        let host = |spelling| self.host(name, spelling);
        host(Spelling::Plain).or_else(|| host(Spelling::Absolute))
    }

    /// The first name listed for `address`.
    pub fn name_of(&self, address: IpAddr) -> Option<&HostName> {
        self.addresses.get(&address.to_canonical())
    }
}

/// Each name of a hosts file with its address.
fn entries(bytes: &[u8]) -> impl Iterator<Item = (HostName, Spelling, IpAddr)> + '_ {
    bytes.split(|&b| b == b'\n').flat_map(|line| {
        let text = line.split(|&b| b == b'#').next().unwrap_or_default();
        let mut words = text
            .split(u8::is_ascii_whitespace)
            .filter(|word| !word.is_empty());
        let address = words.next().and_then(address_of);
        words
            .filter_map(move |word| Some((HostName::new(word).ok()?, Spelling::of(word), address?)))
    })
}

/// glibc skips a line whose address ends with a scope (`%eth0`); musl takes it.
fn address_of(word: &[u8]) -> Option<IpAddr> {
    let mut parts = word.split(|&b| b == b'%');
    let bare = parts.next().unwrap_or_default();
    let address: IpAddr = std::str::from_utf8(bare).ok()?.parse().ok()?;
    let is_taken = parts.next().is_none() || cfg!(target_env = "musl") && address.is_ipv6();
    is_taken.then_some(address)
}

/// A hosts file, re-read when it has changed.
pub struct HostsFile {
    path: PathBuf,
    cache: Mutex<Option<(Version, Arc<KnownNames>)>>,
}

/// Identifies the content of a file: inode, size, modification time (seconds, nanoseconds).
type Version = (u64, u64, i64, i64);

impl HostsFile {
    /// `path` is `/etc/hosts` except in tests.
    pub fn new(path: impl Into<PathBuf>) -> HostsFile {
        HostsFile {
            path: path.into(),
            cache: Mutex::new(None),
        }
    }

    /// The file's current names; empty if it cannot be read.
    ///
    /// If the cache is locked, the file is read without it. Waiting could deadlock: in a forked child the thread that
    /// held the lock does not exist.
    pub fn names(&self) -> Arc<KnownNames> {
        let Some(version) = fs::metadata(&self.path).ok().map(version_of) else {
            return Arc::default();
        };
        let Ok(mut cache) = self.cache.try_lock() else {
            return self.read();
        };
        match &*cache {
            Some((cached, names)) if *cached == version => Arc::clone(names),
            _ => {
                let names = self.read();
                *cache = Some((version, Arc::clone(&names)));
                names
            }
        }
    }

    /// The current addresses of the names for which `wanted` is true.
    pub fn addresses_of(&self, wanted: &dyn Fn(&HostName) -> bool) -> Vec<IpAddr> {
        let bytes = fs::read(&self.path).unwrap_or_default();
        entries(&bytes)
            .filter(|(name, ..)| wanted(name))
            .map(|(.., address)| address.to_canonical())
            .collect()
    }

    fn read(&self) -> Arc<KnownNames> {
        Arc::new(KnownNames::parse(&fs::read(&self.path).unwrap_or_default()))
    }
}

fn version_of(file: Metadata) -> Version {
    (file.ino(), file.size(), file.mtime(), file.mtime_nsec())
}

/// The machine's host name (gethostname(2)); `None` if it is not a valid name. Not cached: sethostname(2) may change it.
pub fn own_name() -> Option<HostName> {
    HostName::new(&sys::host_name()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> HostName {
        HostName::new(text.as_bytes()).unwrap()
    }

    #[test]
    fn every_name_of_a_line_is_known_and_comments_are_not() {
        let file = b"127.0.0.1 localhost\n\t10.0.0.7\tDB.example db # old-db\r\n#10.0.0.8 gone\n\
            fe80::1%lo0 scoped\n10.0.0.9\nnoaddress name\n10.0.0.6%1 scoped4\n::1 last";
        let names = KnownNames::parse(file);
        for known in ["localhost", "db.example", "db", "last"] {
            assert!(names.contains(&name(known)), "{known}");
        }
        for unknown in ["old-db", "gone", "noaddress", "name", "10.0.0.7", "scoped4"] {
            assert!(!names.contains(&name(unknown)), "{unknown}");
        }
        let takes_scopes = cfg!(target_env = "musl");
        assert_eq!(names.contains(&name("scoped")), takes_scopes);
    }

    #[test]
    fn a_name_with_a_dot_at_its_end_is_another_to_libc() {
        let known = KnownNames::parse(b"10.0.0.7 plain\n10.0.0.8 absolute.\n");
        let has = |text: &str| {
            let host = known.host(&name(text), Spelling::of(text.as_bytes()));
            (host.is_some(), known.contains(&name(text)))
        };
        assert_eq!(has("plain"), (true, true));
        assert_eq!(has("plain."), (false, true));
        assert_eq!(has("absolute"), (false, true));
        assert_eq!(has("absolute."), (true, true));
    }

    #[test]
    fn the_first_name_of_an_address_is_found() {
        let known = KnownNames::parse(b"10.0.0.7 db\n::ffff:10.0.0.8 mapped\n10.0.0.9\n");
        for (address, of) in [
            ("10.0.0.7", "db"),
            ("10.0.0.8", "mapped"),
            ("::ffff:10.0.0.7", "db"),
        ] {
            assert_eq!(known.name_of(address.parse().unwrap()), Some(&name(of)));
        }
        assert_eq!(known.name_of("10.0.0.9".parse().unwrap()), None, "no name");
    }

    #[test]
    fn a_name_has_the_first_address_of_each_family() {
        let known = KnownNames::parse(
            b"10.0.0.7 db\nfd00::7 db\n10.0.0.8 db\n::1 self\n::ffff:10.0.0.9 mapped\n",
        );
        let host = |v4: &str, v6: &str| {
            Some(KnownHost {
                v4: v4.parse().ok(),
                v6: v6.parse().ok(),
            })
        };
        assert_eq!(known.any_host(&name("db")), host("10.0.0.7", "fd00::7"));
        assert_eq!(known.any_host(&name("self")), host("127.0.0.1", "::1"));
        assert_eq!(
            known.any_host(&name("mapped")),
            host("10.0.0.9", "::ffff:10.0.0.9")
        );
        assert_eq!(known.any_host(&name("other")), None);
    }

    #[test]
    fn a_changed_file_is_reread_and_a_missing_file_is_empty() {
        let path = std::env::temp_dir().join(format!("tailchain-hosts-{}", std::process::id()));
        let hosts = HostsFile::new(&path);
        assert_eq!(*hosts.names(), KnownNames::default());
        fs::write(&path, "10.0.0.1 one").unwrap();
        assert!(hosts.names().contains(&name("one")));
        assert!(Arc::ptr_eq(&hosts.names(), &hosts.names()), "read once");
        fs::write(&path, "10.0.0.1 one another").unwrap();
        assert!(hosts.names().contains(&name("another")));
        fs::remove_file(&path).unwrap();
        assert!(!hosts.names().contains(&name("one")));
    }

    #[test]
    fn a_locked_cache_is_bypassed() {
        let path =
            std::env::temp_dir().join(format!("tailchain-busy-hosts-{}", std::process::id()));
        fs::write(&path, "10.0.0.1 one").unwrap();
        let hosts = HostsFile::new(&path);
        let held = hosts.cache.lock().unwrap();
        assert!(hosts.names().contains(&name("one")));
        drop(held);
        fs::remove_file(&path).unwrap();
    }

    #[test]
    fn own_name_is_the_host_name_of_the_kernel() {
        let uname = std::process::Command::new("uname")
            .arg("-n")
            .output()
            .unwrap();
        let expected = HostName::new(uname.stdout.trim_ascii()).ok();
        assert_eq!(own_name(), expected);
    }

    proptest::proptest! {
        #[test]
        fn any_input_is_parsed(bytes: Vec<u8>) {
            KnownNames::parse(&bytes);
        }
    }
}
