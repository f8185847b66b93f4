//! Which proxies one connection goes through, and through which others it is tried when some are dead.

#![forbid(unsafe_code)]

use crate::config::{ChainKind, Proxy};

/// What makes one connection's path differ from another's. The planner has neither a clock nor a counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Draw {
    /// How many connections went before this one (round robin).
    pub turn: usize,
    /// Any number that the next connection does not have (random).
    pub seed: u64,
}

/// Who is to blame for a path that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// The proxy at this position of the path is dead: try without it.
    Hop(usize),
    /// The proxies live; the target cannot be reached, and no other path would.
    Target,
}

/// The paths to try for one connection, one after the other.
///
/// | kind | path | when a proxy is dead |
/// |---|---|---|
/// | strict | all, in order | give up |
/// | dynamic | all the living, in order | go on with one or more |
/// | random | `len` distinct ones, drawn by the seed | another takes part; give up with fewer than `len`, as 4.17 does |
/// | round robin | `len` consecutive ones from `turn * len` on | likewise: the next in the round takes part |
///
/// A `len` of 0 counts as 1: a path is never empty.
#[derive(Clone, Debug)]
pub struct Planner<'c> {
    /// The living, those to be preferred first: a path is the front of it.
    living: Vec<&'c Proxy>,
    /// The most and the least that a path may have.
    most: usize,
    least: usize,
}

impl<'c> Planner<'c> {
    pub fn new(kind: ChainKind, proxies: &'c [Proxy], draw: Draw) -> Planner<'c> {
        let mut living: Vec<&Proxy> = proxies.iter().collect();
        let (most, least) = match kind {
            // Least stays what it is while the living become fewer: one failure is final.
            ChainKind::Strict => (living.len(), living.len()),
            ChainKind::Dynamic => (living.len(), 1),
            ChainKind::Random { len } => {
                shuffle(&mut living, draw.seed);
                (len.max(1), len.max(1))
            }
            ChainKind::RoundRobin { len } => {
                let len = len.max(1);
                if let Some(start) = draw.turn.wrapping_mul(len).checked_rem(living.len()) {
                    living.rotate_left(start);
                }
                (len, len)
            }
        };
        Planner {
            living,
            most,
            least: least.max(1),
        }
    }

    /// The path to try now, or `None` when too few proxies are left. Without a [`Planner::report`] in between
    /// it is the same path again, which suits a retry.
    ///
    /// The first call gives `None` only where the list is shorter than the chain's length.
    pub fn next_path(&mut self) -> Option<Vec<&'c Proxy>> {
        (self.living.len() >= self.least)
            .then(|| self.living.iter().take(self.most).copied().collect())
    }

    /// Says why the last path failed. Each report of a hop leaves one proxy less, so the paths come to an end; a
    /// position that the path did not have counts as the target.
    pub fn report(&mut self, blame: Blame) {
        match blame {
            Blame::Hop(at) if at < self.most.min(self.living.len()) => {
                self.living.remove(at);
            }
            Blame::Hop(_) | Blame::Target => self.living.clear(),
        }
    }
}

/// Fisher and Yates' shuffle. No secret hangs on it: a few bits of bias do no harm.
fn shuffle<T>(items: &mut [T], seed: u64) {
    let mut state = seed;
    for last in (1..items.len()).rev() {
        let choices = last as u64 + 1;
        items.swap(last, (split_mix(&mut state) % choices) as usize);
    }
}

/// SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014): good numbers even
/// from seeds that differ by one.
fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
