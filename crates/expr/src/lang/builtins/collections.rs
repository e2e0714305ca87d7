//! Builtins on lists and maps, with and without a predicate.
//! It must never know types known before the run.

use std::sync::Arc;

use super::super::ast::{Id, Node};
use super::super::eval::{Machine, Out, Scope, Stop};
use super::super::operators::{self, add, equal, less};
use super::missing;
use crate::context::Budget;
use crate::gofmt;
use crate::value::{AnyMapKind, SliceKind, Value};

/// Runs a builtin that takes a predicate; `None` if the name is another one.
pub(super) fn with_predicate(machine: &mut Machine<'_>, id: Id, name: &str, args: &[Id]) -> Option<Out> {
    let known = matches!(
        name,
        "all"
            | "none"
            | "any"
            | "one"
            | "filter"
            | "map"
            | "count"
            | "sum"
            | "find"
            | "findIndex"
            | "findLast"
            | "findLastIndex"
            | "groupBy"
            | "sortBy"
            | "reduce"
    );
    (known && !args.is_empty()).then(|| run(machine, id, name, args))
}

fn run(machine: &mut Machine<'_>, id: Id, name: &str, args: &[Id]) -> Out {
    if name == "sum"
        && args.len() == 1
        && let Some(result) = literal_sum(machine, id, args[0])
    {
        return result;
    }
    let collection = machine.eval(args[0])?;
    let items = machine.at(id, elements(&collection))?;
    let walk = Walk { items: &items, predicate: args.get(1).copied(), id };
    match name {
        "all" | "none" | "any" | "one" | "count" => walk.count(machine, name),
        "find" | "findIndex" => walk.find(machine, name == "findIndex", false),
        "findLast" | "findLastIndex" => walk.find(machine, name == "findLastIndex", true),
        "filter" => {
            let mut kept = Vec::new();
            for index in 0..items.len() {
                if walk.test(machine, index)? {
                    kept.push(items[index].clone());
                }
            }
            walk.collected(machine, kept)
        }
        "map" => {
            let mut made = Vec::with_capacity(items.len());
            for index in 0..items.len() {
                made.push(walk.apply(machine, index, Value::Null)?);
            }
            walk.collected(machine, made)
        }
        "sum" => {
            let mut total = Value::Int(0);
            for index in 0..items.len() {
                let value = walk.apply(machine, index, Value::Null)?;
                total = machine.at(id, add(&value, &total))?;
            }
            Ok(total)
        }
        "groupBy" => walk.group(machine),
        "sortBy" => walk.sort(machine, args.get(2).copied()),
        _ => walk.reduce(machine, args.get(2).copied()),
    }
}

/// `sum([a, b])` is compiled to `a + b` unless the list is constant.
fn literal_sum(machine: &mut Machine<'_>, id: Id, list: Id) -> Option<Out> {
    let Node::Array(nodes) = machine.tree.node(list) else { return None };
    let constant =
        |node: &Id| matches!(machine.tree.node(*node), Node::Int(_) | Node::Float(_) | Node::Str(_) | Node::Bool(_));
    if nodes.len() < 2 || nodes.iter().all(constant) {
        return None;
    }
    let nodes = nodes.clone();
    Some((|| {
        let mut total = machine.eval(nodes[0])?;
        for node in &nodes[1..] {
            let value = machine.eval(*node)?;
            total = machine.at(id, add(&total, &value))?;
        }
        Ok(total)
    })())
}

fn elements(collection: &Value) -> Result<Arc<Vec<Value>>, String> {
    match collection {
        Value::Bytes(bytes) => Ok(Arc::new(
            bytes.iter().map(|byte| Value::Sized(crate::value::IntKind::Uint8, i64::from(*byte))).collect(),
        )),
        other => match other.items() {
            Some(items) => Ok(items.clone()),
            None if matches!(other, Value::Null) => Err("reflect: call of reflect.Value.Len on zero Value".to_owned()),
            None => Err(format!("reflect: call of reflect.Value.Index on {} Value", other.kind())),
        },
    }
}

/// One pass over a collection.
struct Walk<'a> {
    items: &'a [Value],
    predicate: Option<Id>,
    id: Id,
}

