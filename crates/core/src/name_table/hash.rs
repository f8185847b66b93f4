//! The hash of the index and of the check words. It must never change within a layout version, which rules out the
//! standard library's.

#![forbid(unsafe_code)]

/// A 64-bit hash of `words`, keyed with `key`. It mixes well but does not resist an attacker who knows the key: only
/// its owner can access the table.
pub fn hash(key: u64, words: impl IntoIterator<Item = u64>) -> u64 {
    let mut state = key ^ 0x51_7c_c1_b7_27_22_0a_95;
    for word in words {
        state = mix(state ^ word).wrapping_add(0x9e37_79b9_7f4a_7c15);
    }
    mix(state)
}

/// The bytes of `text` as words, the last one padded with zeros. Texts that differ only in trailing zeros have the same
/// words; host names have none.
pub fn words(text: &[u8]) -> impl Iterator<Item = u64> + '_ {
    text.chunks(8).map(|chunk| {
        let mut word = [0; 8];
        for (to, from) in word.iter_mut().zip(chunk) {
            *to = *from;
        }
        u64::from_le_bytes(word)
    })
}

/// An xorshift-multiply finalizer (a bijection): each input bit flips half of the output bits on average.
fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
    x = (x ^ (x >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
    x ^ (x >> 32)
}
