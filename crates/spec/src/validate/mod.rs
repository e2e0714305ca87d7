//! What upstream's `workflow/validate` refuses, told with place and remedy, and all at once.
//! It must never change a document.

mod arguments;
mod calls;
pub mod depends;
mod exports;
mod later;
mod names;
mod outputs;
mod pods;
mod scope;
mod template;
mod upstream;

pub use names::OBJECT_WORDS;
pub use upstream::{Upstream, upstream};

use crate::argo::definition::{Definition, Effective, Index, Kind, Library, template_names};
use crate::argo::faults::Faults;
use crate::argo::known::Known;
use crate::argo::view::{Word, any_text, artifacts, field, items, key_span, parameters, text, word};
use crate::diagnostic::Span;
use crate::yaml::Node;
use crate::{Options, suggest};
use model::plan::Scope;
use names::Rule;
use scope::Names;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;
use template::Type;

/// Longest name of a workflow or template: a Kubernetes label's.
const OBJECT_NAME_MAX: usize = 63;

/// Whether a Workflow may have this name, whose length is Argo's to limit.
pub fn is_workflow_name(name: &str) -> bool {
    name.len() <= OBJECT_NAME_MAX && names::is_object_name(name)
}

/// How strict upstream is.
#[derive(Clone, Debug, Default)]
pub struct Mode {
    /// Parameters of the workflow may lack values.
    pub lint: bool,
    /// As on submission: parameters of a template need values, too.
    pub submit: bool,
    pub entrypoint: Option<String>,
    /// Values given from outside.
    pub parameters: BTreeMap<String, String>,
    /// The template of a call may be named by a tag. (Upstream's validation refuses it, its controller runs it.)
    pub named_by_tag: bool,
}

impl From<&Options> for Mode {
    fn from(options: &Options) -> Self {
        Self {
            lint: options.lint,
            submit: false,
            entrypoint: options.entrypoint.clone(),
            parameters: options.parameters.clone(),
            named_by_tag: true,
        }
    }
}

/// Validates a workflow or template with everything that it refers to.
pub fn definition(definition: &Definition, library: &Library, mode: &Mode, faults: &mut Faults) {
    check_name(definition, faults);
    let Some(effective) = effective(definition, library, faults) else { return };
    let mut validator = Validator::new(definition, &effective, library, mode, faults);
    validator.workflow();
}

fn check_name(definition: &Definition, faults: &mut Faults) {
    let name = field(&definition.root, "metadata").and_then(|m| word(m, "name"));
    if let Some(name) = name.filter(|name| name.text.len() > OBJECT_NAME_MAX) {
        let message = format!("the name has {} characters, and {OBJECT_NAME_MAX} are admitted", name.text.len());
        faults.error("E0304", name.span, message, Some("shorten it".to_owned()));
    }
}

/// What Kubernetes asks of the name before Argo, whose validation takes any, sees the object.
pub fn object_name(definition: &Definition, faults: &mut Faults) {
    let metadata = field(&definition.root, "metadata");
    let given = |key: &str| metadata.and_then(|m| word(m, key)).filter(|word| !word.text.is_empty());
    let kind = match definition.kind {
        Kind::Workflow => "a Workflow",
        Kind::WorkflowTemplate => "a WorkflowTemplate",
        Kind::ClusterWorkflowTemplate => "a ClusterWorkflowTemplate",
    };
    if let Some(name) = given("name").filter(|word| !names::is_object_name(&word.text)) {
        let message = format!("`{}` cannot be the name of {kind}", name.text.escape_debug());
        faults.error("E0304", name.span, message, Some(OBJECT_WORDS.to_owned()));
    }
    if let Some(prefix) = given("generateName").filter(|word| !names::is_object_prefix(&word.text)) {
        let message = format!("no name of {kind} can begin with `{}`", prefix.text.escape_debug());
        faults.error("E0304", prefix.span, message, Some(format!("{OBJECT_WORDS}, or `-`")));
    }
}

