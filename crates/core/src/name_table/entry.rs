//! One name in the table, and a layout that keeps readers from ever accepting a half-written name.
//!
//! Every insert takes a ticket, a number that only grows; the slot is the ticket modulo the number of slots.
//! The words of an entry:
//!
//! ```text
//! state   ticket << 16 | 0x100 while it is being written, or the name's length (1 to 255) once published
//! check   hash over the state once published, and the text
//! text    the name, padded with zeros
//! ```
//!
//! A writer claims the slot with a compare-and-swap of the state, writes, and publishes with another. A reader compares
//! the state before and after (a seqlock). That alone is not enough: a writer may be suspended while the ring wraps
//! around, and then write into a later entry; and the memory may hold anything. So every entry also has a check word,
//! and an entry whose check does not match is unknown.

#![forbid(unsafe_code)]

use super::hash::{hash, words};
use super::layout::TEXT_WORDS;
use crate::fake_ip::{FakeId, SLOTS};
use crate::sync::atomic::{fence, AtomicU64, Ordering};

/// Far beyond any real counter; a larger value is garbage.
pub const TICKET_LIMIT: u64 = 1 << 47;

const PHASE: u64 = 0xffff;
const WRITING: u64 = 0x100;
const LONGEST: usize = 255;

/// A buffer for the longest name.
pub type Text = [u8; LONGEST];

/// The result of writing under a ticket.
#[derive(Debug, PartialEq, Eq)]
pub enum Write {
    Published,
    /// The slot already belongs to this later ticket.
    Taken(u64),
    /// Another writer changed the slot meanwhile.
    Lost,
}

/// An entry's words.
pub struct Entry<'a> {
    state: &'a AtomicU64,
    check: &'a AtomicU64,
    text: &'a [AtomicU64],
}