impl Walk<'_> {
    fn apply(&self, machine: &mut Machine<'_>, index: usize, accumulator: Value) -> Out {
        machine.at(self.id, machine.budget.step(1))?;
        let element = self.items[index].clone();
        let Some(predicate) = self.predicate else { return Ok(element) };
        machine.scopes.push(Scope { element, index: index as i64, accumulator });
        let result = machine.eval(predicate);
        machine.scopes.pop();
        result
    }

    fn test(&self, machine: &mut Machine<'_>, index: usize) -> Result<bool, Stop> {
        let value = self.apply(machine, index, Value::Null)?;
        machine.at(self.id, operators::to_bool(&value))
    }

    fn collected(&self, machine: &Machine<'_>, items: Vec<Value>) -> Out {
        machine.at(self.id, machine.budget.elements(items.len()))?;
        Ok(Value::list(items))
    }

    fn count(&self, machine: &mut Machine<'_>, name: &str) -> Out {
        let mut hits = 0;
        for index in 0..self.items.len() {
            let hit = self.test(machine, index)?;
            hits += i64::from(hit);
            match name {
                "all" if !hit => return Ok(false.into()),
                "any" if hit => return Ok(true.into()),
                "none" if hit => return Ok(false.into()),
                _ => {}
            }
        }
        Ok(match name {
            "all" | "none" => true.into(),
            "any" => false.into(),
            "one" => (hits == 1).into(),
            _ => hits.into(),
        })
    }

    fn find(&self, machine: &mut Machine<'_>, want_index: bool, backwards: bool) -> Out {
        let length = self.items.len();
        for step in 0..length {
            let index = if backwards { length - 1 - step } else { step };
            if self.test(machine, index)? {
                return Ok(if want_index { Value::Int(index as i64) } else { self.items[index].clone() });
            }
        }
        Ok(Value::Null)
    }

    fn group(&self, machine: &mut Machine<'_>) -> Out {
        let mut groups: Vec<(Value, Vec<Value>)> = Vec::new();
        for index in 0..self.items.len() {
            let key = self.apply(machine, index, Value::Null)?;
            if matches!(key.kind(), "slice" | "map" | "func") {
                let message = format!("runtime error: hash of unhashable type {}", key.go_type());
                return machine.at(self.id, Err(message));
            }
            machine.at(self.id, machine.budget.step(groups.len() / 16))?;
            match groups.iter_mut().find(|(known, _)| *known == key) {
                Some((_, members)) => members.push(self.items[index].clone()),
                None => groups.push((key, vec![self.items[index].clone()])),
            }
        }
        groups.sort_by_cached_key(|(key, _)| gofmt::value(key));
        let pairs = groups.into_iter().map(|(key, members)| (key, Value::list(members))).collect();
        Ok(Value::AnyMap(AnyMapKind::Groups, Arc::new(pairs)))
    }

    fn sort(&self, machine: &mut Machine<'_>, order: Option<Id>) -> Out {
        let mut keyed = Vec::with_capacity(self.items.len());
        for index in 0..self.items.len() {
            keyed.push((self.apply(machine, index, Value::Null)?, self.items[index].clone()));
        }
        let order = match order {
            Some(order) => Some(machine.eval(order)?),
            None => None,
        };
        let result = sorted(keyed, order.as_ref(), |_| "unknown order, use asc or desc".to_owned());
        machine.at(self.id, result)
    }

    fn reduce(&self, machine: &mut Machine<'_>, start: Option<Id>) -> Out {
        let mut accumulator = match start {
            Some(start) => machine.eval(start)?,
            None => match self.items.first() {
                Some(first) => first.clone(),
                None => return machine.at(self.id, Err("reduce of empty array with no initial value".to_owned())),
            },
        };
        for index in usize::from(start.is_none())..self.items.len() {
            accumulator = self.apply(machine, index, accumulator)?;
        }
        Ok(accumulator)
    }
}

/// Sorts values by their keys; the first pair that cannot be compared is the error.
fn sorted(keyed: Vec<(Value, Value)>, order: Option<&Value>, unknown: fn(&str) -> String) -> Result<Value, String> {
    let descending = match order {
        None => false,
        Some(order) => match order.as_str() {
            Some("asc") => false,
            Some("desc") => true,
            Some(other) => return Err(unknown(other)),
            None => return Err(operators::conversion(order, "string")),
        },
    };
    let mut keyed = keyed;
    let mut fault = None;
    keyed.sort_by(|(a, _), (b, _)| {
        let (a, b) = if descending { (b, a) } else { (a, b) };
        let mut before = |x: &Value, y: &Value| match less(x, y) {
            Ok(before) => before,
            Err(message) => {
                fault.get_or_insert(message);
                false
            }
        };
        if before(a, b) {
            std::cmp::Ordering::Less
        } else if before(b, a) {
            std::cmp::Ordering::Greater
        } else {
            std::cmp::Ordering::Equal
        }
    });
    match fault {
        Some(message) => Err(message),
        None => Ok(Value::list(keyed.into_iter().map(|(_, value)| value).collect())),
    }
}

fn list_of<'v>(value: &'v Value, what: &str) -> Result<&'v Arc<Vec<Value>>, String> {
    value.items().ok_or_else(|| format!("cannot {what} {}", value.kind()))
}

