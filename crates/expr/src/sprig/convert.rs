//! Loose conversions: `strval`, `strslice`, spf13/cast's numbers and emptiness.
//! It must never know which function asks.

use crate::gofmt;
use crate::lang::operators::truncate;
use crate::value::{IntKind, Value};

/// Text of anything, as `%v`.
pub(super) fn to_text(value: &Value) -> String {
    match value {
        Value::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        other => gofmt::value(other),
    }
}

/// Texts of the elements that are not nil; of something that is no list, the one text.
pub(super) fn to_texts(value: &Value) -> Vec<String> {
    match value {
        Value::Null => Vec::new(),
        Value::Bytes(bytes) => bytes.iter().map(u8::to_string).collect(),
        other => match other.items() {
            Some(items) => items.iter().filter(|item| !matches!(item, Value::Null)).map(to_text).collect(),
            None => vec![to_text(other)],
        },
    }
}

/// `cast.ToInt64`: 0 for what is no number.
pub(super) fn to_int(value: &Value) -> i64 {
    match value {
        Value::Int(n) | Value::Sized(_, n) => *n,
        Value::Float(f) => truncate(*f),
        Value::Bool(b) => i64::from(*b),
        Value::Str(text) => parse_int(trim_decimal(text)),
        _ => 0,
    }
}

/// `cast.ToFloat64`: 0 for what is no number.
pub(super) fn to_float(value: &Value) -> f64 {
    match value {
        Value::Float(f) => *f,
        Value::Sized(IntKind::Uint64, n) => *n as u64 as f64,
        Value::Int(n) | Value::Sized(_, n) | Value::Duration(n) => *n as f64,
        Value::Bool(b) => f64::from(u8::from(*b)),
        Value::Str(text) => crate::lang::parse_float(text).unwrap_or(0.0),
        _ => 0.0,
    }
}

/// The integer part of a plain decimal; any other text as it is.
fn trim_decimal(text: &str) -> &str {
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    match text.split_once('.') {
        Some((whole, fraction)) if digits(whole.trim_start_matches(['+', '-'])) && digits(fraction) => whole,
        _ => text,
    }
}

/// `strconv.ParseInt(text, 0, 0)`: with prefixes for the base; 0 if it is none.
fn parse_int(text: &str) -> i64 {
    let (negative, digits) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    let lower = digits.to_ascii_lowercase();
    let (base, body) = match lower.as_bytes() {
        [b'0', b'x', ..] => (16, &lower[2..]),
        [b'0', b'b', ..] => (2, &lower[2..]),
        [b'0', b'o', ..] => (8, &lower[2..]),
        [b'0', _, ..] => (8, &lower[1..]),
        _ => (10, lower.as_str()),
    };
    if body.ends_with('_') || body.contains("__") || (body.starts_with('_') && base == 10) {
        return 0;
    }
    let body = body.replace('_', "");
    if body.starts_with(['+', '-']) {
        return 0;
    }
    let sign = if negative { "-" } else { "" };
    i64::from_str_radix(&format!("{sign}{body}"), base).unwrap_or(0)
}

/// sprig's `empty`: nil, false, zero, no elements.
pub(super) fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(b) => !b,
        Value::Int(n) | Value::Sized(_, n) | Value::Duration(n) => *n == 0,
        Value::Float(f) => *f == 0.0,
        Value::Str(s) => s.is_empty(),
        Value::Raw(bytes) | Value::Bytes(bytes) => bytes.is_empty(),
        Value::List(items) | Value::Slice(_, items) => items.is_empty(),
        Value::Map(entries) | Value::StrMap(entries) => entries.is_empty(),
        Value::AnyMap(_, pairs) => pairs.is_empty(),
        Value::Time(_) | Value::Location(_) | Value::Func(_) | Value::Version(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_from_text() {
        for (text, number) in
            [("12", 12), ("1.00", 1), ("1.5", 1), ("1_000", 1000), ("0x1f", 31), ("010", 8), ("-3", -3), ("x", 0)]
        {
            assert_eq!(to_int(&text.into()), number, "{text}");
        }
    }
}
