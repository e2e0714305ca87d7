//! The state of one run: the fold of its events, with indexes that are kept beside it and said to be redundant.
//! It must never be changed but by `evolve`, and never be stored.

use crate::graph::Graph;
use crate::kept::Kept;
use crate::loops;
use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use model::event::{Items, Placement, Site};
use model::input::{Epoch, Shutdown};
use model::node::{Inputs, NamedArtifact};
use model::plan::{Body as PlanBody, Dag, Plan, Task, Template};
use model::{ArtifactRef, NodeId, NodeKind, Outputs, Phase, RunPhase, RunRecord, TemplateId, Time, limits};

/// One run in memory. Empty (`record` is `None`) until `RunCreated`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State {
    pub(crate) record: Option<Arc<RunRecord>>,
    /// The time of the last event.
    pub(crate) now: Time,
    /// When the run began, or began again: its deadline counts from there.
    pub(crate) began: Time,
    pub(crate) nodes: Vec<Node>,
    pub(crate) phase: Option<RunPhase>,
    pub(crate) message: String,
    pub(crate) outputs: Outputs,
    pub(crate) shutdown: Option<Shutdown>,
    pub(crate) deadline_exceeded: bool,
    /// `workflow.*`, computed once from the record.
    pub(crate) globals: Arc<BTreeMap<String, expr::Value>>,
    /// `workflow.outputs.artifacts.NAME`.
    pub(crate) global_artifacts: BTreeMap<String, NamedArtifact>,
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
    /// Redundant: which call each called node answers, by name and counter.
    pub(crate) called: BTreeMap<NodeId, (String, u32)>,
    /// Redundant: leaves that are pending or running and do not wait for their calls.
    pub(crate) active_leaves: u32,
    /// Redundant: boundaries and groups that have call sites which may start but have not.
    pub(crate) willing: Waiting,
    /// Redundant: Retry nodes whose last try failed, that have no back-off before them, and whose next try has no room.
    pub(crate) wanting: Waiting,
    /// Redundant: nodes whose attempts have not ended.
    pub(crate) open_attempts: BTreeSet<NodeId>,
    /// Devices of attempts that were started and have not ended.
    pub(crate) gpus: BTreeMap<NodeId, Vec<u32>>,
    /// The last of each that came, shared by all nodes that have the same.
    pub(crate) last: Last,
    /// Redundant: Retry nodes in back-off, by the end of it.
    pub(crate) delayed: BTreeSet<(Time, NodeId)>,
    /// Redundant: nodes with a `timeout`, by its end.
    pub(crate) timeouts: BTreeSet<(Time, NodeId)>,
    /// Nodes that hooks invoked, by the node that they hang under.
    pub(crate) hooks: BTreeMap<NodeId, Vec<NodeId>>,
    /// The exit handler of the run, once it is there.
    pub(crate) exit: Option<NodeId>,
    /// Redundant: suspended nodes that go on by themselves, by when.
    pub(crate) suspended: BTreeSet<(Time, NodeId)>,
    /// Redundant: nodes that wait for locks.
    pub(crate) lock_waiters: BTreeSet<NodeId>,
    /// The run is not to begin before a person lets it.
    pub(crate) waits_for_person: bool,
    /// The run is not to begin before it has its locks.
    pub(crate) waits_for_locks: bool,
    pub(crate) has_run_locks: bool,
    /// When time was seen to have passed that does not count, and how much.
    pub(crate) sleeps: Vec<(Time, i64)>,
}

/// What many nodes have in common.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Last {
    pub inputs: Arc<Inputs>,
    pub outputs: Arc<Outputs>,
    pub epoch: Option<Arc<Epoch>>,
}

/// Nodes that wait for room, and the same by the boundary whose limit they ask.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Waiting {
    pub nodes: BTreeSet<NodeId>,
    pub at: BTreeSet<(NodeId, NodeId)>,
}

/// One node of the run.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// `None`: a child of a loop, called as its call site and its item say.
    pub(crate) names: Option<Box<Names>>,
    pub kind: NodeKind,
    pub phase: Phase,
    pub message: Box<str>,
    pub template: Option<TemplateId>,
    /// The steps or DAG node in whose template the call site stands.
    pub boundary: Option<NodeId>,
    /// How many boundaries lie above it.
    pub depth: u32,
    pub place: Placement,
    pub site: Option<Site>,
    pub inputs: Arc<Inputs>,
    pub outputs: Option<Kept>,
    pub retried: bool,
    /// Invoked by a hook.
    pub hooked: bool,
    /// Its template's locks are not its own yet.
    pub waits_for_locks: bool,
    /// Of a generation before the run was reopened: it hangs nowhere, and only history tells of it.
    pub is_reset: bool,
    pub added_at: Time,
    pub started_at: Option<Time>,
    pub ended_at: Option<Time>,
    pub body: Body,
}

/// What a node is called.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Names {
    pub name: Box<str>,
    pub display_name: Box<str>,
}

