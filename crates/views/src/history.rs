//! The history of a run: its nodes, their attempts and its own course, as the events tell it.
//! It must never infer what no event says.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use model::attempt::{Usage, Written};
use model::event::{Items, NodeAdded, Placement, Recorded, RunReopened, Site};
use model::input::Shutdown;
use model::node::{Inputs, NamedArtifact, Parameter};
use model::plan::Template;
use model::record::EnvironmentLock;
use model::{Event, Exit, NodeId, NodeKind, Outputs, Phase, RunPhase, RunRecord, TemplateId, Time};

/// The fold.
#[derive(Clone, Debug, Default)]
pub struct History {
    pub record: Option<Arc<RunRecord>>,
    pub nodes: Vec<NodeView>,
    pub phase: Option<RunPhase>,
    pub message: String,
    pub outputs: Outputs,
    pub started_at: Option<Time>,
    pub ended_at: Option<Time>,
    pub shutdown: Option<(Shutdown, String)>,
    pub deadline_exceeded: bool,
    pub environments: Vec<EnvironmentLock>,
    /// What nodes made known to the whole run, under their global names.
    pub globals: Outputs,
    /// How many events were folded: the number of the next one.
    pub events: u64,
    /// The last of each that came: nodes that have the same share it.
    last_inputs: Arc<Inputs>,
    last_outputs: Arc<Outputs>,
    no_outputs: Arc<Outputs>,
    /// How often it was reopened.
    pub reopened: u32,
}

#[derive(Clone, Debug, PartialEq)]
pub struct NodeView {
    pub id: NodeId,
    pub name: Arc<str>,
    pub display_name: Arc<str>,
    pub kind: NodeKind,
    pub phase: Phase,
    pub message: String,
    pub template: Option<TemplateId>,
    pub boundary: Option<NodeId>,
    pub place: Placement,
    pub site: Option<Site>,
    pub inputs: Arc<Inputs>,
    pub outputs: Arc<Outputs>,
    pub retried: bool,
    pub hooked: bool,
    /// Of a generation before the run was reopened: no part of Argo's status.
    pub is_reset: bool,
    pub added_at: Time,
    pub started_at: Option<Time>,
    pub ended_at: Option<Time>,
    pub attempts: Vec<AttemptView>,
    /// Items of the loops that were opened in this group.
    pub items: u32,
}

/// One launch of a leaf.
#[derive(Clone, Debug, PartialEq)]
pub struct AttemptView {
    pub n: u32,
    pub started_at: Option<Time>,
    pub ended_at: Option<Time>,
    pub exit: Option<Exit>,
    pub usage: Usage,
    /// It computed nothing: its outputs were collected from what this attempt wrote.
    pub collects: Option<u32>,
    /// What it wrote and no output declares.
    pub written: Option<Box<Written>>,
}

/// The state beside Argo's phase (DESIGN §9): one table for runs and nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RunState {
    Pending,
    Queued,
    Running,
    Succeeded,
    Failed,
    Skipped,
    Cancelled,
}

impl RunState {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
            Self::Cancelled => "cancelled",
        }
    }
}

