//! One hash for the index and for the checks of entries. It never changes within a layout version, which is
//! why it is not the standard library's.

#![forbid(unsafe_code)]

/// 64 bits over words, different for every `key`. Good mixing, no protection against somebody who knows the
/// key: the memory it guards is readable to its owner alone.
pub fn hash(key: u64, words: impl IntoIterator<Item = u64>) -> u64 {
    let mut state = key ^ 0x51_7c_c1_b7_27_22_0a_95;
    for word in words {
        state = mix(state ^ word).wrapping_add(0x9e37_79b9_7f4a_7c15);
    }
    mix(state)
}

/// The words of a text, the last one filled up with zeros. Texts that differ only in zeros at their end
/// have the same words: host names have none.
pub fn words(text: &[u8]) -> impl Iterator<Item = u64> + '_ {
    text.chunks(8).map(|chunk| {
        let mut word = [0; 8];
        for (to, from) in word.iter_mut().zip(chunk) {
            *to = *from;
        }
        u64::from_le_bytes(word)
    })
}

/// Every bit of the argument changes half of the result's (an xorshift-multiply finalizer, one-to-one).
fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
    x = (x ^ (x >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
    x ^ (x >> 32)
}
