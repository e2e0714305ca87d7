//! Reading fields of a checked document: what has the wrong type is simply not there, since the checker told it.
//! It must never report a fault.

use super::schema::integer;
use crate::diagnostic::Span;
use crate::typed;
use crate::yaml::Node;
use crate::yaml::resolve::{Resolved, resolve};
use std::rc::Rc;

/// A text with the place where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    pub text: String,
    pub span: Span,
}

/// The value of `key`, unless it is absent or null.
pub fn field<'n>(node: &'n Node, key: &str) -> Option<&'n Rc<Node>> {
    node.get(key).filter(|value| !value.is_null())
}

/// The place of a key; of the object where it is absent.
pub fn key_span(node: &Node, key: &str) -> Span {
    node.entry(key).map_or(node.span, |entry| entry.key.span)
}

/// A string that is there and not empty (Go cannot tell "" from absent).
pub fn word(node: &Node, key: &str) -> Option<Word> {
    let value = field(node, key)?;
    let text = string(value)?;
    (!text.is_empty()).then_some(Word { text, span: value.span })
}

pub fn text(node: &Node, key: &str) -> String {
    word(node, key).map(|word| word.text).unwrap_or_default()
}

/// A scalar that Go's JSON takes for a string.
pub fn string(node: &Node) -> Option<String> {
    match resolve(node.scalar()?) {
        Ok(Resolved::String(text)) => Some(text),
        _ => None,
    }
}

/// `AnyString`: numbers in their shortest decimal form, booleans as words, collections as "" (as upstream).
pub fn any_text(node: &Node) -> Option<String> {
    typed::any_string(node).ok().flatten()
}

/// `IntOrString` as text.
pub fn int_or_text(node: &Node, key: &str) -> Option<Word> {
    let value = field(node, key)?;
    let text = match resolve(value.scalar()?).ok()? {
        Resolved::String(text) => text,
        other => integer(&other)?.to_string(),
    };
    Some(Word { text, span: value.span })
}

pub fn int(node: &Node, key: &str) -> Option<i64> {
    integer(&resolve(field(node, key)?.scalar()?).ok()?)
}

pub fn flag(node: &Node, key: &str) -> Option<bool> {
    match resolve(field(node, key)?.scalar()?) {
        Ok(Resolved::Bool(value)) => Some(value),
        _ => None,
    }
}

/// The items of a list; none if it is absent.
pub fn items<'n>(node: &'n Node, key: &str) -> &'n [Rc<Node>] {
    field(node, key).and_then(|value| value.sequence()).unwrap_or_default()
}

/// The texts of a list of strings.
pub fn words(node: &Node, key: &str) -> Vec<Word> {
    let one = |item: &Rc<Node>| string(item).map(|text| Word { text, span: item.span });
    items(node, key).iter().filter_map(one).collect()
}

/// The entries of a map of strings.
pub fn pairs(node: &Node, key: &str) -> Vec<(Word, Word)> {
    let entries = field(node, key).and_then(|value| value.mapping()).unwrap_or_default();
    let one = |entry: &crate::yaml::Entry| {
        let name = Word { text: entry.key.key_text()?.to_owned(), span: entry.key.span };
        Some((name, Word { text: string(&entry.value)?, span: entry.value.span }))
    };
    entries.iter().filter_map(one).collect()
}

/// The parameters and artifacts under `inputs`, `outputs` or `arguments`.
pub fn parameters<'n>(node: &'n Node, section: &str) -> &'n [Rc<Node>] {
    field(node, section).map(|inner| items(inner, "parameters")).unwrap_or_default()
}

pub fn artifacts<'n>(node: &'n Node, section: &str) -> &'n [Rc<Node>] {
    field(node, section).map(|inner| items(inner, "artifacts")).unwrap_or_default()
}

/// The names of a list's objects.
pub fn names(list: &[Rc<Node>]) -> Vec<String> {
    list.iter().map(|node| text(node, "name")).collect()
}
