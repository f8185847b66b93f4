//! The file of the shared table: its content when it is opened, and changes while it is in use.
//!
//! Input: a byte that selects the file's initial content, then one-byte operations with their arguments. Whatever they
//! do to the file, an address leads to the name that it was assigned to or to none, and nothing crashes: truncating a
//! mapped file would raise SIGBUS.

use crate::cursor::Cursor;
use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV6};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::PathBuf;
use std::sync::OnceLock;
use tailchain_core::fake_ip::FakeId;
use tailchain_core::host::HostName;
use tailchain_core::name_table::{NameTable, Place};

/// Layout of version 2: header, index, peers, names.
const SIZE: u64 = 4096 + 32_768 * 64 + 65_536 * 40 + 131_072 * 34 * 8;
const SEED: u64 = 0x7461_696c;
/// The counter of tickets; also a good target for damage.
const TICKET: u64 = 64;
const NAMES: u64 = 4096 + 32_768 * 64 + 65_536 * 40;
const ENTRY: u64 = 34 * 8;

const MOST_OPERATIONS: usize = 64;

pub fn run(input: &[u8]) {
    let mut cursor = Cursor(input);
    let file = place_file(&mut cursor);
    let before = header(&file);
    let names = NameTable::open(&|variable| {
        (variable == "XDG_RUNTIME_DIR").then(|| OsString::from(directory()))
    });
    if *names.place() != Place::File(path()) {
        assert_ne!(before, whole_header(), "a good table was passed by");
        assert_eq!(header(&file), before, "somebody else's file was written to");
        let _ = fs::remove_file(path().with_extension("1"));
    }
    let mut model = Model::default();
    for _ in 0..MOST_OPERATIONS {
        if cursor.is_empty() {
            break;
        }
        model.operate(&names, &file, &mut cursor);
    }
    model.check(&names);
}

/// The addresses that were assigned.
#[derive(Default)]
struct Model {
    names: HashMap<FakeId, Vec<HostName>>,
    peers: HashMap<u64, Vec<SocketAddr>>,
    /// The file's content has changed since the table was last used.
    meddled: bool,
}

impl Model {
    fn operate(&mut self, names: &NameTable, file: &File, cursor: &mut Cursor) {
        match cursor.byte() % 8 {
            0 | 1 => self.assign(names, cursor),
            2 => {
                let cookie = cursor.word() % 100_000;
                let address = peer(Ipv4Addr::from(cursor.array()), cursor.byte());
                names.remember_peer(cookie, address);
                self.peers.entry(cookie).or_default().push(address);
            }
            3 => {
                let id = FakeId::of_ticket(cursor.word());
                self.check_name(names, id);
            }
            4 => self.meddle(file, (cursor.word() % SIZE) & !7, &cursor.array::<8>()),
            // Near the last entry, the likeliest to be out of bounds.
            5 => {
                let mut ticket = [0; 8];
                let _ = file.read_exact_at(&mut ticket, TICKET);
                let slot = u64::from_le_bytes(ticket).wrapping_sub(1) % 131_072;
                let word = u64::from(cursor.byte()) % 34;
                self.meddle(file, NAMES + slot * ENTRY + word * 8, &cursor.array::<8>());
            }
            6 => {
                let count = cursor.word() % (1 << 48);
                self.meddle(file, TICKET, &count.to_le_bytes());
            }
            _ => {
                let len = [0, 64, 4096, NAMES, SIZE - 8, SIZE][usize::from(cursor.byte()) % 6];
                file.set_len(len).expect("a file of our own can be cut");
                self.meddled = true;
            }
        }
    }

    fn meddle(&mut self, file: &File, offset: u64, bytes: &[u8]) {
        file.write_all_at(bytes, offset)
            .expect("a file of our own can be written");
        self.meddled = true;
    }

