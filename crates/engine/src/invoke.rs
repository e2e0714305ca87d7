//! Invoking a template: binding its inputs and adding the node that its kind asks for (upstream `executeTemplate`).
//! It must never decide whether the call is due: that is the caller's.

use crate::arguments::{self, Given};
use crate::draft::Draft;
use crate::leaf;
use crate::scope::{Scope, Strictness, resolve};
use crate::state::State;
use crate::{dag, retries, steps};
use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use model::event::{NodeAdded, Placement, Site};
use model::node::Inputs;
use model::plan::{Body as PlanBody, Target};
use model::{Event, NodeId, NodeKind, Phase, TemplateId, limits};

/// Nodes of one run; few in the tests of this crate, that they can have too many.
pub(crate) const NODES_MAX: u32 = if cfg!(test) { 40 } else { limits::NODES_MAX };

/// Whether the run has as many nodes as it may have: the next call site becomes an error.
pub(crate) fn is_full(state: &State) -> bool {
    state.nodes.len() as u32 >= NODES_MAX
}

/// What is told of the node that would be one too many.
pub(crate) fn full() -> String {
    format!("the run has {NODES_MAX} nodes, and may have no more: give its loops fewer items, or split it into several runs")
}

/// A node to be: everything about it but its kind and its inputs.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub name: String,
    pub display_name: String,
    pub template: Option<TemplateId>,
    pub boundary: Option<NodeId>,
    pub place: Placement,
    pub site: Option<Site>,
    pub retried: bool,
}

/// The template that a call site means.
pub(crate) fn target(state: &State, target: &Target, scope: &Scope<'_>) -> Result<TemplateId, String> {
    match target {
        Target::Template(id) => Ok(*id),
        Target::Named(text) => {
            let name = resolve(text, scope, Strictness::Strict)?;
            let caller = scope.boundary.and_then(|boundary| state.template_of(boundary));
            let scope = caller.map_or(model::plan::Scope::Local, |template| template.scope.clone());
            state.plan().find(&scope, &name).ok_or_else(|| format!("template {name} not found"))
        }
    }
}

/// Binds the inputs of a template for a node of this name, and checks what can be checked before there is a node.
pub(crate) fn bind(
    state: &State,
    template: TemplateId,
    given: &Given,
    name: &str,
    depth: u32,
) -> Result<Inputs, String> {
    let template = state.plan().template(template);
    if depth > limits::TEMPLATE_DEPTH_MAX {
        return Err("Maximum recursion depth exceeded. See https://argo-workflows.readthedocs.io/en/latest/scaling/#limitations"
            .to_string());
    }
    let inputs = arguments::bind(template, given, &mut Scope::global(state))?;
    if template.retry.is_none() {
        leaf::check(template, &leaf::scope(state, template, name, &inputs))?;
    }
    Ok(inputs)
}

/// How many boundaries lie above a node.
pub(crate) fn depth(state: &State, boundary: Option<NodeId>) -> u32 {
    core::iter::successors(boundary, |id| state.node(*id).boundary).count() as u32
}

/// Adds a node that never runs.
pub(crate) fn add_ended(draft: &mut Draft<'_>, call: Call, phase: Phase, message: String) -> NodeId {
    add(draft, call, NodeKind::Skipped, phase, message, Inputs::default())
}

/// Adds the node of an invocation: a Retry node where the template is tried again, else what its body asks for.
pub(crate) fn invoke(draft: &mut Draft<'_>, mut call: Call, inputs: Inputs) -> NodeId {
    if let Some(name) = display_name(draft.state(), &call, &inputs) {
        call.display_name = name;
    }
    let template = call.template.map(|id| draft.state().plan().template(id));
    if template.is_some_and(|template| template.retry.is_some()) && !call.retried {
        let id = add(draft, call, NodeKind::Retry, Phase::Running, String::new(), inputs);
        retries::try_again(draft, id);
        return id;
    }
    add_body(draft, call, inputs)
}

/// The display name that the template asks for by annotation, its tags resolved.
fn display_name(state: &State, call: &Call, inputs: &Inputs) -> Option<String> {
    let template = state.plan().template(call.template?);
    let text = template.annotations.get("workflows.argoproj.io/display-name")?;
    let scope = leaf::scope(state, template, &call.name, inputs);
    resolve(&model::Text::new(text.as_str()), &scope, Strictness::Lenient).ok()
}

/// Adds the node of a template's body, and what follows at once.
pub(crate) fn add_body(draft: &mut Draft<'_>, call: Call, inputs: Inputs) -> NodeId {
    let template = call.template.map(|id| draft.state().plan().template(id));
    let missing = |name: &str| format!("Template '{name}' missing specification");
    let (kind, phase, message) = match template.map(|t| (&t.body, t.name.as_str())) {
        Some((PlanBody::Leaf(_), _)) => (NodeKind::Pod, Phase::Pending, String::new()),
        Some((PlanBody::Steps(_), _)) => (NodeKind::Steps, Phase::Running, String::new()),
        Some((PlanBody::Dag(_), _)) => (NodeKind::Dag, Phase::Running, String::new()),
        Some((PlanBody::Suspend { .. }, _)) => (NodeKind::Suspend, Phase::Running, String::new()),
        Some((PlanBody::Missing, name)) => (NodeKind::Skipped, Phase::Error, missing(name)),
        None => (NodeKind::Skipped, Phase::Error, missing("")),
    };
    let id = add(draft, call, kind, phase, message, inputs);
    match kind {
        NodeKind::Steps => steps::next_group(draft, id),
        NodeKind::Dag => dag::advance(draft, id),
        _ => {}
    }
    id
}

pub(crate) fn add(
    draft: &mut Draft<'_>,
    call: Call,
    kind: NodeKind,
    phase: Phase,
    message: String,
    inputs: Inputs,
) -> NodeId {
    let node = NodeId(draft.state().nodes.len() as u32);
    draft.emit(Event::NodeAdded(Box::new(NodeAdded {
        node,
        name: call.name,
        display_name: call.display_name,
        kind,
        phase,
        message,
        template: call.template,
        boundary: call.boundary,
        place: call.place,
        site: call.site,
        inputs,
        retried: call.retried,
    })));
    node
}
