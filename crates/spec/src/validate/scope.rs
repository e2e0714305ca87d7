//! Tags: which ones stand in a piece of a document, and whether they can be resolved there.
//! It must never resolve one.

use crate::yaml::{Node, Value};
use std::collections::BTreeSet;
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
    known: BTreeSet<String>,
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

    /// Whether an expression's path can lead somewhere: a known name, a part of one, or something inside one.
    pub fn may_hold(&self, path: &str) -> bool {
        const ROOTS: [&str; 4] = ["steps.", "tasks.", "inputs.", "workflow.parameters."];
        if !ROOTS.iter().any(|root| path.starts_with(root)) || self.resolves(path) {
            return true;
        }
        let within = |name: &String| {
            let part = |long: &str, short: &str| long.strip_prefix(short).is_some_and(|rest| rest.starts_with('.'));
            part(name, path) || part(path, name)
        };
        self.known.iter().any(within)
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

/// Every expression below `node`: `{{=…}}` in any text, and the fields that are one.
pub fn expressions(node: &Node) -> Vec<Tag<'_>> {
    let mut found = Vec::new();
    collect_expressions(node, false, &mut found);
    found
}

fn collect_expressions<'n>(node: &'n Node, is_expression: bool, found: &mut Vec<Tag<'n>>) {
    match &node.value {
        Value::Scalar(scalar) if is_expression && !scalar.text.contains("{{") => {
            found.push(Tag { text: &scalar.text, node });
        }
        Value::Scalar(scalar) => {
            let bodies = scalar.text.split("{{").skip(1).filter_map(|part| part.split_once("}}"));
            let expressions = bodies.filter_map(|(body, _)| body.trim_start().strip_prefix('='));
            found.extend(expressions.map(|text| Tag { text, node }));
        }
        Value::Sequence(items) => items.iter().for_each(|item| collect_expressions(item, false, found)),
        Value::Mapping(entries) => entries.iter().for_each(|entry| {
            let is_expression = matches!(entry.key.key_text(), Some("expression" | "fromExpression"));
            collect_expressions(&entry.value, is_expression, found);
        }),
        Value::Alias(target) => collect_expressions(target, is_expression, found),
    }
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
    fn expressions_stand_in_tags_and_in_fields() {
        let text = "{a: 'x {{= b }} {{c}} {{=d}}', expression: e == 1, fromExpression: '{{=f}}'}";
        let root = crate::yaml::load_first(text).ok().flatten().expect("a document").root;
        let found: Vec<&str> = expressions(&root).iter().map(|tag| tag.text).collect();
        assert_eq!(found, [" b ", "d", "e == 1", "f"]);
    }

    #[test]
    fn paths_of_expressions_may_be_parts_of_names() {
        let mut names = Names::default();
        names.add("steps.a.outputs.parameters.n");
        assert!(names.may_hold("steps.a.outputs"));
        assert!(names.may_hold("steps.a.outputs.parameters.n.x"));
        assert!(names.may_hold("sprig.trim"));
        assert!(!names.may_hold("steps.b.outputs"));
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