/// The definition with its `workflowTemplateRef`; `None`: it leads nowhere, which is told.
fn effective(definition: &Definition, library: &Library, faults: &mut Faults) -> Option<Effective> {
    let spec = &definition.spec;
    if let Some(effective) = Effective::of(definition, library) {
        if effective.reference.is_some() && !items(spec, "templates").is_empty() {
            let help = Some("remove `templates`, or `workflowTemplateRef`".to_owned());
            let message = "a workflow with `workflowTemplateRef` cannot have templates of its own";
            faults.error("E0308", key_span(spec, "templates"), message, help);
        }
        return Some(effective);
    }
    let node = field(spec, "workflowTemplateRef")?;
    let cluster = crate::argo::view::flag(node, "clusterScope").unwrap_or_default();
    let name = word(node, "name").unwrap_or(Word { text: String::new(), span: node.span });
    let scope = crate::argo::definition::scope(&name.text, cluster);
    let message = format!("there is no {} `{}`", scope_words(&scope), name.text);
    faults.error("E0306", name.span, message, Some(library.help(&scope)));
    None
}

fn scope_words(scope: &Scope) -> &'static str {
    match scope {
        Scope::Cluster(_) => "ClusterWorkflowTemplate",
        _ => "WorkflowTemplate",
    }
}

/// A template that is to be validated.
struct Job {
    scope: Scope,
    node: Rc<Node>,
}

struct Validator<'a> {
    definition: &'a Definition,
    effective: &'a Effective,
    library: &'a Library,
    mode: &'a Mode,
    faults: &'a mut Faults,
    /// What can be resolved everywhere.
    globals: Names,
    /// Values of workflow parameters, as far as they are known.
    values: Known,
    queue: VecDeque<Job>,
    seen: BTreeSet<(Scope, String)>,
    /// Whether any template has an output with a global name.
    exports: bool,
}

impl<'a> Validator<'a> {
    fn new(
        definition: &'a Definition,
        effective: &'a Effective,
        library: &'a Library,
        mode: &'a Mode,
        faults: &'a mut Faults,
    ) -> Self {
        Self {
            definition,
            effective,
            library,
            mode,
            faults,
            globals: Names::default(),
            values: Known::default(),
            queue: VecDeque::new(),
            seen: BTreeSet::new(),
            exports: library.definitions.iter().any(exports::has_exports) || exports::has_exports(definition),
        }
    }

    fn workflow(&mut self) {
        let spec = Rc::clone(&self.effective.spec);
        let is_template = self.definition.kind != Kind::Workflow;
        names::check(items(&self.definition.spec, "templates"), "template", Rule::Field, self.faults);
        let may_be_empty = self.mode.lint || (is_template && !self.mode.submit);
        let given = self.mode.parameters.clone();
        arguments::check(&spec, may_be_empty, &|name| given.get(name).cloned(), self.faults);
        self.given_parameters(&spec);
        self.collect_globals(&spec, is_template);
        self.entrypoint(&spec, is_template);
        self.run();
        self.exit_handler(&spec);
        self.run();
        self.other_parts(&spec);
        for template in items(&spec, "templates") {
            self.enqueue(&Scope::Local, template);
        }
        self.run();
    }

    /// Values from outside for parameters that the workflow does not have. Upstream takes them; here a slip of the pen is told
    /// before anything runs.
    fn given_parameters(&mut self, spec: &Node) {
        if self.definition.kind != Kind::Workflow {
            return;
        }
        let known = crate::argo::view::names(parameters(spec, "arguments"));
        for name in self.mode.parameters.keys().filter(|name| !known.contains(name)) {
            let help =
                suggest::help(name, known.iter().map(String::as_str), "leave it out: the workflow has no parameters");
            let message = format!("the workflow has no parameter `{name}`, and a value is given for it");
            self.faults.error("E0408", key_span(spec, "arguments"), message, Some(help));
        }
    }

