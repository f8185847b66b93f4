//! The layout of the table's memory. Processes of two builds may share a table: a change of anything here, or of what
//! the words mean, must increment [`VERSION`].
//!
//! ```text
//! header   one page: magic, version, size, seed; counters, each on a cache line of its own
//! index    32,768 sets of 16 half words: hash of a name -> ids; the first page's 64 sets are filled first
//! peers    65,536 entries of 5 words: socket cookie -> dialled address
//! names    131,072 entries of 34 words
//! ```

#![forbid(unsafe_code)]

use crate::fake_ip::SLOTS;

pub const VERSION: u64 = 2;

/// The first word of every table.
pub const MAGIC: u64 = u64::from_le_bytes(*b"tailname");

pub const WORD: usize = size_of::<u64>();

/// The header's words: magic, version, size of the whole, seed of the hashes.
pub const HEADER_WORDS: usize = 4;
pub const TICKET: usize = 64;
pub const TURN: usize = 128;
const HEADER_SIZE: usize = 4096;

pub const SETS: usize = 32_768;
/// Those of the first page.
pub const NEAR_SETS: usize = 64;
/// Half words in a set: one cache line.
pub const WAYS: usize = 16;
pub const SET_SIZE: usize = WAYS * size_of::<u32>();
pub const INDEX: usize = HEADER_SIZE;
pub const INDEX_SIZE: usize = SETS * SET_SIZE;

pub const PEERS: usize = INDEX + INDEX_SIZE;
pub const PEER_COUNT: usize = 65_536;
pub const PEER_WORDS: usize = 5;

pub const NAMES: usize = PEERS + PEER_COUNT * PEER_WORDS * WORD;
/// Words of a name: 255 bytes, padded with zeros.
pub const TEXT_WORDS: usize = 32;
/// State, check, text.
pub const NAME_WORDS: usize = 2 + TEXT_WORDS;

/// The whole table, in bytes: 40 MB of address space. Only pages that were used take memory.
pub const SIZE: usize = NAMES + SLOTS as usize * NAME_WORDS * WORD;

/// The first words of the header of a table made with `seed`.
pub fn header(seed: u64) -> [u64; HEADER_WORDS] {
    [MAGIC, VERSION, SIZE as u64, seed]
}

/// The seed of a table; `None` if this build does not understand the header.
pub fn seed_of(words: [u64; HEADER_WORDS]) -> Option<u64> {
    let [_, _, _, seed] = words;
    (words == header(seed)).then_some(seed)
}
