//! Go's text forms: `strconv.Quote`, `%v`, `Sprintf`, durations and times.
//! It must never know expressions or tags.

mod duration;
mod float;
mod sprintf;
pub(crate) mod strftime;
pub(crate) mod time_format;
pub(crate) mod time_parse;

pub use duration::{format_duration, parse_duration};
pub use float::{exponent, float, shortest};
pub use sprintf::sprintf;
pub use strftime::strftime;
pub use time_format::format_time;
pub use time_parse::parse_time;

use crate::value::{IntKind, Value};

/// `strconv.Quote`: printable characters stay, everything else is escaped.
pub fn quote(text: &str) -> String {
    quote_bytes(text.as_bytes())
}

/// `strconv.Quote` of bytes that may be no UTF-8.
pub fn quote_bytes(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() + 2);
    out.push('"');
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            quote_char(c, &mut out);
        }
        for byte in chunk.invalid() {
            out.push_str(&format!("\\x{byte:02x}"));
        }
    }
    out.push('"');
    out
}

fn quote_char(c: char, out: &mut String) {
    match c {
        '"' => out.push_str("\\\""),
        '\\' => out.push_str("\\\\"),
        '\u{7}' => out.push_str("\\a"),
        '\u{8}' => out.push_str("\\b"),
        '\u{c}' => out.push_str("\\f"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        '\u{b}' => out.push_str("\\v"),
        c if is_print(c) => out.push(c),
        c if (c as u32) < 0x80 => out.push_str(&format!("\\x{:02x}", c as u32)),
        c if (c as u32) < 0x10000 => out.push_str(&format!("\\u{:04x}", c as u32)),
        c => out.push_str(&format!("\\U{:08x}", c as u32)),
    }
}

/// `unicode.IsPrint`, near enough: letters, marks, numbers, punctuation, symbols and the ASCII space.
fn is_print(c: char) -> bool {
    match c as u32 {
        0x20..=0x7e => true,
        0x00..=0xa0 | 0xad => false,
        // other spaces, format characters, private use, surrogates, specials
        0x0600..=0x0605 | 0x061c | 0x06dd | 0x070f | 0x1680 | 0x180e => false,
        0x2000..=0x200f | 0x2028..=0x202f | 0x205f..=0x206f | 0x3000 | 0xfeff => false,
        0xe000..=0xf8ff | 0xfff0..=0xfffb | 0xfffe..=0xffff => false,
        0xe0000..=0xe00ff | 0xe01f0..=0x10_ffff => false,
        0x0378..=0x0379 | 0x2fe0..=0x2fef => false,
        _ => true,
    }
}

/// `%v` of any integer.
pub(crate) fn integer(value: &Value) -> String {
    match value {
        Value::Int(n) => n.to_string(),
        Value::Sized(IntKind::Uint64, n) => (*n as u64).to_string(),
        Value::Sized(IntKind::Month | IntKind::Weekday, _) | Value::Sized(_, _) => match value {
            Value::Sized(_, n) => n.to_string(),
            _ => String::new(),
        },
        _ => String::new(),
    }
}

/// `fmt.Sprint` of one value, which is `%v`: maps as `map[a:1 b:2]`, lists as `[1 2]`.
pub fn value(value: &Value) -> String {
    let mut out = String::new();
    write_value(value, &mut out);
    out
}

fn write_value(value: &Value, out: &mut String) {
    match value {
        Value::Null => out.push_str("<nil>"),
        Value::Bool(b) => out.push_str(if *b { "true" } else { "false" }),
        Value::Int(n) => out.push_str(&n.to_string()),
        Value::Sized(IntKind::Month, n) => out.push_str(&named(&time_format::MONTHS, *n, 1, "%!Month(")),
        Value::Sized(IntKind::Weekday, n) => out.push_str(&named(&time_format::WEEKDAYS, *n, 0, "%!Weekday(")),
        Value::Sized(..) => out.push_str(&integer(value)),
        Value::Float(f) => out.push_str(&float(*f)),
        Value::Str(s) => out.push_str(s),
        Value::Raw(bytes) => out.push_str(&String::from_utf8_lossy(bytes)),
        Value::Bytes(bytes) => {
            let texts: Vec<String> = bytes.iter().map(u8::to_string).collect();
            out.push_str(&format!("[{}]", texts.join(" ")));
        }
        Value::List(items) | Value::Slice(_, items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(' ');
                }
                write_value(item, out);
            }
            out.push(']');
        }
        Value::Map(entries) | Value::StrMap(entries) => {
            out.push_str("map[");
            for (index, (key, item)) in entries.iter().enumerate() {
                if index > 0 {
                    out.push(' ');
                }
                out.push_str(key);
                out.push(':');
                write_value(item, out);
            }
            out.push(']');
        }
        Value::AnyMap(_, pairs) => {
            out.push_str("map[");
            for (index, (key, item)) in pairs.iter().enumerate() {
                if index > 0 {
                    out.push(' ');
                }
                write_value(key, out);
                out.push(':');
                write_value(item, out);
            }
            out.push(']');
        }
        Value::Time(t) => out.push_str(&t.to_text()),
        Value::Duration(ns) => out.push_str(&format_duration(*ns)),
        Value::Location(zone) => out.push_str(zone.name()),
        Value::Func(_) => out.push_str("0x0"),
        Value::Version(version) => out.push_str(&version.to_string()),
    }
}

fn named(names: &[&str], number: i64, base: i64, bad: &str) -> String {
    match usize::try_from(number - base).ok().and_then(|index| names.get(index)) {
        Some(name) => (*name).to_owned(),
        None => format!("{bad}{number})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_as_strconv() {
        assert_eq!(quote("a\"b\\\n\u{1}\u{7f}\u{e9}\u{2028}"), "\"a\\\"b\\\\\\n\\x01\\x7f\u{e9}\\u2028\"");
        assert_eq!(quote_bytes(b"\xffa"), "\"\\xffa\"");
    }

    #[test]
    fn prints_containers() {
        let value_of = Value::from_json("{\"b\":[1,2.5,null],\"a\":\"x\"}").unwrap();
        assert_eq!(value(&value_of), "map[a:x b:[1 2.5 <nil>]]");
    }
}
