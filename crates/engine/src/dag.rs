//! DAGs: tasks as their `depends` allow, loops as task groups, and the phase of the whole (upstream `executeDAG`, `executeDAGTask`,
//! `assessDAGPhase`).
//! It must never look at a task before all that it names have ended: there is no short cut.

use crate::depends::{self, Results};
use crate::draft::Draft;
use crate::invoke::{self, Call};
use crate::outputs;
use crate::scope::{Reach, Scope};
use crate::sites::{self, Due, Ready};
use crate::state::{Body, DagBody, GroupBody, State};
use crate::targets;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;
use model::event::{LoopOpened, NodeEnded, Placement, Site};
use model::node::Inputs;
use model::plan::ContinueOn;
use model::{Event, NodeId, NodeKind, Outputs, Phase};

/// Starts the tasks that may start, and ends the DAG when nothing is left.
pub(crate) fn advance(draft: &mut Draft<'_>, dag: NodeId) {
    while let Some(task) = startable(draft.state(), dag) {
        start(draft, dag, task);
    }
    let state = draft.state();
    let Some(body) = body(state, dag) else { return };
    if body.open > 0 || state.node(dag).phase.is_fulfilled() {
        return;
    }
    if !body.ready.is_empty() && sites::failed_fast(state, dag) {
        return end(draft, dag, Phase::Failed, model::node::FAIL_FAST.to_string(), Outputs::default());
    }
    if body.ready.is_empty() || sites::is_closed(state, dag) {
        settle(draft, dag);
    }
}

fn end(draft: &mut Draft<'_>, node: NodeId, phase: Phase, message: String, outputs: Outputs) {
    draft.emit(Event::NodeEnded(Box::new(NodeEnded { node, phase, message, outputs })));
}

fn body(state: &State, dag: NodeId) -> Option<&DagBody> {
    match &state.node(dag).body {
        Body::Dag(body) => Some(body),
        _ => None,
    }
}

fn startable(state: &State, dag: NodeId) -> Option<u32> {
    if state.node(dag).phase.is_fulfilled() || sites::is_closed(state, dag) {
        return None;
    }
    let task = *body(state, dag)?.ready.first()?;
    (sites::has_room(state, dag) && !sites::failed_fast(state, dag)).then_some(task)
}

/// The call of a task, without an item.
fn due<'a>(state: &'a State, dag: NodeId, task: u32) -> Option<Due<'a>> {
    let site = Site { group: 0, task, item: None };
    let tasks = &body(state, dag)?.tasks;
    let before: Vec<NodeId> =
        state.graph_of(dag)?.refs[task as usize].iter().filter_map(|dep| tasks[*dep as usize]).collect();
    let place = if before.is_empty() { Placement::Under(dag) } else { Placement::After(before) };
    Some(Due {
        task: state.task(dag, site)?,
        boundary: dag,
        reach: Reach::Ancestors(task),
        place,
        site,
        prefix: state.prefix(dag),
        item: None,
    })
}

/// A task all of whose dependencies have ended: it is omitted, skipped, opened as a loop, or invoked.
fn start(draft: &mut Draft<'_>, dag: NodeId, task: u32) {
    let state = draft.state();
    let Some(due) = due(state, dag, task) else { return };
    let call = due.call(due.static_template());
    if invoke::is_full(state) {
        invoke::add_ended(draft, call, Phase::Error, invoke::full());
        return;
    }
    match depends_met(state, dag, task) {
        Ok(true) => {}
        Ok(false) => {
            invoke::add_ended(draft, call, Phase::Omitted, "omitted: depends condition not met".to_string());
            return;
        }
        Err(reason) => {
            invoke::add_ended(draft, call, Phase::Error, reason);
            return;
        }
    }
    if due.task.is_loop() {
        open_loop(draft, dag, task, call);
    } else {
        invoke_due(draft, dag, task, None);
    }
}

