//! The shipped entry, its check made blind: what is left to keep a reader from half a name is the seqlock.

use super::layout;

mod hash {
    pub use crate::name_table::hash::words;

    pub fn hash(_: u64, words: impl IntoIterator<Item = u64>) -> u64 {
        words.into_iter().for_each(drop);
        0
    }
}

#[path = "../../../crates/core/src/name_table/entry.rs"]
pub mod entry;
