//! The shipped files of `name_table` over memory that the checker observes.

#[path = "../../../crates/core/src/name_table/entry.rs"]
pub mod entry;
#[path = "../../../crates/core/src/name_table/hash.rs"]
pub mod hash;
#[path = "../../../crates/core/src/name_table/index.rs"]
pub mod index;
#[path = "../../../crates/core/src/name_table/layout.rs"]
pub mod layout;
pub mod memory;
#[path = "../../../crates/core/src/name_table/peers.rs"]
pub mod peers;
#[path = "../../../crates/core/src/name_table/place.rs"]
mod place;
pub mod seqlock;
#[path = "../../../crates/core/src/name_table/sys.rs"]
pub mod sys;
#[path = "../../../crates/core/src/name_table/table.rs"]
mod table;

pub use table::NameTable;

/// The seed of all hashes here.
pub const SEED: u64 = 99;

/// A process that has this table mapped.
pub fn process(table: &memory::Memory) -> NameTable {
    NameTable::of(place::Found {
        place: place::Place::Memory,
        memory: Some(table.clone()),
        seed: SEED,
    })
}
