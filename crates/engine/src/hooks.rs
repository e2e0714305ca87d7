//! Lifecycle hooks and exit handlers: templates invoked beside a node while it runs, or after it (upstream `hooks.go`,
//! `exit_handler.go`). A call site is over when its hooks are, whatever they came to; the run's end takes the exit handler's failure.
//! It must never let a hook decide what its node came to.

use crate::arguments::{Given, give};
use crate::draft::Draft;
use crate::invoke::{self, Call};
use crate::scope::{Reach, Scope, Strictness, evaluate};
use crate::sites;
use crate::state::{Body, State};
use crate::submit;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use expr::Value;
use model::event::Placement;
use model::node::Inputs;
use model::plan::Hook;
use model::{NodeId, NodeKind, Phase, TemplateId};

/// A node has another phase: the hooks of its call site that want to run now are invoked.
pub(crate) fn observe(draft: &mut Draft<'_>, id: NodeId) {
    let state = draft.state();
    let of_run = id == NodeId::ROOT;
    if !(of_run || is_watched(state, id)) || sites::is_stopping(state) || sites::is_overfull(state) {
        return;
    }
    let count = hooks(state, id).len();
    for index in 0..count {
        let state = draft.state();
        let hook = &hooks(state, id)[index];
        let due = hook.is_exit() && !of_run && state.node(id).phase.is_completed();
        // The run's own exit handler is not its nodes' business: `settle_run` comes to it.
        let wanted = (due || !hook.is_exit()) && !is_there(state, id, hook);
        if wanted {
            invoke_hook(draft, id, index);
        }
    }
}

/// Whether a node stands for a call site that has hooks: not its tries, not the children of a task's loop.
fn is_watched(state: &State, id: NodeId) -> bool {
    let node = state.node(id);
    let of_kind = node.kind != NodeKind::StepGroup && !node.retried && !node.hooked;
    of_kind
        && !hooks(state, id).is_empty()
        && state.container(id).is_some_and(|container| !matches!(state.node(container).body, Body::TaskGroup(_)))
}

fn hooks(state: &State, id: NodeId) -> &[Hook] {
    let node = state.node(id);
    match (node.boundary, node.site) {
        _ if id == NodeId::ROOT => &state.plan().hooks,
        (Some(boundary), Some(site)) => state.task(boundary, site).map_or(&[], |task| &task.hooks),
        _ => &[],
    }
}

fn name_of(state: &State, id: NodeId, hook: &Hook) -> String {
    let parent = state.name(id);
    if hook.is_exit() { format!("{parent}.onExit") } else { format!("{parent}.hooks.{}", hook.name) }
}

fn is_there(state: &State, id: NodeId, hook: &Hook) -> bool {
    let name = name_of(state, id, hook);
    state.hooks.get(&id).is_some_and(|known| known.iter().any(|hook| *state.name(*hook) == *name))
}

fn invoke_hook(draft: &mut Draft<'_>, id: NodeId, index: usize) {
    let state = draft.state();
    let hook = &hooks(state, id)[index];
    let node = state.node(id);
    let scope = scope(state, id);
    match wants(hook, &scope) {
        Ok(false) => return,
        Ok(true) => {}
        Err(reason) => return refuse(draft, id, index, reason),
    }
    let bound = bind(state, hook, &scope, &name_of(state, id, hook), node.boundary);
    match bound {
        Ok((template, inputs)) => {
            let call = call(state, id, hook, Some(template), Placement::Under(id));
            invoke::invoke(draft, call, inputs);
        }
        Err(reason) => refuse(draft, id, index, reason),
    }
}

fn refuse(draft: &mut Draft<'_>, id: NodeId, index: usize, reason: String) {
    let state = draft.state();
    let call = call(state, id, &hooks(state, id)[index], None, Placement::Under(id));
    invoke::add_ended(draft, call, Phase::Error, reason);
}

fn call(state: &State, id: NodeId, hook: &Hook, template: Option<TemplateId>, place: Placement) -> Call {
    let node = state.node(id);
    let own =
        |name: &str| if hook.is_exit() { format!("{name}.onExit") } else { format!("{name}.hooks.{}", hook.name) };
    Call {
        name: name_of(state, id, hook),
        display_name: own(&state.display_name(id)),
        template,
        boundary: node.boundary,
        place,
        site: node.site,
        retried: false,
        hooked: true,
    }
}