fn depends_met(state: &State, dag: NodeId, task: u32) -> Result<bool, String> {
    let site = Site { group: 0, task, item: None };
    let Some(plan) = state.task(dag, site) else { return Ok(false) };
    if plan.depends.is_empty() {
        return Ok(true);
    }
    let of = |name: &str| {
        let index = *state.graph_of(dag)?.index.get(name)?;
        Some((index, (*body(state, dag)?.tasks.get(index as usize)?)?))
    };
    let continue_on = |name: &str| match of(name) {
        Some((task, _)) => {
            state.task(dag, Site { group: 0, task, item: None }).map(|t| t.continue_on).unwrap_or_default()
        }
        None => ContinueOn::default(),
    };
    let expanded = depends::expand(&plan.depends, &continue_on);
    depends::evaluate(&expanded, &|name| of(name).map(|(_, id)| results(state, id)))
}

/// What `depends` can ask of a task's node.
fn results(state: &State, id: NodeId) -> Results {
    let node = state.node(id);
    let results = Results::of(node.phase);
    match &node.body {
        Body::TaskGroup(group) => results.with_children(group.children.iter().map(|id| state.node(*id).phase)),
        _ => results,
    }
}

fn open_loop(draft: &mut Draft<'_>, dag: NodeId, task: u32, call: Call) {
    let state = draft.state();
    let Some(due) = due(state, dag, task) else { return };
    let items = match sites::check_loop(state, &due).and_then(|()| sites::open_loop(state, &due)) {
        Ok(items) => items,
        Err(reason) => {
            invoke::add_ended(draft, call, Phase::Error, reason);
            return;
        }
    };
    if items.is_empty() {
        invoke::add_ended(draft, call, Phase::Skipped, "Skipped, empty params".to_string());
        return;
    }
    let group = invoke::add(draft, call, NodeKind::TaskGroup, Phase::Running, String::new(), Inputs::default());
    draft.emit(Event::LoopOpened(Box::new(LoopOpened { node: group, task: 0, items })));
    advance_group(draft, group);
}

/// Invokes a task, or one child of its loop: (group, index).
fn invoke_due(draft: &mut Draft<'_>, dag: NodeId, task: u32, child: Option<(NodeId, u32)>) {
    let state = draft.state();
    let Some(mut due) = due(state, dag, task) else { return };
    if let Some((group, index)) = child {
        due.place = Placement::Under(group);
        due.site.item = Some(index);
        due.item = group_body(state, group)
            .and_then(|body| body.sites[0].items.as_ref())
            .map(|items| crate::loops::item(items, index));
    }
    let call = due.call(due.static_template());
    if invoke::is_full(state) {
        invoke::add_ended(draft, call, Phase::Error, invoke::full());
        return;
    }
    match sites::resolve_due(state, &due) {
        Ok(Ready::Skip(message)) => {
            invoke::add_ended(draft, call, Phase::Skipped, message);
        }
        Ok(Ready::Go(template, given)) => {
            let depth = invoke::depth(state, Some(dag));
            match invoke::bind(state, template, &given, &call.name, depth) {
                Ok(inputs) => {
                    invoke::invoke(draft, Call { template: Some(template), ..call }, inputs);
                }
                Err(reason) => {
                    let message = format!("task '{}' errored: {reason}", call.name);
                    invoke::add_ended(draft, call, Phase::Error, message);
                }
            }
        }
        Err(reason) => {
            invoke::add_ended(draft, call, Phase::Error, reason);
        }
    }
}

fn group_body(state: &State, group: NodeId) -> Option<&GroupBody> {
    match &state.node(group).body {
        Body::TaskGroup(body) => Some(body),
        _ => None,
    }
}

