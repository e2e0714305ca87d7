//! JSON as Go's `encoding/json` reads and writes it, with its error texts.
//! It must never know tags or expressions.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::gofmt;
use crate::value::Value;

/// What numbers become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Numbers {
    /// An integer stays one.
    Exact,
    /// Always `float64`, as Go decodes into `interface{}`.
    Float,
}

/// Nesting that is read; Go allows 10,000, but every walk over a value must fit a small stack.
const DEPTH_MAX: usize = 200;

pub(crate) fn decode(text: &str, numbers: Numbers) -> Result<Value, String> {
    let mut reader = Reader { text: text.as_bytes(), at: 0, numbers };
    reader.space();
    let value = reader.value(0)?;
    reader.space();
    match reader.peek() {
        None => Ok(value),
        Some(_) => Err(reader.unexpected("after top-level value")),
    }
}

/// True if Go's `json.Valid` accepts the text.
pub(crate) fn is_valid(text: &str) -> bool {
    decode(text, Numbers::Float).is_ok()
}

struct Reader<'a> {
    text: &'a [u8],
    at: usize,
    numbers: Numbers,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    /// Go's scanner error for the character at the current position.
    fn unexpected(&self, context: &str) -> String {
        match self.peek() {
            None => "unexpected end of JSON input".to_owned(),
            Some(byte) => format!("invalid character {} {context}", quote_char(byte)),
        }
    }

    fn value(&mut self, depth: usize) -> Result<Value, String> {
        if depth > DEPTH_MAX {
            return Err("exceeded max depth".to_owned());
        }
        match self.peek() {
            Some(b'{') => self.object(depth),
            Some(b'[') => self.array(depth),
            Some(b'"') => Ok(Value::str(self.string()?)),
            Some(b't') => self.literal("true", Value::Bool(true)),
            Some(b'f') => self.literal("false", Value::Bool(false)),
            Some(b'n') => self.literal("null", Value::Null),
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ => Err(self.unexpected("looking for beginning of value")),
        }
    }

    fn literal(&mut self, word: &str, value: Value) -> Result<Value, String> {
        for (index, expected) in word.bytes().enumerate() {
            if self.peek() != Some(expected) {
                if index == 0 {
                    return Err(self.unexpected("looking for beginning of value"));
                }
                return Err(self.unexpected(&format!("in literal {word} (expecting {})", quote_char(expected))));
            }
            self.at += 1;
        }
        Ok(value)
    }

    fn array(&mut self, depth: usize) -> Result<Value, String> {
        self.at += 1;
        let mut items = Vec::new();
        self.space();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(Value::list(items));
        }
        loop {
            self.space();
            items.push(self.value(depth + 1)?);
            self.space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => {
                    self.at += 1;
                    return Ok(Value::list(items));
                }
                _ => return Err(self.unexpected("after array element")),
            }
        }
    }

    fn object(&mut self, depth: usize) -> Result<Value, String> {
        self.at += 1;
        let mut entries = BTreeMap::new();
        self.space();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(Value::map(entries));
        }
        loop {
            self.space();
            if self.peek() != Some(b'"') {
                return Err(self.unexpected("looking for beginning of object key string"));
            }
            let key: Arc<str> = self.string()?.into();
            self.space();
            if self.peek() != Some(b':') {
                return Err(self.unexpected("after object key"));
            }
            self.at += 1;
            self.space();
            let value = self.value(depth + 1)?;
            entries.insert(key, value);
            self.space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => {
                    self.at += 1;
                    return Ok(Value::map(entries));
                }
                _ => return Err(self.unexpected("after object key:value pair")),
            }
        }
    }

    fn number(&mut self) -> Result<Value, String> {
        let start = self.at;
        let mut float = false;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        match self.peek() {
            Some(b'0') => self.at += 1,
            Some(b'1'..=b'9') => self.digits(),
            _ => return Err(self.unexpected("in numeric literal")),
        }
        if self.peek() == Some(b'.') {
            float = true;
            self.at += 1;
            if !matches!(self.peek(), Some(b'0'..=b'9')) {
                return Err(self.unexpected("after decimal point in numeric literal"));
            }
            self.digits();
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            float = true;
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            if !matches!(self.peek(), Some(b'0'..=b'9')) {
                return Err(self.unexpected("in exponent of numeric literal"));
            }
            self.digits();
        }
        let text = std::str::from_utf8(&self.text[start..self.at]).unwrap_or("0");
        if !float
            && self.numbers == Numbers::Exact
            && let Ok(number) = text.parse::<i64>()
        {
            return Ok(Value::Int(number));
        }
        match text.parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(Value::Float(number)),
            _ => Err(format!("json: cannot unmarshal number {text} into Go value of type float64")),
        }
    }

    fn digits(&mut self) {
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
    }

    fn string(&mut self) -> Result<String, String> {
        self.at += 1;
        let mut out: Vec<u8> = Vec::new();
        loop {
            match self.peek() {
                None => return Err(self.unexpected("")),
                Some(b'"') => {
                    self.at += 1;
                    return Ok(String::from_utf8(out).unwrap_or_default());
                }
                Some(b'\\') => {
                    self.at += 1;
                    let decoded = self.escape()?;
                    let mut buffer = [0; 4];
                    out.extend_from_slice(decoded.encode_utf8(&mut buffer).as_bytes());
                }
                Some(byte) if byte < 0x20 => return Err(self.unexpected("in string literal")),
                Some(byte) => {
                    out.push(byte);
                    self.at += 1;
                }
            }
        }
    }

    fn escape(&mut self) -> Result<char, String> {
        let decoded = match self.peek() {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                self.at += 1;
                return self.unicode();
            }
            _ => return Err(self.unexpected("in string escape code")),
        };
        self.at += 1;
        Ok(decoded)
    }

    fn unicode(&mut self) -> Result<char, String> {
        let first = self.hex4()?;
        if (0xd800..0xdc00).contains(&first) && self.text.get(self.at..self.at + 2) == Some(b"\\u") {
            let back = self.at;
            self.at += 2;
            let second = self.hex4()?;
            if (0xdc00..0xe000).contains(&second) {
                let code = 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00);
                return Ok(char::from_u32(code).unwrap_or('\u{fffd}'));
            }
            self.at = back;
        }
        Ok(char::from_u32(first).unwrap_or('\u{fffd}'))
    }

    fn hex4(&mut self) -> Result<u32, String> {
        let mut code = 0;
        for _ in 0..4 {
            match self.peek().and_then(|byte| char::from(byte).to_digit(16)) {
                Some(digit) => code = code * 16 + digit,
                None => return Err(self.unexpected("in \\u hexadecimal character escape")),
            }
            self.at += 1;
        }
        Ok(code)
    }
}

