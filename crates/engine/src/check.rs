//! The redundant indexes of a state, recomputed from its nodes and compared with what `evolve` kept.
//! It must never be asked by a rule: it is for tests and for the simulator's checker.

use crate::hooks;
use crate::scope::{Called, Reach, Scope};
use crate::state::{Attempt, Body, DagBody, GroupBody, State, Tally, Waiting};
use crate::{leaf, suspend, targets};
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Debug;
use model::{NodeId, NodeKind, Phase, Time};

impl State {
    /// Compares every redundant index with the nodes. The error names the first that differs, with both values.
    pub fn check(&self) -> Result<(), String> {
        let ids = || (0..self.nodes.len() as u32).map(NodeId);
        let leaves = || ids().filter_map(|id| Some((id, self.node(id).attempt()?)));
        let waits = |id: NodeId| self.open_calls(id) > 0;
        let counts = |id: NodeId| !self.node(id).phase.is_fulfilled() && !waits(id) && !self.is_hook(id);
        let active = leaves().filter(|(id, _)| counts(*id)).count() as u32;
        same("active_leaves", &self.active_leaves, &active)?;
        let open: BTreeSet<NodeId> = leaves().filter(|(_, attempt)| !attempt.ended).map(|(id, _)| id).collect();
        same("open_attempts", &self.open_attempts, &open)?;
        let delayed: BTreeSet<(Time, NodeId)> = ids().filter_map(|id| Some((self.back_off(id)?, id))).collect();
        same("delayed", &self.delayed, &delayed)?;
        let timeouts: BTreeSet<(Time, NodeId)> =
            ids().filter_map(|id| Some((self.timeout_of_waiting(id)?, id))).collect();
        same("timeouts", &self.timeouts, &timeouts)?;
        let suspended: BTreeSet<(Time, NodeId)> = ids().filter_map(|id| Some((suspend::due(self, id)?, id))).collect();
        same("suspended", &self.suspended, &suspended)?;
        let waiters = ids().filter(|id| self.node(*id).waits_for_locks && !self.node(*id).phase.is_fulfilled());
        same("lock_waiters", &self.lock_waiters, &waiters.collect())?;
        same("willing", &self.willing, &self.waiting(ids().filter(|id| self.may_start_more(*id))))?;
        same("wanting", &self.wanting, &self.waiting(ids().filter(|id| self.wants_try(*id))))?;
        let called = self.calls.iter().map(|((_, name, counter), (_, child))| (*child, (name.clone(), *counter)));
        same("called", &self.called, &called.collect())?;
        let mut held: Vec<Vec<NodeId>> = alloc::vec![Vec::new(); self.nodes.len()];
        for (id, container) in ids().filter(|id| !self.node(*id).hooked).filter_map(|id| Some((id, self.holder(id)?))) {
            held[container.index()].push(id);
        }
        ids().try_for_each(|id| self.check_node(id, &held[id.index()]))
    }

    fn back_off(&self, id: NodeId) -> Option<Time> {
        match &self.node(id).body {
            Body::Retry(retry) => retry.until,
            _ => None,
        }
    }

    /// The end of a `timeout` that a waiting leaf still has before it.
    fn timeout_of_waiting(&self, id: NodeId) -> Option<Time> {
        let node = self.node(id);
        let is_waiting = |attempt: &Attempt| attempt.epoch.is_none() && !attempt.ended && attempt.collects.is_none();
        let waits = node.attempt().is_some_and(is_waiting);
        let template = self.template_of(id).filter(|_| waits)?;
        let scope = leaf::scope(self, template, Called::Node(id), &node.inputs);
        let us = leaf::timeout_us(template, &scope).ok().flatten()?;
        Some(node.added_at.plus_us(us.saturating_add(self.slept_since(node.added_at))))
    }

    fn waiting(&self, of: impl Iterator<Item = NodeId>) -> Waiting {
        let nodes: BTreeSet<NodeId> = of.collect();
        let at = nodes.iter().filter_map(|id| Some((self.asks(*id)?, *id))).collect();
        Waiting { nodes, at }
    }

    fn open_calls(&self, id: NodeId) -> u32 {
        let open = |((parent, ..), (_, child)): &(&(NodeId, String, u32), &(String, NodeId))| {
            *parent == id && self.nodes.get(child.index()).is_some_and(|node| !node.phase.is_fulfilled())
        };
        self.calls.iter().filter(open).count() as u32
    }

    /// What the limits of a boundary ask, counted by walking down from it.
    fn recount(&self, boundary: NodeId, children: &[NodeId]) -> Tally {
        let mut tally = Tally::default();
        let mut stack = children.to_vec();
        while let Some(id) = stack.pop() {
            let node = self.node(id);
            let open = !node.phase.is_fulfilled();
            match (&node.body, node.kind) {
                (Body::Retry(retry), _) => {
                    let active = |id: &&NodeId| !self.node(**id).phase.is_fulfilled();
                    tally.active +=
                        retry.tries.iter().filter(active).filter(|id| self.open_calls(**id) == 0).count() as u32;
                }
                (Body::TaskGroup(group) | Body::StepGroup(group), _) => {
                    stack.extend(&group.children);
                    continue;
                }
                (_, NodeKind::Pod | NodeKind::Steps | NodeKind::Dag) => {
                    tally.active += u32::from(open && self.open_calls(id) == 0);
                }
                _ => {}
            }
            let of_site = node.boundary == Some(boundary);
            tally.failed += u32::from(of_site && node.phase.is_failed_or_error());
        }
        tally
    }

