//! Calls: child nodes that a running attempt of a dynamic node asks for (DESIGN §2). The children are its journal.
//! It must never answer a call otherwise than it was answered before.

use crate::arguments::{Argument, Given};
use crate::draft::Draft;
use crate::invoke::{self, Call as NodeCall};
use crate::state::{Body, State};
use alloc::boxed::Box;
use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;
use model::event::{CallAdded, NodeEnded, Placement};
use model::input::Call;
use model::plan::Body as PlanBody;
use model::{Command, Event, NodeId, Outputs, Phase, Refusal};

pub(crate) fn call(draft: &mut Draft<'_>, call: &Call) -> Result<(), Refusal> {
    let state = draft.state();
    check_caller(state, call)?;
    let key = (call.parent, call.name.clone(), call.counter);
    if let Some((fingerprint, child)) = state.calls.get(&key) {
        if *fingerprint != call.fingerprint {
            return Err(Refusal::Diverged(format!("{}({})", call.name, call.counter)));
        }
        let child = *child;
        if state.nodes.get(child.index()).is_some_and(|node| node.phase.is_fulfilled()) {
            draft.answer(Command::Return {
                parent: call.parent,
                n: call.n,
                name: call.name.clone(),
                counter: call.counter,
                child,
            });
        }
        return Ok(());
    }
    if invoke::is_full(state) {
        return Err(Refusal::TooManyNodes);
    }
    add(draft, call)
}

/// Only the running attempt of a dynamic node may call.
fn check_caller(state: &State, call: &Call) -> Result<(), Refusal> {
    let node = state.nodes.get(call.parent.index()).ok_or(Refusal::NoSuchAttempt)?;
    let attempt = node.attempt().ok_or(Refusal::NoSuchAttempt)?;
    let dynamic = state.template_of(call.parent).is_some_and(|t| matches!(&t.body, PlanBody::Leaf(l) if l.dynamic));
    let running = attempt.n == call.n && attempt.epoch.is_some() && !attempt.ended && !node.phase.is_fulfilled();
    if !dynamic || !running || crate::sites::is_stopping_at(state, call.parent) {
        return Err(Refusal::NotCalling);
    }
    Ok(())
}

fn add(draft: &mut Draft<'_>, call: &Call) -> Result<(), Refusal> {
    let state = draft.state();
    let scope = state.template_of(call.parent).map_or(model::plan::Scope::Local, |t| t.scope.clone());
    let template = state.plan().find(&scope, &call.template);
    let template = template.ok_or_else(|| Refusal::UnknownTemplate(call.template.clone()))?;
    let own = format!("{}({})", call.name, call.counter);
    let parent = state.node(call.parent);
    let node_call = NodeCall {
        name: format!("{}.{own}", state.name(call.parent)),
        display_name: own,
        template: Some(template),
        boundary: parent.boundary,
        place: Placement::Under(call.parent),
        site: None,
        retried: false,
        hooked: false,
    };
    let parameters = call.arguments.iter().map(|p| (p.name.clone(), Argument::Value(p.value.clone()))).collect();
    let given = Given { parameters, artifacts: Vec::new() };
    let depth = invoke::depth(state, parent.boundary) + 1;
    let bound = invoke::bind(state, template, &given, &node_call.name, depth);
    let child = NodeId(state.nodes.len() as u32);
    draft.emit(Event::CallAdded(Box::new(CallAdded {
        parent: call.parent,
        name: call.name.clone(),
        counter: call.counter,
        fingerprint: call.fingerprint.clone(),
        child,
    })));
    match bound {
        Ok(inputs) => invoke::invoke(draft, node_call, inputs),
        Err(reason) => invoke::add_ended(draft, node_call, Phase::Error, reason),
    };
    Ok(())
}

/// The caller ended: children that nobody waits for are ended too, the youngest first.
pub(crate) fn close_children(draft: &mut Draft<'_>, parent: NodeId) {
    let open = open_below(draft.state(), parent);
    let quiet = core::mem::replace(&mut draft.quiet, true);
    for node in open {
        // A rule that heard of an earlier end may have ended it.
        if !draft.state().node(node).phase.is_fulfilled() {
            let message = "the calling node has ended".to_string();
            let ended = NodeEnded { node, phase: Phase::Failed, message, outputs: Outputs::default() };
            draft.emit(Event::NodeEnded(Box::new(ended)));
        }
    }
    draft.quiet = quiet;
}

/// Open nodes that hang under what a node called, the youngest first.
fn open_below(state: &State, parent: NodeId) -> Vec<NodeId> {
    let mut stack: Vec<NodeId> = state.calls_of(parent).collect();
    let mut open = Vec::new();
    while let Some(id) = stack.pop() {
        let node = state.node(id);
        if !node.phase.is_fulfilled() {
            open.push(id);
        }
        stack.extend(state.hooks.get(&id).into_iter().flatten());
        match &node.body {
            Body::Leaf(_) => stack.extend(state.calls_of(id)),
            Body::Steps(steps) => stack.extend(&steps.groups),
            Body::StepGroup(group) | Body::TaskGroup(group) => stack.extend(&group.children),
            Body::Dag(dag) => stack.extend(dag.tasks.iter().flatten()),
            Body::Retry(retry) => stack.extend(&retry.tries),
            Body::Nothing => {}
        }
    }
    open.sort_unstable_by(|a, b| b.cmp(a));
    open
}
