//! Outputs with a `globalName`, of a template and of all that it calls: what follows the call can refer to them.
//! It must never judge a name.

use super::Validator;
use super::outputs::is_parameter;
use super::scope::Names;
use crate::argo::definition::{Definition, Reference};
use crate::argo::view::{artifacts, field, items, parameters, text, word};
use crate::yaml::Node;
use model::plan::Scope;
use std::collections::BTreeSet;
use std::rc::Rc;

impl Validator<'_> {
    /// Adds the global outputs that the call of a template brings, however deep the node that makes them.
    pub(super) fn exported(&mut self, call: &Node, template: &Rc<Node>, caller: &Scope, names: &mut Names) {
        if !self.exports {
            return;
        }
        let scope = Reference::read(call).map_or_else(|| caller.clone(), |reference| reference.scope());
        let mut seen = BTreeSet::new();
        let mut open = vec![(scope, Rc::clone(template))];
        while let Some((scope, node)) = open.pop() {
            if !seen.insert(Rc::as_ptr(&node)) {
                continue;
            }
            self.own_exports(&node, names);
            for call in calls(&node) {
                open.extend(self.called(call, &scope));
            }
        }
    }

    fn own_exports(&mut self, template: &Node, names: &mut Names) {
        let lists = [("parameters", parameters(template, "outputs")), ("artifacts", artifacts(template, "outputs"))];
        for (section, output) in lists.into_iter().flat_map(|(section, list)| list.iter().map(move |o| (section, o))) {
            let Some(name) = word(output, "globalName") else { continue };
            if is_parameter(&name.text) {
                names.any_global_parameter |= section == "parameters";
                names.any_global_artifact |= section == "artifacts";
                continue;
            }
            let global = format!("workflow.outputs.{section}.{}", name.text);
            names.add(global.clone());
            self.globals.add(global);
        }
    }

    /// The template of a call, and where its own calls are looked up.
    fn called(&self, call: &Node, scope: &Scope) -> Option<(Scope, Rc<Node>)> {
        if let Some(inline) = field(call, "inline") {
            return Some((scope.clone(), Rc::clone(inline)));
        }
        let (scope, name) = match Reference::read(call) {
            Some(reference) => (reference.scope(), reference.template.text),
            None => (scope.clone(), text(call, "template")),
        };
        let node = self.index(&scope)?.get(&name)?.clone();
        Some((scope, node))
    }
}

fn calls(template: &Node) -> impl Iterator<Item = &Rc<Node>> {
    let steps = items(template, "steps").iter().flat_map(|group| group.sequence().unwrap_or_default());
    let tasks = field(template, "dag").map(|dag| items(dag, "tasks")).unwrap_or_default();
    steps.chain(tasks)
}

/// Whether a template of the definition has an output with a global name.
pub(super) fn has_exports(definition: &Definition) -> bool {
    let exports = |template: &Rc<Node>| {
        let outputs = parameters(template, "outputs").iter().chain(artifacts(template, "outputs"));
        outputs.into_iter().any(|output| word(output, "globalName").is_some())
    };
    let inside = |template: &Rc<Node>| calls(template).any(|call| field(call, "inline").is_some_and(exports));
    items(&definition.spec, "templates").iter().any(|template| exports(template) || inside(template))
}
