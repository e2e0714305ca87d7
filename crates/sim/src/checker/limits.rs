//! Limits on parallelism: of the whole run, and of the children of a template.
//! It must never count what was requested at run time: a call waits for nobody's room.
//!
//! Nor does it count further tries: the engine starts them without asking for room (`retries::try_again`), where upstream asks.
//! When the engine does, `further_try` goes.

use super::replay::{Node, Replay};
use model::{NodeId, NodeKind};

/// Whether a node that was just added is one too many: what is exceeded.
pub(super) fn excess(replay: &Replay, id: NodeId) -> Option<String> {
    let node = replay.node(id);
    if node.phase.is_fulfilled() || node.requested || node.further_try {
        return None;
    }
    let plan = replay.plan.as_ref()?;
    if let Some(max) = plan.parallelism
        && node.kind == NodeKind::Pod
    {
        let active = replay.nodes.iter().filter(|n| n.kind == NodeKind::Pod && counted(n)).count();
        if active > max as usize {
            return Some(format!("{active} leaves are active, and the run's parallelism is {max}"));
        }
    }
    let boundary = node.boundary.filter(|_| counts(node.kind))?;
    let max = replay.template(boundary)?.parallelism?;
    let active = replay.nodes.iter().filter(|n| n.boundary == Some(boundary) && counts(n.kind) && counted(n)).count();
    (active > max as usize)
        .then(|| format!("node {} has {active} active children, and its parallelism is {max}", boundary.0))
}

fn counted(node: &Node) -> bool {
    !node.phase.is_fulfilled() && !node.requested && !node.further_try
}

fn counts(kind: NodeKind) -> bool {
    matches!(kind, NodeKind::Pod | NodeKind::Steps | NodeKind::Dag)
}

/// Everything that a node hangs under.
pub(super) fn above(replay: &Replay, id: NodeId) -> Vec<NodeId> {
    let mut found = Vec::new();
    let mut stack = vec![id];
    while let Some(id) = stack.pop() {
        let node = replay.node(id);
        for above in [node.container, node.boundary].into_iter().flatten() {
            if !found.contains(&above) {
                found.push(above);
                stack.push(above);
            }
        }
    }
    found
}
