//! Defaults, emptiness and types.
//! It must never know values other than its arguments.

use super::arguments::{NIL, text};
use super::convert::is_empty;
use crate::context::Budget;
use crate::value::Value;

pub(super) fn run(name: &str, args: &[Value], _budget: &Budget<'_>) -> Result<Value, String> {
    let type_of = |index: usize| args.get(index).map_or("<nil>", Value::printed_type);
    Ok(match name {
        "default" => match args.get(1) {
            Some(given) if !is_empty(given) => given.clone(),
            _ => args[0].clone(),
        },
        "empty" => is_empty(&args[0]).into(),
        "coalesce" => args.iter().find(|arg| !is_empty(arg)).cloned().unwrap_or(Value::Null),
        "all" => args.iter().all(|arg| !is_empty(arg)).into(),
        "any" => args.iter().any(|arg| !is_empty(arg)).into(),
        "ternary" => args[if matches!(args[2], Value::Bool(true)) { 0 } else { 1 }].clone(),
        "deepCopy" | "mustDeepCopy" => match &args[0] {
            Value::Null => return Err(NIL.to_owned()),
            other => other.clone(),
        },
        "typeOf" => type_of(0).into(),
        "typeIs" => (text(args, 0) == type_of(1)).into(),
        "typeIsLike" => {
            let (wanted, given) = (text(args, 0), type_of(1));
            (wanted == given || format!("*{wanted}") == given).into()
        }
        "kindOf" => args[0].kind().into(),
        "kindIs" => (text(args, 0) == args[1].kind()).into(),
        _ => (args[0] == args[1]).into(),
    })
}
