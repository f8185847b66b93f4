//! The table itself: in which order its parts are searched and written.

use super::entry::{Entry, Text, Write, TICKET_LIMIT};
use super::index::Index;
use super::memory::Memory;
use super::peers::Peers;
use super::place::{self, Found, Place};
use super::sys::{Access, Backing};
use super::{hash, layout};
use crate::fake_ip::{FakeId, SLOTS};
use crate::host::HostName;
use crate::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::net::SocketAddr;

/// The age, in names entered since, from which a name gets a new address when it is looked up: it leaves 8,192 further
/// names between resolving and connecting.
const OLD: u64 = SLOTS as u64 - 8192;

/// How many lookups may pass before this process reads the current ticket again.
const LOOKUPS_PER_GLANCE: usize = 64;

/// How many slots are tried for a name before giving up.
const ATTEMPTS: usize = 64;

/// The shared table.
pub struct NameTable {
    place: Place,
    memory: Option<Memory>,
    /// This process's own index, searched before the shared one: saves populating a page (see `memory`).
    own_index: Option<Memory>,
    seed: u64,
    peer_key: u64,
    /// The latest ticket that this process has seen.
    newest: AtomicU64,
    lookups: AtomicUsize,
    /// Turns of this process alone, if there is no shared table.
    own_turn: AtomicUsize,
}

impl NameTable {
    /// Never fails: [`NameTable::place`] tells where the table is. `env` reads an environment variable.
    pub fn open(env: &dyn Fn(&str) -> Option<OsString>) -> NameTable {
        NameTable::of(place::find(env))
    }

    pub(super) fn of(found: Found) -> NameTable {
        NameTable {
            place: found.place,
            memory: found.memory,
            own_index: Memory::map(Backing::Private, layout::INDEX_SIZE).ok(),
            seed: found.seed,
            peer_key: hash::hash(found.seed, hash::words(&boot_id())),
            newest: AtomicU64::new(0),
            lookups: AtomicUsize::new(0),
            own_turn: AtomicUsize::new(0),
        }
    }

    pub fn place(&self) -> &Place {
        &self.place
    }

    /// The fake IP of a name, the same as last time if that is still fresh. `None` if the table cannot take the name
    /// (its file was truncated, its file system is full, no memory): the name must not be used, so fail the call.
    pub fn assign(&self, name: &HostName) -> Option<FakeId> {
        self.assign_ticket(name).map(FakeId::of_ticket)
    }

    /// As [`NameTable::assign`], but the ticket, which is never reused, where an address is.
    pub fn assign_ticket(&self, name: &HostName) -> Option<u64> {
        let text = name.as_str().as_bytes();
        let hash = hash::hash(self.seed, hash::words(text));
        let outdated = match self.look_up(text, hash) {
            Some((_, ticket)) if !self.is_old(ticket) => return Some(ticket),
            old => old.map(|(id, _)| id),
        };
        self.assign_anew(text, hash, outdated)
    }

    /// A new ticket for a name whose current one the caller cannot use.
    pub fn assign_another(&self, name: &HostName, unusable: u64) -> Option<u64> {
        let text = name.as_str().as_bytes();
        let hash = hash::hash(self.seed, hash::words(text));
        self.assign_anew(text, hash, Some(FakeId::of_ticket(unusable)))
    }

    fn assign_anew(&self, text: &[u8], hash: u64, outdated: Option<FakeId>) -> Option<u64> {
        let ticket = self.enter(text)?;
        let id = FakeId::of_ticket(ticket);
        for index in [self.shared_index(), self.own_index()]
            .into_iter()
            .flatten()
        {
            index.insert(hash, id, outdated);
        }
        Some(ticket)
    }

    /// The name that an address stands for; `None` if it was never assigned, or too long ago.
    pub fn name_of(&self, id: FakeId) -> Option<HostName> {
        self.holder_of(id).map(|(_, name)| name)
    }

    /// As [`NameTable::name_of`], with the ticket.
    pub fn holder_of(&self, id: FakeId) -> Option<(u64, HostName)> {
        let mut buffer = [0; HostName::MAX];
        let (ticket, name) = self.read(id, &mut buffer)?;
        Some((ticket, HostName::new(name.as_bytes()).ok()?))
    }

