//! How deep the nodes of a run lie in its tree, and what there is where that is too deep to be shown by indentation: templates that
//! call themselves.
//! It must never recurse: such a tree has ten thousand levels.

use model::{NodeId, NodeKind, Phase};
use std::collections::{BTreeMap, BTreeSet};
use views::{History, NodeView};

/// Levels that are shown one below the other. A node of the last of them stands for what lies below it,
const LEVELS_MAX: u32 = 16;
/// if that is more than so many levels.
const LEVELS_MORE: u32 = 8;

/// Kept up node by node.
#[derive(Default)]
pub struct Depths {
    nodes: Vec<Depth>,
    /// Per node of the last level that is shown, if any lies deeper.
    below: BTreeMap<NodeId, Deep>,
}

#[derive(Clone, Copy)]
struct Depth {
    /// The root's is 0; a step group has that of its steps.
    level: u32,
    /// The node of the last level that is shown that it lies below.
    top: Option<NodeId>,
}

/// What lies below a node, however deep. Of the nodes, those that are tasks or never became one.
#[derive(Default)]
pub struct Deep {
    pub levels: u32,
    pub active: BTreeSet<NodeId>,
    pub failed: Vec<NodeId>,
    pub succeeded: u32,
    pub skipped: u32,
}

impl Depths {
    /// Takes in the next node.
    pub fn add(&mut self, history: &History, node: &NodeView) {
        let depth = match history.container(node) {
            None => Depth { level: 0, top: None },
            Some(container) => {
                let above = self.nodes[container.index()];
                let at_last = above.level == LEVELS_MAX && history.node(container).kind != NodeKind::StepGroup;
                let top = if at_last { Some(container) } else { above.top };
                Depth { level: above.level + u32::from(node.kind != NodeKind::StepGroup), top }
            }
        };
        self.nodes.push(depth);
        if let Some(top) = depth.top.filter(|_| !node.is_reset) {
            let deep = self.below.entry(top).or_default();
            deep.levels = deep.levels.max(depth.level - LEVELS_MAX);
            if counts(node) {
                deep.active.insert(node.id);
            }
        }
    }

    /// The node has its last phase.
    pub fn ended(&mut self, node: &NodeView) {
        let top = self.nodes[node.id.index()].top.filter(|_| counts(node));
        let Some(deep) = top.and_then(|top| self.below.get_mut(&top)) else { return };
        if deep.active.remove(&node.id) {
            match node.phase {
                Phase::Failed | Phase::Error => deep.failed.push(node.id),
                Phase::Succeeded => deep.succeeded += 1,
                _ => deep.skipped += 1,
            }
        }
    }

    /// What this node stands for; `None` where its children are shown.
    pub fn below(&self, id: NodeId) -> Option<&Deep> {
        self.below.get(&id).filter(|deep| deep.levels > LEVELS_MORE)
    }

    pub fn level(&self, id: NodeId) -> u32 {
        self.nodes[id.index()].level
    }

    /// The node that may stand for this one.
    pub fn top_of(&self, id: NodeId) -> Option<NodeId> {
        self.nodes[id.index()].top
    }
}

fn counts(node: &NodeView) -> bool {
    matches!(node.kind, NodeKind::Pod | NodeKind::Skipped | NodeKind::Suspend)
}
