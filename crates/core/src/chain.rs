//! Chooses the proxies for one connection, and the alternatives when a proxy is dead.

#![forbid(unsafe_code)]

use crate::config::{ChainKind, Proxy};

/// The inputs that make one connection's path differ from another's; the planner itself is deterministic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChainSeed {
    /// Round robin: how many proxies earlier connections have used.
    pub turn: usize,
    /// Random: a value that differs from connection to connection.
    pub seed: u64,
}

/// Why a path failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// The proxy at this position of the path is dead: retry without it.
    Hop(usize),
    /// The proxies work but the target is unreachable; another path would not help.
    Target,
}

/// The paths to try for one connection, one after the other.
///
/// | chain | path | if a proxy is dead |
/// |---|---|---|
/// | strict | all proxies, in order | give up |
/// | dynamic | all live proxies, in order | retry while at least one is left |
/// | random | `len` distinct proxies, drawn with the seed | draw another; give up with fewer than `len`, as proxychains-ng does |
/// | round robin | `len` consecutive proxies from `turn` on | take the next in order; give up with fewer than `len` |
///
/// A `len` of 0 counts as 1: a path is never empty.
#[derive(Clone, Debug)]
pub struct Planner<'c> {
    /// The proxies not reported dead, in order of preference; a path is a prefix of this list.
    live: Vec<&'c Proxy>,
    max_len: usize,
    min_len: usize,
}

impl<'c> Planner<'c> {
    pub fn new(kind: ChainKind, proxies: &'c [Proxy], seed: ChainSeed) -> Planner<'c> {
        let mut live: Vec<&Proxy> = proxies.iter().collect();
        let (max_len, min_len) = match kind {
            // `min_len` stays the full length when a proxy dies, so the first failure is final.
            ChainKind::Strict => (live.len(), live.len()),
            ChainKind::Dynamic => (live.len(), 1),
            ChainKind::Random { len } => {
                shuffle(&mut live, seed.seed);
                (len.max(1), len.max(1))
            }
            ChainKind::RoundRobin { len } => {
                let len = len.max(1);
                if let Some(start) = seed.turn.checked_rem(live.len()) {
                    live.rotate_left(start);
                }
                (len, len)
            }
        };
        Planner {
            live,
            max_len,
            min_len: min_len.max(1),
        }
    }

    /// The path to try now, or `None` if too few proxies are left. It stays the same until [`Planner::report`] is
    /// called, so that a retry takes the same path.
    ///
    /// The first call returns `None` only if the proxy list is shorter than the chain's length.
    pub fn next_path(&mut self) -> Option<Vec<&'c Proxy>> {
        (self.live.len() >= self.min_len)
            .then(|| self.live.iter().take(self.max_len).copied().collect())
    }

    /// Reports why the last path failed. Each [`Blame::Hop`] removes one proxy, so the number of paths is finite; a
    /// position beyond the path counts as [`Blame::Target`].
    pub fn report(&mut self, blame: Blame) {
        match blame {
            Blame::Hop(at) if at < self.max_len.min(self.live.len()) => {
                self.live.remove(at);
            }
            Blame::Hop(_) | Blame::Target => self.live.clear(),
        }
    }
}

/// Fisher–Yates shuffle. Not security-relevant: a small modulo bias is acceptable.
fn shuffle<T>(items: &mut [T], seed: u64) {
    let mut state = seed;
    for last in (1..items.len()).rev() {
        let choices = last as u64 + 1;
        items.swap(last, (split_mix(&mut state) % choices) as usize);
    }
}

/// SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014). Consecutive seeds give
/// uncorrelated values.
fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Endpoint, ProxyKind};
    use crate::host::{Host, Target};
    use proptest::prelude::*;
    use std::collections::HashSet;

    const NO_SEED: ChainSeed = ChainSeed { turn: 0, seed: 0 };

    /// Proxies with the ports 0, 1, 2, …
    fn proxies(count: u16) -> Vec<Proxy> {
        (0..count)
            .map(|port| Proxy {
                kind: ProxyKind::Socks5,
                endpoint: Endpoint::Tcp(Target {
                    host: Host::parse("127.0.0.1").unwrap(),
                    port,
                }),
                credentials: None,
            })
            .collect()
    }

    fn ports(path: Option<Vec<&Proxy>>) -> Option<Vec<u16>> {
        path.map(|path| {
            path.iter()
                .map(|proxy| match &proxy.endpoint {
                    Endpoint::Tcp(target) => target.port,
                    Endpoint::Unix(path) => panic!("{path:?}"),
                })
                .collect()
        })
    }

    #[test]
    fn a_strict_chain_is_tried_once() {
        let proxies = proxies(3);
        for blame in [Blame::Hop(0), Blame::Hop(2), Blame::Target] {
            let mut planner = Planner::new(ChainKind::Strict, &proxies, NO_SEED);
            assert_eq!(ports(planner.next_path()), Some(vec![0, 1, 2]));
            planner.report(blame);
            assert_eq!(planner.next_path(), None);
        }
    }

    #[test]
    fn a_dynamic_chain_continues_while_a_proxy_is_live() {
        let proxies = proxies(3);
        let mut planner = Planner::new(ChainKind::Dynamic, &proxies, NO_SEED);
        assert_eq!(ports(planner.next_path()), Some(vec![0, 1, 2]));
        planner.report(Blame::Hop(1));
        assert_eq!(ports(planner.next_path()), Some(vec![0, 2]));
        planner.report(Blame::Hop(1));
        assert_eq!(ports(planner.next_path()), Some(vec![0]));
        planner.report(Blame::Hop(0));
        assert_eq!(planner.next_path(), None);
    }

    #[test]
    fn an_unreachable_target_is_final() {
        let proxies = proxies(3);
        for kind in [
            ChainKind::Dynamic,
            ChainKind::Random { len: 1 },
            ChainKind::RoundRobin { len: 1 },
        ] {
            let mut planner = Planner::new(kind, &proxies, NO_SEED);
            assert!(planner.next_path().is_some());
            planner.report(Blame::Target);
            assert_eq!(planner.next_path(), None);
        }
    }

    #[test]
    fn blame_beyond_the_path_is_final() {
        let proxies = proxies(3);
        let kind = ChainKind::RoundRobin { len: 1 };
        let mut planner = Planner::new(kind, &proxies, NO_SEED);
        assert_eq!(ports(planner.next_path()), Some(vec![0]));
        planner.report(Blame::Hop(1));
        assert_eq!(planner.next_path(), None);
    }

    #[test]
    fn the_path_stays_the_same_until_a_failure_is_reported() {
        let proxies = proxies(5);
        let kind = ChainKind::Random { len: 3 };
        let mut planner = Planner::new(kind, &proxies, ChainSeed { turn: 0, seed: 7 });
        let path = planner.next_path();
        assert_eq!(planner.next_path(), path);
    }

    #[test]
    fn a_random_chain_replaces_dead_proxies_while_enough_are_live() {
        let proxies = proxies(4);
        let kind = ChainKind::Random { len: 2 };
        let mut planner = Planner::new(kind, &proxies, ChainSeed { turn: 0, seed: 42 });
        let mut dead = HashSet::new();
        for _ in 0..3 {
            let path = ports(planner.next_path()).unwrap();
            assert_eq!(path.iter().collect::<HashSet<_>>().len(), 2);
            assert!(path.iter().all(|port| !dead.contains(port)));
            dead.insert(path[1]);
            planner.report(Blame::Hop(1));
        }
        assert_eq!(planner.next_path(), None);
    }

    #[test]
    fn consecutive_seeds_draw_every_proxy_about_as_often() {
        let proxies = proxies(4);
        let mut drawn = [0_u32; 4];
        for seed in 0..4000 {
            let kind = ChainKind::Random { len: 1 };
            let mut planner = Planner::new(kind, &proxies, ChainSeed { turn: 0, seed });
            drawn[usize::from(ports(planner.next_path()).unwrap()[0])] += 1;
        }
        assert!(
            drawn.iter().all(|times| (850..1150).contains(times)),
            "{drawn:?}"
        );
    }

    #[test]
    fn round_robin_continues_where_the_last_connection_ended() {
        let proxies = proxies(5);
        let path = |connection: usize| {
            let turn = connection * 2;
            let kind = ChainKind::RoundRobin { len: 2 };
            ports(Planner::new(kind, &proxies, ChainSeed { turn, seed: 0 }).next_path()).unwrap()
        };
        let turns: Vec<_> = (0..6).map(path).collect();
        assert_eq!(turns, [[0, 1], [2, 3], [4, 0], [1, 2], [3, 4], [0, 1]]);
    }

    #[test]
    fn round_robin_skips_dead_proxies_and_gives_up_with_too_few() {
        let proxies = proxies(4);
        let kind = ChainKind::RoundRobin { len: 2 };
        let mut planner = Planner::new(kind, &proxies, ChainSeed { turn: 2, seed: 0 });
        assert_eq!(ports(planner.next_path()), Some(vec![2, 3]));
        planner.report(Blame::Hop(0));
        assert_eq!(ports(planner.next_path()), Some(vec![3, 0]));
        planner.report(Blame::Hop(1));
        assert_eq!(ports(planner.next_path()), Some(vec![3, 1]));
        planner.report(Blame::Hop(0));
        assert_eq!(planner.next_path(), None);
    }

    #[test]
    fn a_chain_longer_than_the_list_and_an_empty_list_have_no_path() {
        let (two, none) = (proxies(2), proxies(0));
        for (kind, list) in [
            (ChainKind::Random { len: 3 }, &two),
            (ChainKind::RoundRobin { len: 3 }, &two),
            (ChainKind::Strict, &none),
            (ChainKind::Dynamic, &none),
            (ChainKind::Random { len: 0 }, &none),
            (ChainKind::RoundRobin { len: 0 }, &none),
        ] {
            assert_eq!(Planner::new(kind, list, NO_SEED).next_path(), None);
        }
    }

    fn kind() -> impl Strategy<Value = ChainKind> {
        prop_oneof![
            Just(ChainKind::Strict),
            Just(ChainKind::Dynamic),
            (0_usize..5).prop_map(|len| ChainKind::Random { len }),
            (0_usize..5).prop_map(|len| ChainKind::RoundRobin { len }),
        ]
    }

    proptest! {
        #[test]
        fn paths_are_never_empty_and_finite_for_any_reports(
            kind in kind(),
            count in 0_u16..8,
            turn: usize,
            seed: u64,
            blames in proptest::collection::vec(0_usize..9, 9),
        ) {
            let proxies = proxies(count);
            let mut planner = Planner::new(kind, &proxies, ChainSeed { turn, seed });
            for blame in blames {
                match ports(planner.next_path()) {
                    Some(path) => {
                        prop_assert!(!path.is_empty());
                        let distinct: HashSet<_> = path.iter().collect();
                        prop_assert_eq!(distinct.len(), path.len());
                    }
                    None => return Ok(()),
                }
                planner.report(Blame::Hop(blame));
            }
            prop_assert_eq!(planner.next_path(), None);
        }
    }
}
