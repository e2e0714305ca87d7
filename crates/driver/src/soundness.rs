//! Whether events can be folded at all: that each refers only to what the events before it have made. A log comes from a disk, and
//! the folds of engine and views trust what they are given.
//! It must never judge whether a rule would have made these events: an older build may have had other rules.

use model::event::{LoopOpened, NodeAdded, NodeEnded, Placement, Recorded, RunReopened};
use model::plan::{Body, Plan, Target, Task, Template};
use model::{Event, NodeId, NodeKind, TemplateId};

/// The first event that does not fit: its number, and why.
#[derive(Debug, PartialEq, Eq)]
pub struct Unsound {
    pub number: u64,
    pub what: String,
}

/// Checks a whole log, or the beginning of one. An empty one is sound.
///
/// # Errors
/// The first event that does not fit.
pub fn check(events: &[Recorded]) -> Result<(), Unsound> {
    let mut log = Log::default();
    events.iter().try_for_each(|event| log.follow(event))?;
    log.end()
}

/// What the events so far have made: a log that is read piece by piece is checked on the way.
#[derive(Default)]
pub struct Log {
    events: u64,
    /// For each template, how many tasks its DAG has; `None` for what is no DAG.
    templates: Vec<Option<usize>>,
    nodes: Vec<Known>,
    /// A call whose node comes next.
    called: Option<NodeId>,
}

#[derive(Clone, Copy)]
struct Known {
    kind: NodeKind,
    template: Option<TemplateId>,
    container: Option<NodeId>,
    ended: bool,
}

impl Log {
    /// Checks the next event.
    ///
    /// # Errors
    /// It does not fit those before it.
    pub fn follow(&mut self, recorded: &Recorded) -> Result<(), Unsound> {
        let (number, kind) = (self.events, recorded.event.kind());
        self.events += 1;
        let checked = match &recorded.event {
            Event::RunCreated(record) if number == 0 => self.begin(&record.plan),
            _ if number == 0 => Err(format!("a log begins with RunCreated, and not with {kind}")),
            event => self.take(event).map_err(|what| format!("{kind}: {what}")),
        };
        checked.map_err(|what| Unsound { number, what })
    }

    /// Checks that the log may end here.
    ///
    /// # Errors
    /// Its last event needs another one behind it.
    pub fn end(&self) -> Result<(), Unsound> {
        let missing = || "CallAdded: the node that it calls for is missing".to_string();
        self.called.map_or(Ok(()), |_| Err(Unsound { number: self.events - 1, what: missing() }))
    }

    fn begin(&mut self, plan: &Plan) -> Result<(), String> {
        self.templates = plan.templates.iter().map(tasks).collect();
        self.check_plan(plan)
    }

    /// The plan may say otherwise what a task does, but not which tasks there are.
    fn reopened(&mut self, event: &RunReopened) -> Result<(), String> {
        if !self.templates.iter().copied().eq(event.plan.templates.iter().map(tasks)) {
            return Err("a plan with other tasks than the nodes have".into());
        }
        self.check_plan(&event.plan)?;
        let open = event.open.iter().map(|node| (*node, false));
        for (node, ended) in open.chain(event.reset.iter().map(|reset| (reset.node, true))) {
            if !self.node(node)?.ended {
                return Err(format!("node {} has not ended", node.0));
            }
            self.nodes[node.index()].ended = ended;
        }
        let lost = event.open.iter().find(|node| {
            let container = self.nodes[node.index()].container;
            container.is_some_and(|container| self.nodes[container.index()].ended)
        });
        lost.map_or(Ok(()), |node| Err(format!("node {} is open in one that has ended", node.0)))
    }

    fn check_plan(&self, plan: &Plan) -> Result<(), String> {
        self.template(Some(plan.entrypoint))?;
        let tasks = plan.templates.iter().flat_map(|template| match &template.body {
            Body::Steps(groups) => groups.iter().flatten().collect::<Vec<&Task>>(),
            Body::Dag(dag) => dag.tasks.iter().collect(),
            _ => Vec::new(),
        });
        tasks.into_iter().try_for_each(|task| match &task.target {
            Target::Template(id) => self.template(Some(*id)),
            Target::Named(_) => Ok(()),
        })
    }