pub(super) fn compute(name: &str, args: &[Value], budget: &Budget<'_>) -> Result<Value, String> {
    match name {
        "concat" => {
            let mut all = Vec::new();
            for arg in args {
                let items = list_of(arg, "concat")?;
                budget.elements(items.len())?;
                all.extend(items.iter().cloned());
            }
            return Ok(Value::list(all));
        }
        "sort" => {
            let items = missing(args, 0)?.items().cloned().unwrap_or_default();
            budget.step(items.len() * 4)?;
            budget.elements(items.len())?;
            let keyed = items.iter().map(|item| (item.clone(), item.clone())).collect();
            return sorted(keyed, args.get(1), |order| format!("invalid order {order}, expected asc or desc"));
        }
        "take" => return take(missing(args, 0)?, missing(args, 1)?),
        _ => {}
    }
    let value = missing(args, 0)?;
    match name {
        "len" => length(value),
        "keys" | "values" | "toPairs" => map_parts(name, value),
        "fromPairs" => from_pairs(value),
        "reverse" => Ok(Value::list(list_of(value, "reverse")?.iter().rev().cloned().collect())),
        "uniq" => {
            let mut kept: Vec<Value> = Vec::new();
            for item in list_of(value, "uniq")?.iter() {
                budget.step(kept.len())?;
                if !kept.iter().any(|known| equal(item, known)) {
                    kept.push(item.clone());
                }
            }
            Ok(Value::list(kept))
        }
        _ => {
            let mut flat = Vec::new();
            flatten(list_of(value, "flatten")?, &mut flat);
            budget.elements(flat.len())?;
            Ok(Value::list(flat))
        }
    }
}

/// Values are never nested deeper than the budget allows.
fn flatten(items: &[Value], out: &mut Vec<Value>) {
    for item in items {
        match item.items() {
            Some(inner) => flatten(inner, out),
            None => out.push(item.clone()),
        }
    }
}

fn length(value: &Value) -> Result<Value, String> {
    let length = match value {
        Value::Str(s) => s.chars().count(),
        Value::Raw(bytes) => {
            bytes.utf8_chunks().map(|chunk| chunk.valid().chars().count() + chunk.invalid().len()).sum()
        }
        Value::Bytes(bytes) => bytes.len(),
        Value::List(items) | Value::Slice(_, items) => items.len(),
        Value::Map(entries) | Value::StrMap(entries) => entries.len(),
        Value::AnyMap(_, pairs) => pairs.len(),
        other => return Err(format!("invalid argument for len (type {})", other.printed_type())),
    };
    Ok(Value::Int(length as i64))
}

fn take(value: &Value, count: &Value) -> Result<Value, String> {
    let items = list_of(value, "take from")?;
    let wanted = match count {
        Value::Duration(n) | Value::Int(n) | Value::Sized(_, n) => *n,
        other => return Err(format!("cannot take {} elements", other.kind())),
    };
    if wanted > items.len() as i64 {
        return Ok(value.clone());
    }
    let Ok(wanted) = usize::try_from(wanted) else {
        return Err("reflect.Value.Slice: slice index out of bounds".to_owned());
    };
    Ok(match value {
        Value::Slice(kind, _) => Value::Slice(*kind, Arc::new(items[..wanted].to_vec())),
        _ => Value::list(items[..wanted].to_vec()),
    })
}

/// Go's order of keys is random; ours is sorted.
fn map_parts(name: &str, value: &Value) -> Result<Value, String> {
    let pairs: Vec<(Value, Value)> = match value {
        Value::Map(entries) | Value::StrMap(entries) => {
            entries.iter().map(|(key, value)| (Value::Str(key.clone()), value.clone())).collect()
        }
        Value::AnyMap(_, pairs) => pairs.to_vec(),
        other if name == "toPairs" => return Err(format!("cannot transform {} to pairs", other.kind())),
        other => return Err(format!("cannot get {name} from {}", other.kind())),
    };
    Ok(match name {
        "keys" => Value::list(pairs.into_iter().map(|(key, _)| key).collect()),
        "values" => Value::list(pairs.into_iter().map(|(_, value)| value).collect()),
        _ => {
            let pairs = pairs.into_iter().map(|(key, value)| Value::list(vec![key, value])).collect();
            Value::Slice(SliceKind::Pairs, Arc::new(pairs))
        }
    })
}

fn from_pairs(value: &Value) -> Result<Value, String> {
    let Some(items) = value.items() else {
        return Err(format!("cannot transform {} from pairs", gofmt::value(value)));
    };
    let mut pairs: Vec<(String, Value, Value)> = Vec::with_capacity(items.len());
    for pair in items.iter() {
        let Some(parts) = pair.items() else { return Err(format!("invalid pair {}", gofmt::value(pair))) };
        let [key, value] = parts.as_slice() else {
            return Err(format!("invalid pair length {}", gofmt::value(pair)));
        };
        if matches!(key.kind(), "slice" | "map" | "func") {
            return Err(format!("runtime error: hash of unhashable type {}", key.go_type()));
        }
        pairs.push((format!("{}\u{0}{}", gofmt::value(key), key.go_type()), key.clone(), value.clone()));
    }
    // The last pair of a key counts.
    pairs.reverse();
    pairs.sort_by(|(a, ..), (b, ..)| a.cmp(b));
    pairs.dedup_by(|(a, ..), (b, ..)| a == b);
    let pairs = pairs.into_iter().map(|(_, key, value)| (key, value)).collect();
    Ok(Value::AnyMap(AnyMapKind::Any, Arc::new(pairs)))
}