impl History {
    pub fn fold<'a>(events: impl IntoIterator<Item = &'a Recorded>) -> Self {
        let mut history = Self::default();
        events.into_iter().for_each(|event| history.apply(event));
        history
    }

    pub fn apply(&mut self, recorded: &Recorded) {
        self.events += 1;
        let at = recorded.at;
        match &recorded.event {
            Event::RunCreated(record) => {
                self.phase = Some(RunPhase::Running);
                self.started_at = Some(record.created_at);
                self.environments.clone_from(&record.environments);
                self.record = Some(Arc::new((**record).clone()));
            }
            Event::NodeAdded(added) => self.node_added(added, at),
            Event::AttemptStarted { node, n, .. } => self.attempt_started(*node, *n, at),
            Event::AttemptEnded(ended) => {
                let view = &mut self.nodes[ended.node.index()];
                if let Some(started_at) = ended.started_at {
                    view.started_at = Some(started_at);
                }
                if let Some(attempt) = view.attempts.iter_mut().rev().find(|a| a.n == ended.n) {
                    attempt.started_at = ended.started_at.or(attempt.started_at);
                    attempt.ended_at = Some(ended.ended_at);
                    attempt.exit = Some(ended.exit.clone());
                    attempt.usage = ended.usage;
                    attempt.written.clone_from(&ended.written);
                }
            }
            Event::AttemptAdded { node, n, collects } => {
                let view = &mut self.nodes[node.index()];
                view.phase = Phase::Pending;
                view.attempts.push(AttemptView { collects: *collects, ..AttemptView::new(*n) });
            }
            Event::NodeEnded(ended) => {
                if ended.outputs != *self.last_outputs {
                    self.last_outputs = Arc::new(ended.outputs.clone());
                }
                let view = &mut self.nodes[ended.node.index()];
                view.phase = ended.phase;
                view.message.clone_from(&ended.message);
                view.outputs = self.last_outputs.clone();
                // One that only collected ended when its program did.
                let collected = view.attempts.last().filter(|attempt| attempt.collects.is_some());
                view.ended_at = collected.and_then(|attempt| attempt.ended_at).or(Some(at));
                self.export(&ended.outputs);
            }
            Event::LoopOpened(opened) => self.nodes[opened.node.index()].items += Items::len(&opened.items),
            Event::RetryDelayed { node, message, .. } => self.nodes[node.index()].message.clone_from(message),
            Event::EnvironmentLocked(lock) => self.environments.push((**lock).clone()),
            Event::ShutdownRequested { strategy, by } => self.shutdown = Some((*strategy, by.clone())),
            Event::DeadlineExceeded => self.deadline_exceeded = true,
            Event::RunReopened(event) => self.reopened(event),
            Event::LocksGranted { node: Some(node) } => {
                let view = &mut self.nodes[node.index()];
                view.message.clear();
                if !view.is_leaf() {
                    (view.phase, view.started_at) = (Phase::Running, Some(at));
                }
            }
            Event::LocksGranted { .. } | Event::Approved { .. } => {}
            Event::RunResumed { .. } | Event::CallAdded(_) | Event::Slept { .. } => {}
            Event::RunEnded(ended) => {
                self.phase = Some(ended.phase);
                self.message.clone_from(&ended.message);
                self.outputs = ended.outputs.clone();
                self.ended_at = Some(at);
            }
        }
    }

    fn reopened(&mut self, event: &RunReopened) {
        if let Some(record) = &mut self.record {
            Arc::make_mut(record).plan = (*event.plan).clone();
        }
        (self.phase, self.ended_at) = (Some(RunPhase::Running), None);
        (self.message, self.outputs) = (String::new(), Outputs::default());
        for id in &event.open {
            let view = &mut self.nodes[id.index()];
            view.phase = if view.is_leaf() { Phase::Pending } else { Phase::Running };
            (view.message, view.outputs, view.ended_at) = (String::new(), self.no_outputs.clone(), None);
        }
        for reset in &event.reset {
            self.nodes[reset.node.index()].is_reset = true;
        }
        self.reopened += 1;
    }

    /// The nodes of the run as it is: without those of generations before it was reopened.
    pub fn current(&self) -> impl DoubleEndedIterator<Item = &NodeView> {
        self.nodes.iter().filter(|node| !node.is_reset)
    }

    /// The last of a name counts.
    fn export(&mut self, outputs: &Outputs) {
        for global in &outputs.globals {
            let name = global.name.clone();
            if global.is_artifact {
                let named = outputs.artifacts.iter().find(|named| named.name == global.of);
                self.globals.artifacts.retain(|known| known.name != name);
                self.globals.artifacts.extend(named.map(|named| NamedArtifact { name, ..named.clone() }));
            } else if let Some(value) = outputs.parameter(&global.of) {
                self.globals.parameters.retain(|known| known.name != name);
                self.globals.parameters.push(Parameter { name, value: value.into() });
            }
        }
    }

    fn node_added(&mut self, added: &NodeAdded, at: Time) {
        let is_leaf = added.kind == NodeKind::Pod;
        let fulfilled = added.phase.is_fulfilled();
        if let Placement::Under(parent) = &added.place
            && let Some(parent) = self.nodes.get_mut(parent.index())
            && parent.kind == NodeKind::Retry
        {
            // A back-off is over.
            parent.message.clear();
        }
        if added.inputs != *self.last_inputs {
            self.last_inputs = Arc::new(added.inputs.clone());
        }
        self.nodes.push(NodeView {
            id: added.node,
            name: added.name.as_str().into(),
            display_name: added.display_name.as_str().into(),
            kind: added.kind,
            phase: added.phase,
            message: added.message.clone(),
            template: added.template,
            boundary: added.boundary,
            place: added.place.clone(),
            site: added.site,
            inputs: self.last_inputs.clone(),
            outputs: self.no_outputs.clone(),
            retried: added.retried,
            hooked: added.hooked,
            is_reset: false,
            added_at: at,
            started_at: (!is_leaf).then_some(at),
            ended_at: fulfilled.then_some(at),
            attempts: if is_leaf { alloc::vec![AttemptView::new(0)] } else { Vec::new() },
            items: 0,
        });
    }

    fn attempt_started(&mut self, node: NodeId, n: u32, at: Time) {
        let view = &mut self.nodes[node.index()];
        view.phase = Phase::Running;
        view.started_at.get_or_insert(at);
        if let Some(attempt) = view.attempts.iter_mut().rev().find(|a| a.n == n) {
            attempt.started_at.get_or_insert(at);
        }
    }

    pub fn node(&self, id: NodeId) -> &NodeView {
        &self.nodes[id.index()]
    }

    pub fn template(&self, node: &NodeView) -> Option<&Template> {
        let plan = &self.record.as_deref()?.plan;
        node.template.map(|id| plan.template(id))
    }

    /// The run's name, "" before it was created.
    pub fn name(&self) -> &str {
        self.record.as_deref().map_or("", |record| &record.name)
    }

    /// The node that holds this one in the tree: its group, Retry node, DAG or steps.
    pub fn container(&self, node: &NodeView) -> Option<NodeId> {
        match &node.place {
            Placement::Root => None,
            Placement::Under(parent) => Some(*parent),
            Placement::After(_) => node.boundary,
        }
    }

    pub fn state(&self) -> RunState {
        match self.phase {
            None | Some(RunPhase::Pending) => RunState::Pending,
            Some(RunPhase::Running) => RunState::Running,
            Some(RunPhase::Succeeded) => RunState::Succeeded,
            Some(RunPhase::Failed | RunPhase::Error) if self.shutdown.is_some() => RunState::Cancelled,
            Some(RunPhase::Failed | RunPhase::Error) => RunState::Failed,
        }
    }
}

impl NodeView {
    pub fn state(&self) -> RunState {
        match self.phase {
            Phase::Pending => RunState::Queued,
            Phase::Running => RunState::Running,
            Phase::Succeeded => RunState::Succeeded,
            Phase::Skipped | Phase::Omitted => RunState::Skipped,
            Phase::Failed | Phase::Error if self.was_cancelled() => RunState::Cancelled,
            Phase::Failed | Phase::Error => RunState::Failed,
        }
    }

    fn was_cancelled(&self) -> bool {
        self.message.starts_with("workflow shutdown with strategy")
    }

    /// What its last attempt that ended wrote and no output declares.
    pub fn written(&self) -> Option<&Written> {
        self.attempts.iter().rev().find(|attempt| attempt.ended_at.is_some())?.written.as_deref()
    }

    pub fn is_leaf(&self) -> bool {
        self.kind == NodeKind::Pod
    }
}

impl AttemptView {
    fn new(n: u32) -> Self {
        Self { n, started_at: None, ended_at: None, exit: None, usage: Usage::default(), collects: None, written: None }
    }
}
