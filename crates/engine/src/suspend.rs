//! Suspended nodes and runs: they go on when their time is over, or when a person lets them (upstream `executeSuspend`).
//! It must never let a node go on without the values that its template asks for.

use crate::draft::Draft;
use crate::leaf;
use crate::outputs;
use crate::retry;
use crate::scope::{Called, Strictness, resolve};
use crate::state::State;
use crate::submit;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use model::event::NodeEnded;
use model::input::Approve;
use model::node::Parameter;
use model::plan::{Body as PlanBody, OutputSource, Template};
use model::{Event, NodeId, NodeKind, Outputs, Phase, Refusal, Time};

/// How long the template waits by itself, in microseconds; `None`: for a person.
pub(crate) fn duration_us(state: &State, id: NodeId) -> Result<Option<i64>, String> {
    let Some(template) = state.template_of(id) else { return Ok(None) };
    let PlanBody::Suspend { duration: Some(text) } = &template.body else { return Ok(None) };
    let node = state.node(id);
    let text = resolve(text, &leaf::scope(state, template, Called::Node(id), &node.inputs), Strictness::Lenient)?;
    if text.is_empty() { Ok(None) } else { retry::duration_us(&text).map(Some) }
}

/// The end of a node's own time.
pub(crate) fn due(state: &State, id: NodeId) -> Option<Time> {
    let node = state.node(id);
    let waits = node.kind == NodeKind::Suspend && !node.phase.is_fulfilled() && !node.waits_for_locks;
    let us = duration_us(state, id).ok().flatten().filter(|_| waits)?;
    Some(node.started_at.unwrap_or(node.added_at).plus_us(us))
}

/// A node begins to wait: a duration that cannot be read is its error, one that is over is its end.
pub(crate) fn begin(draft: &mut Draft<'_>, id: NodeId) {
    match duration_us(draft.state(), id) {
        Err(reason) => end(draft, id, Phase::Error, reason, Outputs::default()),
        Ok(Some(us)) if us <= 0 => elapse(draft, id),
        Ok(_) => {}
    }
}

/// Nodes whose time is over go on by themselves.
pub(crate) fn woke(draft: &mut Draft<'_>) {
    let now = draft.at();
    let over: Vec<NodeId> =
        draft.state().suspended.iter().take_while(|(due, _)| *due <= now).map(|(_, id)| *id).collect();
    over.into_iter().for_each(|id| elapse(draft, id));
}

fn elapse(draft: &mut Draft<'_>, id: NodeId) {
    match supplied(draft.state(), id, &[]) {
        Ok(outputs) => end(draft, id, Phase::Succeeded, String::new(), outputs),
        Err(name) => {
            let reason = format!("raw output parameter '{name}' has not been set and does not have a default value");
            end(draft, id, Phase::Failed, reason, Outputs::default());
        }
    }
}

/// What the node hands out with these values. The error is the name of a parameter that has none.
fn supplied(state: &State, id: NodeId, given: &[Parameter]) -> Result<Outputs, String> {
    let Some(template) = state.template_of(id) else { return Ok(Outputs::default()) };
    let node = state.node(id);
    let scope = leaf::scope(state, template, Called::Node(id), &node.inputs);
    let mut handed = Outputs::default();
    for declared in &template.outputs.parameters {
        let own = || match &declared.source {
            OutputSource::Value(text) => resolve(text, &scope, Strictness::Lenient).ok(),
            _ => declared.default.as_ref().and_then(|text| resolve(text, &scope, Strictness::Lenient).ok()),
        };
        let of_name = given.iter().find(|given| given.name == declared.name).map(|given| given.value.clone());
        let value = of_name.or_else(own).ok_or_else(|| declared.name.clone())?;
        handed.parameters.push(Parameter { name: declared.name.clone(), value });
    }
    handed.globals = outputs::globals(template, &scope, &handed);
    Ok(handed)
}

fn end(draft: &mut Draft<'_>, node: NodeId, phase: Phase, message: String, outputs: Outputs) {
    draft.emit(Event::NodeEnded(Box::new(NodeEnded { node, phase, message, outputs })));
}

/// The nodes that wait for a person, in the order of their creation.
pub fn waiting(state: &State) -> Vec<NodeId> {
    let ids = (0..state.nodes.len() as u32).map(NodeId);
    let waits = |id: &NodeId| {
        let node = state.node(*id);
        node.kind == NodeKind::Suspend && !node.phase.is_fulfilled() && !node.waits_for_locks
    };
    if state.is_ended() { Vec::new() } else { ids.filter(waits).collect() }
}

/// A person lets a node go on, or the run that was to wait from its beginning.
pub(crate) fn approve(draft: &mut Draft<'_>, wish: &Approve) -> Result<(), Refusal> {
    let state = draft.state();
    if state.is_ended() {
        return Err(Refusal::Ended);
    }
    if state.is_held() {
        draft.emit(Event::Approved { node: None, by: wish.by.clone() });
        submit::begin(draft);
        return Ok(());
    }
    let waiting = waiting(state);
    let id = match (wish.node, waiting.as_slice()) {
        (Some(id), waiting) if waiting.contains(&id) => id,
        (None, [one]) => *one,
        (None, several) if !several.is_empty() => {
            let names: Vec<String> = several.iter().map(|id| state.name(*id).into_owned()).collect();
            return Err(Refusal::WhichNode(names.join(", ")));
        }
        _ => return Err(Refusal::NotWaiting),
    };
    check(state, id, &wish.parameters)?;
    let outputs = supplied(state, id, &wish.parameters).map_err(Refusal::MissingParameter)?;
    draft.emit(Event::Approved { node: Some(id), by: wish.by.clone() });
    end(draft, id, Phase::Succeeded, String::new(), outputs);
    Ok(())
}

/// Only what the template asks a person for, and only what it admits.
fn check(state: &State, id: NodeId, given: &[Parameter]) -> Result<(), Refusal> {
    let empty = Vec::new();
    let template: Option<&Template> = state.template_of(id);
    let declared = template.map_or(&empty, |template| &template.outputs.parameters);
    for parameter in given {
        let known = declared.iter().any(|d| d.name == parameter.name && d.source == OutputSource::Supplied);
        if !known {
            return Err(Refusal::NotAsked(parameter.name.clone()));
        }
        let inputs = template.map(|template| &template.inputs.parameters);
        let input = inputs.and_then(|inputs| inputs.iter().find(|input| input.name == parameter.name));
        if input.is_some_and(|input| !input.allowed.is_empty() && !input.allowed.contains(&parameter.value)) {
            return Err(Refusal::NotAllowed(parameter.name.clone(), parameter.value.clone()));
        }
    }
    Ok(())
}
