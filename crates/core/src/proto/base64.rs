//! Base64 with padding (RFC 4648 section 4), for HTTP's Basic authentication.

#![forbid(unsafe_code)]

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

pub(super) fn encode(bytes: &[u8], out: &mut Vec<u8>) {
    for chunk in bytes.chunks(3) {
        let bits = (0..3).fold(0, |bits, i| {
            bits << 8 | u32::from(chunk.get(i).copied().unwrap_or(0))
        });
        for i in 0..4 {
            let six = (bits >> (18 - 6 * i)) & 0x3f;
            // Three bytes give four letters, two give three, one gives two.
            let letter = ALPHABET.get(six as usize).filter(|_| i <= chunk.len());
            out.push(letter.copied().unwrap_or(b'='));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
