//! JSON text to a tree, with the spelling of numbers kept: JSON documents are read as JSON, not as YAML.
//! It must never know what a document means.

use super::YamlError;
use super::load::DEPTH_MAX;
use super::node::{Entry, Node, Scalar, Style, Value};
use crate::diagnostic::Span;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry as MapEntry;
use std::rc::Rc;

/// Bytes of a line up to which characters are counted.
const COLUMNS_COUNTED: usize = 4096;

/// Reads one JSON value (RFC 8259); a key that is there twice has its last value.
pub fn load_json(text: &str) -> Result<Rc<Node>, YamlError> {
    let lines = text.bytes().enumerate().filter(|(_, b)| *b == b'\n').map(|(i, _)| i + 1);
    let mut reader = Reader { text, lines: std::iter::once(0).chain(lines).collect(), at: 0, depth: 0 };
    let node = reader.value()?;
    reader.blanks();
    if reader.at < text.len() { Err(reader.fault("something follows the value")) } else { Ok(node) }
}

struct Reader<'t> {
    text: &'t str,
    /// Where each line begins.
    lines: Vec<usize>,
    at: usize,
    depth: usize,
}

impl Reader<'_> {
    fn fault(&self, message: &str) -> YamlError {
        let mut at = self.at.min(self.text.len());
        while !self.text.is_char_boundary(at) {
            at -= 1;
        }
        YamlError::with_help(self.span(at, at + 1), format!("this is not JSON: {message}"), "correct it here")
    }

    fn span(&self, start: usize, end: usize) -> Span {
        let line = self.lines.partition_point(|begin| *begin <= start);
        let begin = self.lines[line - 1];
        // In one endless line bytes have to do.
        let column =
            if start - begin > COLUMNS_COUNTED { start - begin } else { self.text[begin..start].chars().count() };
        Span { start, end, line: line as u32, column: column as u32 + 1 }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn expect(&mut self, byte: u8) -> Result<(), YamlError> {
        self.blanks();
        if self.peek() != Some(byte) {
            return Err(self.fault(&format!("`{}` is missing", byte as char)));
        }
        self.at += 1;
        Ok(())
    }

    fn node(&self, start: usize, value: Value) -> Rc<Node> {
        Rc::new(Node { span: self.span(start, self.at), value })
    }

    fn value(&mut self) -> Result<Rc<Node>, YamlError> {
        self.blanks();
        let start = self.at;
        match self.peek() {
            Some(b'{') => self.nested(Self::object),
            Some(b'[') => self.nested(Self::array),
            Some(b'"') => {
                let text = self.string()?;
                Ok(self.node(start, scalar(text, Style::Quoted)))
            }
            Some(b'-' | b'0'..=b'9') => {
                let text = self.number()?;
                Ok(self.node(start, scalar(text, Style::Plain)))
            }
            _ => {
                let word = ["true", "false", "null"].into_iter().find(|word| self.text[self.at..].starts_with(word));
                let Some(word) = word else { return Err(self.fault("a value is missing")) };
                self.at += word.len();
                Ok(self.node(start, scalar(word.to_owned(), Style::Plain)))
            }
        }
    }

    fn nested(&mut self, read: fn(&mut Self) -> Result<Rc<Node>, YamlError>) -> Result<Rc<Node>, YamlError> {
        if self.depth >= DEPTH_MAX {
            return Err(self.fault(&format!("values are nested more than {DEPTH_MAX} deep")));
        }
        self.depth += 1;
        let node = read(self);
        self.depth -= 1;
        node
    }

    fn array(&mut self) -> Result<Rc<Node>, YamlError> {
        let start = self.at;
        self.at += 1;
        let mut items = Vec::new();
        self.blanks();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(self.node(start, Value::Sequence(items)));
        }
        loop {
            items.push(self.value()?);
            self.blanks();
            if self.peek() == Some(b',') {
                self.at += 1;
                continue;
            }
            self.expect(b']')?;
            return Ok(self.node(start, Value::Sequence(items)));
        }
    }

    fn object(&mut self) -> Result<Rc<Node>, YamlError> {
        let start = self.at;
        self.at += 1;
        let mut entries: Vec<Entry> = Vec::new();
        let mut places = BTreeMap::new();
        self.blanks();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(self.node(start, Value::Mapping(entries)));
        }
        loop {
            self.blanks();
            let key_start = self.at;
            if self.peek() != Some(b'"') {
                return Err(self.fault("a key is missing"));
            }
            let key = self.string()?;
            let key = self.node(key_start, scalar(key, Style::Quoted));
            self.expect(b':')?;
            let value = self.value()?;
            let text = key.key_text().unwrap_or_default().to_owned();
            match places.entry(text) {
                MapEntry::Vacant(place) => {
                    place.insert(entries.len());
                    entries.push(Entry { key, value });
                }
                MapEntry::Occupied(place) => entries[*place.get()] = Entry { key, value },
            }
            self.blanks();
            if self.peek() == Some(b',') {
                self.at += 1;
                continue;
            }
            self.expect(b'}')?;
            return Ok(self.node(start, Value::Mapping(entries)));
        }
    }

    fn digits(&mut self) -> usize {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        self.at - start
    }

    fn number(&mut self) -> Result<String, YamlError> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        let leading_zero = self.peek() == Some(b'0');
        let whole = self.digits();
        if whole == 0 || (leading_zero && whole > 1) {
            return Err(self.fault("a number is malformed"));
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            if self.digits() == 0 {
                return Err(self.fault("a number is malformed"));
            }
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            if self.digits() == 0 {
                return Err(self.fault("a number is malformed"));
            }
        }
        Ok(self.text[start..self.at].to_owned())
    }

    fn string(&mut self) -> Result<String, YamlError> {
        self.at += 1;
        let mut out = String::new();
        loop {
            let rest = &self.text[self.at..];
            let Some(c) = rest.chars().next() else { return Err(self.fault("a string does not end")) };
            self.at += c.len_utf8();
            match c {
                '"' => return Ok(out),
                '\\' => out.push(self.escape()?),
                c if c < ' ' => return Err(self.fault("a control character stands in a string")),
                c => out.push(c),
            }
        }
    }

    fn escape(&mut self) -> Result<char, YamlError> {
        let Some(byte) = self.peek() else { return Err(self.fault("a string does not end")) };
        self.at += 1;
        Ok(match byte {
            b'"' | b'\\' | b'/' => byte as char,
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => self.unit()?,
            _ => return Err(self.fault("an escape is unknown")),
        })
    }

    /// `\uXXXX`, with its second half if it is a surrogate; halves alone become U+FFFD as in Go.
    fn unit(&mut self) -> Result<char, YamlError> {
        let first = self.hex()?;
        if (0xd800..0xdc00).contains(&first) && self.text[self.at..].starts_with("\\u") {
            let back = self.at;
            self.at += 2;
            let second = self.hex()?;
            if (0xdc00..0xe000).contains(&second) {
                let code = 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00);
                return Ok(char::from_u32(code).unwrap_or('\u{fffd}'));
            }
            self.at = back;
        }
        Ok(char::from_u32(first).unwrap_or('\u{fffd}'))
    }

    fn hex(&mut self) -> Result<u32, YamlError> {
        let digits = self.text.get(self.at..self.at + 4).filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()));
        let Some(digits) = digits else { return Err(self.fault("an escape is malformed")) };
        self.at += 4;
        Ok(u32::from_str_radix(digits, 16).unwrap_or_default())
    }
}

fn scalar(text: String, style: Style) -> Value {
    Value::Scalar(Scalar { text: text.into(), style, tag: None })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml::to_json;

    #[test]
    fn json_is_read_and_printed() {
        let text = r#" {"b": [1, -2.5e3, true, null], "a": "x\u00e9\ud83d\ude00\n"} "#;
        let node = load_json(text).expect("JSON");
        assert_eq!(to_json(&node).expect("JSON"), "{\"a\":\"xé😀\\n\",\"b\":[1,-2500,true,null]}");
    }

    #[test]
    fn what_is_not_json_is_refused() {
        for bad in ["", "01", "nan", "[1,]", "{\"a\":}", "\"a", "1 2", "{a: 1}", "\"\\x\"", "-"] {
            assert!(load_json(bad).is_err(), "{bad}");
        }
        let deep = "[".repeat(10_000);
        assert!(load_json(&deep).is_err());
    }
}
