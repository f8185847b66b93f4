//! The shipped files of `shared_names` over memory that the checker sees.

#[path = "../../../crates/core/src/shared_names/entry.rs"]
pub mod entry;
#[path = "../../../crates/core/src/shared_names/hash.rs"]
pub mod hash;
#[path = "../../../crates/core/src/shared_names/index.rs"]
pub mod index;
#[path = "../../../crates/core/src/shared_names/layout.rs"]
pub mod layout;
pub mod memory;
#[path = "../../../crates/core/src/shared_names/peers.rs"]
pub mod peers;
#[path = "../../../crates/core/src/shared_names/place.rs"]
mod place;
pub mod seqlock;
#[path = "../../../crates/core/src/shared_names/sys.rs"]
pub mod sys;
#[path = "../../../crates/core/src/shared_names/table.rs"]
mod table;

pub use table::SharedNames;

/// The seed of every hash here.
pub const SEED: u64 = 99;

/// A process that has this table mapped.
pub fn process(table: &memory::Memory) -> SharedNames {
    SharedNames::of(place::Found {
        place: place::Place::Memory,
        memory: Some(table.clone()),
        seed: SEED,
    })
}