    fn assign(&mut self, names: &NameTable, cursor: &mut Cursor) {
        let length = usize::from(cursor.byte());
        let Ok(name) = HostName::new(cursor.bytes(length)) else {
            return;
        };
        let Some(id) = names.assign(&name) else {
            assert!(self.meddled, "a table in order takes {name}");
            return;
        };
        assert_eq!(names.name_of(id).as_ref(), Some(&name), "just given out");
        self.names.entry(id).or_default().push(name.clone());
        let again = names.assign(&name);
        // A counter that was set ahead makes a name look old at the next lookup: then it gets another address, perhaps
        // in place of the first.
        assert!(
            self.meddled || again == Some(id),
            "the same address again: {id:?}, {again:?}"
        );
        if let Some(again) = again {
            assert_eq!(names.name_of(again).as_ref(), Some(&name), "given out anew");
            self.names.entry(again).or_default().push(name);
        }
    }

    fn check(&self, names: &NameTable) {
        for id in self.names.keys() {
            self.check_name(names, *id);
        }
        for (cookie, given) in &self.peers {
            if let Some(found) = names.peer_of(*cookie) {
                assert!(
                    given.contains(&found),
                    "{found} was never the peer of {cookie}"
                );
            } else {
                assert!(self.meddled || self.peers.len() > 1, "a peer is forgotten");
            }
        }
    }

    fn check_name(&self, names: &NameTable, id: FakeId) {
        let given = self.names.get(&id);
        match names.name_of(id) {
            None => assert!(self.meddled || given.is_none(), "{given:?} is forgotten"),
            Some(found) => assert!(
                given.is_some_and(|given| given.contains(&found)),
                "{id:?} leads to {found}, and was given to {given:?}"
            ),
        }
    }
}

/// Of either family: an odd port selects IPv6, with that scope ID.
fn peer(ip: Ipv4Addr, port: u8) -> SocketAddr {
    let number = port.into();
    if port.is_multiple_of(2) {
        (ip, number).into()
    } else {
        SocketAddrV6::new(ip.to_ipv6_mapped(), number, 0, number.into()).into()
    }
}

/// The initial file: a valid one, one with an arbitrary header, or one of another size.
fn place_file(cursor: &mut Cursor) -> File {
    let _ = fs::remove_file(path());
    let file = File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path())
        .expect("a file in a directory of our own");
    let manner = cursor.byte();
    let size = if manner & 1 == 0 {
        SIZE
    } else {
        cursor.word() % (2 * SIZE)
    };
    file.set_len(size).expect("a sparse file");
    let mut header = whole_header();
    if manner & 2 != 0 {
        let at = usize::from(cursor.byte()) % header.len();
        header[at] ^= cursor.byte();
    }
    if size >= header.len() as u64 {
        file.write_all_at(&header, 0)
            .expect("a file of our own can be written");
    }
    file
}

fn whole_header() -> Vec<u8> {
    let magic = u64::from_le_bytes(*b"tailname");
    [magic, 2, SIZE, SEED]
        .into_iter()
        .flat_map(u64::to_le_bytes)
        .collect()
}

/// Empty if the file does not have a table's size.
fn header(file: &File) -> Vec<u8> {
    let mut header = vec![0; whole_header().len()];
    let size = file.metadata().map_or(0, |status| status.len());
    if size != SIZE || file.read_exact_at(&mut header, 0).is_err() {
        header.clear();
    }
    header
}

fn path() -> PathBuf {
    // SAFETY: geteuid has no arguments and cannot fail.
    let user = unsafe { libc::geteuid() };
    directory().join(format!("tailchain-{user}/names-2"))
}

/// A directory on tmpfs for this process; `fuzz/run` removes what is left of it.
fn directory() -> &'static PathBuf {
    static DIRECTORY: OnceLock<PathBuf> = OnceLock::new();
    DIRECTORY.get_or_init(|| {
        let base =
            std::env::var_os("TAILCHAIN_FUZZ_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
        let directory = base.join(format!("names-{}", std::process::id()));
        // SAFETY: as in `path`.
        let user = unsafe { libc::geteuid() };
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory.join(format!("tailchain-{user}")))
            .expect("a directory for the table");
        directory
    })
}
