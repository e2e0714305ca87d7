//! Functions on lists; they never change one, they make new ones.
//! It must never know values other than its arguments.

use std::sync::Arc;

use super::arguments::{NIL, int};
use super::convert::{is_empty, to_int};
use crate::context::Budget;
use crate::value::{IntKind, SliceKind, Value};

pub(super) fn run(name: &str, args: &[Value], budget: &Budget<'_>) -> Result<Value, String> {
    let plain = name.strip_prefix("must").map(str::to_lowercase);
    let name = plain.as_deref().unwrap_or(name);
    if matches!(name, "list" | "tuple") {
        return Ok(Value::list(args.to_vec()));
    }
    match name {
        "concat" => return concat(args, budget),
        "has" => return has(&args[0], &args[1]),
        "chunk" => return chunk(int(args, 0), &args[1], budget),
        "slice" => return slice(args),
        _ => {}
    }
    let what = match name {
        "append" | "push" => "push",
        other => other,
    };
    let items = items(&args[0], what)?;
    budget.bytes(items.len() * size_of::<Value>())?;
    Ok(match name {
        "append" | "push" => {
            let mut made = items;
            made.push(args[1].clone());
            Value::list(made)
        }
        "prepend" => {
            let mut made = items;
            made.insert(0, args[1].clone());
            Value::list(made)
        }
        "first" => items.into_iter().next().unwrap_or(Value::Null),
        "last" => items.into_iter().next_back().unwrap_or(Value::Null),
        "rest" => Value::list(items.into_iter().skip(1).collect()),
        "initial" => {
            let kept = items.len().saturating_sub(1);
            Value::list(items.into_iter().take(kept).collect())
        }
        "reverse" => Value::list(items.into_iter().rev().collect()),
        "compact" => Value::list(items.into_iter().filter(|item| !is_empty(item)).collect()),
        "uniq" => {
            let mut kept: Vec<Value> = Vec::new();
            for item in items {
                budget.step(kept.len())?;
                if !kept.contains(&item) {
                    kept.push(item);
                }
            }
            Value::list(kept)
        }
        _ => {
            budget.step(items.len().saturating_mul(args.len()))?;
            Value::list(items.into_iter().filter(|item| !args[1..].contains(item)).collect())
        }
    })
}

fn elements(value: &Value) -> Option<Vec<Value>> {
    match value {
        Value::Bytes(bytes) => Some(bytes.iter().map(|byte| Value::Sized(IntKind::Uint8, i64::from(*byte))).collect()),
        other => other.items().map(|items| items.to_vec()),
    }
}

fn items(value: &Value, what: &str) -> Result<Vec<Value>, String> {
    if matches!(value, Value::Null) {
        return Err(NIL.to_owned());
    }
    elements(value).ok_or_else(|| {
        let verb = match what {
            "push" | "prepend" => format!("Cannot {what} on"),
            "compact" => "Cannot compact on".to_owned(),
            other => format!("Cannot find {other} on"),
        };
        format!("{verb} type {}", value.kind())
    })
}

fn has(needle: &Value, haystack: &Value) -> Result<Value, String> {
    if matches!(haystack, Value::Null) {
        return Ok(false.into());
    }
    Ok(items(haystack, "has")?.contains(needle).into())
}

fn concat(args: &[Value], budget: &Budget<'_>) -> Result<Value, String> {
    let mut all = Vec::new();
    for arg in args {
        if matches!(arg, Value::Null) {
            return Err(NIL.to_owned());
        }
        let items = elements(arg).ok_or_else(|| format!("Cannot concat type {} as list", arg.kind()))?;
        budget.bytes(items.len() * size_of::<Value>())?;
        all.extend(items);
    }
    Ok(Value::list(all))
}

fn chunk(size: i64, list: &Value, budget: &Budget<'_>) -> Result<Value, String> {
    if matches!(list, Value::Null) {
        return Err(NIL.to_owned());
    }
    let items = elements(list).ok_or_else(|| format!("Cannot chunk type {}", list.kind()))?;
    budget.bytes(items.len() * 2 * size_of::<Value>())?;
    let Ok(width) = usize::try_from(size) else {
        // A negative count makes one empty list or none.
        return Ok(Value::Slice(SliceKind::Lists, Arc::new(Vec::new())));
    };
    if width == 0 {
        return Err("runtime error: makeslice: len out of range".to_owned());
    }
    let chunks = items.chunks(width).map(|part| Value::list(part.to_vec())).collect();
    Ok(Value::Slice(SliceKind::Lists, Arc::new(chunks)))
}

fn slice(args: &[Value]) -> Result<Value, String> {
    let list = &args[0];
    if matches!(list, Value::Null) {
        return Err(NIL.to_owned());
    }
    let Some(items) = elements(list) else {
        return Err(format!("list should be type of slice or array but {}", list.kind()));
    };
    if items.is_empty() {
        return Ok(Value::Null);
    }
    let start = args.get(1).map_or(0, to_int);
    let end = args.get(2).map_or(items.len() as i64, to_int);
    if start < 0 || end < start || end > items.len() as i64 {
        return Err("reflect.Value.Slice: slice index out of bounds".to_owned());
    }
    let part = items[start as usize..end as usize].to_vec();
    Ok(match list {
        Value::Slice(kind, _) => Value::Slice(*kind, Arc::new(part)),
        _ => Value::list(part),
    })
}
