//! Documents to Plan: each template that can be reached becomes one of the Plan's, numbered as it is found.
//! It must never check what the validation checks: here everything is taken as it stands.

mod calls;
mod leaf;
mod locks;
mod parameters;
mod resources;
mod retry;
mod volumes;

use super::annotations::Additions;
use super::definition::{Definition, Effective, Index, Library};
use super::faults::Faults;
use super::merge::with_defaults;
use super::view::{field, flag, int, int_or_text, items, pairs, text, word};
use crate::Options;
use crate::yaml::Node;
use model::input::Shutdown;
use model::plan::{Body, Metadata, Plan, RunMetadata, SEMANTICS, Scope, Template};
use model::{TemplateId, Text};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;

/// Builds the Plan of one workflow. `None`: something is missing, and a diagnostic says what.
pub fn plan(
    definition: &Definition,
    effective: &Effective,
    library: &Library,
    options: &Options,
    faults: &mut Faults,
) -> Option<Plan> {
    let additions = Additions::read(&definition.root, faults);
    let spec = &effective.spec;
    let mut lowering = Lowering {
        library,
        effective,
        defaults: field(spec, "templateDefaults").cloned(),
        additions,
        templates: Vec::new(),
        ids: BTreeMap::new(),
        queue: VecDeque::new(),
        faults,
        file: definition.file.clone(),
        lint: options.lint,
        given: BTreeSet::new(),
    };
    lowering.file = effective.template_file.clone();
    for template in items(spec, "templates") {
        lowering.named(&Scope::Local, &text(template, "name"));
    }
    let entrypoint = options.entrypoint.clone().unwrap_or_else(|| text(spec, "entrypoint"));
    let entrypoint = lowering.named(&Scope::Local, &entrypoint);
    let hooks = lowering.hooks(spec, &Scope::Local);
    lowering.run();
    lowering.file = definition.file.clone();
    lowering.given = options.parameters.keys().cloned().collect();
    let mut arguments = lowering.arguments(field(spec, "arguments"));
    for parameter in &mut arguments.parameters {
        // What a ConfigMap says is data, as what is given at the start.
        let value = parameter.config_map.take().and_then(|key| library.config_maps.get(&key.name.0)?.get(&key.key.0));
        parameter.value = parameter.value.take().or_else(|| value.cloned().map(Text));
    }
    let config_maps = lowering.config_maps();
    let locks = lowering.locks(spec);
    let templates: Option<Vec<Template>> = std::mem::take(&mut lowering.templates).into_iter().collect();
    Some(Plan {
        version: model::plan::PLAN_VERSION,
        semantics: SEMANTICS,
        metadata: metadata(&definition.root, spec, options),
        entrypoint: entrypoint?,
        arguments,
        templates: templates?,
        parallelism: int(spec, "parallelism").and_then(positive),
        active_deadline_s: int(spec, "activeDeadlineSeconds"),
        priority: int(spec, "priority").and_then(|p| i32::try_from(p).ok()).unwrap_or_default(),
        service_account: text(spec, "serviceAccountName"),
        shutdown: shutdown(spec, lowering.faults),
        hooks,
        config_maps,
        suspended: flag(spec, "suspend").unwrap_or_default(),
        locks,
        by_reference: effective.reference.is_some(),
        notices: Vec::new(),
    })
}

fn shutdown(spec: &Node, faults: &mut Faults) -> Option<Shutdown> {
    let strategy = word(spec, "shutdown").filter(|strategy| !strategy.text.is_empty())?;
    match strategy.text.as_str() {
        "Stop" => Some(Shutdown::Stop),
        "Terminate" => Some(Shutdown::Terminate),
        other => {
            let help = Some("write `Stop` or `Terminate`, or leave it out".to_owned());
            faults.error("E0202", strategy.span, format!("there is no shutdown strategy `{other}`"), help);
            None
        }
    }
}

/// Zero means "no limit" upstream.
fn positive(number: i64) -> Option<u32> {
    u32::try_from(number).ok().filter(|n| *n > 0)
}

fn metadata(root: &Node, spec: &Node, options: &Options) -> Metadata {
    let empty = Rc::new(Node { span: root.span, value: crate::yaml::Value::Mapping(Vec::new()) });
    let node = field(root, "metadata").unwrap_or(&empty);
    let map_of =
        |node: &Node, key| pairs(node, key).into_iter().map(|(k, v)| (k.text, v.text)).collect::<BTreeMap<_, _>>();
    let map = |key| map_of(node, key);
    let mut labels = map("labels");
    labels.extend(options.labels.clone());
    let given = options.name.clone();
    Metadata {
        generate_name: if given.is_some() { String::new() } else { text(node, "generateName") },
        name: given.unwrap_or_else(|| text(node, "name")),
        namespace: options.namespace.clone().unwrap_or_else(|| text(node, "namespace")),
        labels,
        annotations: map("annotations"),
        blank: blank(node, spec),
        of_runs: match field(spec, "workflowMetadata") {
            Some(node) => RunMetadata {
                labels: map_of(node, "labels"),
                annotations: map_of(node, "annotations"),
                labels_from: labels_from(node),
            },
            None => RunMetadata::default(),
        },
    }
}

/// The sections that are written and hold nothing.
fn blank(metadata: &Node, spec: &Node) -> Vec<String> {
    let sections = [
        ("labels", field(metadata, "labels")),
        ("annotations", field(metadata, "annotations")),
        ("parameters", field(spec, "arguments").and_then(|arguments| field(arguments, "parameters"))),
    ];
    let empty = |node: &Node| match &node.value {
        crate::yaml::Value::Mapping(entries) => entries.is_empty(),
        crate::yaml::Value::Sequence(items) => items.is_empty(),
        _ => false,
    };
    sections
        .iter()
        .filter(|(_, node)| node.is_some_and(|node| empty(node)))
        .map(|(name, _)| (*name).to_owned())
        .collect()
}

