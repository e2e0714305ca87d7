//! Aliases and merge keys put in their places, duplicates taken out, and goyaml's budget against alias bombs.
//! It must never know what a document means.

use super::YamlError;
use super::node::{Entry, Node, Style, Value};
use super::number::float_key;
use super::resolve::{Resolved, resolve};
use crate::diagnostic::Span;
use std::collections::BTreeMap;
use std::rc::Rc;

/// A key that is in a mapping twice (also through a merge).
#[derive(Clone, Debug, PartialEq)]
pub struct Duplicate {
    pub span: Span,
    pub key: String,
    /// Where it is for the first time.
    pub first: Span,
}

/// The tree without aliases, merges and duplicates, and every key a string as Go prints it.
pub fn expand(root: &Rc<Node>) -> Result<(Rc<Node>, Vec<Duplicate>), YamlError> {
    Budget::default().walk(root, false)?;
    let mut expander = Expander { duplicates: Vec::new(), done: BTreeMap::new() };
    let root = expander.node(root)?;
    Ok((root, expander.duplicates))
}

/// Counts as goyaml.v2's decoder does, and stops where it stops.
#[derive(Default)]
struct Budget {
    decoded: u64,
    through_aliases: u64,
}

impl Budget {
    fn walk(&mut self, node: &Rc<Node>, in_alias: bool) -> Result<(), YamlError> {
        self.decoded += 1;
        self.through_aliases += u64::from(in_alias);
        let share = self.through_aliases as f64 / self.decoded as f64;
        if self.through_aliases > 100 && self.decoded > 1000 && share > allowed_share(self.decoded) {
            let help = "write the values out, or use fewer aliases of aliases";
            return Err(YamlError::with_help(node.span, "the document contains excessive aliasing", help));
        }
        match &node.value {
            Value::Scalar(_) => Ok(()),
            Value::Sequence(items) => items.iter().try_for_each(|item| self.walk(item, in_alias)),
            Value::Mapping(entries) => entries.iter().try_for_each(|entry| {
                self.walk(&entry.key, in_alias)?;
                self.walk(&entry.value, in_alias)
            }),
            Value::Alias(target) => self.walk(target, true),
        }
    }
}

/// 99 % up to 400,000 values, falling to 10 % at 4,000,000.
fn allowed_share(decoded: u64) -> f64 {
    let (low, high) = (400_000.0, 4_000_000.0);
    let decoded = decoded as f64;
    if decoded <= low {
        0.99
    } else if decoded >= high {
        0.10
    } else {
        0.99 - 0.89 * (decoded - low) / (high - low)
    }
}

struct Expander {
    duplicates: Vec<Duplicate>,
    /// Targets of aliases that are already expanded.
    done: BTreeMap<*const Node, Rc<Node>>,
}

impl Expander {
    fn node(&mut self, node: &Rc<Node>) -> Result<Rc<Node>, YamlError> {
        let value = match &node.value {
            Value::Scalar(_) => return Ok(Rc::clone(node)),
            Value::Alias(target) => {
                if let Some(found) = self.done.get(&Rc::as_ptr(target)) {
                    return Ok(Rc::clone(found));
                }
                let expanded = self.node(target)?;
                self.done.insert(Rc::as_ptr(target), Rc::clone(&expanded));
                return Ok(expanded);
            }
            Value::Sequence(items) => Value::Sequence(items.iter().map(|i| self.node(i)).collect::<Result<_, _>>()?),
            Value::Mapping(entries) => Value::Mapping(self.mapping(entries)?),
        };
        Ok(Rc::new(Node { span: node.span, value }))
    }

    fn mapping(&mut self, entries: &[Entry]) -> Result<Vec<Entry>, YamlError> {
        let mut merged = Merged::default();
        for entry in entries {
            if is_merge(&entry.key) {
                let value = self.node(&entry.value)?;
                self.merge(&value, &mut merged)?;
                continue;
            }
            let key = self.node(&entry.key)?;
            let key = named_key(&key)?;
            let value = self.node(&entry.value)?;
            self.set(&mut merged, Entry { key, value });
        }
        Ok(merged.entries)
    }

    fn merge(&mut self, value: &Rc<Node>, merged: &mut Merged) -> Result<(), YamlError> {
        let wrong = |span| {
            let message = "map merge requires map or sequence of maps as the value";
            YamlError::with_help(span, message, "merge a mapping, or a list of mappings")
        };
        match &value.value {
            Value::Mapping(entries) => {
                for entry in entries {
                    self.set(merged, entry.clone());
                }
                Ok(())
            }
            // Earlier ones win: they are set last.
            Value::Sequence(items) => items.iter().rev().try_for_each(|item| match &item.value {
                Value::Mapping(_) => self.merge(item, merged),
                _ => Err(wrong(item.span)),
            }),
            _ => Err(wrong(value.span)),
        }
    }

    fn set(&mut self, merged: &mut Merged, entry: Entry) {
        let key = entry.key.key_text().unwrap_or_default().to_owned();
        match merged.places.get(&key) {
            None => {
                merged.places.insert(key, merged.entries.len());
                merged.entries.push(entry);
            }
            Some(&place) => {
                let first = merged.entries[place].key.span;
                self.duplicates.push(Duplicate { span: entry.key.span, key, first });
                merged.entries[place] = entry;
            }
        }
    }
}

#[derive(Default)]
struct Merged {
    entries: Vec<Entry>,
    places: BTreeMap<String, usize>,
}

fn is_merge(key: &Node) -> bool {
    key.scalar().is_some_and(|scalar| {
        &*scalar.text == "<<"
            && matches!((scalar.tag.as_deref(), scalar.style), (None, Style::Plain) | (Some("merge"), _))
    })
}

/// The key as a string, spelled as sigs.k8s.io/yaml spells it.
fn named_key(key: &Rc<Node>) -> Result<Rc<Node>, YamlError> {
    let Some(scalar) = key.scalar() else {
        return Err(YamlError::with_help(
            key.span,
            "a key must be a string, not a list or a mapping",
            "quote the value if it begins with `{{` or `[`",
        ));
    };
    let text = match resolve(scalar).map_err(|message| YamlError::with_help(key.span, message, "remove the tag"))? {
        Resolved::String(text) => text,
        Resolved::Int(value) => value.to_string(),
        Resolved::Bool(value) => value.to_string(),
        Resolved::Float(value) => float_key(value),
        Resolved::Null => return Err(YamlError::with_help(key.span, "`null` cannot be a key", "quote it")),
        Resolved::Uint(_) => {
            return Err(YamlError::with_help(key.span, "a number of this size cannot be a key", "quote it"));
        }
    };
    if *text == *scalar.text && scalar.tag.is_none() {
        return Ok(Rc::clone(key));
    }
    let scalar = super::node::Scalar { text: text.into(), style: Style::Quoted, tag: None };
    Ok(Rc::new(Node { span: key.span, value: Value::Scalar(scalar) }))
}
