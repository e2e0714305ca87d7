//! What dresses a pod: container sets, sidecars, pod-level resources, metrics, clean-up. Judged as upstream judges it,
//! whether or not it does anything here.
//! It must never know what is supported.

use super::names::{self, Rule};
use super::template::Type;
use crate::argo::faults::Faults;
use crate::argo::view::{artifacts, field, items, key_span, pairs, parameters, text, word, words};
use crate::suggest;
use crate::yaml::Node;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

const GC_STRATEGIES: [&str; 4] = ["OnPodCompletion", "OnPodSuccess", "OnWorkflowCompletion", "OnWorkflowSuccess"];
const SELECTOR_OPERATORS: [&str; 4] = ["In", "NotIn", "Exists", "DoesNotExist"];
/// Longest part of a label's name.
const LABEL_MAX: usize = 63;

/// The parts of a spec that are about pods.
pub fn spec(spec: &Node, faults: &mut Faults) {
    if let Some(gc) = field(spec, "podGC") {
        if let Some(strategy) = word(gc, "strategy")
            && !GC_STRATEGIES.contains(&strategy.text.as_str())
        {
            let help = suggest::help(&strategy.text, GC_STRATEGIES, "remove it");
            faults.error("E0611", strategy.span, format!("there is no strategy `{}`", strategy.text), Some(help));
        }
        if let Some(selector) = field(gc, "labelSelector") {
            self::selector(selector, faults);
        }
    }
    resources(spec, faults);
    for plugin in items(spec, "executorPlugins") {
        if field(plugin, "metadata").is_none_or(|metadata| word(metadata, "name").is_none()) {
            let help = Some("add `metadata: {name: …}`".to_owned());
            faults.error("E0307", plugin.span, "this executor plugin has no name", help);
        }
    }
}

/// The parts of a template that are about pods.
pub fn template(template: &Node, kind: Type, faults: &mut Faults) {
    if let Some(set) = field(template, "containerSet") {
        container_set(template, set, faults);
    }
    for sidecar in items(template, "sidecars") {
        reserved(sidecar, faults);
    }
    resources(template, faults);
    let no_pod = matches!(kind, Type::Http | Type::Suspend | Type::Steps | Type::Dag);
    for (key, refused) in [("podResources", kind == Type::Http), ("resourceClaims", no_pod)] {
        if refused && field(template, key).is_some() {
            let message = format!("{} has no pod for `{key}`", kind.words());
            faults.error("E0612", key_span(template, key), message, Some("remove it".to_owned()));
        }
    }
    if let Some(metrics) = field(template, "metrics") {
        items(metrics, "prometheus").iter().for_each(|metric| self::metric(metric, faults));
    }
}

fn reserved(container: &Node, faults: &mut Faults) {
    let Some(name) = word(container, "name") else { return };
    if name.text == "supervisor" || name.text.starts_with("artifact-plugin-") {
        let help = Some("choose another name".to_owned());
        faults.error("E0304", name.span, format!("the container name `{}` is Argo's own", name.text), help);
    }
}

fn container_set(template: &Node, set: &Rc<Node>, faults: &mut Faults) {
    let containers = items(set, "containers");
    if containers.is_empty() {
        let help = Some("add one under `containers`".to_owned());
        faults.error("E0613", set.span, "the containerSet has no container", help);
    }
    names::check(containers, "container", Rule::Field, faults);
    containers.iter().for_each(|container| reserved(container, faults));
    let mut seen = BTreeMap::new();
    for mount in items(set, "volumeMounts") {
        let path = text(mount, "mountPath");
        if seen.insert(path.clone(), ()).is_some() {
            let help = Some("choose another path".to_owned());
            faults.error("E0609", mount.span, format!("the path `{path}` is already taken"), help);
        }
    }
    let edges: BTreeMap<String, Vec<String>> = containers
        .iter()
        .map(|c| (text(c, "name"), words(c, "dependencies").into_iter().map(|w| w.text).collect()))
        .collect();
    for container in containers {
        for other in words(container, "dependencies") {
            if !edges.contains_key(&other.text) {
                let help = suggest::help(&other.text, edges.keys().map(String::as_str), "remove it");
                let message = format!("there is no container `{}`", other.text);
                faults.error("E0502", other.span, message, Some(help));
            }
        }
        let name = text(container, "name");
        if precedes(&edges, &name, &name) {
            let help = Some("remove one of the dependencies".to_owned());
            faults.error("E0501", container.span, format!("`{name}` waits for itself"), help);
        }
    }
    let has_main = containers.iter().any(|container| text(container, "name") == "main");
    let uses_main = !artifacts(template, "inputs").is_empty()
        || !parameters(template, "outputs").is_empty()
        || !artifacts(template, "outputs").is_empty();
    if uses_main && !has_main && !containers.is_empty() {
        let help = Some("name the container `main` that has the inputs and outputs".to_owned());
        faults.error("E0613", set.span, "a containerSet with inputs or outputs needs a container `main`", help);
    }
}

