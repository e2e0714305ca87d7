//! The tree of a YAML document: every value with its place in the text, its style and its raw spelling.
//! It must never know what a document means.

use crate::diagnostic::Span;
use std::rc::Rc;

/// A value of a document. Aliases share the node that they refer to.
#[derive(Debug, PartialEq)]
pub struct Node {
    pub span: Span,
    pub value: Value,
}

#[derive(Debug, PartialEq)]
pub enum Value {
    Scalar(Scalar),
    Sequence(Vec<Rc<Node>>),
    /// Entries as written. Before `expand`, duplicates and merge keys (`<<`) are still there.
    Mapping(Vec<Entry>),
    /// `*name`. Only before `expand`.
    Alias(Rc<Node>),
}

/// One `key: value`.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    pub key: Rc<Node>,
    pub value: Rc<Node>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Scalar {
    /// After escapes and folding; for plain scalars the raw spelling (`1.50`, `0777`).
    pub text: Box<str>,
    pub style: Style,
    /// A `!!name` tag without its exclamation marks, or a custom tag with them.
    pub tag: Option<Box<str>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    Plain,
    Quoted,
    /// `|` or `>`.
    Block,
}

impl Node {
    pub fn scalar(&self) -> Option<&Scalar> {
        match &self.value {
            Value::Scalar(scalar) => Some(scalar),
            _ => None,
        }
    }

    pub fn sequence(&self) -> Option<&[Rc<Node>]> {
        match &self.value {
            Value::Sequence(items) => Some(items),
            _ => None,
        }
    }

    pub fn mapping(&self) -> Option<&[Entry]> {
        match &self.value {
            Value::Mapping(entries) => Some(entries),
            _ => None,
        }
    }

    /// The value under `key`; the last one wins.
    pub fn get(&self, key: &str) -> Option<&Rc<Node>> {
        self.entry(key).map(|entry| &entry.value)
    }

    pub fn entry(&self, key: &str) -> Option<&Entry> {
        self.mapping()?.iter().rev().find(|entry| entry.key.key_text() == Some(key))
    }

    /// The text of a key; `None` where the key is a collection.
    pub fn key_text(&self) -> Option<&str> {
        self.scalar().map(|scalar| &*scalar.text)
    }

    /// True for `~`, `null` and nothing.
    pub fn is_null(&self) -> bool {
        self.scalar().is_some_and(|s| {
            s.style == Style::Plain && s.tag.is_none() && matches!(&*s.text, "" | "~" | "null" | "Null" | "NULL")
        })
    }

    /// What the value is, in the words of an error message.
    pub fn kind_name(&self) -> &'static str {
        use super::resolve::{Resolved, resolve};
        match &self.value {
            Value::Sequence(_) => "a list",
            Value::Mapping(_) | Value::Alias(_) => "a mapping",
            Value::Scalar(scalar) => match resolve(scalar) {
                Ok(Resolved::Null) => "nothing",
                Ok(Resolved::Bool(_)) => "a boolean",
                Ok(Resolved::Int(_) | Resolved::Uint(_) | Resolved::Float(_)) => "a number",
                Ok(Resolved::String(_)) | Err(_) => "a string",
            },
        }
    }
}
