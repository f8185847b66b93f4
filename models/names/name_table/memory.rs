//! A mapping of only the words that a model touches, instead of 40 MB.

use super::hash;
use super::index::near_set;
use super::layout::{
    self, NAMES, NAME_WORDS, NEAR_SETS, PEERS, PEER_COUNT, PEER_WORDS, SET_SIZE, WAYS, WORD,
};
use super::sys::{Access, Backing};
use super::SEED;
use crate::fake_ip::FakeId;
use crate::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::io;
use std::sync::{Arc, Mutex};

/// The words that a model touches.
#[derive(Clone, Default)]
pub struct Plan {
    pub first_ticket: u64,
    pub tickets: Vec<u64>,
    pub names: Vec<&'static str>,
    pub cookies: Vec<u64>,
}

/// For the mappings to come.
static PLAN: Mutex<Option<Plan>> = Mutex::new(None);

type Blocks<T> = Vec<(usize, Box<[T]>)>;

/// Clones are mappings of the same memory.
#[derive(Clone)]
pub struct Memory {
    words: Arc<Blocks<AtomicU64>>,
    half_words: Arc<Blocks<AtomicU32>>,
}

impl Memory {
    /// A new table. The processes' own indexes will have sets for the same names.
    pub fn table(plan: Plan) -> Memory {
        let first_ticket = plan.first_ticket;
        *PLAN.lock().unwrap() = Some(plan);
        let memory = Memory::map(Backing::Shared, layout::SIZE).unwrap();
        let counter = memory.words(layout::TICKET, 1, Access::Write).unwrap();
        counter[0].store(first_ticket, Ordering::Relaxed);
        memory
    }

    pub fn map(_: Backing, len: usize) -> io::Result<Memory> {
        let plan = PLAN.lock().unwrap().clone().unwrap_or_default();
        let is_index = len == layout::INDEX_SIZE;
        let mut words: Blocks<AtomicU64> = Vec::new();
        let mut half_words: Blocks<AtomicU32> = Vec::new();
        let mut add = |offset: usize, count: usize| {
            if !is_index && words.iter().all(|&(other, _)| other != offset) {
                words.push((offset, (0..count).map(|_| AtomicU64::new(0)).collect()));
            }
        };
        add(layout::TICKET, 1);
        add(layout::TURN, 1);
        for &ticket in &plan.tickets {
            let slot = FakeId::of_ticket(ticket).slot() as usize;
            add(NAMES + slot * NAME_WORDS * WORD, NAME_WORDS);
        }
        for &cookie in &plan.cookies {
            add(
                PEERS + cookie as usize % PEER_COUNT * PEER_WORDS * WORD,
                PEER_WORDS,
            );
        }
        for name in &plan.names {
            // Of the two sets of a name, the one that is searched first: `half_words` returns no other.
            let set = near_set(hash_of(name));
            let offset = if is_index { 0 } else { layout::INDEX } + set * SET_SIZE;
            if half_words.iter().all(|&(other, _)| other != offset) {
                half_words.push((offset, (0..WAYS).map(|_| AtomicU32::new(0)).collect()));
            }
        }
        Ok(Memory {
            words: Arc::new(words),
            half_words: Arc::new(half_words),
        })
    }

    pub fn words(&self, offset: usize, count: usize, _: Access) -> Option<&[AtomicU64]> {
        Some(find(&self.words, offset, count))
    }

    pub fn half_words(&self, offset: usize, count: usize, _: Access) -> Option<&[AtomicU32]> {
        let index = offset.checked_sub(layout::INDEX).unwrap_or(offset);
        let is_near = index < NEAR_SETS * SET_SIZE;
        is_near.then(|| find(&self.half_words, offset, count))
    }
}

pub fn hash_of(name: &str) -> u64 {
    hash::hash(SEED, hash::words(name.as_bytes()))
}

fn find<T>(blocks: &Blocks<T>, offset: usize, count: usize) -> &[T] {
    let block = blocks.iter().find(|(start, _)| *start == offset);
    let (_, block) = block.unwrap_or_else(|| panic!("byte {offset} is not in the model's plan"));
    assert_eq!(block.len(), count);
    block
}