impl<'a> Entry<'a> {
    /// `None` unless `words` has the length of an entry.
    pub fn new(words: &'a [AtomicU64]) -> Option<Entry<'a>> {
        match words {
            [state, check, text @ ..] if text.len() == TEXT_WORDS => {
                Some(Entry { state, check, text })
            }
            _ => None,
        }
    }

    /// Reads the name that has the ID `id` into `buffer`; returns its ticket and length. `None` if the slot holds
    /// another name, or none that is complete.
    pub fn read(&self, seed: u64, id: FakeId, buffer: &mut Text) -> Option<(u64, usize)> {
        let state = self.state.load(Ordering::Acquire);
        let (ticket, len) = published(state).filter(|&(t, _)| FakeId::of_ticket(t) == id)?;
        for (to, from) in buffer.get_mut(..len)?.chunks_mut(8).zip(self.text) {
            for (to, from) in to
                .iter_mut()
                .zip(from.load(Ordering::Relaxed).to_le_bytes())
            {
                *to = from;
            }
        }
        let check = self.check.load(Ordering::Relaxed);
        fence(Ordering::Acquire);
        let whole = self.state.load(Ordering::Relaxed) == state;
        (whole && check == check_of(seed, state, buffer.get(..len)?)).then_some((ticket, len))
    }

    /// Writes a name of 1 to 255 bytes under `ticket`.
    pub fn write(&self, seed: u64, ticket: u64, name: &[u8]) -> Write {
        let old = self.state.load(Ordering::Relaxed);
        let holder = old >> 16;
        // A ticket that belongs to another slot, or is out of range, is garbage and is overwritten.
        let plausible = holder < TICKET_LIMIT
            && holder % u64::from(SLOTS) == ticket % u64::from(SLOTS)
            && old != 0;
        if plausible && holder >= ticket {
            return Write::Taken(holder);
        }
        let claimed = ticket << 16 | WRITING;
        let published = ticket << 16 | name.len() as u64;
        if !self.swap_state(old, claimed) {
            return Write::Lost;
        }
        // A reader that sees one of the stores below also sees, when it loads the state again, that it has changed.
        fence(Ordering::Release);
        self.check
            .store(check_of(seed, published, name), Ordering::Relaxed);
        for (to, from) in self.text.iter().zip(words(name)) {
            to.store(from, Ordering::Relaxed);
        }
        if self.swap_state(claimed, published) {
            Write::Published
        } else {
            Write::Lost
        }
    }

    fn swap_state(&self, old: u64, new: u64) -> bool {
        self.state
            .compare_exchange(old, new, Ordering::Release, Ordering::Relaxed)
            .is_ok()
    }
}

/// The ticket and length of a published entry.
fn published(state: u64) -> Option<(u64, usize)> {
    let len = usize::try_from(state & PHASE).ok()?;
    (1..=LONGEST).contains(&len).then_some((state >> 16, len))
}

fn check_of(seed: u64, published: u64, text: &[u8]) -> u64 {
    hash(seed, std::iter::once(published).chain(words(text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEED: u64 = 99;

    fn blank() -> Vec<AtomicU64> {
        (0..2 + TEXT_WORDS).map(|_| AtomicU64::new(0)).collect()
    }

    fn read(words: &[AtomicU64], ticket: u64) -> Option<Vec<u8>> {
        let mut buffer = [0; LONGEST];
        let entry = Entry::new(words).unwrap();
        let (_, len) = entry.read(SEED, FakeId::of_ticket(ticket), &mut buffer)?;
        Some(buffer[..len].to_vec())
    }

    fn write(words: &[AtomicU64], ticket: u64, name: &[u8]) -> Write {
        Entry::new(words).unwrap().write(SEED, ticket, name)
    }

    #[test]
    fn names_of_every_length_are_read_back() {
        for len in 1..=LONGEST {
            let words = blank();
            let name = vec![b'n'; len];
            assert_eq!(write(&words, 7, &name), Write::Published);
            assert_eq!(read(&words, 7), Some(name));
        }
    }

    #[test]
    fn an_old_id_is_unknown_once_its_slot_is_used_again() {
        let words = blank();
        let later = 7 + u64::from(SLOTS);
        write(&words, 7, b"old");
        assert_eq!(write(&words, later, b"new"), Write::Published);
        assert_eq!(read(&words, 7), None);
        assert_eq!(read(&words, later), Some(b"new".to_vec()));
    }

    #[test]
    fn a_slot_that_a_killed_writer_left_claimed_is_unknown_until_the_ring_comes_round() {
        let words = blank();
        words[0].store(7 << 16 | WRITING, Ordering::Relaxed);
        assert_eq!(read(&words, 7), None);
        assert_eq!(
            write(&words, 7 + u64::from(SLOTS), b"next"),
            Write::Published
        );
    }

    #[test]
    fn a_writer_that_was_overtaken_leaves_the_later_name_alone() {
        let words = blank();
        let later = 7 + u64::from(SLOTS);
        write(&words, later, b"later");
        assert_eq!(write(&words, 7, b"early"), Write::Taken(later));
        assert_eq!(read(&words, later), Some(b"later".to_vec()));
    }

    #[test]
    fn any_changed_bit_makes_an_entry_unknown() {
        let words = blank();
        write(&words, 7, b"a-name-of-24-bytes.ts.ne");
        for word in &words[..5] {
            for bit in 0..64 {
                word.fetch_xor(1 << bit, Ordering::Relaxed);
                assert_eq!(read(&words, 7), None);
                word.fetch_xor(1 << bit, Ordering::Relaxed);
            }
        }
        assert!(read(&words, 7).is_some());
    }

    #[test]
    fn garbage_in_the_state_is_overwritten() {
        for garbage in [u64::MAX, 8 << 16 | 3, TICKET_LIMIT << 16] {
            let words = blank();
            words[0].store(garbage, Ordering::Relaxed);
            assert_eq!(write(&words, 7, b"db"), Write::Published, "{garbage:#x}");
            assert_eq!(read(&words, 7), Some(b"db".to_vec()));
        }
    }
}
