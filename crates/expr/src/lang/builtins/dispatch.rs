//! Which function computes which builtin.
//! It must never know types known before the run.

use super::super::ast::Id;
use super::super::eval::{Machine, Out};
use super::super::operators::fetch;
use super::{collections, numbers, strings, time};
use crate::context::Budget;
use crate::value::Value;

/// Calls a builtin.
pub(in crate::lang) fn call(machine: &mut Machine<'_>, id: Id, name: &'static str, args: &[Id]) -> Out {
    if let Some(result) = collections::with_predicate(machine, id, name, args) {
        return result.and_then(|value| machine.admit(id, value));
    }
    let mut values = Vec::with_capacity(args.len());
    for arg in args {
        values.push(machine.eval(*arg)?);
    }
    for value in &values {
        machine.at(id, machine.charge(value))?;
    }
    let result = compute(name, &values, machine.budget);
    let value = machine.at(id, result)?;
    machine.admit(id, value)
}

/// A failed look-up is nil for these.
fn lenient(result: Result<Value, String>) -> Result<Value, String> {
    Ok(result.unwrap_or(Value::Null))
}

fn compute(name: &str, args: &[Value], budget: &Budget<'_>) -> Result<Value, String> {
    match (name, args) {
        ("get", [from, key]) => lenient(fetch(from, key)),
        ("first", [from]) => lenient(fetch(from, &Value::Int(0))),
        ("last", [from]) => lenient(fetch(from, &Value::Int(-1))),
        ("now" | "duration" | "date" | "timezone", _) => time::compute(name, args, budget),
        (
            "len" | "take" | "keys" | "values" | "toPairs" | "fromPairs" | "reverse" | "uniq" | "concat" | "flatten"
            | "sort",
            _,
        ) => collections::compute(name, args, budget),
        (
            "abs" | "ceil" | "floor" | "round" | "int" | "float" | "max" | "min" | "mean" | "median" | "bitand"
            | "bitor" | "bitxor" | "bitnand" | "bitshl" | "bitshr" | "bitushr" | "bitnot",
            _,
        ) => numbers::compute(name, args),
        _ => strings::compute(name, args, budget),
    }
}

/// Go's panic when too few arguments reach a builtin that was not checked.
pub(super) fn missing(args: &[Value], index: usize) -> Result<&Value, String> {
    args.get(index).ok_or_else(|| format!("runtime error: index out of range [{index}] with length {}", args.len()))
}
