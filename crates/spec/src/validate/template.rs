//! One template: its type, its inputs, and what each type of leaf must have.
//! It must never look at what calls it.

use super::names::{self, Rule};
use crate::argo::faults::Faults;
use crate::argo::merge::TEMPLATE_TYPES;
use crate::argo::view::{Word, artifacts, field, int, int_or_text, items, key_span, parameters, text, word};
use crate::diagnostic::Span;
use crate::yaml::Node;
use std::collections::BTreeMap;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    Container,
    ContainerSet,
    Dag,
    Data,
    Http,
    Plugin,
    Resource,
    Script,
    Steps,
    Suspend,
}

impl Type {
    fn of(key: &str) -> Option<Self> {
        Some(match key {
            "container" => Self::Container,
            "containerSet" => Self::ContainerSet,
            "dag" => Self::Dag,
            "data" => Self::Data,
            "http" => Self::Http,
            "plugin" => Self::Plugin,
            "resource" => Self::Resource,
            "script" => Self::Script,
            "steps" => Self::Steps,
            "suspend" => Self::Suspend,
            _ => return None,
        })
    }

    pub fn is_leaf(self) -> bool {
        !matches!(self, Self::Dag | Self::Steps | Self::Suspend)
    }

    pub fn is_pod(self) -> bool {
        matches!(self, Self::Container | Self::ContainerSet | Self::Script | Self::Resource | Self::Data)
    }

    pub fn words(self) -> &'static str {
        match self {
            Self::Container => "a container",
            Self::ContainerSet => "a containerSet",
            Self::Dag => "a dag",
            Self::Data => "a data template",
            Self::Http => "an http template",
            Self::Plugin => "a plugin",
            Self::Resource => "a resource",
            Self::Script => "a script",
            Self::Steps => "steps",
            Self::Suspend => "a suspend template",
        }
    }

    /// The types that a template names.
    pub fn all(template: &Node) -> Vec<(Self, Span)> {
        let found = TEMPLATE_TYPES.iter().filter(|key| field(template, key).is_some());
        found.filter_map(|key| Some((Self::of(key)?, key_span(template, key)))).collect()
    }
}

/// The type of a template, if it has exactly one.
pub fn kind(template: &Node, faults: &mut Faults) -> Option<Type> {
    let all = Type::all(template);
    let span = word(template, "name").map_or(template.span, |w| w.span);
    match all.as_slice() {
        [(kind, _)] => Some(*kind),
        [] => {
            let help = Some("add one of: container, script, steps, dag".to_owned());
            faults.error("E0305", span, format!("the template `{}` says not what it is", text(template, "name")), help);
            None
        }
        [_, (second, span), ..] => {
            let message = format!("a template has one type, and this one is {} as well", second.words());
            faults.error("E0305", *span, message, Some("make two templates of it".to_owned()));
            None
        }
    }
}

pub fn inputs(template: &Node, kind: Type, faults: &mut Faults) {
    names::check(parameters(template, "inputs"), "parameter", Rule::Value, faults);
    names::check(artifacts(template, "inputs"), "artifact", Rule::Value, faults);
    for node in artifacts(template, "inputs") {
        if kind.is_leaf() {
            clean_path(node, faults);
        } else if let Some(path) = word(node, "path") {
            let help = Some("remove `path`, and hand the artifact on in the arguments of a step".to_owned());
            faults.error("E0702", path.span, "only containers and scripts read artifacts at a path", help);
        }
        if let Some(from) = word(node, "from") {
            let help = Some("say it in the arguments of the call instead".to_owned());
            faults.error("E0702", from.span, "an input cannot say `from`", help);
        }
        location(node, faults);
    }
    for container in items(template, "initContainers") {
        if word(container, "name").is_none() {
            faults.error("E0307", container.span, "this init container has no name", Some("give it a `name`".into()));
        }
    }
}

fn location(node: &Node, faults: &mut Faults) {
    let missing = |part: &str, key: &str, faults: &mut Faults| {
        if let Some(inner) = field(node, part)
            && field(inner, key).is_none()
        {
            faults.error("E0704", inner.span, format!("`{part}` needs `{key}`"), Some(format!("add `{key}`")));
        }
    };
    missing("git", "repo", faults);
    missing("hdfs", "addresses", faults);
    missing("hdfs", "path", faults);
}

/// A path must be there and stay where it is.
pub fn clean_path(node: &Node, faults: &mut Faults) {
    let name = text(node, "name");
    let Some(path) = word(node, "path") else {
        let help = Some("add `path`".to_owned());
        faults.error("E0701", node.span, format!("the artifact `{name}` has no path"), help);
        return;
    };
    if is_traversal(&path.text) {
        let help = Some("write the path without `..`".to_owned());
        faults.error("E0701", path.span, format!("the path of `{name}` leads out with `..`"), help);
    }
}

