//! As much of JSON (RFC 8259) as it takes to find one string in an object.

#![forbid(unsafe_code)]

/// Arrays and objects within each other.
const DEEPEST: usize = 32;

/// The string that an object has under `key`, without its quotes and with its escapes as they are. `None` if the text is
/// no object, or has no such member or several, or it is no string.
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
    /// The next byte that is no blank.
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

    /// A value of no interest. What is between its brackets is not looked at closely.
    fn skip_value(&mut self) -> Option<()> {
        let mut open = Vec::new();
        loop {
            match self.peek()? {
                b'"' => drop(self.string()?),
                bracket @ (b'{' | b'[') => {
                    self.next()?;
                    if open.len() == DEEPEST {
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

    /// A number, or one of the three names.
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
    fn a_string_is_found_wherever_it_stands() {
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
    fn what_is_not_exactly_that_is_nothing() {
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