/// `labelsFrom`: names and their expressions.
fn labels_from(node: &Node) -> BTreeMap<String, String> {
    let entries = field(node, "labelsFrom").and_then(|from| from.mapping()).unwrap_or_default();
    let name = |key: &Node| super::view::any_text(key).unwrap_or_default();
    entries.iter().map(|entry| (name(&entry.key), text(&entry.value, "expression"))).collect()
}

/// A template that has a number and is not lowered yet.
struct Job {
    id: TemplateId,
    scope: Scope,
    node: Rc<Node>,
}

pub(super) struct Lowering<'a> {
    library: &'a Library,
    effective: &'a Effective,
    defaults: Option<Rc<Node>>,
    /// Of the workflow; a template's own go before.
    additions: Additions,
    templates: Vec<Option<Template>>,
    ids: BTreeMap<(Scope, String), TemplateId>,
    queue: VecDeque<Job>,
    faults: &'a mut Faults,
    /// Of the template at hand.
    file: String,
    /// ConfigMaps and Secrets need not be there.
    lint: bool,
    /// Values that the workflow's parameters are given at the start.
    given: BTreeSet<String>,
}

impl Lowering<'_> {
    /// The number of a template; it is queued when it is met for the first time.
    fn named(&mut self, scope: &Scope, name: &str) -> Option<TemplateId> {
        let key = (scope.clone(), name.to_owned());
        if let Some(id) = self.ids.get(&key) {
            return Some(*id);
        }
        let node = self.index(scope)?.get(name)?.clone();
        let id = self.enqueue(scope, node);
        self.ids.insert(key, id);
        Some(id)
    }

    /// What inputs of templates refer to, as far as it is known; everything where a name has tags.
    fn config_maps(&self) -> BTreeMap<String, BTreeMap<String, String>> {
        let templates = self.templates.iter().flatten();
        let keys: Vec<_> = templates.flat_map(|t| &t.inputs.parameters).filter_map(|p| p.config_map.as_ref()).collect();
        let wanted = |name: &String| keys.iter().any(|key| key.name.has_tags() || key.name.0 == *name);
        self.library.config_maps.iter().filter(|(name, _)| wanted(name)).map(|(n, d)| (n.clone(), d.clone())).collect()
    }

    fn enqueue(&mut self, scope: &Scope, node: Rc<Node>) -> TemplateId {
        let id = TemplateId(self.templates.len() as u32);
        self.templates.push(None);
        self.queue.push_back(Job { id, scope: scope.clone(), node });
        id
    }

    fn index(&self, scope: &Scope) -> Option<&Index> {
        match scope {
            Scope::Local => Some(&self.effective.templates),
            _ => Some(&self.library.find(scope)?.templates),
        }
    }

    fn spec(&self, scope: &Scope) -> Option<&Rc<Node>> {
        match scope {
            Scope::Local => Some(&self.effective.spec),
            _ => Some(&self.library.find(scope)?.spec),
        }
    }

    fn run(&mut self) {
        while let Some(job) = self.queue.pop_front() {
            self.file = match self.library.find(&job.scope) {
                Some(definition) => definition.file.clone(),
                None => self.effective.template_file.clone(),
            };
            self.faults.file.clone_from(&self.file);
            let template = self.template(&job);
            self.templates[job.id.index()] = Some(template);
        }
    }

    fn template(&mut self, job: &Job) -> Template {
        let node = with_defaults(&job.node, self.defaults.as_ref());
        let additions = Additions::read(&node, self.faults);
        let body = self.body(&node, &job.scope, &additions);
        let retry = field(&node, "retryStrategy").or_else(|| field(&self.effective.spec, "retryStrategy"));
        let retry = retry.cloned();
        Template {
            name: text(&node, "name"),
            scope: job.scope.clone(),
            inputs: self.inputs(field(&node, "inputs")),
            outputs: self.outputs(field(&node, "outputs"), body.is_leaf()),
            body,
            retry: retry.map(|node| self.retry(&node)),
            parallelism: int(&node, "parallelism").and_then(positive),
            fail_fast: flag(&node, "failFast").unwrap_or_default(),
            timeout: word(&node, "timeout").map(|w| Text(w.text)),
            active_deadline: int_or_text(&node, "activeDeadlineSeconds").map(|w| Text(w.text)),
            locks: self.locks(&node),
            at_most_once: additions.at_most_once.or(self.additions.at_most_once).unwrap_or_default(),
            annotations: annotations(&node),
        }
    }

    fn body(&mut self, node: &Node, scope: &Scope, additions: &Additions) -> Body {
        if let Some(container) = field(node, "container") {
            return Body::Leaf(self.leaf(container, node, scope, additions));
        }
        if let Some(script) = field(node, "script") {
            return Body::Leaf(self.leaf(script, node, scope, additions));
        }
        if field(node, "steps").is_some() {
            return Body::Steps(self.steps(items(node, "steps"), scope));
        }
        if let Some(dag) = field(node, "dag") {
            return Body::Dag(self.dag(dag, scope));
        }
        if let Some(suspend) = field(node, "suspend") {
            return Body::Suspend { duration: word(suspend, "duration").map(|w| Text(w.text)) };
        }
        Body::Missing
    }
}

fn annotations(node: &Node) -> BTreeMap<String, String> {
    let mut found = field(node, "metadata").map(|inner| pairs(inner, "annotations")).unwrap_or_default();
    found.extend(pairs(node, "annotations"));
    found.into_iter().map(|(name, value)| (name.text, value.text)).collect()
}