fn quote_char(byte: u8) -> String {
    match byte {
        b'\'' => "'\\''".to_owned(),
        b'"' => "'\"'".to_owned(),
        other => {
            let quoted = gofmt::quote(&char::from(other).to_string());
            format!("'{}'", &quoted[1..quoted.len() - 1])
        }
    }
}

/// `json.Marshal`.
///
/// # Errors
/// Values that JSON has no form for.
pub(crate) fn encode(value: &Value) -> Result<String, String> {
    let mut out = String::new();
    Writer { indent: None, html: true }.write(value, 0, &mut out)?;
    Ok(out)
}

/// `json.MarshalIndent(value, "", "  ")`.
pub(crate) fn encode_indent(value: &Value, html: bool) -> Result<String, String> {
    let mut out = String::new();
    Writer { indent: Some("  "), html }.write(value, 0, &mut out)?;
    Ok(out)
}

/// Without escaping `<`, `>` and `&`.
pub(crate) fn encode_raw(value: &Value) -> Result<String, String> {
    let mut out = String::new();
    Writer { indent: None, html: false }.write(value, 0, &mut out)?;
    Ok(out)
}

struct Writer {
    indent: Option<&'static str>,
    html: bool,
}

impl Writer {
    fn write(&self, value: &Value, level: usize, out: &mut String) -> Result<(), String> {
        match value {
            Value::Null => out.push_str("null"),
            Value::Bool(b) => out.push_str(if *b { "true" } else { "false" }),
            Value::Int(n) | Value::Duration(n) => out.push_str(&n.to_string()),
            Value::Sized(..) => out.push_str(&gofmt::integer(value)),
            Value::Float(f) => out.push_str(&number(*f)?),
            Value::Str(s) => write_string(s, self.html, out),
            Value::Raw(bytes) => write_string(&String::from_utf8_lossy(bytes), self.html, out),
            Value::Bytes(bytes) => write_string(&crate::base64::encode(bytes), self.html, out),
            Value::List(items) | Value::Slice(_, items) => self.array(items, level, out)?,
            Value::Map(entries) | Value::StrMap(entries) => {
                self.object(entries.iter().map(|(key, item)| (key.as_ref(), item)), entries.len(), level, out)?;
            }
            Value::AnyMap(..) => return Err(format!("json: unsupported type: {}", value.go_type())),
            Value::Time(t) => write_string(&t.rfc3339_nano(), self.html, out),
            Value::Location(_) => out.push_str("{}"),
            Value::Func(_) => return Err(format!("json: unsupported type: {}", value.go_type())),
            Value::Version(version) => write_string(&version.to_string(), self.html, out),
        }
        Ok(())
    }