    fn collect_globals(&mut self, spec: &Rc<Node>, is_template: bool) {
        let globals = &mut self.globals;
        for name in ["name", "namespace", "mainEntrypoint", "serviceAccountName", "uid", "status"] {
            globals.add(format!("workflow.{name}"));
        }
        for name in ["annotations", "annotations.json", "labels", "labels.json"] {
            globals.add(format!("workflow.{name}"));
        }
        let list = parameters(spec, "arguments");
        if !list.is_empty() || !self.mode.parameters.is_empty() {
            globals.add("workflow.parameters");
            globals.add("workflow.parameters.json");
        }
        for node in list {
            let name = text(node, "name");
            globals.add(format!("workflow.parameters.{name}"));
        }
        for name in self.mode.parameters.keys() {
            globals.add(format!("workflow.parameters.{name}"));
        }
        self.values = Known::of(spec, &self.mode.parameters);
        if field(spec, "priority").is_some() {
            globals.add("workflow.priority");
        }
        globals.any_workflow_parameter = is_template;
        let metadata = [field(&self.definition.root, "metadata"), field(spec, "workflowMetadata")];
        for node in metadata.into_iter().flatten() {
            for key in ["annotations", "labels", "labelsFrom"] {
                let entries = field(node, key).and_then(|map| map.mapping()).unwrap_or_default();
                let section = if key == "annotations" { "annotations" } else { "labels" };
                for entry in entries {
                    globals.add(format!("workflow.{section}.{}", entry.key.key_text().unwrap_or_default()));
                }
            }
        }
    }

    fn entrypoint(&mut self, spec: &Rc<Node>, is_template: bool) {
        let given = self.mode.entrypoint.clone().filter(|_| !is_template);
        let own = word(spec, "entrypoint");
        let span = own.as_ref().map_or_else(|| first_line(spec.span), |w| w.span);
        let Some(name) = given.or_else(|| own.map(|w| w.text)) else {
            // A misspelled `entrypoint` is told as such.
            let misspelled =
                spec.mapping().unwrap_or_default().iter().any(|entry| {
                    entry.key.key_text().is_some_and(|key| suggest::nearest(key, ["entrypoint"]).is_some())
                });
            if !is_template && !misspelled {
                let names = template_names(spec);
                let help = match names.as_slice() {
                    [] => "add `entrypoint` and `templates`".to_owned(),
                    names => format!("add `entrypoint:` with one of: {}", names.join(", ")),
                };
                self.faults.error("E0301", span, "the workflow has no entrypoint", Some(help));
            }
            return;
        };
        let Some(template) = self.effective.templates.get(&name).cloned() else {
            self.unknown_template(&Scope::Local, &name, span);
            return;
        };
        if !is_template {
            let given = self.mode.parameters.clone();
            arguments::supplied(&template, spec, &|name| given.contains_key(name), span, self.faults);
        }
        self.enqueue(&Scope::Local, &template);
    }

    fn exit_handler(&mut self, spec: &Rc<Node>) {
        let Some(name) = word(spec, "onExit") else { return };
        self.globals.add("workflow.failures");
        match self.effective.templates.get(&name.text).cloned() {
            Some(template) => {
                arguments::supplied(&template, spec, &|_| false, name.span, self.faults);
                self.enqueue(&Scope::Local, &template);
            }
            None => self.unknown_template(&Scope::Local, &name.text, name.span),
        }
    }

    fn other_parts(&mut self, spec: &Rc<Node>) {
        self.hooks(spec);
        pods::spec(spec, self.faults);
    }

    /// Hooks of a workflow, step or task: all but `exit` need an expression.
    fn hooks(&mut self, node: &Node) {
        for entry in field(node, "hooks").and_then(|map| map.mapping()).unwrap_or_default() {
            if entry.key.key_text() != Some("exit") && word(&entry.value, "expression").is_none() {
                let help = Some("add `expression`".to_owned());
                self.faults.error("E0309", entry.key.span, "only the hook `exit` needs no expression", help);
            }
        }
    }

    fn enqueue(&mut self, scope: &Scope, node: &Rc<Node>) {
        let name = text(node, "name");
        if name.is_empty() || self.seen.insert((scope.clone(), name)) {
            self.queue.push_back(Job { scope: scope.clone(), node: Rc::clone(node) });
        }
    }

    fn run(&mut self) {
        while let Some(job) = self.queue.pop_front() {
            let file = self.file(&job.scope);
            let file = std::mem::replace(&mut self.faults.file, file);
            self.template(&job);
            self.faults.file = file;
        }
    }

    fn file(&self, scope: &Scope) -> String {
        match self.library.find(scope) {
            Some(definition) => definition.file.clone(),
            None => self.effective.template_file.clone(),
        }
    }

    fn index(&self, scope: &Scope) -> Option<&Index> {
        match scope {
            Scope::Local => Some(&self.effective.templates),
            _ => self.library.find(scope).map(|definition| &definition.templates),
        }
    }