/// Whether the path leaves the directory that stands before its first `..` (upstream's `CleanPath`).
fn is_traversal(path: &str) -> bool {
    let safe = match path.find("/../") {
        Some(at) => &path[..at],
        None => path.strip_suffix("/..").unwrap_or_default(),
    };
    if safe.is_empty() {
        return false;
    }
    let cleaned = cleaned(path);
    !cleaned.strip_prefix(safe).is_some_and(|rest| rest.len() > 1 && rest.starts_with('/'))
}

/// Go's `filepath.Clean`.
fn cleaned(path: &str) -> String {
    let rooted = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            ".." if rooted => {}
            part => parts.push(part),
        }
    }
    let joined = parts.join("/");
    if rooted { format!("/{joined}") } else { joined }
}

/// What a leaf must have. `default_image`: from `templateDefaults`. `known`: a text with the values that are known now.
pub fn leaf(
    template: &Node,
    kind: Type,
    default_image: &dyn Fn(&str) -> bool,
    known: &dyn Fn(&str) -> String,
    faults: &mut Faults,
) {
    for key in ["container", "script"] {
        let Some(container) = field(template, key) else { continue };
        if known(&text(container, "image")).is_empty() && !default_image(key) {
            let help = Some("add `image`".to_owned());
            faults.error("E0601", key_span(template, key), format!("the {key} has no image"), help);
        }
    }
    if let Some(container) = field(template, "container") {
        mounts(template, container, faults);
    }
    if let Some(resource) = field(template, "resource") {
        self::resource(resource, faults);
    }
    if let Some(deadline) = int_or_text(template, "activeDeadlineSeconds")
        && !is_positive_or_tag(&deadline)
    {
        let help = Some("write a number of seconds above 0, or a tag".to_owned());
        faults.error("E0604", deadline.span, format!("`{}` is no deadline", deadline.text), help);
    }
    if int(template, "parallelism").is_some() && kind.is_leaf() {
        let help = Some("move it to the template that calls this one, or to the workflow".to_owned());
        faults.error("E0605", key_span(template, "parallelism"), "only steps and dags have `parallelism`", help);
    }
}

fn is_positive_or_tag(word: &Word) -> bool {
    match word.text.parse::<i64>() {
        Ok(number) => number >= 0,
        Err(_) => word.text.starts_with("{{") && word.text.ends_with("}}"),
    }
}

fn mounts(template: &Node, container: &Node, faults: &mut Faults) {
    let mut seen: BTreeMap<String, String> = BTreeMap::new();
    let mut take = |path: Option<Word>, what: String, span: Span, faults: &mut Faults| {
        let (text, span) = path.map_or((String::new(), span), |path| (path.text, path.span));
        if let Some(other) = seen.get(&text) {
            let help = Some("choose another path".to_owned());
            faults.error("E0609", span, format!("the path `{text}` is already taken by {other}"), help);
        }
        seen.insert(text, what);
    };
    for mount in items(container, "volumeMounts") {
        take(word(mount, "mountPath"), format!("the volume `{}`", text(mount, "name")), mount.span, faults);
    }
    for artifact in artifacts(template, "inputs") {
        take(word(artifact, "path"), format!("the artifact `{}`", text(artifact, "name")), artifact.span, faults);
    }
}

const ACTIONS: [&str; 6] = ["get", "create", "apply", "delete", "replace", "patch"];

fn resource(node: &Node, faults: &mut Faults) {
    let action = text(node, "action");
    let is_tag = action.starts_with("{{");
    if !is_tag && !ACTIONS.contains(&action.as_str()) {
        let help = crate::suggest::help(&action, ACTIONS, "write `apply`");
        faults.error("E0610", key_span(node, "action"), format!("there is no action `{action}`"), Some(help));
        return;
    }
    if matches!(action.as_str(), "delete" | "get") {
        return;
    }
    match (word(node, "manifest"), field(node, "manifestFrom")) {
        (None, None) => {
            faults.error("E0610", node.span, "the resource has no manifest", Some("add `manifest`".to_owned()));
        }
        (Some(_), Some(_)) => {
            let help = Some("remove one of them".to_owned());
            faults.error("E0610", node.span, "the resource has `manifest` and `manifestFrom`", help);
        }
        (Some(manifest), None) => {
            let plain = without_tags(&manifest.text);
            if let Err(error) = crate::yaml::load_first(&plain) {
                let message = format!("the manifest is not YAML: {}", error.message);
                faults.error("E0610", manifest.span, message, Some("correct the manifest".to_owned()));
            }
        }
        (None, Some(_)) => {}
    }
}

/// A manifest with every tag replaced by a word: upstream only wants to know whether it can be YAML at all.
fn without_tags(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("{{") {
        let Some(end) = rest[start..].find("}}") else { break };
        out.push_str(&rest[..start]);
        out.push_str("placeholder");
        rest = &rest[start + end + 2..];
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_may_not_leave_where_it_begins() {
        for bad in ["/a/../b", "/tmp/../etc", "/a/b/..", "/a/{{x}}/../y", "/a/b/../../../c"] {
            assert!(is_traversal(bad), "{bad}");
        }
        for good in ["../a", "..", "/..", "/a/..b", "/a//b", "/", "/tmp/ab"] {
            assert!(!is_traversal(good), "{good}");
        }
    }
}
