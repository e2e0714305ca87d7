//! What a text may refer to where it stands: `workflow.*`, `inputs.*`, `steps.*`, `tasks.*`, `item`, and a few names of the node.
//! It must never build the whole set where one name is asked for: names are looked up one by one.

use crate::aggregate;
use crate::failures;
use crate::globals;
use crate::hooks;
use crate::loops::Item;
use crate::state::{Body, State};
use alloc::borrow::Cow;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use expr::Value;
use model::node::{Inputs, NamedArtifact};
use model::plan::{Body as PlanBody, OutputSource, Template};
use model::{NodeId, NodeKind, Phase, Text};

/// Which siblings are visible in a boundary.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Reach {
    /// None: the text stands in a leaf or in `spec`.
    Nothing,
    /// Steps: the groups before this one.
    GroupsBefore(u32),
    /// DAG: what this task depends on, directly or not.
    Ancestors(u32),
    /// All: the boundary's own outputs.
    All,
}

/// How the node is called in which a text stands. The name of one that is there is made when somebody asks for it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Called<'a> {
    Nothing,
    Node(NodeId),
    /// One that is to be.
    Name(&'a str),
}

pub(crate) struct Scope<'a> {
    pub state: &'a State,
    /// The steps or DAG node whose call sites are the siblings.
    pub boundary: Option<NodeId>,
    pub reach: Reach,
    pub inputs: Option<&'a Inputs>,
    pub item: Option<&'a Item>,
    /// `node.name`.
    pub name: Called<'a>,
    /// The leaf's template, for `pod.name` and the paths of its outputs.
    pub leaf: Option<&'a Template>,
    /// Further names, with their values.
    pub locals: Vec<(String, Value)>,
    /// Whether an expression sees artifacts (`fromExpression`), each as a marker.
    pub marks: bool,
    /// The artifacts of one more node: how the names of them begin.
    pub handed_out: Option<(String, NodeId)>,
}

/// A call site seen from another one.
enum Sibling {
    One(NodeId),
    /// The children of a loop, in the order of its items, with the node of the whole (a TaskGroup) if there is one.
    Loop(Option<NodeId>, Vec<NodeId>),
}

/// The marker key under which an expression carries an artifact.
const ARTIFACT: &str = "\u{1}artifact";

impl<'a> Scope<'a> {
    /// `workflow.*` alone.
    pub fn global(state: &'a State) -> Self {
        Self {
            state,
            boundary: None,
            reach: Reach::Nothing,
            inputs: None,
            item: None,
            name: Called::Nothing,
            leaf: None,
            locals: Vec::new(),
            marks: false,
            handed_out: None,
        }
    }

    /// What a call site of `boundary` sees.
    pub fn of_site(state: &'a State, boundary: NodeId, reach: Reach, item: Option<&'a Item>) -> Self {
        let node = state.node(boundary);
        Self {
            boundary: Some(boundary),
            reach,
            inputs: Some(&node.inputs),
            item,
            name: Called::Node(boundary),
            ..Self::global(state)
        }
    }