    fn spec(&self, scope: &Scope) -> Option<Rc<Node>> {
        match scope {
            Scope::Local => Some(Rc::clone(&self.effective.spec)),
            _ => self.library.find(scope).map(|definition| Rc::clone(&definition.spec)),
        }
    }

    fn unknown_template(&mut self, scope: &Scope, name: &str, span: Span) {
        let names = self.spec(scope).map(|spec| template_names(&spec)).unwrap_or_default();
        let help = suggest::help(name, names.iter().map(String::as_str), "add it under `templates`");
        self.faults.error("E0302", span, format!("there is no template `{name}`"), Some(help));
    }

    fn template(&mut self, job: &Job) {
        let node = &job.node;
        self.retry(node);
        let Some(kind) = template::kind(node, self.faults) else { return };
        template::inputs(node, kind, self.faults);
        pods::template(node, kind, self.faults);
        self.timeout(node, kind);
        let mut names = self.globals.clone();
        local_names(node, kind, &mut names);
        match kind {
            Type::Steps => self.steps(job, &mut names),
            Type::Dag => self.dag(job, &mut names),
            _ => {
                self.leaf(job, kind);
                self.resolve_tags(node, &names);
            }
        }
        if !kind.is_leaf() && field(node, "activeDeadlineSeconds").is_some() && kind != Type::Suspend {
            let help = Some("use it on the containers, or on the workflow".to_owned());
            let span = key_span(node, "activeDeadlineSeconds");
            self.faults.error("E0604", span, "only leaves have `activeDeadlineSeconds`", help);
        }
        if let Some(outputs) = field(node, "outputs") {
            self.resolve_tags(outputs, &names);
        }
        outputs::check(node, kind, self.faults);
    }

    fn leaf(&mut self, job: &Job, kind: Type) {
        let defaults = self.spec(&job.scope).and_then(|spec| field(&spec, "templateDefaults").cloned());
        // Upstream looks at the defaults of a workflow and of a WorkflowTemplate, not of a ClusterWorkflowTemplate.
        let looked_at = !matches!(job.scope, Scope::Cluster(_));
        let default_image = |key: &str| {
            let image = defaults.as_ref().and_then(|d| field(d, key).map(|c| text(c, "image")));
            looked_at && image.is_some_and(|image| !image.is_empty())
        };
        let values = self.values.clone();
        let known = |text: &str| with_values(text, &values, &job.node);
        template::leaf(&job.node, kind, &default_image, &known, self.faults);
    }

    fn retry(&mut self, node: &Node) {
        const POLICIES: [&str; 4] = ["Always", "OnFailure", "OnError", "OnTransientError"];
        let Some(strategy) = field(node, "retryStrategy") else { return };
        if let Some(policy) = word(strategy, "retryPolicy")
            && !POLICIES.contains(&policy.text.as_str())
        {
            let help = suggest::help(&policy.text, POLICIES, "remove it");
            self.faults.error("E0606", policy.span, format!("there is no retry policy `{}`", policy.text), Some(help));
        }
        later::retry(strategy, self.faults);
    }

    fn timeout(&mut self, node: &Node, kind: Type) {
        let Some(timeout) = word(node, "timeout") else { return };
        if !kind.is_leaf() {
            let help = Some("use it on the containers, or `activeDeadlineSeconds` on the workflow".to_owned());
            self.faults.error("E0603", key_span(node, "timeout"), "only leaves have a `timeout`", help);
        } else if with_values(&timeout.text, &self.values, node).parse::<i64>().is_ok() {
            let help = Some(format!("write a duration such as `{}s`", timeout.text));
            self.faults.error("E0603", timeout.span, format!("`{}` has no unit", timeout.text), help);
        } else {
            later::duration(&timeout, self.faults);
        }
    }

    /// Tells the tags below `node` that can never be resolved.
    fn resolve_tags(&mut self, node: &Node, names: &Names) {
        self.resolve_tags_with(node, names, &|_| false);
    }

    /// The same where `also` knows further tags.
    fn resolve_tags_with(&mut self, node: &Node, names: &Names, also: &dyn Fn(&str) -> bool) {
        for tag in scope::tags(node) {
            let shown = tag.text.trim();
            if names.resolves(shown) || also(shown) {
                continue;
            }
            let help = suggest::nearest(shown, names.iter()).map(|near| format!("did you mean `{{{{{near}}}}}`?"));
            let help = help.unwrap_or_else(|| help_for(shown, names));
            let message = format!("`{{{{{shown}}}}}` cannot be resolved here");
            self.faults.error("E0401", tag.node.span, message, Some(help));
        }
        self.expressions(node, names, also);
    }

