//! Limits on parallelism: of the whole run, and of the children of a template. Further tries wait for room like everything else.
//! It must never hold a call to them: what a running node asked for waits for nobody's room, and the node leaves its own while it waits.

use super::replay::{Node, Replay};
use model::{NodeId, NodeKind};
use std::collections::BTreeSet;

/// Whether a node that was just added is one too many: what is exceeded.
pub(super) fn excess(replay: &Replay, id: NodeId) -> Option<String> {
    let node = replay.node(id);
    // A node that was given its locks begins at once.
    let locked = replay.template(id).is_some_and(|template| !template.locks.is_empty() && template.retry.is_some());
    if node.phase.is_fulfilled() || is_call(replay, node) || node.hooked || locked {
        return None;
    }
    let plan = replay.plan.as_ref()?;
    let what = if node.further_try { "a further try" } else { "a new node" };
    let waiting = waiting(replay);
    let active = |of: &dyn Fn(&Node) -> bool| {
        let nodes = (0..replay.nodes.len() as u32).map(NodeId).filter(|id| !waiting.contains(id));
        nodes.filter(|id| !replay.node(*id).phase.is_fulfilled() && of(replay.node(*id))).count()
    };
    if let Some(max) = plan.parallelism
        && node.kind == NodeKind::Pod
    {
        let active = active(&|node| node.kind == NodeKind::Pod && !node.hooked);
        if active > max as usize {
            return Some(format!("with {what} {active} leaves are active, and the run's parallelism is {max}"));
        }
    }
    let boundary = node.boundary.filter(|_| counts(node.kind))?;
    let max = replay.template(boundary)?.parallelism?;
    let active =
        active(&|node| node.boundary == Some(boundary) && counts(node.kind) && !node.hooked && !is_call(replay, node));
    (active > max as usize)
        .then(|| format!("with {what} node {} has {active} active children, and its parallelism is {max}", boundary.0))
}

/// Whether a running node asked for this one, or for the Retry node that it is a try of.
fn is_call(replay: &Replay, node: &Node) -> bool {
    let Some(container) = node.container.filter(|_| node.requested).map(|id| replay.node(id)) else { return false };
    container.kind == NodeKind::Pod || (container.kind == NodeKind::Retry && is_call(replay, container))
}

/// Leaves that wait for their calls.
fn waiting(replay: &Replay) -> BTreeSet<NodeId> {
    let open = replay.nodes.iter().filter(|node| !node.phase.is_fulfilled());
    open.filter_map(|node| node.container).filter(|id| replay.node(*id).kind == NodeKind::Pod).collect()
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
