//! `explain`: why a node is not running, in the words that the command line, the UI and the tests print.
//! It must never guess: every answer is read off the state.

use crate::sites;
use crate::state::{Body, State};
use crate::wants;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use model::{NodeId, Phase, Time};

/// Why a node is as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Ended, with its phase and message.
    Ended(Phase, String),
    /// Its attempt runs: number.
    Running(u32),
    /// Its attempt has no place yet.
    WaitsForPlace(u32),
    /// A try failed; the next one starts then.
    BacksOff(Time, String),
    /// Children are under way: how many, and the name of one.
    WaitsForChildren(u32, String),
    /// Call sites may start but a limit has no room.
    WaitsForRoom,
    /// A person has to let it go on.
    Suspended,
    /// Others have the locks that it waits for: which.
    WaitsForLocks(String),
    /// The run is being stopped.
    Stopping,
}

/// Precondition: `id` is a node of the state.
pub fn explain(state: &State, id: NodeId) -> Reason {
    let node = state.node(id);
    if node.phase.is_fulfilled() {
        return Reason::Ended(node.phase, node.message.to_string());
    }
    if node.waits_for_locks {
        return Reason::WaitsForLocks(wants::names(state, id));
    }
    match &node.body {
        Body::Leaf(attempt) if attempt.epoch.is_some() => Reason::Running(attempt.n),
        Body::Leaf(_) if sites::is_stopping_at(state, id) => Reason::Stopping,
        Body::Leaf(attempt) => Reason::WaitsForPlace(attempt.n),
        Body::Retry(retry) => match retry.until {
            Some(until) => Reason::BacksOff(until, node.message.to_string()),
            None => children(state, retry.tries.last().into_iter().copied()),
        },
        Body::Steps(steps) => children(state, steps.groups.last().into_iter().copied()),
        Body::StepGroup(group) | Body::TaskGroup(group) => children(state, group.children.iter().copied()),
        Body::Dag(dag) => children(state, dag.tasks.iter().flatten().copied()),
        Body::Nothing => Reason::Suspended,
    }
}

/// Leaves whose attempts have a place: started, and not ended.
pub fn placed(state: &State) -> impl Iterator<Item = NodeId> {
    let placed = |id: &NodeId| state.node(*id).attempt().is_some_and(|a| a.epoch.is_some() && !a.ended);
    state.open_attempts.iter().copied().filter(placed)
}

fn children(state: &State, of: impl Iterator<Item = NodeId>) -> Reason {
    let of = of.flat_map(|id| core::iter::once(id).chain(state.hooks.get(&id).into_iter().flatten().copied()));
    let open: Vec<NodeId> = of.filter(|id| !state.node(*id).phase.is_fulfilled()).collect();
    match open.first() {
        Some(first) => Reason::WaitsForChildren(open.len() as u32, state.name(*first).into_owned()),
        None => Reason::WaitsForRoom,
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ended(phase, message) if message.is_empty() => write!(f, "ended {}", phase.as_str()),
            Self::Ended(phase, message) => write!(f, "ended {}: {message}", phase.as_str()),
            Self::Running(0) => write!(f, "running"),
            Self::Running(n) => write!(f, "running, attempt {n} (earlier ones were lost)"),
            Self::WaitsForPlace(_) => {
                write!(f, "waits for a place: cpu, memory or GPUs are taken, or its environment is being built")
            }
            Self::BacksOff(_, message) => write!(f, "waits before the next try: {message}"),
            Self::WaitsForChildren(1, name) => write!(f, "waits for {name}"),
            Self::WaitsForChildren(count, name) => write!(f, "waits for {count} nodes, among them {name}"),
            Self::WaitsForRoom => write!(f, "waits for room: parallelism is used up"),
            Self::WaitsForLocks(names) => write!(f, "waits for locks that others have: {names}"),
            Self::Suspended => write!(f, "waits for a person: `towpath approve` lets it go on"),
            Self::Stopping => write!(f, "the run is being stopped"),
        }
    }
}

impl Reason {
    /// One line with the node's name.
    pub fn line(&self, name: &str) -> String {
        format!("{name}: {self}")
    }
}