    fn siblings_prefix(&self) -> &'static str {
        match self.boundary.map(|b| self.state.node(b).kind) {
            Some(NodeKind::Steps) => "steps",
            Some(NodeKind::Dag) => "tasks",
            _ => "",
        }
    }

    fn sibling(&self, name: &str) -> Option<Sibling> {
        let boundary = self.boundary?;
        match &self.state.node(boundary).body {
            Body::Dag(dag) => {
                let index = *self.state.graph_of(boundary)?.index.get(name)?;
                let id = (*dag.tasks.get(index as usize)?)?;
                match &self.state.node(id).body {
                    Body::TaskGroup(group) => Some(Sibling::Loop(Some(id), group.children.clone())),
                    _ => Some(Sibling::One(id)),
                }
            }
            Body::Steps(steps) => {
                let PlanBody::Steps(groups) = &self.state.template_of(boundary)?.body else { return None };
                let before = match self.reach {
                    Reach::GroupsBefore(group) => group as usize,
                    _ => steps.groups.len(),
                };
                let visible = groups.iter().zip(&steps.groups).take(before);
                visible.into_iter().find_map(|(tasks, id)| {
                    let task = tasks.iter().position(|task| task.name == name)?;
                    self.step(*id, task)
                })
            }
            _ => None,
        }
    }

    fn step(&self, group: NodeId, task: usize) -> Option<Sibling> {
        let Body::StepGroup(body) = &self.state.node(group).body else { return None };
        let of_task = |id: &NodeId| self.state.node(*id).site.is_some_and(|site| site.task as usize == task);
        let mut children = body.children.iter().copied().filter(of_task);
        if body.sites.get(task)?.items.is_some() {
            Some(Sibling::Loop(None, children.collect()))
        } else {
            children.next().map(Sibling::One)
        }
    }

    /// The value of `field` of the sibling `name`.
    fn field_of(&self, name: &str, field: &str) -> Option<Value> {
        match self.sibling(name)? {
            Sibling::One(id) => self.field(id, field),
            Sibling::Loop(whole, children) => {
                let of_loop = self.loop_field(&children, field);
                of_loop.or_else(|| self.field(whole.or(children.last().copied())?, field))
            }
        }
    }

    fn field(&self, id: NodeId, field: &str) -> Option<Value> {
        let id = self.last_try(id);
        let node = self.state.node(id);
        let text = |text: String| Some(Value::str(text));
        match field {
            "id" => text(model::ids::argo_node_id(&self.state.record().name, &self.state.name(id))),
            "status" => text(node.phase.as_str().to_string()),
            "startedAt" => node.started_at.map(|t| Value::str(globals::rfc3339(t))),
            "finishedAt" => node.ended_at.map(|t| Value::str(globals::rfc3339(t))),
            _ => self.output(id, field),
        }
    }

    /// The outputs of a Retry node are those of its last try.
    fn last_try(&self, id: NodeId) -> NodeId {
        match &self.state.node(id).body {
            Body::Retry(retry) => retry.tries.last().copied().unwrap_or(id),
            _ => id,
        }
    }

    fn output(&self, id: NodeId, field: &str) -> Option<Value> {
        let node = self.state.node(id);
        let outputs = node.outputs.as_ref();
        let there = match field {
            "exitCode" => outputs?.exit_code().map(|code| code.to_string()),
            "outputs.result" => outputs.and_then(|o| o.result().map(String::from)),
            "outputs.parameters" => {
                return outputs.map(|o| Value::str(globals::json_parameters(&o.whole().parameters)));
            }
            _ => field.strip_prefix("outputs.parameters.").and_then(|name| outputs?.parameter(name).map(String::from)),
        };
        if let Some(text) = there {
            return Some(Value::str(text));
        }
        if let Some(name) = field.strip_prefix("outputs.artifacts.") {
            let found = outputs.and_then(|o| o.artifacts().iter().find(|a| a.name == name));
            return found
                .map(|a| a.artifact.as_ref().map_or(Value::Null, |_| marker(id, name)))
                .or_else(|| self.absent(id, field));
        }
        self.absent(id, field)
    }

    /// A declared output of a node that never ran: its default, else `Null`, the absent optional (docs/variables.md).
    fn absent(&self, id: NodeId, field: &str) -> Option<Value> {
        let node = self.state.node(id);
        if !matches!(node.phase, Phase::Skipped | Phase::Omitted) {
            return None;
        }
        let declared = &self.state.template_of(id)?.outputs;
        if let Some(name) = field.strip_prefix("outputs.parameters.") {
            let parameter = declared.parameters.iter().find(|p| p.name == name)?;
            return Some(parameter.default.as_ref().map_or(Value::Null, |text| Value::str(text.0.clone())));
        }
        if let Some(name) = field.strip_prefix("outputs.artifacts.") {
            return declared.artifacts.iter().any(|a| a.name == name).then_some(Value::Null);
        }
        let is_leaf = self.state.template_of(id).is_some_and(|t| t.body.is_leaf());
        (is_leaf && matches!(field, "outputs.result")).then_some(Value::Null)
    }

    fn loop_field(&self, children: &[NodeId], field: &str) -> Option<Value> {
        let succeeded = || children.iter().map(|id| self.state.node(*id)).filter(|node| node.phase == Phase::Succeeded);
        let each = || succeeded().filter_map(|node| node.outputs.as_ref());
        match field {
            "outputs.result" => aggregate::result(each()).ok().map(Value::str),
            "outputs.parameters" => Some(Value::str(aggregate::parameters(each()))),
            _ => aggregate::parameter(each(), field.strip_prefix("outputs.parameters.")?).map(Value::str),
        }
    }

    /// Why the aggregated result of a loop cannot be had; `None` if it can or is not asked for.
    pub fn aggregation_error(&self, text: &str) -> Option<String> {
        let prefix = self.siblings_prefix();
        for tag in expr::template::tags(text) {
            let expr::template::TagKind::Simple(key) = &tag.kind else { continue };
            let Some(name) = key.trim().strip_prefix(prefix).and_then(|k| k.strip_prefix('.')) else { continue };
            let Some(name) = name.strip_suffix(".outputs.result") else { continue };
            if let Some(Sibling::Loop(_, children)) = self.sibling(name) {
                let succeeded = children.iter().map(|id| self.state.node(*id)).filter(|n| n.phase == Phase::Succeeded);
                if let Err(reason) = aggregate::result(succeeded.filter_map(|n| n.outputs.as_ref())) {
                    return Some(reason);
                }
            }
        }
        None
    }

    /// The artifact that a key such as `steps.a.outputs.artifacts.x` or `inputs.artifacts.x` names.
    /// `None`: unknown; `Some(None)`: declared and not there.
    pub fn artifact(&self, key: &str) -> Option<Option<NamedArtifact>> {
        if let Some(name) = key.strip_prefix("inputs.artifacts.") {
            let named = self.inputs?.artifacts.iter().find(|a| a.name == name)?;
            return Some(named.artifact.is_some().then(|| named.clone()));
        }
        if let Some(name) = key.strip_prefix("workflow.outputs.artifacts.") {
            return self.state.global_artifacts.get(name).map(|named| Some(named.clone()));
        }
        if let Some((prefix, id)) = &self.handed_out
            && let Some(name) = key.strip_prefix(prefix.as_str())
        {
            let outputs = self.state.node(*id).outputs.as_ref()?;
            return outputs.artifacts().iter().find(|a| a.name == name).cloned().map(Some);
        }
        let rest = key.strip_prefix(self.siblings_prefix())?.strip_prefix('.')?;
        let (name, field) = rest.split_once('.')?;
        match self.field_of(name, field)? {
            Value::Null => Some(None),
            value => Some(self.marked(&value)),
        }
    }

    /// The artifact that an expression's value carries.
    pub fn marked(&self, value: &Value) -> Option<NamedArtifact> {
        let Value::Map(map) = value else { return None };
        let mark = map.get(ARTIFACT)?.as_str()?.to_string();
        if let Some(name) = mark.strip_prefix("inputs/") {
            return self.inputs?.artifacts.iter().find(|a| a.name == name).cloned();
        }
        if let Some(name) = mark.strip_prefix("global/") {
            return self.state.global_artifacts.get(name).cloned();
        }
        let (id, name) = mark.split_once('/')?;
        let node = self.state.nodes.get(id.parse::<usize>().ok()?)?;
        node.outputs.as_ref()?.artifacts().iter().find(|a| a.name == name).cloned()
    }

    fn node_name(&self) -> Option<Cow<'_, str>> {
        match self.name {
            Called::Nothing => None,
            Called::Node(id) => Some(self.state.name(id)),
            Called::Name(name) => Some(Cow::Borrowed(name)),
        }
    }

    /// What a text may say of the node that it stands in.
    fn own(&self, key: &str) -> Option<Value> {
        match key {
            "node.name" => self.node_name().map(|name| Value::str(&*name)),
            "pod.name" => {
                // Asked of a question outside of any run, there is nothing of this name.
                let (node, leaf) = (self.node_name()?, self.leaf?);
                Some(Value::str(model::ids::argo_pod_name(&self.state.record().name, &node, &leaf.name)))
            }
            _ => output_paths(self.leaf?).into_iter().find_map(|(name, value)| (name == key).then_some(value)),
        }
    }

    fn input(&self, key: &str) -> Option<Value> {
        let inputs = self.inputs?;
        if let Some(name) = key.strip_prefix("inputs.parameters.") {
            return inputs.parameter(name).map(Value::str);
        }
        if key == "inputs.parameters" {
            return Some(Value::str(globals::json_parameters(&inputs.parameters)));
        }
        let rest = key.strip_prefix("inputs.artifacts.")?;
        let of = |name: &str| inputs.artifacts.iter().find(|a| a.name == name);
        if let Some(name) = rest.strip_suffix(".path") {
            return of(name).map(|a| Value::str(a.path.clone()));
        }
        of(rest).map(|a| match a.artifact {
            None => Value::Null,
            Some(_) => mark(format!("inputs/{rest}")),
        })
    }

    /// Every name of the siblings that this place sees.
    fn sibling_variables(&self, out: &mut Vec<(String, Value)>) {
        let (Some(boundary), prefix) = (self.boundary, self.siblings_prefix()) else { return };
        let Some(template) = self.state.template_of(boundary) else { return };
        let names: Vec<&str> = match (&template.body, self.reach) {
            (PlanBody::Steps(groups), Reach::GroupsBefore(group)) => {
                groups.iter().take(group as usize).flatten().map(|task| task.name.as_str()).collect()
            }
            (PlanBody::Steps(groups), _) => groups.iter().flatten().map(|task| task.name.as_str()).collect(),
            (PlanBody::Dag(dag), Reach::Ancestors(task)) => {
                let ancestors = self.state.graph_of(boundary).map(|graph| graph.ancestors(task)).unwrap_or_default();
                ancestors.iter().map(|task| dag.tasks[*task as usize].name.as_str()).collect()
            }
            (PlanBody::Dag(dag), _) => dag.tasks.iter().map(|task| task.name.as_str()).collect(),
            _ => Vec::new(),
        };
        for name in names {
            let fields = self.fields(name);
            let values = fields.into_iter().filter_map(|field| Some((field.clone(), self.field_of(name, &field)?)));
            out.extend(values.map(|(field, value)| (format!("{prefix}.{name}.{field}"), value)));
        }
    }

    fn fields(&self, name: &str) -> Vec<String> {
        let mut fields: Vec<String> =
            ["id", "status", "startedAt", "finishedAt", "exitCode", "outputs.result"].map(String::from).into();
        let ids = match self.sibling(name) {
            Some(Sibling::One(id)) => alloc::vec![self.last_try(id)],
            Some(Sibling::Loop(_, children)) => children,
            None => return Vec::new(),
        };
        let nodes = || ids.iter().map(|id| self.state.node(*id));
        let outputs = nodes().filter_map(|node| node.outputs.as_ref());
        fields.extend(aggregate::parameter_names(outputs.clone()).iter().map(|n| format!("outputs.parameters.{n}")));
        if self.marks {
            fields.extend(outputs.flat_map(|o| o.artifacts()).map(|a| format!("outputs.artifacts.{}", a.name)));
        }
        for node in nodes().filter(|node| matches!(node.phase, Phase::Skipped | Phase::Omitted)) {
            let Some(template) = node.template.map(|t| self.state.plan().template(t)) else { continue };
            fields.extend(template.outputs.parameters.iter().map(|p| format!("outputs.parameters.{}", p.name)));
            fields.extend(template.outputs.artifacts.iter().map(|a| format!("outputs.artifacts.{}", a.name)));
        }
        fields
    }
}

