//! Functions on maps with string keys. Go changes some of them in place; here every one makes a new map.
//! It must never know values other than its arguments.

use std::sync::Arc;

use super::arguments::text;
use super::convert::{is_empty, to_text};
use crate::context::Budget;
use crate::value::{Dict, Value};

pub(super) fn run(name: &str, args: &[Value], budget: &Budget<'_>) -> Result<Value, String> {
    let dict = |index: usize| -> Dict {
        args.get(index).and_then(Value::entries).map(|entries| (**entries).clone()).unwrap_or_default()
    };
    for arg in args {
        budget.bytes(arg.entries().map_or(0, |entries| entries.len() * 2 * size_of::<Value>()))?;
    }
    Ok(match name {
        "dict" => {
            let mut made = Dict::new();
            for pair in args.chunks(2) {
                made.insert(to_text(&pair[0]).into(), pair.get(1).cloned().unwrap_or_else(|| "".into()));
            }
            Value::map(made)
        }
        "get" => dict(0).remove(&*text(args, 1)).unwrap_or_else(|| "".into()),
        "set" => {
            if matches!(args[0], Value::Null) {
                return Err("assignment to entry in nil map".to_owned());
            }
            let mut made = dict(0);
            made.insert(text(args, 1).into(), args[2].clone());
            Value::map(made)
        }
        "unset" => {
            let mut made = dict(0);
            made.remove(&*text(args, 1));
            Value::map(made)
        }
        "hasKey" => dict(0).contains_key(&*text(args, 1)).into(),
        "pluck" => {
            let key = text(args, 0);
            Value::list((1..args.len()).filter_map(|index| dict(index).remove(&*key)).collect())
        }
        "keys" => Value::strings((0..args.len()).flat_map(|index| dict(index).into_keys())),
        "values" => Value::list(dict(0).into_values().collect()),
        "pick" | "omit" => {
            let names: Vec<_> = (1..args.len()).map(|index| text(args, index)).collect();
            let keep = name == "pick";
            Value::map(
                dict(0).into_iter().filter(|(key, _)| names.iter().any(|name| **name == **key) == keep).collect(),
            )
        }
        "dig" => return dig(args),
        _ => {
            let overwrite = name.contains("verwrite");
            let mut made = dict(0);
            for index in 1..args.len() {
                merge(&mut made, dict(index), overwrite);
            }
            Value::map(made)
        }
    })
}

/// mergo: what is empty is filled; with `overwrite`, what is not empty in the source wins. Maps merge inside.
fn merge(into: &mut Dict, from: Dict, overwrite: bool) {
    for (key, value) in from {
        match into.get_mut(&key) {
            None => {
                into.insert(key, value);
            }
            Some(Value::Map(inner)) if matches!(value, Value::Map(_)) => {
                if let Value::Map(source) = value {
                    let mut merged = (**inner).clone();
                    merge(&mut merged, (*source).clone(), overwrite);
                    *inner = Arc::new(merged);
                }
            }
            Some(present) => {
                if (overwrite && !is_empty(&value)) || (!overwrite && is_empty(present)) {
                    *present = value;
                }
            }
        }
    }
}

fn dig(args: &[Value]) -> Result<Value, String> {
    let [path @ .., default, dict] = args else { return Err("dig needs at least three arguments".to_owned()) };
    if path.is_empty() {
        return Err("dig needs at least three arguments".to_owned());
    }
    let convert = |value: &Value, wanted: &str| {
        format!("interface conversion: interface {{}} is {}, not {wanted}", value.go_type())
    };
    let mut at = dict.clone();
    let mut keys = Vec::with_capacity(path.len());
    if !matches!(at, Value::Map(_)) {
        return Err(convert(&at, "map[string]interface {}"));
    }
    for key in path {
        keys.push(key.as_str().ok_or_else(|| convert(key, "string"))?);
    }
    for key in keys {
        let Value::Map(entries) = &at else { return Err(convert(&at, "map[string]interface {}")) };
        match entries.get(key) {
            None => return Ok(default.clone()),
            Some(next) => at = next.clone(),
        }
    }
    Ok(at)
}
