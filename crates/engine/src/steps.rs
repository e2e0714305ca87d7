//! Steps: groups one after the other, the steps of a group side by side (upstream `executeSteps`, `executeStepGroup`).
//! It must never start a group before the one before it has ended.

use crate::draft::Draft;
use crate::invoke::{self, Call};
use crate::outputs;
use crate::scope::Reach;
use crate::sites::{self, Due, Ready};
use crate::state::{Body, GroupBody, State};
use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use model::event::{Items, LoopOpened, NodeEnded, Placement, Site};
use model::node::Inputs;
use model::plan::Body as PlanBody;
use model::{Event, NodeId, NodeKind, Outputs, Phase};

/// Adds the next group, or ends the steps node after the last one.
pub(crate) fn next_group(draft: &mut Draft<'_>, steps: NodeId) {
    let state = draft.state();
    let node = state.node(steps);
    let (Body::Steps(body), Some(template)) = (&node.body, state.template_of(steps)) else { return };
    let PlanBody::Steps(groups) = &template.body else { return };
    let index = body.groups.len();
    if index == groups.len() {
        let (phase, message, outputs) = match outputs::of_boundary(state, steps, template) {
            Ok(outputs) => (Phase::Succeeded, String::new(), outputs),
            Err(reason) => (Phase::Error, reason, Outputs::default()),
        };
        return end(draft, steps, phase, message, outputs);
    }
    if invoke::is_full(state) {
        return end(draft, steps, Phase::Error, invoke::full(), Outputs::default());
    }
    let place = match body.groups.last() {
        Some(before) => Placement::After(alloc::vec![*before]),
        None => Placement::Under(steps),
    };
    let call = Call {
        name: format!("{}[{index}]", state.prefix(steps)),
        display_name: format!("[{index}]"),
        template: None,
        boundary: Some(steps),
        place,
        site: Some(Site { group: index as u32, task: 0, item: None }),
        retried: false,
        hooked: false,
    };
    let group = invoke::add(draft, call, NodeKind::StepGroup, Phase::Running, String::new(), Inputs::default());
    match open(draft, group) {
        Ok(()) => advance(draft, group),
        Err(message) => end(draft, group, Phase::Error, message, Outputs::default()),
    }
}

fn end(draft: &mut Draft<'_>, node: NodeId, phase: Phase, message: String, outputs: Outputs) {
    draft.emit(Event::NodeEnded(Box::new(NodeEnded { node, phase, message, outputs })));
}

/// Resolves the references of all steps of the group, and opens its loops, before any of them starts.
fn open(draft: &mut Draft<'_>, group: NodeId) -> Result<(), String> {
    let count = body(draft.state(), group).map_or(0, |body| body.sites.len());
    let unresolved = |reason: String| format!("failed to resolve references: {reason}");
    for task in 0..count as u32 {
        let state = draft.state();
        let Some(due) = due(state, group, task, None) else { continue };
        if due.task.is_loop() {
            sites::check_loop(state, &due).map_err(unresolved)?;
        } else {
            sites::resolve_due(state, &due).map_err(unresolved)?;
        }
    }
    for task in 0..count as u32 {
        let state = draft.state();
        let Some(due) = due(state, group, task, None) else { continue };
        if due.task.is_loop() {
            let items = sites::open_loop(state, &due)?;
            open_loop(draft, group, task, items);
        }
    }
    Ok(())
}

fn open_loop(draft: &mut Draft<'_>, group: NodeId, task: u32, items: Items) {
    let empty = items.is_empty();
    draft.emit(Event::LoopOpened(Box::new(LoopOpened { node: group, task, items })));
    let state = draft.state();
    let call = due(state, group, task, None).map(|due| due.call(due.static_template()));
    if let (true, Some(call)) = (empty, call) {
        invoke::add_ended(draft, call, Phase::Skipped, "Skipped, empty params".to_string());
    }
}

fn body(state: &State, group: NodeId) -> Option<&GroupBody> {
    match &state.node(group).body {
        Body::StepGroup(body) => Some(body),
        _ => None,
    }
}

/// The call of the step `task`, for the item `index` of its loop.
fn due(state: &State, group: NodeId, task: u32, index: Option<u32>) -> Option<Due<'_>> {
    let node = state.node(group);
    let boundary = node.boundary?;
    let site = Site { group: node.site?.group, task, item: index };
    let items = body(state, group)?.sites.get(task as usize)?.items.clone();
    Some(Due {
        task: state.task(boundary, site)?,
        boundary,
        reach: Reach::GroupsBefore(site.group),
        place: Placement::Under(group),
        site,
        prefix: state.name(group),
        item: items.zip(index).map(|(items, index)| crate::loops::item(&items, index)),
    })
}