fn marker(id: NodeId, name: &str) -> Value {
    mark(format!("{}/{name}", id.0))
}

fn mark(text: String) -> Value {
    let map: BTreeMap<Arc<str>, Value> = [(Arc::from(ARTIFACT), Value::str(text))].into();
    Value::map(map)
}

impl expr::Scope for Scope<'_> {
    fn get(&self, key: &str) -> Option<Value> {
        if let Some((_, value)) = self.locals.iter().find(|(name, _)| name == key) {
            return Some(value.clone());
        }
        let (head, rest) = key.split_once('.').unwrap_or((key, ""));
        match head {
            "node" | "pod" | "outputs" => self.own(key),
            "workflow" => self.state.globals.get(key).cloned().or_else(|| late(self.state, key)),
            "inputs" => self.input(key),
            "item" => {
                let item = self.item?;
                if key == head {
                    Some(Value::str(item.text.clone()))
                } else {
                    item.fields.get(rest).map(|v| Value::str(v.clone()))
                }
            }
            "steps" | "tasks" if head == self.siblings_prefix() => {
                let (name, field) = rest.split_once('.')?;
                self.field_of(name, field)
            }
            _ => None,
        }
    }

    fn all(&self) -> Vec<(String, Value)> {
        let mut all: Vec<(String, Value)> = self.state.globals.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
        all.extend(LATE.iter().filter_map(|key| Some((key.to_string(), late(self.state, key)?))));
        if self.marks {
            let artifacts = self.state.global_artifacts.keys();
            all.extend(
                artifacts.map(|name| (format!("workflow.outputs.artifacts.{name}"), mark(format!("global/{name}")))),
            );
        }
        if let Some(inputs) = self.inputs {
            for parameter in &inputs.parameters {
                all.push((format!("inputs.parameters.{}", parameter.name), Value::str(parameter.value.clone())));
            }
            for artifact in &inputs.artifacts {
                let key = format!("inputs.artifacts.{}", artifact.name);
                let key = if self.marks { key } else { format!("{key}.path") };
                let value = self.input(&key).unwrap_or(Value::Null);
                all.push((key, value));
            }
        }
        if let Some(item) = self.item {
            all.push(("item".to_string(), Value::str(item.text.clone())));
            all.extend(item.fields.iter().map(|(key, value)| (format!("item.{key}"), Value::str(value.clone()))));
        }
        self.sibling_variables(&mut all);
        let own = ["node.name", "pod.name"].iter().filter_map(|key| Some((key.to_string(), self.own(key)?)));
        all.extend(own);
        all.extend(self.leaf.into_iter().flat_map(output_paths));
        all.extend(self.locals.iter().cloned());
        all
    }
}

