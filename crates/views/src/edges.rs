//! Argo's edges: `children` and `outboundNodes` of every node, which follow from where the nodes hang.
//! It must never be computed while a run goes on at scale: it is made when somebody looks.

use crate::history::{History, NodeView};
use alloc::collections::BTreeSet;
use alloc::vec;
use alloc::vec::Vec;
use model::event::Placement;
use model::node::FAIL_FAST;
use model::plan::Body;
use model::{NodeId, NodeKind};

#[derive(Debug)]
pub struct Edges {
    /// Per node: its children as Argo's status lists them, in order, each once.
    pub children: Vec<Vec<NodeId>>,
    /// Per node: the nodes that hang in it.
    held: Vec<Vec<NodeId>>,
    /// Per node: its outbound nodes, if it is steps, DAG or task group and they are few. Templates that call themselves hand theirs up through
    /// thousands of levels.
    few: Vec<Option<Vec<NodeId>>>,
}

const FEW: usize = 8;

impl Edges {
    pub fn of(history: &History) -> Self {
        let count = history.nodes.len();
        let mut held = vec![Vec::new(); count];
        for node in history.current().filter(|node| !node.hooked) {
            if let Some(container) = history.container(node) {
                held[container.index()].push(node.id);
            }
        }
        let mut edges = Self { children: vec![Vec::new(); count], held, few: vec![None; count] };
        // What a node holds is younger than it.
        for node in history.current().rev() {
            if matches!(node.kind, NodeKind::Steps | NodeKind::Dag | NodeKind::TaskGroup) {
                let found = edges.found(history, node.id, false);
                edges.few[node.id.index()] = Some(found).filter(|found| found.len() <= FEW);
            }
        }
        for node in history.current() {
            for parent in edges.parents(history, node) {
                edges.children[parent.index()].push(node.id);
            }
        }
        edges
    }

    /// What of a node's inside leads outside; empty for all but ended steps and DAGs.
    pub fn outbound(&self, history: &History, node: &NodeView) -> Vec<NodeId> {
        // Upstream marks such a node from outside and never comes to its outbound nodes.
        if node.phase.is_fulfilled() && node.message != FAIL_FAST {
            self.found(history, node.id, true)
        } else {
            Vec::new()
        }
    }

    fn parents(&self, history: &History, node: &NodeView) -> Vec<NodeId> {
        match &node.place {
            Placement::Root => Vec::new(),
            Placement::Under(parent) => vec![*parent],
            Placement::After(before) => {
                let mut parents = Vec::new();
                for id in before {
                    if history.node(*id).kind == NodeKind::StepGroup {
                        parents.extend(self.of_group(history, *id));
                    } else {
                        parents.extend(self.found(history, *id, false));
                    }
                }
                parents.sort_unstable();
                parents.dedup();
                parents
            }
        }
    }

    /// What a finished group leads on from: the outbound nodes of its children, itself if it has none.
    fn of_group(&self, history: &History, group: NodeId) -> Vec<NodeId> {
        let children = &self.held[group.index()];
        if children.is_empty() {
            return vec![group];
        }
        children.iter().flat_map(|id| self.found(history, *id, false)).collect()
    }

    /// Outbound nodes (upstream `getOutboundNodes`). `own`: the field of the node itself, which only steps and DAGs have.
    fn found(&self, history: &History, id: NodeId, own: bool) -> Vec<NodeId> {
        let held = &self.held;
        let mut found = Vec::new();
        let mut stack = vec![(id, own)];
        while let Some((id, own)) = stack.pop() {
            let node = history.node(id);
            let inside = &held[id.index()];
            if let Some(few) = self.few[id.index()].as_ref().filter(|_| !own) {
                found.extend(few);
                continue;
            }
            match node.kind {
                NodeKind::Steps => match inside.last() {
                    Some(group) if held[group.index()].is_empty() => {
                        found.extend(Some(*group).filter(|id| !history.node(*id).phase.is_failed_or_error()));
                    }
                    Some(group) => stack.extend(held[group.index()].iter().rev().map(|id| (*id, false))),
                    None => {}
                },
                NodeKind::Dag => stack.extend(targets(history, node, inside).into_iter().rev().map(|id| (id, false))),
                _ if own => {}
                NodeKind::TaskGroup if !inside.is_empty() => stack.extend(inside.iter().rev().map(|id| (*id, false))),
                NodeKind::Retry if !inside.is_empty() => found.extend(inside.last()),
                _ => found.push(id),
            }
        }
        found
    }
}

/// The nodes of a DAG's target tasks.
fn targets(history: &History, dag: &NodeView, inside: &[NodeId]) -> Vec<NodeId> {
    let Some(Body::Dag(body)) = history.template(dag).map(|template| &template.body) else { return Vec::new() };
    let named: Vec<&str> = body.target.as_str().split_whitespace().collect();
    let task = |id: &NodeId| history.node(*id).site.and_then(|site| body.tasks.get(site.task as usize));
    if named.is_empty() || body.target.has_tags() {
        let before = inside.iter().flat_map(|id| match &history.node(*id).place {
            Placement::After(before) => before.as_slice(),
            Placement::Root | Placement::Under(_) => &[],
        });
        let needed: BTreeSet<NodeId> = before.copied().collect();
        return inside.iter().filter(|id| !needed.contains(id)).copied().collect();
    }
    inside.iter().filter(|id| task(id).is_some_and(|task| named.contains(&task.name.as_str()))).copied().collect()
}