/// Starts the children of a loop that may start, and ends the group when nothing is left.
pub(crate) fn advance_group(draft: &mut Draft<'_>, group: NodeId) {
    let Some(dag) = draft.state().node(group).boundary else { return };
    while let Some(index) = startable_child(draft.state(), dag, group) {
        let task = draft.state().node(group).site.map_or(0, |site| site.task);
        invoke_due(draft, dag, task, Some((group, index)));
    }
    let state = draft.state();
    let Some(body) = group_body(state, group) else { return };
    let done = body.next().is_none() || sites::is_closed(state, group) || sites::failed_fast(state, dag);
    if body.open == 0 && done && !state.node(group).phase.is_fulfilled() {
        let incomplete = body.next().is_some();
        // As upstream: the last failed child, in the order of the items, gives its phase.
        let failed = body.children.iter().rev().map(|id| state.node(*id).phase).find(|p| p.is_failed_or_error());
        let otherwise = if incomplete { Phase::Failed } else { Phase::Succeeded };
        end(draft, group, failed.unwrap_or(otherwise), String::new(), Outputs::default());
    }
}

fn startable_child(state: &State, dag: NodeId, group: NodeId) -> Option<u32> {
    if state.node(group).phase.is_fulfilled() || sites::is_closed(state, group) {
        return None;
    }
    let (_, index) = group_body(state, group)?.next()?;
    (sites::has_room(state, dag) && !sites::failed_fast(state, dag)).then_some(index)
}

/// Ends a DAG whose nodes have all ended.
fn settle(draft: &mut Draft<'_>, dag: NodeId) {
    let state = draft.state();
    let Some(template) = state.template_of(dag) else { return };
    match assess(state, dag) {
        Phase::Succeeded => match outputs::of_boundary(state, dag, template) {
            Ok(outputs) => end(draft, dag, Phase::Succeeded, String::new(), outputs),
            Err(reason) => end(draft, dag, Phase::Error, reason, Outputs::default()),
        },
        phase => end(draft, dag, phase, String::new(), Outputs::default()),
    }
}

/// The phase of a DAG by its targets: a target that never ran has the worst phase of what led to it.
fn assess(state: &State, dag: NodeId) -> Phase {
    let (Some(body), Some(graph)) = (body(state, dag), state.graph_of(dag)) else { return Phase::Error };
    let targets = targets::of(&Scope::of_site(state, dag, Reach::All, None), dag);
    let mut known: Vec<Option<Phase>> = vec![None; body.tasks.len()];
    let of = |task: &u32| {
        let phase = branch(state, body, graph, *task, &mut known);
        let on = state.task(dag, Site { group: 0, task: *task, item: None }).map(|t| t.continue_on).unwrap_or_default();
        let continued = (phase == Phase::Failed && on.failed) || (phase == Phase::Error && on.error);
        if continued { Phase::Succeeded } else { phase }
    };
    let branches: Vec<Phase> = targets.iter().map(of).collect();
    let failed = branches.iter().find(|phase| phase.is_failed_or_error());
    let missing = targets.iter().any(|task| body.tasks[*task as usize].is_none());
    match failed {
        Some(phase) => *phase,
        None if missing => Phase::Failed,
        None => Phase::Succeeded,
    }
}

/// A task's own phase if it ran, else the worst of its dependencies'. Iterative: DAGs are deep.
fn branch(state: &State, body: &DagBody, graph: &crate::graph::Graph, task: u32, known: &mut [Option<Phase>]) -> Phase {
    let mut stack = vec![task];
    while let Some(&top) = stack.last() {
        let phase = body.tasks[top as usize].map(|id| state.node(id).phase);
        if known[top as usize].is_some() {
            stack.pop();
            continue;
        }
        if let Some(phase) = phase.filter(|phase| phase.is_completed()) {
            known[top as usize] = Some(phase);
            continue;
        }
        let refs = &graph.refs[top as usize];
        let open: Vec<u32> = refs.iter().copied().filter(|dep| known[*dep as usize].is_none()).collect();
        if open.is_empty() {
            let worst = refs.iter().filter_map(|dep| known[*dep as usize]).find(|p| p.is_failed_or_error());
            known[top as usize] = Some(worst.unwrap_or(Phase::Succeeded));
        } else {
            stack.extend(open);
        }
    }
    known[task as usize].unwrap_or(Phase::Succeeded)
}