/// What is known of the whole run once its entrypoint has ended.
const LATE: [&str; 3] = ["workflow.status", "workflow.failures", "workflow.duration"];

fn late(state: &State, key: &str) -> Option<Value> {
    let root = state.nodes.first()?;
    let ended_at = root.ended_at?;
    match key {
        "workflow.status" => Some(Value::str(hooks::status(state))),
        "workflow.failures" => Some(Value::str(failures::quoted(state))),
        "workflow.duration" => {
            let us = ended_at.since_us(state.began);
            Some(Value::str(format!("{}.{:06}", us / model::Time::SECOND_US, us % model::Time::SECOND_US)))
        }
        _ => None,
    }
}

/// How strictly a text is resolved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Strictness {
    /// Tags that name nothing stay as they are.
    Lenient,
    /// Tags that begin with `steps.` or `tasks.` must resolve.
    Siblings,
    /// Every tag must resolve.
    Strict,
}

/// Resolves a text of the document. The error is upstream's text.
pub(crate) fn resolve(text: &Text, scope: &Scope<'_>, strictness: Strictness) -> Result<String, String> {
    if !text.has_tags() {
        return Ok(text.0.clone());
    }
    if let Some(reason) = scope.aggregation_error(&text.0) {
        return Err(reason);
    }
    let mode = match strictness {
        Strictness::Lenient => expr::template::Mode::Lenient,
        Strictness::Siblings => expr::template::Mode::Prefixes(&["steps", "tasks"]),
        Strictness::Strict => expr::template::Mode::Strict,
    };
    // Upstream replaces in the template's JSON, whose last braces close every tag that is open: it names nothing, and stays.
    let open = if strictness == Strictness::Lenient { expr::template::unclosed(&text.0) } else { None };
    let (closed, rest) = text.0.split_at(open.unwrap_or(text.0.len()));
    let replaced = expr::template::replace(closed, scope, mode, &context(scope.state));
    replaced.map(|replaced| replaced + rest).map_err(|error| match error.invalid {
        // A loop's child is read without a word of its own.
        Some(reason) if strictness == Strictness::Strict => reason,
        _ => error.message,
    })
}

