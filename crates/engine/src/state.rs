//! The state of one run: the fold of its events, with indexes that are kept beside it and said to be redundant.
//! It must never be changed but by `evolve`, and never be stored.

use crate::graph::Graph;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use model::event::{Items, Placement, Site};
use model::input::{Epoch, Shutdown};
use model::node::Inputs;
use model::plan::{Body as PlanBody, Dag, Plan, Task, Template};
use model::{ArtifactRef, NodeId, NodeKind, Outputs, Phase, RunPhase, RunRecord, TemplateId, Time};

/// One run in memory. Empty (`record` is `None`) until `RunCreated`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State {
    pub(crate) record: Option<Arc<RunRecord>>,
    /// The time of the last event.
    pub(crate) now: Time,
    pub(crate) nodes: Vec<Node>,
    pub(crate) phase: Option<RunPhase>,
    pub(crate) message: String,
    pub(crate) outputs: Outputs,
    pub(crate) shutdown: Option<Shutdown>,
    pub(crate) deadline_exceeded: bool,
    /// `workflow.*`, computed once from the record.
    pub(crate) globals: Arc<BTreeMap<String, expr::Value>>,
    /// The dependency graph of each DAG template, computed once from the plan.
    pub(crate) graphs: Arc<BTreeMap<TemplateId, Graph>>,
    /// Per template: the call sites whose result is kept, computed once from the plan.
    pub(crate) results: Arc<BTreeMap<TemplateId, BTreeSet<String>>>,
    /// Artifacts that were stored under a key of the default repository.
    pub(crate) keys: BTreeMap<String, ArtifactRef>,
    /// Requirements whose environments are in the record.
    pub(crate) locked: BTreeSet<Vec<String>>,
    /// Recorded calls of dynamic nodes: (parent, name, counter) to (fingerprint, child).
    pub(crate) calls: BTreeMap<(NodeId, String, u32), (String, NodeId)>,
    /// Redundant: leaves that are pending or running.
    pub(crate) active_leaves: u32,
    /// Redundant: boundaries and groups that have call sites which may start but have not.
    pub(crate) willing: BTreeSet<NodeId>,
    /// Redundant: nodes whose attempts have not ended.
    pub(crate) open_attempts: BTreeSet<NodeId>,
    /// Redundant: Retry nodes in back-off, by the end of it.
    pub(crate) delayed: BTreeSet<(Time, NodeId)>,
    /// Redundant: nodes with a `timeout`, by its end.
    pub(crate) timeouts: BTreeSet<(Time, NodeId)>,
}

/// One node of the run.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    pub name: Arc<str>,
    pub display_name: Arc<str>,
    pub kind: NodeKind,
    pub phase: Phase,
    pub message: String,
    pub template: Option<TemplateId>,
    /// The steps or DAG node in whose template the call site stands.
    pub boundary: Option<NodeId>,
    pub place: Placement,
    pub site: Option<Site>,
    pub inputs: Arc<Inputs>,
    pub outputs: Option<Arc<Outputs>>,
    pub retried: bool,
    pub added_at: Time,
    pub started_at: Option<Time>,
    pub ended_at: Option<Time>,
    pub body: Body,
}

/// What a node keeps while it is open.
#[derive(Clone, Debug, PartialEq)]
pub enum Body {
    /// Skipped and omitted nodes.
    Nothing,
    Leaf(Attempt),
    Steps(StepsBody),
    StepGroup(GroupBody),
    Dag(DagBody),
    TaskGroup(GroupBody),
    Retry(RetryBody),
}

