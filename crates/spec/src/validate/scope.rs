//! Tags: which ones stand in a piece of a document, and whether they can be resolved there.
//! It must never resolve one.

use crate::yaml::{Node, Value};
use std::collections::HashSet;
use std::rc::Rc;

/// Tags that begin with one of these are checked; others pass.
const KNOWN_ROOTS: [&str; 7] = ["item.", "steps.", "inputs.", "outputs.", "pod.", "workflow.", "tasks."];
/// Tags that are known only at run time.
const LATE: [&str; 7] = [
    "outputs.",
    "workflow.creationTimestamp",
    "workflow.scheduledTime",
    "workflow.duration",
    "tasks.name",
    "steps.name",
    "node.name",
];

/// The names that can be resolved at a place.
#[derive(Clone, Debug, Default)]
pub struct Names {
    known: HashSet<String>,
    /// `withParam`: any field of an item.
    pub any_item: bool,
    /// An output has a `globalName` behind a tag.
    pub any_global_parameter: bool,
    pub any_global_artifact: bool,
    /// A WorkflowTemplate alone: the workflow that uses it may bring parameters.
    pub any_workflow_parameter: bool,
    /// Calls of templates that nobody knows (yet): every tag that begins so can be right.
    open: Vec<String>,
}

impl Names {
    pub fn add(&mut self, name: impl Into<String>) {
        self.known.insert(name.into());
    }

    /// Lets every tag pass that begins with `prefix` and a dot.
    pub fn open(&mut self, prefix: &str) {
        self.open.push(format!("{prefix}."));
    }

    /// False: the tag can never be resolved.
    pub fn resolves(&self, tag: &str) -> bool {
        let tag = tag.trim();
        !KNOWN_ROOTS.iter().any(|root| tag.starts_with(root))
            || self.known.contains(tag)
            || LATE.iter().any(|late| tag.starts_with(late))
            || (self.any_item && tag.starts_with("item."))
            || (self.any_global_parameter && tag.starts_with("workflow.outputs.parameters."))
            || (self.any_global_artifact && tag.starts_with("workflow.outputs.artifacts."))
            || self.open.iter().any(|prefix| tag.starts_with(prefix.as_str()))
            || (self.any_workflow_parameter && tag.starts_with("workflow.parameters"))
    }

    pub fn iter(&self) -> impl Iterator<Item = &str> + Clone {
        self.known.iter().map(String::as_str)
    }
}

/// A tag of a document: the text between the braces, and the scalar in which it stands.
#[derive(Debug)]
pub struct Tag<'n> {
    pub text: &'n str,
    pub node: &'n Node,
}

/// Every simple tag in the scalars below `node`, in order.
pub fn tags(node: &Node) -> Vec<Tag<'_>> {
    let mut found = Vec::new();
    collect(node, &mut found);
    found
}

fn collect<'n>(node: &'n Node, found: &mut Vec<Tag<'n>>) {
    match &node.value {
        Value::Scalar(scalar) => found.extend(simple(&scalar.text).into_iter().map(|text| Tag { text, node })),
        Value::Sequence(items) => items.iter().for_each(|item: &Rc<Node>| collect(item, found)),
        Value::Mapping(entries) => entries.iter().for_each(|entry| {
            collect(&entry.key, found);
            collect(&entry.value, found);
        }),
        Value::Alias(target) => collect(target, found),
    }
}

/// The simple tags of a text, as fasttemplate finds them: from `{{` to the next `}}`, expressions left out.
pub fn simple(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find("{{") {
        rest = &rest[start + 2..];
        // Without an end the tag swallows what follows it in the document: nothing like it can resolve.
        let (tag, after) = match rest.find("}}") {
            Some(end) => (&rest[..end], &rest[end + 2..]),
            None => (rest, ""),
        };
        if !tag.trim_start().starts_with('=') {
            found.push(tag);
        }
        rest = after;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_simple_tags_are_found() {
        assert_eq!(simple("a {{b}} {{= c }} {{ d }}"), ["b", " d "]);
        assert_eq!(simple("{{x"), ["x"]);
        assert_eq!(simple("plain"), Vec::<&str>::new());
    }

    #[test]
    fn tags_with_unknown_roots_pass() {
        let mut names = Names::default();
        names.add("inputs.parameters.a");
        assert!(names.resolves("item"));
        assert!(names.resolves("foo.bar"));
        assert!(names.resolves(" inputs.parameters.a "));
        assert!(!names.resolves("inputs.parameters.b"));
        assert!(!names.resolves("item.x"));
        assert!(names.resolves("workflow.creationTimestamp.%Y"));
    }
}