/// The one simple tag that a text consists of, if it does.
pub(crate) fn sole_key(text: &Text) -> Option<String> {
    let tags = expr::template::tags(&text.0);
    match tags.as_slice() {
        [tag] if tag.start == 0 && tag.end == text.0.len() => match &tag.kind {
            expr::template::TagKind::Simple(key) => Some(key.trim().to_string()),
            expr::template::TagKind::Expression(_) => None,
        },
        _ => None,
    }
}

/// The evaluation context of the input that is being decided.
pub(crate) fn context(state: &State) -> expr::Context {
    expr::Context { now_us: state.now.0, seed: state.now.0 as u64, ..expr::Context::default() }
}

/// Evaluates an expr of the document (`expression`, `fromExpression`).
pub(crate) fn evaluate(source: &str, scope: &Scope<'_>) -> Result<Value, String> {
    expr::lang::evaluate(source, scope, &context(scope.state)).map_err(|error| error.with_snippet(source))
}

/// Evaluates a `fromExpression`: the artifact that it chooses, if any.
pub(crate) fn evaluate_artifact(source: &str, scope: &Scope<'_>) -> Result<Option<NamedArtifact>, String> {
    let (locals, handed_out) = (scope.locals.clone(), scope.handed_out.clone());
    let marked = Scope { marks: true, locals, handed_out, ..*scope };
    evaluate(source, &marked).map(|value| marked.marked(&value))
}

/// The files of a leaf's template that tags can name: `inputs.artifacts.X.path`, `outputs.*.X.path`.
pub(crate) fn output_paths(template: &Template) -> Vec<(String, Value)> {
    let parameters = template.outputs.parameters.iter().filter_map(|p| match &p.source {
        OutputSource::Path(path) => Some((format!("outputs.parameters.{}.path", p.name), Value::str(&*path.0))),
        _ => None,
    });
    let artifacts = template
        .outputs
        .artifacts
        .iter()
        .map(|a| (format!("outputs.artifacts.{}.path", a.name), Value::str(&*a.path.0)));
    parameters.chain(artifacts).collect()
}