    fn array(&self, items: &[Value], level: usize, out: &mut String) -> Result<(), String> {
        out.push('[');
        for (index, item) in items.iter().enumerate() {
            if index > 0 {
                out.push(',');
            }
            self.newline(level + 1, out);
            self.write(item, level + 1, out)?;
        }
        if !items.is_empty() {
            self.newline(level, out);
        }
        out.push(']');
        Ok(())
    }

    fn object<'v>(
        &self,
        entries: impl Iterator<Item = (&'v str, &'v Value)>,
        count: usize,
        level: usize,
        out: &mut String,
    ) -> Result<(), String> {
        out.push('{');
        for (index, (key, item)) in entries.enumerate() {
            if index > 0 {
                out.push(',');
            }
            self.newline(level + 1, out);
            write_string(key, self.html, out);
            out.push(':');
            if self.indent.is_some() {
                out.push(' ');
            }
            self.write(item, level + 1, out)?;
        }
        if count > 0 {
            self.newline(level, out);
        }
        out.push('}');
        Ok(())
    }

    fn newline(&self, level: usize, out: &mut String) {
        if let Some(indent) = self.indent {
            out.push('\n');
            for _ in 0..level {
                out.push_str(indent);
            }
        }
    }
}

/// A float as `encoding/json` writes it: like ES6, exponent only outside 1e-6 … 1e21.
fn number(f: f64) -> Result<String, String> {
    if !f.is_finite() {
        return Err(format!("json: unsupported value: {}", gofmt::float(f)));
    }
    let size = f.abs();
    if size != 0.0 && !(1e-6..1e21).contains(&size) {
        let text = gofmt::exponent(f);
        // Go cleans e-09 to e-9.
        return Ok(match text.find("e-0") {
            Some(at) => format!("{}{}", &text[..at + 2], &text[at + 3..]),
            None => text,
        });
    }
    Ok(format!("{f}"))
}

/// Appends `text` as a JSON string in the way of Go's `encoding/json`; `html`: with `<`, `>` and `&` escaped, as `json.Marshal` does.
pub fn write_string(text: &str, html: bool, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '<' | '>' | '&' if html => out.push_str(&format!("\\u{:04x}", c as u32)),
            '\u{2028}' | '\u{2029}' => out.push_str(&format!("\\u{:04x}", c as u32)),
            c if (c as u32) < 0x20 => out.push_str(&format!("\\u{:04x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_stay_integers() {
        assert_eq!(Value::from_json("9007199254740993").unwrap().go_type(), "int");
        assert_eq!(Value::from_json("1.0").unwrap().go_type(), "float64");
        assert_eq!(Value::from_json("12345678901234567890").unwrap().go_type(), "float64");
    }

    #[test]
    fn errors_read_as_in_go() {
        let error = |text| Value::from_json(text).unwrap_err();
        assert_eq!(error(""), "unexpected end of JSON input");
        assert_eq!(error("nan"), "invalid character 'a' in literal null (expecting 'u')");
        assert_eq!(error("[1,]"), "invalid character ']' looking for beginning of value");
        assert_eq!(error("1 2"), "invalid character '2' after top-level value");
    }

    #[test]
    fn deep_nesting_is_an_error() {
        let text = "[".repeat(100_000);
        assert!(Value::from_json(&text).is_err());
    }

    #[test]
    fn escapes_html_and_numbers() {
        assert_eq!(Value::str("<&>\u{2028}").to_json(), "\"\\u003c\\u0026\\u003e\\u2028\"");
        assert_eq!(Value::Float(1e21).to_json(), "1e+21");
        assert_eq!(Value::Float(1e-9).to_json(), "1e-9");
        assert_eq!(Value::Float(123_456_789.0).to_json(), "123456789");
    }
}
