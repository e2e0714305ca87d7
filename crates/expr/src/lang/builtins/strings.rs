//! Builtins on strings, JSON and base64.
//! It must never know types known before the run.

use super::super::operators::{conversion, to_int};
use super::missing;
use crate::base64;
use crate::context::{Budget, ELEMENTS_MAX, MEMORY};
use crate::gofmt;
use crate::json;
use crate::value::Value;

/// A string argument, as a Go type assertion demands it.
pub(crate) fn text(value: &Value) -> Result<&str, String> {
    value.as_str().ok_or_else(|| conversion(value, "string"))
}

pub(super) fn compute(name: &str, args: &[Value], budget: &Budget<'_>) -> Result<Value, String> {
    let first = missing(args, 0)?;
    match name {
        "type" => return Ok(type_name(first).into()),
        "string" => return sized(gofmt::value(first), budget),
        "toJSON" => return sized(json::encode_indent(first, true)?, budget),
        "join" => return join(args, budget),
        "repeat" => return repeat(text(first)?, missing(args, 1)?, budget),
        "toBase64" => {
            let bytes = first.string_bytes().ok_or_else(|| conversion(first, "string"))?;
            return sized(base64::encode(bytes), budget);
        }
        _ => {}
    }
    let s = text(first)?;
    budget.bytes(s.len())?;
    let second = || missing(args, 1).and_then(text);
    Ok(match name {
        "trim" if args.len() == 1 => s.trim().into(),
        "trim" => {
            let cut = second()?;
            s.trim_matches(|c| cut.contains(c)).into()
        }
        "trimPrefix" => s.strip_prefix(if args.len() > 1 { second()? } else { " " }).unwrap_or(s).into(),
        "trimSuffix" => s.strip_suffix(if args.len() > 1 { second()? } else { " " }).unwrap_or(s).into(),
        "upper" => to_upper(s).into(),
        "lower" => to_lower(s).into(),
        "indexOf" => Value::Int(s.find(second()?).map_or(-1, |at| at as i64)),
        "lastIndexOf" => Value::Int(s.rfind(second()?).map_or(-1, |at| at as i64)),
        "hasPrefix" => s.starts_with(second()?).into(),
        "hasSuffix" => s.ends_with(second()?).into(),
        "split" | "splitAfter" => {
            let count = match args.get(2) {
                Some(count) => to_int(count)?,
                None => -1,
            };
            let parts = split(s, second()?, count, name == "splitAfter");
            budget.bytes(parts.len() * size_of::<Value>())?;
            Value::strings(parts)
        }
        "replace" => {
            let count = match args.get(3) {
                Some(count) => to_int(count)?,
                None => -1,
            };
            return replace(s, second()?, missing(args, 2).and_then(text)?, count, budget);
        }
        "fromJSON" => return json::decode(s, json::Numbers::Float),
        "fromBase64" => Value::from_bytes(base64::decode(s.as_bytes())?),
        _ => return Err(format!("unknown builtin {name}")),
    })
}

/// `unicode.ToUpper`: one character for one, or it stays.
pub(crate) fn upper_char(c: char) -> char {
    let mut upper = c.to_uppercase();
    match (upper.next(), upper.next()) {
        (Some(one), None) => one,
        _ => c,
    }
}

/// `unicode.ToLower`: one character for one.
pub(crate) fn lower_char(c: char) -> char {
    c.to_lowercase().next().unwrap_or(c)
}

/// `strings.ToUpper`.
pub(crate) fn to_upper(text: &str) -> String {
    text.chars().map(upper_char).collect()
}

/// `strings.ToLower`.
pub(crate) fn to_lower(text: &str) -> String {
    text.chars().map(lower_char).collect()
}

fn sized(text: String, budget: &Budget<'_>) -> Result<Value, String> {
    budget.bytes(text.len())?;
    Ok(text.into())
}

/// What `type()` says: the kind, or the full name of a named type.
fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "nil",
        Value::Time(_) => "time.Time",
        Value::Duration(_) => "time.Duration",
        Value::Sized(kind, _) if kind.is_named() => kind.name(),
        Value::Sized(..) | Value::Int(_) => match value.kind() {
            "uint8" | "uint32" | "uint64" => "uint",
            _ => "int",
        },
        Value::Float(_) => "float",
        Value::Bool(_) => "bool",
        Value::Str(_) | Value::Raw(_) => "string",
        Value::Bytes(_) | Value::List(_) | Value::Slice(..) => "array",
        Value::Map(_) | Value::StrMap(_) | Value::AnyMap(..) => "map",
        Value::Func(_) => "func",
        Value::Location(_) | Value::Version(_) => "unknown",
    }
}

/// `strings.SplitN` and `SplitAfterN`; -1 is no limit.
pub(crate) fn split<'t>(text: &'t str, separator: &str, count: i64, keep: bool) -> Vec<&'t str> {
    if count == 0 {
        return Vec::new();
    }
    let limit = usize::try_from(count).unwrap_or(usize::MAX);
    let mut parts = Vec::new();
    let mut rest = text;
    if separator.is_empty() {
        while !rest.is_empty() && parts.len() + 1 < limit {
            let end = rest.chars().next().map_or(rest.len(), char::len_utf8);
            parts.push(&rest[..end]);
            rest = &rest[end..];
        }
        if !rest.is_empty() {
            parts.push(rest);
        }
        return parts;
    }
    while parts.len() + 1 < limit {
        let Some(at) = rest.find(separator) else { break };
        parts.push(&rest[..if keep { at + separator.len() } else { at }]);
        rest = &rest[at + separator.len()..];
    }
    parts.push(rest);
    parts
}

/// `strings.Replace`; -1 is no limit. An empty `old` matches before every character and at the end.
pub(crate) fn replace(s: &str, old: &str, new: &str, count: i64, budget: &Budget<'_>) -> Result<Value, String> {
    let matches = if old.is_empty() { s.chars().count() + 1 } else { s.matches(old).count() };
    let limit = usize::try_from(count).unwrap_or(usize::MAX).min(matches);
    budget.bytes(s.len().saturating_add(limit.saturating_mul(new.len())))?;
    Ok(s.replacen(old, new, limit).into())
}

/// `strings.Repeat` within the budget.
pub(crate) fn repeat(s: &str, count: &Value, budget: &Budget<'_>) -> Result<Value, String> {
    let count = to_int(count)?;
    if count < 0 {
        return Err(format!("invalid argument for repeat (expected positive integer, got {count})"));
    }
    if count > ELEMENTS_MAX {
        return Err(MEMORY.to_owned());
    }
    // Upstream counts each byte as an element; bytes are what they cost here.
    let size = s.len().saturating_mul(count as usize);
    if size >= ELEMENTS_MAX as usize {
        return Err(MEMORY.to_owned());
    }
    budget.bytes(size)?;
    Ok(s.repeat(count as usize).into())
}

fn join(args: &[Value], budget: &Budget<'_>) -> Result<Value, String> {
    let list = missing(args, 0)?;
    let glue = match args.get(1) {
        Some(glue) => text(glue)?,
        None => "",
    };
    let Some(items) = list.items().filter(|_| list.go_type() != "[]int") else {
        return Err(format!("invalid argument for join (type {})", list.printed_type()));
    };
    let mut parts = Vec::with_capacity(items.len());
    for item in items.iter() {
        let part = text(item)?;
        budget.bytes(part.len() + glue.len())?;
        parts.push(part);
    }
    Ok(parts.join(glue).into())
}
