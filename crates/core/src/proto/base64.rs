//! Base64 with padding (RFC 4648 section 4), for HTTP's Basic authentication and tailscaled's LocalAPI.

#![forbid(unsafe_code)]

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

pub(crate) fn encode(bytes: &[u8], out: &mut Vec<u8>) {
    for chunk in bytes.chunks(3) {
        let bits = (0..3).fold(0, |bits, i| {
            bits << 8 | u32::from(chunk.get(i).copied().unwrap_or(0))
        });
        for i in 0..4 {
            let six = (bits >> (18 - 6 * i)) & 0x3f;
            // Three bytes make four letters, two make three, one makes two.
            let letter = ALPHABET.get(six as usize).filter(|_| i <= chunk.len());
            out.push(letter.copied().unwrap_or(b'='));
        }
    }
}

/// `None` for anything that [`encode`] does not write.
pub(crate) fn decode(text: &[u8]) -> Option<Vec<u8>> {
    let (quads, rest) = text.as_chunks::<4>();
    if !rest.is_empty() {
        return None;
    }
    let mut bytes = Vec::with_capacity(quads.len() * 3);
    for (quad, left) in quads.iter().zip((0..quads.len()).rev()) {
        let padding = quad
            .iter()
            .rev()
            .take_while(|&&letter| letter == b'=')
            .count();
        if padding > 2 || padding > 0 && left > 0 {
            return None;
        }
        let mut bits = 0u32;
        for &letter in quad.iter().take(4 - padding) {
            let six = ALPHABET.iter().position(|&known| known == letter)?;
            bits = bits << 6 | u32::try_from(six).ok()?;
        }
        bits <<= 6 * padding;
        let [_, three @ ..] = bits.to_be_bytes();
        let (data, unused) = three.split_at_checked(3 - padding)?;
        if unused.iter().any(|&byte| byte != 0) {
            return None;
        }
        bytes.extend_from_slice(data);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes_what_it_encodes_and_nothing_else() {
        for length in 0..70u8 {
            let plain: Vec<u8> = (0..length).map(|byte| byte.wrapping_mul(37)).collect();
            let mut coded = Vec::new();
            encode(&plain, &mut coded);
            assert_eq!(decode(&coded), Some(plain));
        }
        for other in [
            "Zg", "Zg=", "Zg=a", "Z===", "====", "Zh==", "Zm9=", "Zg==Zg==", "Zm 9", "Zm9_",
        ] {
            assert_eq!(decode(other.as_bytes()), None, "{other}");
        }
    }

    #[test]
    fn encodes_the_test_vectors_of_rfc_4648() {
        for (plain, coded) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            let mut out = Vec::new();
            encode(plain.as_bytes(), &mut out);
            assert_eq!(out, coded.as_bytes());
        }
    }

    #[test]
    fn encodes_bytes_beyond_ascii() {
        let mut out = Vec::new();
        encode(&[0xff, 0xfe, 0xfb], &mut out);
        assert_eq!(out, b"//77");
    }
}
