//! `depends`: which tasks and results an expression names. (What it evaluates to is the engine's.)
//! It must never evaluate.

use crate::argo::view::{text, words};
use crate::yaml::Node;
use std::collections::BTreeMap;

pub const RESULTS: [&str; 8] =
    ["Succeeded", "Failed", "Errored", "Skipped", "Omitted", "Daemoned", "AnySucceeded", "AllFailed"];

/// A task that an expression names, perhaps with a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mention {
    pub task: String,
    pub result: Option<String>,
}

/// The expression of a task: `depends`, or its `dependencies` joined.
pub fn expression(task: &Node) -> String {
    let depends = text(task, "depends");
    if !depends.is_empty() {
        return depends;
    }
    let names: Vec<String> = words(task, "dependencies").into_iter().map(|w| w.text).collect();
    names.join(" && ")
}

/// The tasks that a task depends on, and whether one of their loop results is meant.
pub fn dependencies(task: &Node) -> BTreeMap<String, bool> {
    let mut found = BTreeMap::new();
    for mention in mentions(&expression(task)) {
        let of_items = matches!(mention.result.as_deref(), Some("AnySucceeded" | "AllFailed"));
        let entry = found.entry(mention.task).or_insert(false);
        *entry |= of_items;
    }
    found
}

/// Every name in an expression. As upstream's regular expression: a name is letters, digits and `-`, beginning with a
/// letter or digit; a result is a dot and a word that begins with a capital.
pub fn mentions(expression: &str) -> Vec<Mention> {
    let bytes = expression.as_bytes();
    let mut found = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        if !bytes[at].is_ascii_alphanumeric() {
            at += 1;
            continue;
        }
        let length = bytes[at..].iter().take_while(|b| b.is_ascii_alphanumeric() || **b == b'-').count();
        let task = expression[at..at + length].to_owned();
        at += length;
        let mut result = None;
        if bytes.get(at) == Some(&b'.') && bytes.get(at + 1).is_some_and(u8::is_ascii_uppercase) {
            let length = bytes[at + 1..].iter().take_while(|b| b.is_ascii_alphabetic()).count();
            if length > 1 {
                result = Some(expression[at + 1..at + 1 + length].to_owned());
                at += 1 + length;
            }
        }
        found.push(Mention { task, result });
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(expression: &str) -> Vec<String> {
        mentions(expression)
            .into_iter()
            .map(|m| m.task + m.result.map(|r| format!(".{r}")).unwrap_or_default().as_str())
            .collect()
    }

    #[test]
    fn names_and_results_are_told_apart() {
        assert_eq!(names("(a-1.Succeeded || !b) && c.AnySucceeded"), ["a-1.Succeeded", "b", "c.AnySucceeded"]);
        assert_eq!(names("a.succeeded"), ["a", "succeeded"]);
        assert_eq!(names("a_b"), ["a", "b"]);
        assert_eq!(names("not a"), ["not", "a"]);
    }
}
