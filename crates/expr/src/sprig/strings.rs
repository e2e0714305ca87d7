//! Functions on strings.
//! It must never know values other than its arguments.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::arguments::{bytes, int, text};
use super::convert::{to_text, to_texts};
use crate::context::{Budget, ELEMENTS_MAX, MEMORY};
use crate::gofmt;
use crate::lang::{replace, split, to_lower, to_upper};
use crate::value::Value;

pub(super) fn run(name: &str, args: &[Value], budget: &Budget<'_>) -> Result<Value, String> {
    let first = text(args, 0);
    let second = text(args, 1);
    let result = match name {
        "hello" => "Hello!".into(),
        "trim" => first.trim().into(),
        "upper" => to_upper(&first).into(),
        "lower" => to_lower(&first).into(),
        "trimAll" | "trimall" => second.trim_matches(|c| first.contains(c)).into(),
        "trimSuffix" => second.strip_suffix(&*first).unwrap_or(&second).into(),
        "trimPrefix" => second.strip_prefix(&*first).unwrap_or(&second).into(),
        "contains" => second.contains(&*first).into(),
        "hasPrefix" => second.starts_with(&*first).into(),
        "hasSuffix" => second.ends_with(&*first).into(),
        "replace" => return replace(&text(args, 2), &first, &second, -1, budget),
        "repeat" => return repeat(int(args, 0), &second, budget),
        "plural" => (if int(args, 2) == 1 { first } else { second }).into_owned().into(),
        "indent" => return indent(int(args, 0), &second, "", budget),
        "nindent" => return indent(int(args, 0), &second, "\n", budget),
        "trunc" => trunc(int(args, 0), bytes(args, 1)),
        "substr" => return substr(int(args, 0), int(args, 1), bytes(args, 2)),
        "abbrev" => abbreviate(bytes(args, 1), 0, int(args, 0)),
        "abbrevboth" => {
            let (left, right) = (int(args, 0), int(args, 1));
            if right < 4 || left > 0 && right < 7 {
                return Ok(args[2].clone());
            }
            abbreviate(bytes(args, 2), left, right)
        }
        "quote" => spaced(args, |arg| gofmt::quote(&to_text(arg))),
        "squote" => spaced(args, |arg| format!("'{}'", to_text(arg))),
        "cat" => spaced(args, gofmt::value),
        "toString" => match &args[0] {
            raw @ Value::Raw(_) => raw.clone(),
            other => to_text(other).into(),
        },
        "toStrings" => Value::strings(to_texts(&args[0])),
        "join" => to_texts(&args[1]).join(&first).into(),
        "sortAlpha" => {
            let mut texts = if args[0].items().is_some() { to_texts(&args[0]) } else { vec![to_text(&args[0])] };
            texts.sort();
            Value::strings(texts)
        }
        "split" => numbered(split(&second, &first, -1, false)),
        "splitn" => numbered(split(&text(args, 2), &first, int(args, 1), false)),
        "splitList" => Value::strings(split(&second, &first, -1, false)),
        "fail" => return Err(first.into_owned()),
        _ => return Err(format!("sprig.{name} is not supported")),
    };
    budget.bytes(result.string_bytes().map_or(0, <[u8]>::len))?;
    Ok(result)
}

/// Functions that exist upstream and are refused here.
pub(super) fn unsupported(name: &str, args: &[Value], _budget: &Budget<'_>) -> Result<Value, String> {
    match name {
        "genPrivateKey" if !matches!(&*text(args, 0), "" | "rsa" | "dsa" | "ecdsa" | "ed25519") => {
            Ok(format!("Unknown type {}", text(args, 0)).into())
        }
        "htpasswd" if text(args, 0).contains(':') => Ok(format!("invalid username: {}", text(args, 0)).into()),
        "decryptAES" => match crate::base64::decode(bytes(args, 1)) {
            Err(message) => Err(message),
            Ok(_) => Err("sprig.decryptAES is not supported".to_owned()),
        },
        _ => Err(format!("sprig.{name} is not supported")),
    }
}

fn spaced(args: &[Value], show: impl Fn(&Value) -> String) -> Value {
    let shown: Vec<String> = args.iter().filter(|arg| !matches!(arg, Value::Null)).map(show).collect();
    shown.join(" ").into()
}

fn numbered(parts: Vec<&str>) -> Value {
    let entries: BTreeMap<Arc<str>, Value> =
        parts.into_iter().enumerate().map(|(index, part)| (format!("_{index}").into(), part.into())).collect();
    Value::StrMap(Arc::new(entries))
}

fn repeat(count: i64, text: &str, budget: &Budget<'_>) -> Result<Value, String> {
    let Ok(times) = usize::try_from(count) else { return Err("strings: negative Repeat count".to_owned()) };
    if count > ELEMENTS_MAX {
        return Err(MEMORY.to_owned());
    }
    budget.bytes(text.len().saturating_mul(times))?;
    Ok(text.repeat(times).into())
}

fn indent(spaces: i64, text: &str, before: &str, budget: &Budget<'_>) -> Result<Value, String> {
    let Ok(width) = usize::try_from(spaces) else { return Err("strings: negative Repeat count".to_owned()) };
    budget.bytes(width.saturating_mul(text.matches('\n').count() + 1))?;
    let pad = " ".repeat(width);
    Ok(format!("{before}{pad}{}", text.replace('\n', &format!("\n{pad}"))).into())
}

/// Counts bytes, as Go's slices do.
fn trunc(count: i64, text: &[u8]) -> Value {
    let length = text.len() as i64;
    let cut = if count < 0 && length.saturating_add(count) > 0 {
        &text[(length + count) as usize..]
    } else if count >= 0 && length > count {
        &text[..count as usize]
    } else {
        text
    };
    Value::from_bytes(cut.to_vec())
}

fn substr(start: i64, end: i64, text: &[u8]) -> Result<Value, String> {
    let length = text.len() as i64;
    let (from, to) = if start < 0 {
        (0, end)
    } else if end < 0 || end > length {
        (start, length)
    } else {
        (start, end)
    };
    if to < 0 || to > length {
        let reason = if to < 0 { format!("[:{to}]") } else { format!("[:{to}] with length {length}") };
        return Err(format!("runtime error: slice bounds out of range {reason}"));
    }
    if from > to {
        return Err(format!("runtime error: slice bounds out of range [{from}:{to}]"));
    }
    Ok(Value::from_bytes(text[from as usize..to as usize].to_vec()))
}

/// goutils' `AbbreviateFull`, which counts bytes.
fn abbreviate(text: &[u8], offset: i64, width: i64) -> Value {
    let whole = || Value::from_bytes(text.to_vec());
    let length = text.len() as i64;
    if width < 4 || length <= width {
        return whole();
    }
    let mut offset = offset.clamp(0, length);
    if length - offset < width - 3 {
        offset = length - (width - 3);
    }
    let kept = (width - 3) as usize;
    if offset <= 4 {
        return Value::from_bytes([&text[..kept], b"..."].concat());
    }
    if width < 7 {
        return "".into();
    }
    if offset + width - 3 < length {
        let inner = abbreviate(&text[offset as usize..], 0, width - 3);
        return Value::from_bytes([b"...", inner.string_bytes().unwrap_or_default()].concat());
    }
    Value::from_bytes([b"...", &text[text.len() - kept..]].concat())
}