    /// Upstream looks at expressions only when it evaluates them; what cannot work is told here, and not refused.
    fn expressions(&mut self, node: &Node, names: &Names, also: &dyn Fn(&str) -> bool) {
        for expression in scope::expressions(node) {
            let span = expression.node.span;
            let mentioned = match expr::lang::identifiers(expression.text) {
                Ok(mentioned) => mentioned,
                Err(error) => {
                    let message = format!("the expression cannot be read: {}", first_words(&error.message));
                    let help = format!("correct `{}`", first_words(expression.text.trim()));
                    self.faults.warning("W0409", span, message, Some(help));
                    continue;
                }
            };
            for path in mentioned.iter().filter(|path| !names.may_hold(path) && !also(path)) {
                let help = suggest::nearest(path, names.iter()).map(|near| format!("did you mean `{near}`?"));
                let help = help.unwrap_or_else(|| help_for(path, names));
                self.faults.warning("W0410", span, format!("`{path}` is not there for this expression"), Some(help));
            }
        }
    }
}

/// What there is under the part of a tag before its last dot.
fn help_for(tag: &str, names: &Names) -> String {
    let group = tag.rsplit_once('.').map_or(tag, |(group, _)| group);
    let in_group = |name: &&str| name.strip_prefix(group).is_some_and(|rest| rest.starts_with('.'));
    let mut known: Vec<&str> = names.iter().filter(in_group).collect();
    known.sort_unstable();
    match known.as_slice() {
        [] => "check the name, and that what it refers to runs before".to_owned(),
        known => format!("there is: {}", known[..known.len().min(8)].join(", ")),
    }
}

/// A text with the values put in that are known before the run: workflow parameters, and inputs with a value.
fn with_values(text: &str, values: &Known, template: &Node) -> String {
    let Some(tag) = text.strip_prefix("{{").and_then(|rest| rest.strip_suffix("}}")) else { return text.to_owned() };
    let tag = tag.trim();
    if let Some(value) = values.0.get(tag) {
        return value.clone();
    }
    let input = tag.strip_prefix("inputs.parameters.").and_then(|name| {
        let found = parameters(template, "inputs").iter().find(|node| crate::argo::view::text(node, "name") == name)?;
        field(found, "value").or_else(|| field(found, "default")).and_then(|v| any_text(v))
    });
    input.unwrap_or_else(|| text.to_owned())
}

/// The same with each of the tags of a text.
fn with_all_values(text: &str, values: &Known, template: &Node) -> String {
    let mut out = text.to_owned();
    for tag in scope::simple(text) {
        let tag = format!("{{{{{tag}}}}}");
        let value = with_values(&tag, values, template);
        // What is known only at run time can be a fitting name.
        out = out.replace(&tag, if value == tag { "x" } else { &value });
    }
    out
}

/// What a template adds to the names that can be resolved in it.
fn local_names(node: &Node, kind: Type, names: &mut Names) {
    let inputs = parameters(node, "inputs");
    if !inputs.is_empty() {
        names.add("inputs.parameters");
    }
    for name in inputs.iter().filter_map(|input| word(input, "name")) {
        names.add(format!("inputs.parameters.{}", name.text));
    }
    for input in artifacts(node, "inputs") {
        let name = text(input, "name");
        names.add(format!("inputs.artifacts.{name}"));
        if kind.is_leaf() {
            names.add(format!("inputs.artifacts.{name}.path"));
        }
    }
    if kind.is_pod() {
        names.add("pod.name");
    }
    if field(node, "retryStrategy").is_some() {
        for name in ["retries", "lastRetry.exitCode", "lastRetry.status", "lastRetry.duration", "lastRetry.message"] {
            names.add(name);
        }
    }
}

/// The beginning of a text's first line.
fn first_words(text: &str) -> String {
    text.lines().next().unwrap_or_default().chars().take(100).collect()
}

fn first_line(span: Span) -> Span {
    Span { end: span.start + 1, ..span }
}
