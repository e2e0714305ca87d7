//! `%v` of any value.
//! It must never know expressions or tags.

use super::time_format::{MONTHS, WEEKDAYS};
use super::{float, format_duration};
use crate::value::{IntKind, Value};

/// `%v` of any integer.
pub(crate) fn integer(value: &Value) -> String {
    match value {
        Value::Sized(IntKind::Uint64, n) => (*n as u64).to_string(),
        Value::Int(n) | Value::Sized(_, n) => n.to_string(),
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
        Value::Sized(IntKind::Month, n) => out.push_str(&named(&MONTHS, *n, 1, "%!Month(")),
        Value::Sized(IntKind::Weekday, n) => out.push_str(&named(&WEEKDAYS, *n, 0, "%!Weekday(")),
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
    fn prints_containers() {
        let printed = Value::from_json("{\"b\":[1,2.5,null],\"a\":\"x\"}").unwrap();
        assert_eq!(value(&printed), "map[a:x b:[1 2.5 <nil>]]");
    }
}