    /// As [`NameTable::name_of`], without allocating.
    pub fn read_name<'b>(&self, id: FakeId, buffer: &'b mut Text) -> Option<&'b str> {
        self.read(id, buffer).map(|(_, name)| name)
    }

    fn read<'b>(&self, id: FakeId, buffer: &'b mut Text) -> Option<(u64, &'b str)> {
        let (ticket, len) = self.entry(id, Access::Read)?.read(self.seed, id, buffer)?;
        let name = std::str::from_utf8(buffer.get(..len)?).ok()?;
        let proper = |b: u8| b > b' ' && b != 0x7f && !b.is_ascii_uppercase();
        name.bytes().all(proper).then_some((ticket, name))
    }

    /// Takes `count` turns in the round robin that all processes share: 0, 1, 2, … (wraps). Returns the first.
    pub fn take_turns(&self, count: usize) -> usize {
        match self.counter(layout::TURN) {
            Some(turn) => turn.fetch_add(count as u64, Ordering::Relaxed) as usize,
            None => self.own_turn.fetch_add(count, Ordering::Relaxed),
        }
    }

    /// Records the address that a socket was connected to. `cookie` is its SO_COOKIE (socket(7)). The latest 65,536 are
    /// kept.
    pub fn remember_peer(&self, cookie: u64, address: SocketAddr) {
        if let Some(peers) = self.peers() {
            peers.remember(cookie, address);
        }
    }

    /// The address that a socket was connected to, if it is still known. An IPv4-mapped one is returned as such.
    pub fn peer_of(&self, cookie: u64) -> Option<SocketAddr> {
        self.peers()?.find(cookie)
    }

    fn look_up(&self, text: &[u8], hash: u64) -> Option<(FakeId, u64)> {
        let holds = |id: FakeId| {
            let mut buffer = [0; HostName::MAX];
            let (ticket, len) = self
                .entry(id, Access::Read)?
                .read(self.seed, id, &mut buffer)?;
            (buffer.get(..len) == Some(text)).then_some((id, ticket))
        };
        let own = self.own_index();
        let known = own
            .as_ref()
            .and_then(|own| own.candidates(hash).find_map(holds));
        // One that this process found long ago may have been replaced by another process.
        if let Some((_, ticket)) = known.filter(|&(_, ticket)| !self.is_old(ticket)) {
            return known.map(|(id, _)| (id, ticket));
        }
        let shared = self.shared_index()?.candidates(hash).filter_map(holds);
        let (id, ticket) = shared.max_by_key(|&(_, ticket)| ticket)?;
        if let Some(own) = own {
            own.insert(hash, id, known.map(|(id, _)| id));
        }
        Some((id, ticket))
    }

    /// Writes a name into the next slot.
    fn enter(&self, text: &[u8]) -> Option<u64> {
        let counter = self.counter(layout::TICKET)?;
        begin_counting(counter);
        // A counter that was set back may be in the middle of thousands of taken slots.
        let mut stride = 1;
        for _ in 0..ATTEMPTS {
            let ticket = counter.fetch_add(1, Ordering::Relaxed);
            if ticket >= TICKET_LIMIT {
                // Garbage. The slots hold later tickets: writing to one corrects the counter. A random one, since any
                // single slot may hold garbage as well.
                let anywhere = place::random() % u64::from(FakeId::COUNT);
                counter.store(anywhere, Ordering::Relaxed);
                continue;
            }
            self.newest.store(ticket, Ordering::Relaxed);
            let id = FakeId::of_ticket(ticket);
            if id.is_reserved() {
                counter.fetch_max(ticket + u64::from(FakeId::RESERVED), Ordering::Relaxed);
                continue;
            }
            match self
                .entry(id, Access::Write)?
                .write(self.seed, ticket, text)
            {
                Write::Published => return Some(ticket),
                Write::Taken(later) => {
                    counter.fetch_max(later + stride, Ordering::Relaxed);
                    stride = (2 * stride).min(u64::from(SLOTS));
                }
                Write::Lost => {}
            }
        }
        None
    }

    /// Whether the ring will soon wrap around to this ticket, as far as this process knows.
    fn is_old(&self, ticket: u64) -> bool {
        let lookups = self.lookups.fetch_add(1, Ordering::Relaxed);
        if lookups.is_multiple_of(LOOKUPS_PER_GLANCE) {
            if let Some(counter) = self.counter(layout::TICKET) {
                let now = counter.load(Ordering::Relaxed);
                if now < TICKET_LIMIT {
                    self.newest.store(now, Ordering::Relaxed);
                }
            }
        }
        self.newest.load(Ordering::Relaxed).saturating_sub(ticket) > OLD
    }

    fn entry(&self, id: FakeId, access: Access) -> Option<Entry<'_>> {
        let offset = layout::NAMES + id.slot() as usize * layout::NAME_WORDS * layout::WORD;
        Entry::new(
            self.memory
                .as_ref()?
                .words(offset, layout::NAME_WORDS, access)?,
        )
    }

    fn counter(&self, offset: usize) -> Option<&AtomicU64> {
        self.memory
            .as_ref()?
            .words(offset, 1, Access::Write)?
            .first()
    }

    fn shared_index(&self) -> Option<Index<'_>> {
        Some(Index::new(self.memory.as_ref()?, layout::INDEX))
    }

    fn own_index(&self) -> Option<Index<'_>> {
        Some(Index::new(self.own_index.as_ref()?, 0))
    }

    fn peers(&self) -> Option<Peers<'_>> {
        let (memory, key) = (self.memory.as_ref()?, self.peer_key);
        Some(Peers { memory, key })
    }
}

/// The first ticket of a table is random, so that two tables rarely assign the same addresses.
fn begin_counting(counter: &AtomicU64) {
    if counter.load(Ordering::Relaxed) == 0 {
        let count = u64::from(FakeId::COUNT);
        let first = count + place::random() % count;
        let _ = counter.compare_exchange(0, first, Ordering::Relaxed, Ordering::Relaxed);
    }
}

/// The first line of /proc/sys/kernel/random/boot_id, proc_sys_kernel(5). Empty if it cannot be read.
fn boot_id() -> Vec<u8> {
    let mut line = [0; 64];
    let read =
        File::open("/proc/sys/kernel/random/boot_id").and_then(|mut file| file.read(&mut line));
    let length = read.unwrap_or(0);
    line.get(..length).unwrap_or_default().to_vec()
}
