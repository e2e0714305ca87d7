//! Which locks a node or a run wants: names and limits, from the plan and what the node was given.
//! It must never know whether they are free.

use crate::leaf;
use crate::scope::{Called, Scope, Strictness, resolve};
use crate::state::State;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use model::command::LockWant;
use model::node::Inputs;
use model::plan::{Lock, LockKind, Template};
use model::{Command, NodeId, NodeKind};

/// The locks of a node that is to be.
pub(crate) fn of_template(
    state: &State,
    template: &Template,
    name: &str,
    inputs: &Inputs,
) -> Result<Vec<LockWant>, String> {
    wants(state, &template.locks, &leaf::scope(state, template, Called::Name(name), inputs))
}

/// The locks of a node; those of the run for `None`.
pub(crate) fn of(state: &State, node: Option<NodeId>) -> Vec<LockWant> {
    let Some(id) = node else { return wants(state, &state.plan().locks, &Scope::global(state)).unwrap_or_default() };
    let node = state.node(id);
    let Some(template) = state.template_of(id).filter(|_| !node.retried) else { return Vec::new() };
    of_template(state, template, &state.name(id), &node.inputs).unwrap_or_default()
}

fn wants(state: &State, locks: &[Lock], scope: &Scope<'_>) -> Result<Vec<LockWant>, String> {
    let one = |lock: &Lock| {
        let own = &state.plan().metadata.namespace;
        let namespace =
            [&lock.namespace, own].into_iter().find(|name| !name.is_empty()).map_or("default", String::as_str);
        let name = resolve(&lock.name, scope, Strictness::Strict)?;
        let name = match lock.kind {
            LockKind::Mutex => format!("{namespace}/Mutex/{name}"),
            LockKind::Semaphore => format!("{namespace}/ConfigMap/{name}/{}", lock.key),
        };
        Ok(LockWant { name, limit: lock.limit })
    };
    let mut wants = locks.iter().map(one).collect::<Result<Vec<_>, String>>()?;
    // Twice the same is once.
    wants.sort_by(|a, b| a.name.cmp(&b.name));
    wants.dedup_by(|a, b| a.name == b.name);
    Ok(wants)
}

/// The message of a node that waits. (Upstream counts who has the lock; here nobody has been asked yet.)
pub(crate) fn message(wants: &[LockWant]) -> String {
    let name = wants.first().map_or("", |want| want.name.as_str());
    format!("Waiting for {name} lock")
}

/// What is owed to get them.
pub(crate) fn acquire(state: &State, node: Option<NodeId>) -> Command {
    let wants = of(state, node);
    let (priority, created_at) = (state.plan().priority, state.record().created_at);
    Command::Acquire { node, wants, priority, created_at }
}

/// Whether a node of this template has locks of its own.
pub(crate) fn has(state: &State, id: NodeId) -> bool {
    let node = state.node(id);
    // The group of a loop is no invocation: its children are.
    let invoked = !node.retried && node.kind != NodeKind::TaskGroup;
    invoked && state.template_of(id).is_some_and(|template| !template.locks.is_empty())
}

/// The locks that the log says are held: by the run, by nodes that have not ended.
pub fn held(state: &State) -> Vec<(Option<NodeId>, Vec<LockWant>)> {
    if !state.is_created() || state.is_ended() {
        return Vec::new();
    }
    let mut held = Vec::new();
    if state.has_run_locks {
        held.push((None, of(state, None)));
    }
    let ids = (0..state.nodes.len() as u32).map(NodeId);
    let holds = |id: &NodeId| {
        let node = state.node(*id);
        has(state, *id) && !node.waits_for_locks && !node.phase.is_fulfilled()
    };
    held.extend(ids.filter(holds).map(|id| (Some(id), of(state, Some(id)))));
    held
}

/// What a person is told of a node that waits.
pub(crate) fn names(state: &State, id: NodeId) -> String {
    let names: Vec<String> = of(state, Some(id)).iter().map(|want| want.name.to_string()).collect();
    names.join(", ")
}
