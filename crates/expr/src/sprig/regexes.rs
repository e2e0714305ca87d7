//! Functions with regular expressions of Go's syntax.
//! It must never know values other than its arguments.

use regex::Regex;

use super::arguments::{int, text};
use crate::context::Budget;
use crate::goregex;
use crate::value::{SliceKind, Value};

pub(super) fn run(name: &str, args: &[Value], budget: &Budget<'_>) -> Result<Value, String> {
    let (pattern, subject) = (text(args, 0), text(args, 1));
    budget.step(pattern.len() * 16 + subject.len())?;
    if name == "regexQuoteMeta" {
        return Ok(quote_meta(&pattern).into());
    }
    if name == "regexMatch" {
        return Ok(goregex::compile(&pattern).is_ok_and(|regex| regex.is_match(&subject)).into());
    }
    let must = name.starts_with("must");
    let regex = if must { goregex::compile(&pattern)? } else { goregex::must_compile(&pattern)? };
    let name = name.strip_prefix("must").map_or_else(|| name.to_owned(), |rest| rest.replacen('R', "r", 1));
    let value = match name.as_str() {
        "regexMatch" => regex.is_match(&subject).into(),
        "regexFind" => regex.find(&subject).map_or("", |found| found.as_str()).into(),
        "regexFindAll" => find_all(&regex, &subject, int(args, 2)),
        "regexSplit" => split(&regex, &subject, int(args, 2)),
        _ => {
            let replacement = text(args, 2);
            let hits = regex.find_iter(&subject).count();
            budget.bytes(subject.len() + hits.saturating_mul(replacement.len() + subject.len() / hits.max(1)))?;
            match name.as_str() {
                "regexReplaceAll" => regex.replace_all(&subject, &*replacement).into_owned().into(),
                _ => regex.replace_all(&subject, regex::NoExpand(&replacement)).into_owned().into(),
            }
        }
    };
    let size = value.items().map_or(0, |items| items.len() * size_of::<Value>());
    budget.bytes(size + value.string_bytes().map_or(0, <[u8]>::len))?;
    Ok(value)
}

fn limit(count: i64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

fn find_all(regex: &Regex, subject: &str, count: i64) -> Value {
    Value::strings(regex.find_iter(subject).take(limit(count)).map(|found| found.as_str()))
}

/// `Regexp.Split`.
fn split(regex: &Regex, subject: &str, count: i64) -> Value {
    if count == 0 {
        return Value::Slice(SliceKind::Str, std::sync::Arc::new(Vec::new()));
    }
    if !regex.as_str().is_empty() && subject.is_empty() {
        return Value::strings([""]);
    }
    let mut parts = Vec::new();
    let (mut begin, mut end) = (0, 0);
    for found in regex.find_iter(subject).take(limit(count)) {
        if count > 0 && parts.len() + 1 == limit(count) {
            break;
        }
        end = found.start();
        if found.end() != 0 {
            parts.push(&subject[begin..end]);
        }
        begin = found.end();
    }
    if end != subject.len() {
        parts.push(&subject[begin..]);
    }
    Value::strings(parts)
}

fn quote_meta(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if "\\.+*?()|[]{}^$".contains(c) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}