/// The one attempt of a leaf that counts.
#[derive(Clone, Debug, PartialEq)]
pub struct Attempt {
    pub n: u32,
    /// The epoch it was placed in; from then on it may be running.
    pub epoch: Option<Epoch>,
    pub ended: bool,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct StepsBody {
    /// Groups so far; the last is the current one.
    pub groups: Vec<NodeId>,
}

/// Call sites that start independently of one another: the steps of a group, or the children of a task's loop.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GroupBody {
    /// For each step of the group; exactly one for a TaskGroup.
    pub sites: Vec<SiteBody>,
    /// In the order of creation.
    pub children: Vec<NodeId>,
    /// Children that have not ended.
    pub open: u32,
    /// A child could not be made: no further one is.
    pub doomed: bool,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct SiteBody {
    /// `None`: not a loop.
    pub items: Option<Arc<Items>>,
    /// How many children there are of it.
    pub created: u32,
    /// How many there will be: 1 without a loop.
    pub total: u32,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct DagBody {
    /// Per task of the template: its node once it is there.
    pub tasks: Vec<Option<NodeId>>,
    /// Per task: how many of the tasks that its `depends` names have not ended.
    pub waiting: Vec<u32>,
    /// Tasks that wait for nothing, are wanted by a target, and have no node yet.
    pub ready: BTreeSet<u32>,
    /// Nodes of tasks that have not ended.
    pub open: u32,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct RetryBody {
    pub tries: Vec<NodeId>,
    /// The end of the back-off, while it lasts.
    pub until: Option<Time>,
}

impl State {
    /// The plan; only after `RunCreated`.
    pub(crate) fn plan(&self) -> &Plan {
        &self.record().plan
    }

    pub(crate) fn record(&self) -> &RunRecord {
        self.record.as_deref().expect("BUG: a rule ran before RunCreated")
    }

    pub(crate) fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.index()]
    }

    pub(crate) fn template_of(&self, id: NodeId) -> Option<&Template> {
        self.node(id).template.map(|template| self.plan().template(template))
    }

    pub fn is_created(&self) -> bool {
        self.record.is_some()
    }

    pub fn is_ended(&self) -> bool {
        self.phase.is_some_and(RunPhase::is_ended)
    }

    pub fn phase(&self) -> Option<RunPhase> {
        self.phase
    }

    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    pub fn time(&self) -> Time {
        self.now
    }

    /// The call site's description in the boundary's template.
    pub(crate) fn task(&self, boundary: NodeId, site: Site) -> Option<&Task> {
        match &self.template_of(boundary)?.body {
            PlanBody::Steps(groups) => groups.get(site.group as usize)?.get(site.task as usize),
            PlanBody::Dag(dag) => dag.tasks.get(site.task as usize),
            _ => None,
        }
    }

    pub(crate) fn dag_of(&self, boundary: NodeId) -> Option<&Dag> {
        match &self.template_of(boundary)?.body {
            PlanBody::Dag(dag) => Some(dag),
            _ => None,
        }
    }

    pub(crate) fn graph_of(&self, boundary: NodeId) -> Option<&Graph> {
        self.graphs.get(&self.node(boundary).template?)
    }

    /// Whether the node's standard output is kept as its result: the calling template refers to it, or a call asked for the node.
    pub(crate) fn keeps_result(&self, id: NodeId) -> bool {
        let node = self.node(id);
        let Some(boundary) = node.boundary else { return self.is_called(id) };
        let (Some(site), Some(template)) = (node.site, self.node(boundary).template) else {
            return node.site.is_none();
        };
        let name = self.task(boundary, site).map(|task| task.name.as_str()).unwrap_or_default();
        self.results.get(&template).is_some_and(|names| names.contains(name))
    }

    /// Whether a running node asked for this one, or for the Retry node that it is a try of.
    fn is_called(&self, id: NodeId) -> bool {
        match self.node(id).place {
            Placement::Under(above) => self.node(above).attempt().is_some() || self.is_called(above),
            Placement::Root | Placement::After(_) => false,
        }
    }

    /// The node that has to know when this one ends: its group, Retry node, DAG, or steps.
    pub(crate) fn container(&self, id: NodeId) -> Option<NodeId> {
        let node = self.node(id);
        match &node.place {
            Placement::Root => None,
            Placement::Under(parent) => Some(*parent),
            Placement::After(_) => node.boundary,
        }
    }

    /// Children of a boundary that count against its `parallelism`: of the kinds Pod, Steps and DAG, pending or running.
    pub(crate) fn active_children(&self, boundary: NodeId) -> u32 {
        let mut active = 0;
        let mut stack: Vec<NodeId> = self.open_below(boundary);
        while let Some(id) = stack.pop() {
            match self.node(id).kind {
                NodeKind::Pod | NodeKind::Steps | NodeKind::Dag => active += 1,
                NodeKind::Retry | NodeKind::TaskGroup | NodeKind::StepGroup => stack.extend(self.open_below(id)),
                NodeKind::Skipped | NodeKind::Suspend => {}
            }
        }
        active
    }

    /// Direct children of a container that have not ended.
    fn open_below(&self, id: NodeId) -> Vec<NodeId> {
        let open = |id: &NodeId| !self.node(*id).phase.is_fulfilled();
        match &self.node(id).body {
            Body::Steps(steps) => steps.groups.last().copied().filter(|id| open(id)).into_iter().collect(),
            Body::StepGroup(group) | Body::TaskGroup(group) => group.children.iter().copied().filter(open).collect(),
            Body::Dag(dag) => dag.tasks.iter().flatten().copied().filter(open).collect(),
            Body::Retry(retry) => retry.tries.last().copied().filter(|id| open(id)).into_iter().collect(),
            Body::Nothing | Body::Leaf(_) => Vec::new(),
        }
    }
}

impl Node {
    /// The leaf's attempt, where it is one.
    pub(crate) fn attempt(&self) -> Option<&Attempt> {
        match &self.body {
            Body::Leaf(attempt) => Some(attempt),
            _ => None,
        }
    }
}

impl GroupBody {
    /// The first call site that may start now: (step, index of its next child).
    pub(crate) fn next(&self) -> Option<(u32, u32)> {
        if self.doomed {
            return None;
        }
        let task = self.sites.iter().position(|site| site.created < site.total)?;
        Some((task as u32, self.sites[task].created))
    }
}