fn wants(hook: &Hook, scope: &Scope<'_>) -> Result<bool, String> {
    let Some(expression) = &hook.expression else { return Ok(true) };
    match evaluate(expression, scope)? {
        Value::Bool(wants) => Ok(wants),
        other => Err(format!("unable to cast expression result '{}' to bool", other.to_text())),
    }
}

/// Template and inputs of a hook. One without arguments is given the workflow's.
fn bind(
    state: &State,
    hook: &Hook,
    scope: &Scope<'_>,
    name: &str,
    boundary: Option<NodeId>,
) -> Result<(TemplateId, Inputs), String> {
    if invoke::is_full(state) {
        return Err(invoke::full());
    }
    let template = invoke::target(state, &hook.target, scope)?;
    let own = !hook.arguments.parameters.is_empty() || !hook.arguments.artifacts.is_empty();
    let given: Given = match own {
        true => give(&hook.arguments, scope, Strictness::Lenient)?,
        false => submit::given(state),
    };
    let inputs = invoke::bind(state, template, &given, name, invoke::depth(state, boundary))?;
    Ok((template, inputs))
}

/// What the texts of a node's hooks see: what its call site saw, its status and what it handed out; not its result (as upstream).
fn scope(state: &State, id: NodeId) -> Scope<'_> {
    let node = state.node(id);
    let (Some(boundary), Some(site)) = (node.boundary, node.site) else {
        let mut scope = Scope::global(state);
        scope.locals.push(("workflow.status".to_string(), Value::str(status(state))));
        return scope;
    };
    let (prefix, reach) = match state.node(boundary).kind {
        NodeKind::Dag => ("tasks", Reach::Ancestors(site.task)),
        _ => ("steps", Reach::GroupsBefore(site.group)),
    };
    let name = state.task(boundary, site).map(|task| task.name.clone()).unwrap_or_default();
    let mut scope = Scope::of_site(state, boundary, reach, None);
    let mut set = |field: &str, value: Value| scope.locals.push((format!("{prefix}.{name}.{field}"), value));
    set("status", Value::str(node.phase.as_str()));
    if let Some(outputs) = state.node(last_try(state, id)).outputs.as_ref() {
        for (name, value) in outputs.parameters() {
            set(&format!("outputs.parameters.{name}"), Value::str(value));
        }
    }
    scope.locals.push(("workflow.status".to_string(), Value::str(status(state))));
    scope.handed_out = Some((format!("{prefix}.{name}.outputs.artifacts."), last_try(state, id)));
    scope
}

fn last_try(state: &State, id: NodeId) -> NodeId {
    match &state.node(id).body {
        Body::Retry(retry) => retry.tries.last().copied().unwrap_or(id),
        _ => id,
    }
}

/// `workflow.status`: Running until the entrypoint has ended.
pub(crate) fn status(state: &State) -> &'static str {
    match state.nodes.first().map(|root| root.phase) {
        Some(Phase::Failed) => "Failed",
        Some(Phase::Error) => "Error",
        Some(phase) if phase.is_fulfilled() => "Succeeded",
        _ => "Running",
    }
}

/// Whether a node belongs to the exit handler of the run.
pub(crate) fn is_exit(state: &State, id: NodeId) -> bool {
    let Some(exit) = state.exit else { return false };
    // Nodes come after those that hold them.
    id >= exit && core::iter::successors(Some(id), |id| state.holder(*id)).any(|id| id == exit)
}

/// Hooks of a node that have not ended.
pub(crate) fn open(state: &State, id: NodeId) -> usize {
    let hooks: &[NodeId] = state.hooks.get(&id).map_or(&[], Vec::as_slice);
    hooks.iter().filter(|hook| !state.node(**hook).phase.is_fulfilled()).count()
}

/// Starts the exit handler of the run, if it has one that may run and has not begun. True if it was started.
pub(crate) fn exit_run(draft: &mut Draft<'_>) -> bool {
    let state = draft.state();
    let may =
        state.exit.is_none() && state.shutdown != Some(model::input::Shutdown::Terminate) && !sites::is_overfull(state);
    let Some(index) = state.plan().hooks.iter().position(Hook::is_exit).filter(|_| may) else { return false };
    let hook = &state.plan().hooks[index];
    let bound = bind(state, hook, &Scope::global(state), &name_of(state, NodeId::ROOT, hook), None);
    let template = bound.as_ref().ok().map(|(template, _)| *template);
    let call = call(state, NodeId::ROOT, hook, template, Placement::Root);
    match bound {
        Ok((_, inputs)) => invoke::invoke(draft, call, inputs),
        Err(reason) => invoke::add_ended(draft, call, Phase::Error, reason),
    };
    true
}