    fn may_start_more(&self, id: NodeId) -> bool {
        let node = self.node(id);
        let more = match &node.body {
            Body::StepGroup(group) | Body::TaskGroup(group) => {
                !group.doomed && group.sites.iter().any(|site| site.created < site.total)
            }
            Body::Dag(dag) => !dag.ready.is_empty(),
            _ => false,
        };
        more && !node.phase.is_fulfilled() && !node.waits_for_locks
    }

    /// `children`: the nodes whose container it is.
    fn check_node(&self, id: NodeId, children: &[NodeId]) -> Result<(), String> {
        let node = self.node(id);
        let at = |what: &str| format!("{what} of node {} ({})", id.0, self.name(id));
        if let Some(container) = self.container(id)
            && container >= id
        {
            return Err(format!("{}: {}", at("container"), container.0));
        }
        same(&at("ended_at"), &node.ended_at.is_some(), &node.phase.is_fulfilled())?;
        if let Some(boundary) = node.boundary {
            same(&at("depth"), &node.depth, &(self.node(boundary).depth + 1))?;
        }
        match &node.body {
            Body::Steps(steps) => {
                same(&at("tally"), &steps.tally, &self.recount(id, &steps.groups))?;
                same(&at("groups"), &steps.groups.as_slice(), &children)
            }
            Body::Retry(retry) => same(&at("tries"), &retry.tries.as_slice(), &children),
            Body::StepGroup(group) | Body::TaskGroup(group) => self.check_group(id, group, children, &at),
            Body::Dag(dag) => self.check_dag(id, dag, children, &at),
            Body::Leaf(attempt) => {
                same(&at("timeout"), &attempt.timeout, &self.timeout_of_waiting(id))?;
                same(&at("open_calls"), &attempt.open_calls, &self.open_calls(id))
            }
            Body::Nothing => Ok(()),
        }
    }

    fn open_of(&self, children: &[NodeId]) -> u32 {
        let open =
            |child: &NodeId| u32::from(!self.node(*child).phase.is_fulfilled()) + hooks::open(self, *child) as u32;
        children.iter().map(open).sum()
    }

    fn check_group(
        &self,
        id: NodeId,
        group: &GroupBody,
        children: &[NodeId],
        at: &dyn Fn(&str) -> String,
    ) -> Result<(), String> {
        same(&at("children"), &group.children.as_slice(), &children)?;
        same(&at("open"), &group.open, &self.open_of(children))?;
        let unmade = |id: &NodeId| self.node(*id).kind == NodeKind::Skipped && self.node(*id).phase == Phase::Error;
        let doomed = self.node(id).kind == NodeKind::StepGroup && children.iter().any(unmade);
        same(&at("doomed"), &group.doomed, &doomed)?;
        let before = &group.sites[..group.first as usize];
        same(&at("first"), &before.iter().any(|site| site.created < site.total), &false)?;
        for (task, site) in group.sites.iter().enumerate() {
            let of_task = |child: &&NodeId| {
                group.sites.len() == 1 || self.node(**child).site.is_some_and(|site| site.task as usize == task)
            };
            same(&at("created"), &site.created, &(children.iter().filter(of_task).count() as u32))?;
            if let Some(items) = &site.items {
                same(&at("total"), &site.total, &items.len())?;
            }
        }
        Ok(())
    }

    fn check_dag(
        &self,
        id: NodeId,
        dag: &DagBody,
        children: &[NodeId],
        at: &dyn Fn(&str) -> String,
    ) -> Result<(), String> {
        let Some(graph) = self.graph_of(id) else { return Err(at("graph")) };
        let mut tasks = alloc::vec![None; graph.refs.len()];
        for child in children {
            let task = self.node(*child).site.map_or(0, |site| site.task);
            tasks[task as usize] = Some(*child);
        }
        same(&at("tasks"), &dag.tasks, &tasks)?;
        same(&at("tally"), &dag.tally, &self.recount(id, children))?;
        same(&at("open"), &dag.open, &self.open_of(children))?;
        let wanted = graph.wanted(&targets::of(&Scope::of_site(self, id, Reach::Nothing, None), id));
        let has_ended = |task: &u32| tasks[*task as usize].is_some_and(|id| self.node(id).phase.is_fulfilled());
        let held = |task: &u32| {
            let hooks = tasks[*task as usize].map_or(0, |id| hooks::open(self, id) as u32);
            u32::from(!has_ended(task)) + hooks
        };
        let waiting: Vec<u32> = (graph.refs.iter().zip(&wanted))
            .map(|(refs, wanted)| if *wanted { refs.iter().map(held).sum() } else { u32::MAX })
            .collect();
        same(&at("waiting"), &dag.waiting, &waiting)?;
        let ready: BTreeSet<u32> =
            (0..tasks.len() as u32).filter(|t| waiting[*t as usize] == 0 && tasks[*t as usize].is_none()).collect();
        same(&at("ready"), &dag.ready, &ready)
    }
}

fn same<T: PartialEq + Debug>(what: &str, kept: &T, recomputed: &T) -> Result<(), String> {
    if kept == recomputed { Ok(()) } else { Err(format!("{what}: kept {kept:?}, recomputed {recomputed:?}")) }
}
