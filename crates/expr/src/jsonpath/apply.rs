//! Walks a document along the tokens of a path.
//! It must never know the text of the path.

use super::script;
use super::token::{Bound, Item, Token};
use crate::context::Budget;
use crate::value::Value;

/// What the walk needs at every step.
pub(super) struct Walk<'a> {
    pub root: &'a Value,
    pub budget: &'a Budget<'a>,
    /// How deep tokens and scripts may still call each other.
    pub depth: usize,
}

/// Tokens are applied by recursion; a path may have this many.
const TOKENS_MAX: usize = 100;

pub(super) type Out = Result<Value, String>;

pub(super) fn select(json: &Value, tokens: &[Token], budget: &Budget<'_>) -> Out {
    let walk = Walk { root: json, budget, depth: 100 };
    walk.start(json, tokens)
}

impl Walk<'_> {
    /// Applies a path whose first token is the root or the current value.
    pub fn start(&self, current: &Value, tokens: &[Token]) -> Out {
        if tokens.len() > TOKENS_MAX || self.depth == 0 {
            return Err("invalid JSONPath selector. too deep".to_owned());
        }
        match tokens.split_first() {
            Some((Token::Root, rest)) => self.apply(self.root, rest),
            Some((_, rest)) => self.apply(current, rest),
            None => Ok(Value::Null),
        }
    }

    pub fn deeper(&self) -> Walk<'_> {
        Walk { root: self.root, budget: self.budget, depth: self.depth.saturating_sub(10) }
    }

    fn apply(&self, current: &Value, tokens: &[Token]) -> Out {
        self.budget.step(1)?;
        let Some((token, rest)) = tokens.split_first() else {
            self.budget.bytes(size_of::<Value>())?;
            return Ok(current.clone());
        };
        match token {
            Token::Root => self.apply(self.root, rest),
            Token::Current => self.apply(current, rest),
            Token::Key(key) => self.key(current, key, rest),
            Token::Length => self.length(current, rest),
            Token::Index(index) => self.index("index", current, *index, rest),
            Token::Script(expression) => match script::evaluate(&self.deeper(), current, expression)? {
                Value::Str(key) => self.key(current, &key, rest),
                Value::Float(f) if f.fract() == 0.0 => self.index("index", current, f as i64, rest),
                Value::Int(index) => self.index("index", current, index, rest),
                other => Err(format!(
                    "invalid expression. unexpected expression result. expected [int string] got [{}]",
                    kind(&other)
                )),
            },
            Token::Wildcard => {
                let items = children(current).ok_or_else(|| target("wildcard", "array map slice", current))?;
                self.each(items, rest)
            }
            Token::Recursive => self.recursive(current, rest),
            Token::Range(from, to, step) => {
                let items = self.range(current, from, to, step)?;
                self.selected(items, rest)
            }
            Token::Union(items) => {
                let found = self.union(current, items)?;
                self.selected(found, rest)
            }
            Token::Filter(expression) => self.filter(current, expression, rest),
        }
    }

    /// A step after several values: an index picks one of them, anything else applies to each.
    fn selected(&self, items: Vec<Value>, rest: &[Token]) -> Out {
        match rest.first() {
            Some(Token::Index(_)) => self.apply(&Value::list(items), rest),
            _ => self.each(items, rest),
        }
    }

    /// Values to which the rest does not apply are left out.
    fn each(&self, items: Vec<Value>, rest: &[Token]) -> Out {
        self.budget.step(items.len())?;
        self.budget.bytes(items.len() * size_of::<Value>())?;
        if rest.is_empty() {
            return Ok(Value::list(items));
        }
        let mut found = Vec::new();
        for item in &items {
            match self.apply(item, rest) {
                Ok(Value::Null) => {}
                Ok(value) => found.push(value),
                Err(_) => self.budget.step(1)?,
            }
        }
        Ok(Value::list(found))
    }

    fn key(&self, current: &Value, key: &str, rest: &[Token]) -> Out {
        let Some(entries) = current.entries() else { return Err(target("key", "map", current)) };
        match entries.get(key) {
            Some(value) => self.apply(value, rest),
            None => Err(format!("key: invalid token key '{key}' not found")),
        }
    }

    fn length(&self, current: &Value, rest: &[Token]) -> Out {
        let length = match current {
            Value::Map(entries) => match entries.get("length") {
                Some(value) => return self.apply(value, rest),
                None => entries.len(),
            },
            Value::Str(text) => text.len(),
            other => match other.items() {
                Some(items) => items.len(),
                None => return Err(target("length", "array map slice string", current)),
            },
        };
        self.apply(&Value::Int(length as i64), rest)
    }

    fn index(&self, token: &str, current: &Value, index: i64, rest: &[Token]) -> Out {
        let Some(items) = current.items() else { return Err(target(token, "array slice", current)) };
        match position(index, items.len()) {
            Some(at) => self.apply(&items[at], rest),
            None => Err(format!("{token}: invalid token out of range")),
        }
    }

    fn recursive(&self, current: &Value, rest: &[Token]) -> Out {
        let mut all = Vec::new();
        self.descend(current, &mut all)?;
        if rest.is_empty() {
            return Ok(Value::list(all));
        }
        let mut found = Vec::new();
        for item in &all {
            match self.apply(item, rest) {
                Ok(Value::List(items)) => {
                    self.budget.bytes(items.len() * size_of::<Value>())?;
                    found.extend(items.iter().cloned());
                }
                Ok(Value::Null) => {}
                Ok(value) => found.push(value),
                Err(_) => self.budget.step(1)?,
            }
        }
        Ok(Value::list(found))
    }

    /// A value and everything below it, in the order of the document. Values are never nested without bound.
    fn descend(&self, value: &Value, out: &mut Vec<Value>) -> Result<(), String> {
        if matches!(value, Value::Null) {
            return Ok(());
        }
        self.budget.step(1)?;
        self.budget.bytes(size_of::<Value>())?;
        out.push(value.clone());
        for child in children(value).unwrap_or_default() {
            self.descend(&child, out)?;
        }
        Ok(())
    }

    fn bound(&self, current: &Value, bound: &Bound) -> Result<Option<i64>, String> {
        match bound {
            Bound::None => Ok(None),
            Bound::Number(number) => Ok(Some(*number)),
            Bound::Script(expression) => match script::evaluate(&self.deeper(), current, expression)? {
                Value::Float(f) if f.fract() == 0.0 => Ok(Some(f as i64)),
                Value::Int(number) => Ok(Some(number)),
                other => Err(format!(
                    "range: invalid token unexpected expression result. expected [int] got [{}]",
                    kind(&other)
                )),
            },
        }
    }

    /// As Python slices, negative steps included.
    fn range(&self, current: &Value, from: &Bound, to: &Bound, step: &Bound) -> Result<Vec<Value>, String> {
        let Some(items) = current.items() else { return Err(target("range", "array slice", current)) };
        let size = items.len() as i64;
        let step = self.bound(current, step)?.unwrap_or(1);
        if step == 0 {
            return Err("range: invalid token out of range".to_owned());
        }
        let (low, high) = if step > 0 { (0, size) } else { (-1, size - 1) };
        let place = |bound: Option<i64>, missing: i64| match bound {
            None => missing,
            Some(at) if at < 0 => at.saturating_add(size).clamp(low, high),
            Some(at) => at.clamp(low, high),
        };
        let start = place(self.bound(current, from)?, if step > 0 { low } else { high });
        let end = place(self.bound(current, to)?, if step > 0 { high } else { low });
        let mut found = Vec::new();
        let mut at = start;
        while (step > 0 && at < end) || (step < 0 && at > end) {
            if let Some(item) = usize::try_from(at).ok().and_then(|at| items.get(at)) {
                found.push(item.clone());
            }
            at = at.saturating_add(step);
        }
        Ok(found)
    }

    fn union(&self, current: &Value, items: &[Item]) -> Result<Vec<Value>, String> {
        let (mut keys, mut indexes) = (Vec::new(), Vec::new());
        for item in items {
            match item {
                Item::Key(key) => keys.push(key.clone()),
                Item::Index(index) => indexes.push(*index),
                Item::Script(expression) => match script::evaluate(&self.deeper(), current, expression)? {
                    Value::Str(key) => keys.push(key.to_string()),
                    Value::Float(f) if f.fract() == 0.0 => indexes.push(f as i64),
                    Value::Int(index) => indexes.push(index),
                    other => {
                        return Err(format!(
                            "union: invalid token argument. expected [int string] got [{}]",
                            kind(&other)
                        ));
                    }
                },
            }
        }
        match (keys.is_empty(), indexes.is_empty()) {
            (false, false) => Err("union: invalid token argument. expected [int] got [string]".to_owned()),
            (false, true) => {
                let Some(entries) = current.entries() else { return Err(target("union", "map", current)) };
                let mut missing: Vec<&str> =
                    keys.iter().filter(|key| !entries.contains_key(key.as_str())).map(String::as_str).collect();
                if !missing.is_empty() {
                    missing.sort_unstable();
                    return Err(format!("union: invalid token key '{}' not found", missing.join(",")));
                }
                Ok(keys.iter().filter_map(|key| entries.get(key.as_str()).cloned()).collect())
            }
            _ => {
                let Some(list) = current.items() else { return Err(target("union", "array slice", current)) };
                indexes
                    .iter()
                    .map(|index| {
                        position(*index, list.len())
                            .map(|at| list[at].clone())
                            .ok_or_else(|| "union: invalid token out of range".to_owned())
                    })
                    .collect()
            }
        }
    }

    fn filter(&self, current: &Value, expression: &str, rest: &[Token]) -> Out {
        if expression.is_empty() {
            return Err("invalid expression. is empty".to_owned());
        }
        let items = children(current).ok_or_else(|| target("filter", "array map slice", current))?;
        let mut kept = Vec::new();
        for item in items {
            self.budget.step(expression.len())?;
            let included = match script::evaluate(&self.deeper(), &item, expression) {
                Ok(Value::Bool(included)) => included,
                Ok(Value::Str(text)) => !text.is_empty(),
                Ok(Value::Null) | Err(_) => false,
                Ok(_) => true,
            };
            if included {
                kept.push(item);
            }
        }
        self.selected(kept, rest)
    }
}

fn position(index: i64, length: usize) -> Option<usize> {
    let size = length as i64;
    let at = if index < 0 { index.saturating_add(size) } else { index };
    usize::try_from(at).ok().filter(|at| *at < length)
}

/// Members of a map by the order of their keys, elements of a list.
fn children(value: &Value) -> Option<Vec<Value>> {
    match value {
        Value::Map(entries) => Some(entries.values().cloned().collect()),
        other => other.items().map(|items| items.to_vec()),
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "nil",
        other => other.kind(),
    }
}

fn target(token: &str, expected: &str, got: &Value) -> String {
    format!("{token}: invalid token target. expected [{expected}] got [{}]", kind(got))
}
