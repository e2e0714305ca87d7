//! Argo's `progress`: leaves done and leaves there are, `N/M` (upstream `progress.UpdateProgress`).
//! It must never be asked of runs so large that reachability costs: beyond `EXACT_NODES_MAX` only the run and its leaves have one.

use crate::edges::Edges;
use crate::history::History;
use alloc::vec;
use alloc::vec::Vec;
use model::{NodeKind, Phase};

/// Up to so many nodes each node's progress is exact.
pub const EXACT_NODES_MAX: usize = 3_000;

/// (done, all); (0, 0) has no text.
pub type Progress = (u32, u32);

/// The progress of each node.
pub fn of_nodes(history: &History, edges: &Edges) -> Vec<Progress> {
    let own: Vec<Progress> = history.nodes.iter().map(|node| leaf(node.kind, node.phase)).collect();
    if history.nodes.len() > EXACT_NODES_MAX {
        return own;
    }
    let below = |index: usize| {
        let mut seen = vec![false; own.len()];
        let mut stack: Vec<usize> = edges.children[index].iter().map(|id| id.index()).collect();
        let mut sum = (0, 0);
        while let Some(next) = stack.pop() {
            if !core::mem::replace(&mut seen[next], true) {
                sum = (sum.0 + own[next].0, sum.1 + own[next].1);
                stack.extend(edges.children[next].iter().map(|id| id.index()));
            }
        }
        sum
    };
    let of = |(index, node): (usize, &crate::history::NodeView)| {
        if matches!(node.kind, NodeKind::Pod | NodeKind::Suspend) { own[index] } else { below(index) }
    };
    history.nodes.iter().enumerate().map(of).collect()
}

/// The progress of the run: all its leaves.
pub fn of_run(history: &History) -> Progress {
    let own = history.current().map(|node| leaf(node.kind, node.phase));
    own.fold((0, 0), |sum, own| (sum.0 + own.0, sum.1 + own.1))
}

fn leaf(kind: NodeKind, phase: Phase) -> Progress {
    match kind {
        NodeKind::Pod | NodeKind::Suspend => (u32::from(phase == Phase::Succeeded), 1),
        _ => (0, 0),
    }
}
