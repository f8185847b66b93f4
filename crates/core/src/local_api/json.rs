//! A minimal JSON scanner (RFC 8259) that finds one string member of an object.

#![forbid(unsafe_code)]

/// Maximum nesting of arrays and objects.
const MAX_DEPTH: usize = 32;

/// The string value of member `key`, without its quotes and with escapes not decoded. `None` if `text` is not an object,
/// or does not have exactly one such member with a string value.
pub fn string_member<'t>(text: &'t [u8], key: &[u8]) -> Option<&'t [u8]> {
    let mut scanner = Scanner { rest: text };
    let mut found = None;
    scanner.expect(b'{')?;
    if scanner.peek()? == b'}' {
        return None;
    }
    loop {
        let name = scanner.string()?;
        scanner.expect(b':')?;
        if name == key {
            let value = scanner.string()?;
            if found.replace(value).is_some() {
                return None;
            }
        } else {
            scanner.skip_value()?;
        }
        match scanner.next()? {
            b',' => {}
            b'}' => break,
            _ => return None,
        }
    }
    match scanner.peek() {
        None => found,
        Some(_) => None,
    }
}

struct Scanner<'t> {
    rest: &'t [u8],
}

impl<'t> Scanner<'t> {
    /// The next byte that is not whitespace.
    fn peek(&mut self) -> Option<u8> {
        self.rest = self.rest.trim_ascii_start();
        self.rest.first().copied()
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.rest = self.rest.get(1..)?;
        Some(byte)
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        (self.next()? == byte).then_some(())
    }

    fn string(&mut self) -> Option<&'t [u8]> {
        self.expect(b'"')?;
        let mut is_escaped = false;
        for (at, &byte) in self.rest.iter().enumerate() {
            match byte {
                ..0x20 => return None,
                _ if is_escaped => is_escaped = false,
                b'\\' => is_escaped = true,
                b'"' => {
                    let (text, rest) = self.rest.split_at_checked(at)?;
                    self.rest = rest.get(1..)?;
                    return Some(text);
                }
                _ => {}
            }
        }
        None
    }

    /// Skips a value. Checks that brackets match, but not the grammar between them.
    fn skip_value(&mut self) -> Option<()> {
        let mut open = Vec::new();
        loop {
            match self.peek()? {
                b'"' => drop(self.string()?),
                bracket @ (b'{' | b'[') => {
                    self.next()?;
                    if open.len() == MAX_DEPTH {
                        return None;
                    }
                    open.push(if bracket == b'{' { b'}' } else { b']' });
                    continue;
                }
                b'}' | b']' => {
                    if Some(self.next()?) != open.pop() {
                        return None;
                    }
                }
                b',' | b':' if !open.is_empty() => {
                    self.next()?;
                    continue;
                }
                _ => self.word()?,
            }
            if open.is_empty() {
                return Some(());
            }
        }
    }

    /// A number, `true`, `false` or `null`.
    fn word(&mut self) -> Option<()> {
        let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || b"+-.".contains(byte);
        let length = self.rest.iter().take_while(|byte| is_word(byte)).count();
        self.rest = self.rest.get(length..)?;
        (length > 0).then_some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(text: &str) -> Option<&str> {
        string_member(text.as_bytes(), b"Bytes").map(|value| str::from_utf8(value).unwrap())
    }

    #[test]
    fn the_member_is_found_at_any_position() {
        for text in [
            r#"{"Bytes":"AAE=","Resolvers":[{"Addr":"10.0.0.1"}]}"#,
            r#"{"Resolvers":null,"Bytes":"AAE="}"#,
            "\n{ \"Resolvers\" : [ ] ,\n \"Bytes\" : \"AAE=\" }\n",
            r#"{"a":{"Bytes":"x","b":[1,-2.5e+3,true]},"Bytes":"AAE="}"#,
            r#"{"a\"Bytes\":":"}\\","Bytes":"AAE="}"#,
        ] {
            assert_eq!(bytes(text), Some("AAE="), "{text}");
        }
    }

    #[test]
    fn malformed_or_ambiguous_objects_are_rejected() {
        for text in [
            "",
            "{}",
            "[]",
            r#"{"Bytes":null}"#,
            r#"{"Bytes":1}"#,
            r#"{"bytes":"AAE="}"#,
            r#"{"Bytes":"AAE="} {"Bytes":"AAE="}"#,
            r#"{"Bytes":"AAE=","Bytes":"AAE="}"#,
            r#"{"Bytes":"AAE=""#,
            r#"{"Bytes":"AAE="#,
            r#"{"a":[},"Bytes":"AAE="}"#,
            r#"{"a":,"Bytes":"AAE="}"#,
            r#"{"a" "Bytes":"AAE="}"#,
            r#""Bytes":"AAE=""#,
            "{\"Bytes\":\"AA\nE=\"}",
            &format!(
                "{{\"a\":{}1{},\"Bytes\":\"\"}}",
                "[".repeat(33),
                "]".repeat(33)
            ),
        ] {
            assert_eq!(bytes(text), None, "{text}");
        }
    }
}
