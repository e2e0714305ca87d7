//! What a leaf may use: the resources of its container, those of its pod, and patches of them.
//! It must never apply a patch of anything else: that is refused.

use super::Lowering;
use crate::argo::view::{any_text, field, items, text, word};
use crate::diagnostic::Span;
use crate::yaml::{Entry, Node, load_first};
use model::Text;
use model::plan::Resources;
use std::collections::BTreeMap;

/// Upstream's name of the container that runs a template.
const MAIN: &str = "main";

impl Lowering<'_> {
    /// Of the container; where it says nothing, of the pod; then the patches of the workflow and of the template over both.
    pub(super) fn resources(&mut self, container: &Node, template: &Node) -> Resources {
        let spec = std::rc::Rc::clone(&self.effective.spec);
        let mut resources = field(container, "resources").map_or_else(Resources::default, |node| read(node));
        let pod = field(template, "podResources").or_else(|| field(&spec, "podResources"));
        if let Some(pod) = pod.map(|node| read(node)) {
            // What the pod asks for counts; what it may use bounds a container that has no bound of its own.
            resources.requests.extend(pod.requests);
            let own = std::mem::replace(&mut resources.limits, pod.limits);
            resources.limits.extend(own);
        }
        for node in [&spec as &Node, template] {
            let Some(patch) = word(node, "podSpecPatch").filter(|patch| !patch.text.trim().is_empty()) else {
                continue;
            };
            match patched(&patch.text) {
                Some(patch) => {
                    resources.requests.extend(patch.requests);
                    resources.limits.extend(patch.limits);
                }
                None => self.refuse(patch.span),
            }
        }
        resources
    }

    fn refuse(&mut self, span: Span) {
        let message = "only the resources of the container `main` can be patched so far";
        let help = "say the rest in the template itself; tags stand inside quoted strings";
        if !self.faults.list.iter().any(|known| known.span == span && known.code == "E0210") {
            self.faults.error("E0210", span, message, Some(help.to_owned()));
        }
    }
}

fn read(node: &Node) -> Resources {
    let amounts = |key| -> BTreeMap<String, Text> {
        let entries = field(node, key).and_then(|map| map.mapping()).unwrap_or_default();
        let one = |entry: &Entry| Some((entry.key.key_text()?.to_owned(), Text(any_text(&entry.value)?)));
        entries.iter().filter_map(one).collect()
    };
    Resources { requests: amounts("requests"), limits: amounts("limits") }
}

/// The resources that a patch gives the main container; `None`: it patches something else as well, or cannot be read before its
/// tags are replaced.
fn patched(patch: &str) -> Option<Resources> {
    let document = load_first(patch).ok()??;
    let root = &document.root;
    let only = |node: &Node, keys: &[&str]| {
        let entries = node.mapping()?;
        entries.iter().all(|entry| entry.key.key_text().is_some_and(|key| keys.contains(&key))).then_some(())
    };
    only(root, &["containers"])?;
    let mut resources = Resources::default();
    for container in items(root, "containers") {
        only(container, &["name", "resources"])?;
        if text(container, "name") != MAIN {
            return None;
        }
        let Some(node) = field(container, "resources") else { continue };
        only(node, &["limits", "requests"])?;
        let patch = read(node);
        resources.requests.extend(patch.requests);
        resources.limits.extend(patch.limits);
    }
    Some(resources)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patch_of_resources_is_read_and_any_other_is_not() {
        let limits = |patch: &str| patched(patch).map(|resources| resources.limits);
        let cpu = limits("{containers: [{name: main, resources: {limits: {cpu: '{{workflow.parameters.c}}'}}}]}");
        assert_eq!(cpu, Some([("cpu".to_owned(), Text::new("{{workflow.parameters.c}}"))].into()));
        assert_eq!(limits("{}"), Some(BTreeMap::new()));
        for other in [
            "{hostNetwork: true}",
            "{containers: [{name: wait, resources: {}}]}",
            "{containers: [{name: main, image: x}]}",
            "{containers: [{name: main, resources: {limits: {{inputs.parameters.r}} }}]}",
            "[",
        ] {
            assert_eq!(limits(other), None, "{other}");
        }
    }
}
