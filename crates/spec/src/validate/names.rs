//! Names: there, well formed, and unique.
//! It must never know what is named.

use crate::argo::faults::Faults;
use crate::argo::view::{field, string, word};
use crate::yaml::Node;
use std::collections::BTreeMap;
use std::rc::Rc;

/// Longest name of a template, step or task.
const FIELD_NAME_MAX: usize = 128;

/// Longest DNS-1123 subdomain.
const OBJECT_NAME_MAX: usize = 253;

/// What the name of a workflow or template looks like, in words.
pub const OBJECT_WORDS: &str =
    "use lower-case letters, digits, `-` and `.`, beginning and ending with a letter or digit";

/// Whether Kubernetes admits an object of this name: a DNS-1123 subdomain.
pub fn is_object_name(name: &str) -> bool {
    let label = |label: &str| {
        let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        label.bytes().all(|b| inner(b) || b == b'-')
            && label.bytes().next().is_some_and(inner)
            && label.bytes().last().is_some_and(inner)
    };
    name.len() <= OBJECT_NAME_MAX && name.split('.').all(label)
}

/// The same of `generateName`, which may end with `-`.
pub fn is_object_prefix(prefix: &str) -> bool {
    match prefix.strip_suffix('-') {
        Some(start) if !start.is_empty() => is_object_name(&format!("{start}a")),
        _ => is_object_name(prefix),
    }
}

/// What a list's names look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Templates, steps, tasks: `[a-zA-Z0-9][-a-zA-Z0-9]*`.
    Field,
    /// Parameters and artifacts: `[-a-zA-Z0-9_]+`.
    Value,
}

impl Rule {
    pub fn accepts(self, name: &str) -> bool {
        match self {
            Self::Field => {
                name.len() <= FIELD_NAME_MAX
                    && name.starts_with(|c: char| c.is_ascii_alphanumeric())
                    && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            }
            Self::Value => {
                !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
            }
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Field => "use letters, digits and `-`, at most 128, beginning with a letter or digit",
            Self::Value => "use letters, digits, `_` and `-`",
        }
    }
}

/// Checks the names of a list of objects; `what` is "template", "parameter", …
pub fn check(list: &[Rc<Node>], what: &str, rule: Rule, faults: &mut Faults) {
    let mut seen: BTreeMap<String, u32> = BTreeMap::new();
    for node in list {
        one(node, what, rule, &mut seen, faults);
    }
}

/// Checks one name against those already seen (name and line).
pub fn one(node: &Node, what: &str, rule: Rule, seen: &mut BTreeMap<String, u32>, faults: &mut Faults) {
    let Some(name) = word(node, "name") else {
        // A name that is no string (`y`, `5`) is told by the checker of types.
        if field(node, "name").is_some_and(|name| string(name).is_none()) {
            return;
        }
        let help = Some(format!("give the {what} a `name`"));
        faults.error("E0307", node.span, format!("this {what} has no name"), help);
        return;
    };
    if !rule.accepts(&name.text) {
        let help = Some(rule.words().to_owned());
        faults.error("E0304", name.span, format!("`{}` cannot be the name of a {what}", name.text), help);
    }
    if let Some(line) = seen.insert(name.text.clone(), name.span.line) {
        let help = Some(format!("the other one is in line {line}"));
        faults.error("E0303", name.span, format!("there are two {what}s named `{}`", name.text), help);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_named_as_kubernetes_wants_it() {
        for name in ["a", "0", "a-b.c-1", "a--b", &"a".repeat(253)] {
            assert!(is_object_name(name), "{name}");
        }
        for name in
            ["", "A", "a_b", "-a", "a-", "a.", ".a", "a..b", "a.-b", "a b", "../x", "é", "a\u{1b}", &"a".repeat(254)]
        {
            assert!(!is_object_name(name), "{name}");
        }
        assert!(is_object_prefix("train-") && is_object_prefix("train") && is_object_prefix("a--"));
        assert!(!is_object_prefix("Train-") && !is_object_prefix("a.") && !is_object_prefix("-"));
    }

    #[test]
    fn templates_take_no_underscore_and_parameters_do() {
        assert!(Rule::Field.accepts("a-1"));
        assert!(!Rule::Field.accepts("a_1"));
        assert!(!Rule::Field.accepts("-a"));
        assert!(!Rule::Field.accepts(&"a".repeat(129)));
        assert!(Rule::Value.accepts("-a_1"));
        assert!(!Rule::Value.accepts("a.b"));
        assert!(!Rule::Value.accepts("é"));
    }
}
