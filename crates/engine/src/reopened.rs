//! The fold of a run that goes on after its end: which nodes are open again, and what the others still mean for them.
//! It must never choose: the event names every node that changes.

use crate::evolve::{attach, count_failure, lay_plan, new_body, refresh_willing, take_room};
use crate::state::{Body, GroupBody, Names, State};
use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::vec::Vec;
use model::event::{Placement, RunReopened};
use model::{NodeId, NodeKind, Outputs, Phase, RunPhase, Time};

pub(crate) fn reopened(state: &mut State, event: &RunReopened, at: Time) {
    let Some(record) = state.record.clone() else { return };
    let mut record = (*record).clone();
    record.plan = (*event.plan).clone();
    lay_plan(state, record);
    (state.phase, state.began) = (Some(RunPhase::Running), at);
    (state.message, state.outputs) = (String::new(), Outputs::default());
    state.deadline_exceeded = false;
    let is_reset: BTreeSet<NodeId> = event.reset.iter().map(|reset| reset.node).collect();
    is_reset.iter().for_each(|id| keep_names(state, *id));
    for id in &event.open {
        let node = &mut state.nodes[id.index()];
        node.phase = if node.kind == NodeKind::Pod { Phase::Pending } else { Phase::Running };
        (node.message, node.outputs, node.ended_at) = (Box::default(), None, None);
    }
    let mut held: Vec<(NodeId, Vec<NodeId>)> = Vec::new();
    for id in &event.open {
        let mut children = children(&state.node(*id).body);
        children.retain(|child| !is_reset.contains(child));
        begin_again(state, *id);
        held.push((*id, children));
    }
    is_reset.iter().for_each(|id| close(state, *id));
    for (container, children) in &held {
        for child in children {
            let fulfilled = state.node(*child).phase.is_fulfilled();
            attach(state, *child, fulfilled);
        }
        refresh_willing(state, *container);
    }
    count_again(state, event);
}

/// The nodes that a node holds.
pub(crate) fn children(body: &Body) -> Vec<NodeId> {
    match body {
        Body::Steps(steps) => steps.groups.clone(),
        Body::StepGroup(group) | Body::TaskGroup(group) => group.children.clone(),
        Body::Dag(dag) => dag.tasks.iter().copied().flatten().collect(),
        Body::Retry(retry) => retry.tries.clone(),
        Body::Leaf(_) | Body::Nothing => Vec::new(),
    }
}

/// The body that the node had before it held anything; its loops stay opened.
fn begin_again(state: &mut State, id: NodeId) {
    if matches!(state.node(id).body, Body::Leaf(_)) {
        // Its next attempt comes with an event of its own.
        return;
    }
    let fresh = new_body(state, id);
    let old = core::mem::replace(&mut state.nodes[id.index()].body, fresh);
    if let (Body::StepGroup(old) | Body::TaskGroup(old), Body::StepGroup(new) | Body::TaskGroup(new)) =
        (old, &mut state.nodes[id.index()].body)
    {
        keep_loops(&old, new);
    }
}

fn keep_loops(old: &GroupBody, new: &mut GroupBody) {
    for (old, new) in old.sites.iter().zip(&mut new.sites) {
        if old.items.is_some() {
            (new.items, new.total) = (old.items.clone(), old.total);
        }
    }
}

/// The names of a loop's child follow from where it hangs.
fn keep_names(state: &mut State, id: NodeId) {
    let names = Names { name: state.name(id).into(), display_name: state.display_name(id).into() };
    state.nodes[id.index()].names.get_or_insert(Box::new(names));
}

/// The node stays as history, and hangs nowhere any more.
fn close(state: &mut State, id: NodeId) {
    let node = &mut state.nodes[id.index()];
    (node.is_reset, node.body, node.place) = (true, Body::Nothing, Placement::Root);
    (node.boundary, node.site) = (None, None);
}

/// What limits ask: room that is taken again, and failures that stand.
fn count_again(state: &mut State, event: &RunReopened) {
    for id in &event.open {
        if state.takes_room(*id) {
            take_room(state, *id);
        }
    }
    let open: BTreeSet<NodeId> = event.open.iter().copied().collect();
    let all = (0..state.nodes.len() as u32).map(NodeId);
    let stand = |id: &NodeId| {
        let node = state.node(*id);
        node.phase.is_fulfilled() && node.boundary.is_some_and(|boundary| open.contains(&boundary))
    };
    for id in all.filter(stand).collect::<Vec<_>>() {
        count_failure(state, id);
    }
}