    fn take(&mut self, event: &Event) -> Result<(), String> {
        if self.called.is_some() && !matches!(event, Event::NodeAdded(_)) {
            return Err("the node that a call added does not come next".into());
        }
        match event {
            Event::RunCreated(_) => Err("the run has begun already".into()),
            Event::NodeAdded(added) => self.node_added(added),
            Event::AttemptStarted { node, .. } | Event::AttemptAdded { node, .. } => {
                self.of_kind(*node, &[NodeKind::Pod])
            }
            Event::AttemptEnded(ended) => self.of_kind(ended.node, &[NodeKind::Pod]),
            Event::NodeEnded(ended) => self.node_ended(ended),
            Event::LoopOpened(opened) => self.loop_opened(opened),
            Event::RetryDelayed { node, .. } => self.of_kind(*node, &[NodeKind::Retry]),
            Event::RunReopened(event) => self.reopened(event),
            Event::CallAdded(call) => {
                self.of_kind(call.parent, &[NodeKind::Pod])?;
                self.next_is(call.child)?;
                self.called = Some(call.child);
                Ok(())
            }
            Event::Approved { node: Some(node), .. } => self.of_kind(*node, &[NodeKind::Suspend]),
            Event::LocksGranted { node: Some(node) } => self.node(*node).map(drop),
            Event::EnvironmentLocked(_)
            | Event::ShutdownRequested { .. }
            | Event::DeadlineExceeded
            | Event::Slept { .. }
            | Event::Approved { node: None, .. }
            | Event::LocksGranted { node: None }
            | Event::RunResumed { .. }
            | Event::RunEnded(_) => Ok(()),
        }
    }

    fn node_added(&mut self, added: &NodeAdded) -> Result<(), String> {
        self.next_is(added.node)?;
        self.called = None;
        self.template(added.template)?;
        added.boundary.map_or(Ok(()), |boundary| self.node(boundary).map(drop))?;
        let container = match &added.place {
            Placement::Root => None,
            Placement::Under(parent) => Some(*parent),
            Placement::After(before) => {
                before.iter().try_for_each(|node| self.node(*node).map(drop))?;
                added.boundary
            }
        };
        // A hook hangs in its node, and holds up what that holds up.
        let container = match container {
            Some(parent) if added.hooked => self.node(parent)?.container,
            container => container,
        };
        let open = !added.phase.is_fulfilled();
        if added.kind == NodeKind::Dag && self.tasks(added.template).is_none() {
            return Err("a DAG's node without a DAG's template".into());
        }
        if let Some(container) = container {
            let of = *self.node(container)?;
            if of.ended && open {
                return Err(format!("a new node in node {}, which has ended", container.0));
            }
            let tasks = if of.kind == NodeKind::Dag { self.tasks(of.template) } else { None };
            if let Some(tasks) = tasks
                && added.site.is_none_or(|site| site.task as usize >= tasks)
            {
                return Err(format!("no task of the DAG of node {}", container.0));
            }
        }
        self.nodes.push(Known { kind: added.kind, template: added.template, container, ended: !open });
        Ok(())
    }

    fn node_ended(&mut self, ended: &NodeEnded) -> Result<(), String> {
        self.node(ended.node)?;
        let known = &mut self.nodes[ended.node.index()];
        if std::mem::replace(&mut known.ended, true) {
            return Err(format!("node {} has ended before", ended.node.0));
        }
        if ended.phase.is_fulfilled() { Ok(()) } else { Err(format!("{} is no end", ended.phase.as_str())) }
    }

    fn loop_opened(&self, opened: &LoopOpened) -> Result<(), String> {
        self.of_kind(opened.node, &[NodeKind::StepGroup, NodeKind::TaskGroup])
    }

    fn next_is(&self, node: NodeId) -> Result<(), String> {
        if node.index() == self.nodes.len() {
            return Ok(());
        }
        Err(format!("node {} comes after {} nodes", node.0, self.nodes.len()))
    }

    fn node(&self, node: NodeId) -> Result<&Known, String> {
        self.nodes.get(node.index()).ok_or_else(|| format!("there is no node {}", node.0))
    }

    fn of_kind(&self, node: NodeId, kinds: &[NodeKind]) -> Result<(), String> {
        let known = self.node(node)?;
        if kinds.contains(&known.kind) { Ok(()) } else { Err(format!("node {} is a {}", node.0, known.kind.as_str())) }
    }

    fn template(&self, template: Option<TemplateId>) -> Result<(), String> {
        match template {
            Some(id) if id.0 as usize >= self.templates.len() => Err(format!("there is no template {}", id.0)),
            _ => Ok(()),
        }
    }

    /// How many tasks the DAG of a template has.
    fn tasks(&self, template: Option<TemplateId>) -> Option<usize> {
        *self.templates.get(template?.0 as usize)?
    }
}

/// How many tasks the DAG of a template has; `None` for what is no DAG.
fn tasks(template: &Template) -> Option<usize> {
    match &template.body {
        Body::Dag(dag) => Some(dag.tasks.len()),
        _ => None,
    }
}