/// Starts what may start in the group, and ends it when nothing is left.
pub(crate) fn advance(draft: &mut Draft<'_>, group: NodeId) {
    while let Some((task, index)) = startable(draft.state(), group) {
        start(draft, group, task, index);
    }
    let state = draft.state();
    let Some(boundary) = state.node(group).boundary else { return };
    let Some(body) = body(state, group) else { return };
    if body.open > 0 || state.node(group).phase.is_fulfilled() {
        return;
    }
    if body.next().is_some() && sites::failed_fast(state, boundary) {
        return end(draft, group, Phase::Failed, model::node::FAIL_FAST.to_string(), Outputs::default());
    }
    if body.next().is_none() || sites::is_closed(state, group) {
        settle(draft, group);
    }
}

fn startable(state: &State, group: NodeId) -> Option<(u32, u32)> {
    let node = state.node(group);
    let boundary = node.boundary?;
    if node.phase.is_fulfilled() || sites::is_closed(state, group) {
        return None;
    }
    let next = body(state, group)?.next()?;
    (sites::has_room(state, boundary) && !sites::failed_fast(state, boundary)).then_some(next)
}

fn start(draft: &mut Draft<'_>, group: NodeId, task: u32, index: u32) {
    let state = draft.state();
    let is_loop = body(state, group).and_then(|b| b.sites.get(task as usize)).is_some_and(|s| s.items.is_some());
    let Some(due) = due(state, group, task, is_loop.then_some(index)) else { return };
    let call = due.call(due.static_template());
    if invoke::is_full(state) {
        invoke::add_ended(draft, call, Phase::Error, invoke::full());
        return;
    }
    let outcome = sites::resolve_due(state, &due).and_then(|ready| match ready {
        Ready::Skip(message) => Ok(Err(message)),
        Ready::Go(template, given) => {
            let depth = invoke::depth(state, Some(due.boundary));
            invoke::bind(state, template, &given, &call.name, depth).map(|inputs| Ok((template, inputs)))
        }
    });
    match outcome {
        Ok(Ok((template, inputs))) => {
            invoke::invoke(draft, Call { template: Some(template), ..call }, inputs);
        }
        Ok(Err(message)) => {
            invoke::add_ended(draft, call, Phase::Skipped, message);
        }
        Err(reason) => {
            invoke::add_ended(draft, call, Phase::Error, reason);
        }
    }
}

/// Ends a group whose steps have all ended.
fn settle(draft: &mut Draft<'_>, group: NodeId) {
    let state = draft.state();
    let Some(body) = body(state, group) else { return };
    let verdict = body.children.iter().find_map(|id| verdict(state, *id));
    match verdict {
        Some((phase, message)) => end(draft, group, phase, message, Outputs::default()),
        None if body.next().is_some() => {
            let phase = Phase::Failed;
            end(draft, group, phase, stop_message(state), Outputs::default());
        }
        None => end(draft, group, Phase::Succeeded, String::new(), Outputs::default()),
    }
}

fn stop_message(state: &State) -> String {
    match state.shutdown {
        Some(strategy) => format!("Stopped with strategy '{}'", strategy.as_str()),
        None if sites::is_overfull(state) => invoke::full(),
        None => "Step exceeded its deadline".to_string(),
    }
}

/// What a child makes of its group: an error in making it dooms the group, a failure that is not continued on fails it.
fn verdict(state: &State, id: NodeId) -> Option<(Phase, String)> {
    let node = state.node(id);
    if !node.phase.is_failed_or_error() {
        return None;
    }
    if (node.kind == NodeKind::Skipped && node.phase == Phase::Error) || crate::retries::strategy_failed(state, id) {
        let message = format!("step group deemed errored due to child {} error: {}", state.name(id), node.message);
        return Some((Phase::Error, message));
    }
    let boundary = node.boundary?;
    let on = state.task(boundary, node.site?)?.continue_on;
    let continued = if node.phase == Phase::Error { on.error } else { on.failed };
    if continued {
        return None;
    }
    let id = model::ids::argo_node_id(&state.record().name, &state.name(id));
    Some((Phase::Failed, format!("child '{id}' failed")))
}

/// A group ended: its failure is the steps node's, with the same message; after a success the next group follows.
pub(crate) fn group_ended(draft: &mut Draft<'_>, steps: NodeId, group: NodeId) {
    let state = draft.state();
    if state.node(steps).phase.is_fulfilled() {
        return;
    }
    let node = state.node(group);
    if node.phase.is_failed_or_error() {
        let message = node.message.to_string();
        return end(draft, steps, Phase::Failed, message, Outputs::default());
    }
    if sites::is_stopping_at(state, steps) {
        let last = matches!((&state.node(steps).body, state.template_of(steps).map(|t| &t.body)),
            (Body::Steps(body), Some(PlanBody::Steps(groups))) if body.groups.len() == groups.len());
        if !last {
            let message = stop_message(state);
            return end(draft, steps, Phase::Failed, message, Outputs::default());
        }
    }
    next_group(draft, steps);
}