/// What a node keeps while it is open. Leaves are many: only theirs lies in the node itself.
#[derive(Clone, Debug, PartialEq)]
pub enum Body {
    /// Skipped and omitted nodes.
    Nothing,
    Leaf(Attempt),
    Steps(Box<StepsBody>),
    StepGroup(Box<GroupBody>),
    Dag(Box<DagBody>),
    TaskGroup(Box<GroupBody>),
    Retry(Box<RetryBody>),
}

/// The one attempt of a leaf that counts.
#[derive(Clone, Debug, PartialEq)]
pub struct Attempt {
    pub n: u32,
    /// It computes nothing: its outputs are collected from what this attempt wrote.
    pub collects: Option<u32>,
    /// The epoch it was placed in; from then on it may be running.
    pub epoch: Option<Arc<Epoch>>,
    pub ended: bool,
    /// While it waits: the end of its `timeout`.
    pub(crate) timeout: Option<Time>,
    /// Calls of this leaf, by any of its attempts, that have not ended.
    pub(crate) open_calls: u32,
}

/// Redundant: what the limits of a boundary's template ask of its children.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Of the kinds Pod, Steps and DAG, pending or running; a leaf that waits for its calls is not counted.
    pub active: u32,
    /// Call sites, and children of loops, that failed.
    pub failed: u32,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct StepsBody {
    /// Groups so far; the last is the current one.
    pub groups: Vec<NodeId>,
    pub tally: Tally,
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
    /// Redundant: no site before this one has a child to come.
    pub first: u32,
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
    pub tally: Tally,
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

    /// Argo's node name, unique in the run.
    pub fn name(&self, id: NodeId) -> Cow<'_, str> {
        let node = self.node(id);
        match &node.names {
            Some(names) => Cow::Borrowed(&names.name),
            None => {
                let names = self.names_of_item(node.boundary, &node.place, node.site);
                names.map_or(Cow::Borrowed(""), |(prefix, own)| Cow::Owned([&*prefix, ".", &own].concat()))
            }
        }
    }

    /// What the names of all begin with that is called in a boundary: its own name. Deeper than upstream goes, it is named by its
    /// number instead of the path to it: `wf...1234`. (No name of a call site begins with a dot.)
    pub(crate) fn prefix(&self, boundary: NodeId) -> Cow<'_, str> {
        if self.node(boundary).depth < limits::WHOLE_NAMES_DEPTH_MAX {
            return self.name(boundary);
        }
        Cow::Owned(format!("{}...{}", self.name(NodeId::ROOT), boundary.0))
    }

    pub(crate) fn display_name(&self, id: NodeId) -> Cow<'_, str> {
        let node = self.node(id);
        match &node.names {
            Some(names) => Cow::Borrowed(&names.display_name),
            None => {
                let names = self.names_of_item(node.boundary, &node.place, node.site);
                names.map_or(Cow::Borrowed(""), |(_, own)| Cow::Owned(own))
            }
        }
    }

    /// What a child of a loop is called: what stands before its own name, and that.
    pub(crate) fn names_of_item(
        &self,
        boundary: Option<NodeId>,
        place: &Placement,
        site: Option<Site>,
    ) -> Option<(Cow<'_, str>, String)> {
        let (Placement::Under(container), boundary, site) = (place, boundary?, site?) else { return None };
        let (group, prefix) = match &self.node(*container).body {
            Body::StepGroup(group) => (group.sites.get(site.task as usize)?, self.name(*container)),
            Body::TaskGroup(group) => (group.sites.first()?, self.prefix(boundary)),
            _ => return None,
        };
        let (items, index) = (group.items.as_deref()?, site.item?);
        let label = (index < items.len()).then(|| loops::label(items, index))?;
        let display_name = loops::child_name(&self.task(boundary, site)?.name, index, &label);
        Some((prefix, display_name))
    }

    pub(crate) fn template_of(&self, id: NodeId) -> Option<&Template> {
        self.node(id).template.map(|template| self.plan().template(template))
    }

    /// Whether a lost attempt of this node is an error instead of a new attempt.
    pub fn is_at_most_once(&self, id: NodeId) -> bool {
        self.template_of(id).is_some_and(|template| template.at_most_once)
    }

    /// Whether the run was not let begin yet.
    pub fn is_held(&self) -> bool {
        self.waits_for_person && self.is_created() && !self.is_ended()
    }

    pub fn is_created(&self) -> bool {
        self.record.is_some()
    }

    pub fn is_ended(&self) -> bool {
        self.phase.is_some_and(RunPhase::is_ended)
    }

    /// Whether the run is being shut down.
    pub fn is_shutting_down(&self) -> bool {
        self.shutdown.is_some()
    }

    pub fn phase(&self) -> Option<RunPhase> {
        self.phase
    }

    /// What people were told when the run was made of its plan.
    pub fn notices(&self) -> &[String] {
        self.record.as_ref().map_or(&[], |record| &record.plan.notices)
    }

    /// How many attempts whoever submitted the run wants at once, at most.
    pub fn jobs(&self) -> Option<u32> {
        self.record.as_ref()?.jobs
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

    /// Microseconds since then that do not count.
    pub(crate) fn slept_since(&self, at: Time) -> i64 {
        // What was seen at that very moment lay before it.
        self.sleeps.iter().filter(|(seen, _)| *seen > at).fold(0, |sum: i64, (_, us)| sum.saturating_add(*us))
    }

    /// The node that has to know when this one ends: its group, Retry node, DAG, or steps.
    pub(crate) fn container(&self, id: NodeId) -> Option<NodeId> {
        let node = self.node(id);
        match &node.place {
            // A hook holds up whatever its node holds up.
            Placement::Under(parent) if node.hooked => self.container(*parent),
            _ => self.holder(id),
        }
    }

    /// The node that this one hangs in: as `container`, but a hook hangs in its own node.
    pub(crate) fn holder(&self, id: NodeId) -> Option<NodeId> {
        let node = self.node(id);
        match &node.place {
            Placement::Root => None,
            Placement::Under(parent) => Some(*parent),
            Placement::After(_) => node.boundary,
        }
    }

    /// Whether a hook invoked a node, or the Retry node that it is a try of: limits of a boundary do not count it.
    pub(crate) fn is_hook(&self, id: NodeId) -> bool {
        let node = self.node(id);
        node.hooked || (node.retried && self.holder(id).is_some_and(|retry| self.node(retry).hooked))
    }

    /// Whether a running node asked for this one, or for the Retry node that it is a try of: limits do not count it.
    pub(crate) fn is_requested(&self, id: NodeId) -> bool {
        match self.node(id).place {
            Placement::Under(above) => match self.node(above).kind {
                NodeKind::Pod => true,
                NodeKind::Retry => self.is_requested(above),
                _ => false,
            },
            Placement::Root | Placement::After(_) => false,
        }
    }

    /// Whether a node takes room in its boundary: pending or running, and no leaf that waits for its calls.
    pub(crate) fn takes_room(&self, id: NodeId) -> bool {
        let node = self.node(id);
        let of_kind = match node.kind {
            NodeKind::Pod => node.attempt().is_some_and(|attempt| attempt.open_calls == 0),
            NodeKind::Steps | NodeKind::Dag => true,
            _ => false,
        };
        of_kind && !node.phase.is_fulfilled()
    }

    /// Whether a node's failure is one of its boundary's (`failFast`): a call site's, or that of a child of a loop.
    pub(crate) fn is_call_site(&self, id: NodeId) -> bool {
        let of_kind = |container: NodeId| match self.node(container).kind {
            NodeKind::StepGroup | NodeKind::TaskGroup => true,
            NodeKind::Dag => self.node(id).kind != NodeKind::TaskGroup,
            _ => false,
        };
        !self.node(id).hooked && self.container(id).is_some_and(of_kind)
    }

    /// What the limits of a boundary ask; nothing for other nodes.
    pub(crate) fn tally(&self, boundary: NodeId) -> Tally {
        match &self.node(boundary).body {
            Body::Steps(steps) => steps.tally,
            Body::Dag(dag) => dag.tally,
            _ => Tally::default(),
        }
    }

    /// Whether the next try of a Retry node is due, as far as the state says: the last one failed, and no back-off lasts.
    pub(crate) fn wants_try(&self, id: NodeId) -> bool {
        let node = self.node(id);
        let Body::Retry(retry) = &node.body else { return false };
        let failed = retry.tries.last().is_some_and(|last| self.node(*last).phase.is_failed_or_error());
        failed && retry.until.is_none() && !node.phase.is_fulfilled()
    }

    /// The boundary whose limit a node asks that waits for room: a DAG's own, else the one that it stands in.
    pub(crate) fn asks(&self, id: NodeId) -> Option<NodeId> {
        let node = self.node(id);
        if node.kind == NodeKind::Dag { Some(id) } else { node.boundary }
    }

    /// The calls of a node, in the order of their keys: the children.
    pub(crate) fn calls_of(&self, parent: NodeId) -> impl Iterator<Item = NodeId> {
        let first = (parent, String::new(), 0);
        let of_parent = self.calls.range(first..).take_while(move |((of, ..), _)| *of == parent);
        of_parent.map(|(_, (_, child))| *child)
    }
}

impl Attempt {
    pub(crate) fn new(n: u32, collects: Option<u32>) -> Self {
        Self { n, collects, epoch: None, ended: false, timeout: None, open_calls: 0 }
    }
}

impl Waiting {
    /// Keeps or drops a node.
    pub fn set(&mut self, id: NodeId, boundary: Option<NodeId>, waits: bool) {
        if waits {
            self.nodes.insert(id);
            self.at.extend(boundary.map(|boundary| (boundary, id)));
        } else if self.nodes.remove(&id)
            && let Some(boundary) = boundary
        {
            self.at.remove(&(boundary, id));
        }
    }

    /// The first node from `from` on; of a boundary, where one is named.
    pub fn next(&self, boundary: Option<NodeId>, from: NodeId) -> Option<NodeId> {
        match boundary {
            None => self.nodes.range(from..).next().copied(),
            Some(at) => self.at.range((at, from)..).next().filter(|(of, _)| *of == at).map(|(_, id)| *id),
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
        let first = self.first as usize;
        let task = first + self.sites[first..].iter().position(|site| site.created < site.total)?;
        Some((task as u32, self.sites[task].created))
    }
}
