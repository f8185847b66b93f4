//! Maps a name's hash to the IDs that it may have: a set-associative table, as in a CPU cache.
//!
//! A set is one cache line of 16 half words, each an ID and 8 bits of the hash. There are no chains to follow and there
//! is nothing to lock: a word is only a hint, which the entry itself has to confirm.
//!
//! A hash has two sets. The near one is in the first page, so that a few names touch one page rather than one each.
//! When it is full of names that are still in the table, the far set is used. A full far set loses its oldest word;
//! that name gets a second address the next time it is looked up.

#![forbid(unsafe_code)]

use super::layout::{NEAR_SETS, SETS, SET_SIZE, WAYS};
use super::memory::Memory;
use super::sys::Access;
use crate::fake_ip::{FakeId, SLOTS};
use crate::sync::atomic::{AtomicU32, Ordering};

/// An index at byte `offset` of a mapping.
pub struct Index<'a> {
    memory: &'a Memory,
    offset: usize,
}

impl<'a> Index<'a> {
    pub fn new(memory: &'a Memory, offset: usize) -> Index<'a> {
        Index { memory, offset }
    }

    /// The IDs whose names may have this hash.
    pub fn candidates(&self, hash: u64) -> impl Iterator<Item = FakeId> + use<'a> {
        let (memory, offset) = (self.memory, self.offset);
        let tag = tag_of(hash);
        // Lazily: the far set, and its page, are touched only if the near set has no match.
        let sets = [near_set(hash), far_set(hash)].into_iter();
        sets.filter_map(move |number| set(memory, offset, number, Access::Read))
            .flatten()
            // Acquire: pairs with the Release in `insert`, so that the entry of a word that was found can be read.
            .filter_map(|word| unpack(word.load(Ordering::Acquire)))
            .filter(move |&(its_tag, _)| its_tag == tag)
            .map(|(_, id)| id)
    }

    /// Adds an ID: in place of `outdated` if that is present, else in an empty place, else in place of the oldest.
    /// Gives up, which is harmless, if others keep changing the set.
    pub fn insert(&self, hash: u64, id: FakeId, outdated: Option<FakeId>) {
        let word = pack(tag_of(hash), id);
        let value = |old| replaceability(old, id, outdated);
        for (number, least) in [(near_set(hash), SLOTS), (far_set(hash), 0)] {
            let Some(set) = set(self.memory, self.offset, number, Access::Write) else {
                continue;
            };
            for _ in 0..WAYS {
                let victim = set
                    .iter()
                    .map(|place| (place, place.load(Ordering::Relaxed)))
                    .max_by_key(|&(_, old)| value(old))
                    .filter(|&(_, old)| value(old) >= least);
                let Some((place, old)) = victim else { break };
                if old == word
                    || place
                        .compare_exchange(old, word, Ordering::Release, Ordering::Relaxed)
                        .is_ok()
                {
                    return;
                }
            }
        }
    }
}

/// In the first page, which few names share.
pub fn near_set(hash: u64) -> usize {
    hash as usize % NEAR_SETS
}

fn far_set(hash: u64) -> usize {
    NEAR_SETS + (hash >> 8) as usize % (SETS - NEAR_SETS)
}

fn set(memory: &Memory, offset: usize, number: usize, access: Access) -> Option<&[AtomicU32]> {
    memory.half_words(offset + number * SET_SIZE, WAYS, access)
}

/// The higher, the sooner it is replaced; from [`SLOTS`] on, the name of this word is no longer in the table.
fn replaceability(word: u32, id: FakeId, outdated: Option<FakeId>) -> u32 {
    match unpack(word) {
        None => u32::MAX - 1,
        Some((_, old)) if old == id || Some(old) == outdated => u32::MAX,
        Some((_, old)) => id.since(old),
    }
}

/// From bits that do not select the set.
fn tag_of(hash: u64) -> u8 {
    (hash >> 56) as u8
}

/// Never 0, which means empty.
fn pack(tag: u8, id: FakeId) -> u32 {
    u32::from(tag) << 24 | (id.value() + 1)
}

fn unpack(word: u32) -> Option<(u8, FakeId)> {
    let id = FakeId::new((word & 0x00ff_ffff).checked_sub(1)?)?;
    Some(((word >> 24) as u8, id))
}

#[cfg(test)]
mod tests {
    use super::super::layout::INDEX_SIZE;
    use super::super::sys::Backing;
    use super::*;

    fn id(value: u32) -> FakeId {
        FakeId::new(value).unwrap()
    }

    fn memory() -> Memory {
        Memory::map(Backing::Private, INDEX_SIZE).unwrap()
    }

    #[test]
    fn what_was_inserted_is_a_candidate_and_nothing_else_is() {
        let memory = memory();
        let index = Index::new(&memory, 0);
        index.insert(77, id(5), None);
        assert_eq!(index.candidates(77).collect::<Vec<_>>(), [id(5)]);
        assert_eq!(index.candidates(78).count(), 0);
        assert_eq!(index.candidates(77 | 1 << 56).count(), 0, "another tag");
    }

    #[test]
    fn full_sets_lose_their_oldest_id_even_across_the_wrap() {
        let memory = memory();
        let index = Index::new(&memory, 0);
        let first = FakeId::COUNT - 20;
        let ids: Vec<_> = (0..=2 * WAYS as u64)
            .map(|n| FakeId::of_ticket(u64::from(first) + n))
            .collect();
        for &id in &ids {
            index.insert(1, id, None);
        }
        let found: Vec<_> = index.candidates(1).collect();
        assert_eq!(found.len(), 2 * WAYS);
        let lost: Vec<_> = ids.iter().filter(|id| !found.contains(id)).collect();
        assert_eq!(lost, [&ids[WAYS]], "the oldest of the far set");
    }

    #[test]
    fn an_id_that_is_no_longer_in_the_table_makes_room_in_the_near_set() {
        let memory = memory();
        let index = Index::new(&memory, 0);
        let near = || memory.half_words(SET_SIZE, WAYS, Access::Read).unwrap();
        let words = || near().iter().map(|word| word.load(Ordering::Relaxed));
        for n in 0..WAYS as u32 {
            index.insert(1, id(n), None);
        }
        let full: Vec<_> = words().collect();
        index.insert(1, id(SLOTS - 1), None);
        assert_eq!(words().collect::<Vec<_>>(), full);
        index.insert(1, id(SLOTS), None);
        assert_eq!(words().filter(|word| !full.contains(word)).count(), 1);
    }

    #[test]
    fn an_outdated_id_is_replaced_and_the_same_id_is_not_entered_twice() {
        let memory = memory();
        let index = Index::new(&memory, 0);
        index.insert(1, id(10), None);
        index.insert(1, id(20), Some(id(10)));
        index.insert(1, id(20), None);
        assert_eq!(index.candidates(1).collect::<Vec<_>>(), [id(20)]);
    }

    #[test]
    fn words_that_are_no_ids_are_no_candidates() {
        let memory = memory();
        let index = Index::new(&memory, 0);
        for word in memory.half_words(0, WAYS, Access::Write).unwrap() {
            word.store(0x00ff_ffff, Ordering::Relaxed);
        }
        assert_eq!(index.candidates(0).count(), 0);
        index.insert(0, id(1), None);
        assert_eq!(index.candidates(0).collect::<Vec<_>>(), [id(1)]);
    }
}