/// Whether `task` waits for `other`.
fn precedes(edges: &BTreeMap<String, Vec<String>>, other: &str, task: &str) -> bool {
    let mut seen = BTreeSet::new();
    let mut open = vec![task];
    while let Some(task) = open.pop() {
        for before in edges.get(task).into_iter().flatten() {
            if before == other {
                return true;
            }
            if seen.insert(before.as_str()) {
                open.push(before);
            }
        }
    }
    false
}

fn resources(node: &Node, faults: &mut Faults) {
    let Some(resources) = field(node, "podResources") else { return };
    for key in ["limits", "requests"] {
        for entry in field(resources, key).and_then(|map| map.mapping()).unwrap_or_default() {
            let name = entry.key.key_text().unwrap_or_default();
            if !matches!(name, "cpu" | "memory") && !name.starts_with("hugepages-") {
                let help = Some("only cpu, memory and hugepages-* are".to_owned());
                faults.error("E0612", entry.key.span, format!("`{name}` is no resource of a whole pod"), help);
            }
        }
    }
    if field(resources, "claims").is_some() {
        let help = Some("move them to the containers".to_owned());
        faults.error("E0612", key_span(resources, "claims"), "a whole pod has no claims", help);
    }
}

fn metric(node: &Node, faults: &mut Faults) {
    let name = text(node, "name");
    let valid = |text: &str| {
        !text.is_empty()
            && !text.starts_with(|c: char| c.is_ascii_digit())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
    };
    if !valid(&name) {
        let help = Some("use letters, digits and `_`".to_owned());
        faults.error("E0304", key_span(node, "name"), format!("`{name}` cannot be the name of a metric"), help);
    }
    for label in items(node, "labels") {
        if !valid(&text(label, "key")) {
            let help = Some("use letters, digits and `_`".to_owned());
            faults.error("E0304", label.span, format!("`{}` cannot be a label", text(label, "key")), help);
        }
    }
    if word(node, "help").is_none() {
        faults.error("E0614", node.span, format!("the metric `{name}` has no `help`"), Some("add `help`".to_owned()));
    }
    for kind in ["counter", "gauge", "histogram"] {
        if let Some(inner) = field(node, kind)
            && word(inner, "value").is_none()
        {
            let help = Some("add `value`".to_owned());
            faults.error("E0614", inner.span, format!("the {kind} of `{name}` has no value"), help);
        }
    }
}

/// Kubernetes' label selector: names of labels and operators.
fn selector(node: &Node, faults: &mut Faults) {
    for (key, _) in pairs(node, "matchLabels") {
        if !is_label(&key.text) {
            let help = Some("use letters, digits, `-`, `_` and `.`".to_owned());
            faults.error("E0611", key.span, format!("`{}` cannot be a label", key.text), help);
        }
    }
    for expression in items(node, "matchExpressions") {
        let operator = text(expression, "operator");
        if !SELECTOR_OPERATORS.contains(&operator.as_str()) {
            let help = suggest::help(&operator, SELECTOR_OPERATORS, "");
            faults.error("E0611", expression.span, format!("there is no operator `{operator}`"), Some(help));
        }
        let values = items(expression, "values").len();
        let fits = match operator.as_str() {
            "In" | "NotIn" => values > 0,
            "Exists" | "DoesNotExist" => values == 0,
            _ => true,
        };
        if !fits {
            let help = Some("In and NotIn need values, Exists and DoesNotExist have none".to_owned());
            faults.error("E0611", expression.span, format!("`{operator}` does not go with these values"), help);
        }
    }
}

/// `[prefix/]name`, the name of at most 63 characters that begins and ends with a letter or digit.
fn is_label(key: &str) -> bool {
    let name = key.rsplit('/').next().unwrap_or_default();
    let ends = |c: char| c.is_ascii_alphanumeric();
    name.len() <= LABEL_MAX
        && name.starts_with(ends)
        && name.ends_with(ends)
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

#[cfg(test)]
mod tests {
    use super::is_label;

    #[test]
    fn labels_are_kubernetes_labels() {
        assert!(is_label("a.b/c-d"));
        assert!(!is_label("a b"));
        assert!(!is_label("-a"));
        assert!(!is_label(""));
    }
}
