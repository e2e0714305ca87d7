//! The legality of events, one by one, by a bookkeeping of its own.
//! It must never ask the engine what is legal.

use super::Violation;
use super::limits;
use model::event::{AttemptEnded, CallAdded, NodeAdded, NodeEnded, Placement, Recorded, RunReopened};
use model::input::Shutdown;
use model::plan::{RetryPolicy, Template};
use model::{Event, Exit, NodeId, NodeKind, Phase, Plan, RunPhase, Time};
use std::collections::BTreeMap;

#[derive(Default)]
pub(super) struct Replay {
    pub violations: Vec<Violation>,
    pub plan: Option<Plan>,
    pub nodes: Vec<Node>,
    position: u64,
    at: Time,
    ended: bool,
    shutdown: bool,
    terminated: bool,
    exit: Option<NodeId>,
    deadline: bool,
    began_at: Time,
    /// Time that does not count, as recorded.
    slept_us: i64,
    /// A call whose child comes with the next event.
    expected_child: Option<CallAdded>,
    calls: BTreeMap<(NodeId, String, u32), NodeId>,
}

/// A node as far as the rules here need it.
pub(super) struct Node {
    pub kind: NodeKind,
    pub phase: Phase,
    pub template: Option<model::TemplateId>,
    pub boundary: Option<NodeId>,
    /// Who has to know of its end.
    pub container: Option<NodeId>,
    /// Requested at run time, itself or what it hangs under: limits do not count it.
    pub requested: bool,
    /// A try of a Retry node that is not the first.
    pub further_try: bool,
    /// It is the exit handler, or part of it.
    in_exit: bool,
    /// A hook, or a try of one: limits of a boundary do not count it.
    pub hooked: bool,
    /// It is open again, and its next attempt comes.
    reopened: bool,
    attempt: Attempt,
    tries: Vec<NodeId>,
    delayed_until: Option<Time>,
}

#[derive(Default)]
struct Attempt {
    n: u32,
    started: bool,
    ended: Option<Exit>,
}

impl Replay {
    fn violate(&mut self, invariant: &'static str, what: String) {
        self.violations.push(Violation { invariant, position: Some(self.position), what });
    }

    pub fn take(&mut self, position: u64, recorded: &Recorded) {
        self.position = position;
        if recorded.at < self.at {
            self.violate("I8", "time runs backwards".into());
        }
        self.at = recorded.at;
        let event = &recorded.event;
        if (position == 0) != matches!(event, Event::RunCreated(_)) {
            self.violate("I8", format!("{} where it may not stand", event.kind()));
        }
        if self.ended && !matches!(event, Event::AttemptEnded(_) | Event::RunReopened(_)) {
            self.violate("I8", format!("{} after the run's end", event.kind()));
        }
        if self.expected_child.is_some() && !matches!(event, Event::NodeAdded(_)) {
            self.violate("I8", "a call without its child".into());
        }
        if let Some(node) = node_of(event)
            && node.index() >= self.nodes.len()
        {
            return self.violate("I8", format!("{} of node {}, which is not there", event.kind(), node.0));
        }
        self.follow(event);
    }

    fn follow(&mut self, event: &Event) {
        match event {
            Event::RunCreated(record) => {
                self.plan = Some(record.plan.clone());
                self.began_at = self.at;
            }
            Event::NodeAdded(added) => self.node_added(added),
            Event::AttemptStarted { node, n, .. } => self.attempt_started(*node, *n),
            Event::AttemptEnded(ended) => self.attempt_ended(ended),
            Event::AttemptAdded { node, n, collects } => self.attempt_added(*node, *n, *collects),
            Event::NodeEnded(ended) => self.node_ended(ended),
            Event::LoopOpened(opened) => {
                if self.is_ended(opened.node) {
                    self.violate("I8", format!("the loop of node {} opens after its end", opened.node.0));
                }
            }
            Event::RetryDelayed { node, until, .. } => {
                if self.is_ended(*node) || self.node(*node).kind != NodeKind::Retry {
                    self.violate("I8", format!("node {} backs off and cannot", node.0));
                }
                self.nodes[node.index()].delayed_until = Some(*until);
            }
            Event::ShutdownRequested { strategy, .. } => {
                self.shutdown = true;
                self.terminated |= *strategy == Shutdown::Terminate;
            }
            Event::DeadlineExceeded => self.deadline_exceeded(),
            Event::Slept { us } => self.slept_us += us,
            Event::CallAdded(call) => self.call_added(call),
            Event::RunEnded(end) => self.run_ended(end.phase),
            Event::RunReopened(event) => self.reopened(event),
            Event::LocksGranted { node: Some(node) } => {
                if self.is_ended(*node) {
                    self.violate("I8", format!("node {} has ended and gets its locks", node.0));
                }
            }
            Event::LocksGranted { .. } | Event::Approved { .. } => {}
            Event::EnvironmentLocked(_) | Event::RunResumed { .. } => {}
        }
    }

    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.index()]
    }

    fn is_ended(&self, id: NodeId) -> bool {
        self.node(id).phase.is_fulfilled()
    }

    pub fn template(&self, id: NodeId) -> Option<&Template> {
        self.plan.as_ref()?.templates.get(self.node(id).template?.index())
    }

    fn node_added(&mut self, added: &NodeAdded) {
        if added.node.index() != self.nodes.len() {
            return self.violate("I8", format!("node {} is added as number {}", added.node.0, self.nodes.len()));
        }
        let call = self.expected_child.take();
        if call.as_ref().is_some_and(|call| call.child != added.node || added.place != Placement::Under(call.parent)) {
            self.violate("I8", format!("node {} is not the child that was called for", added.node.0));
        }
        let container = match &added.place {
            Placement::Root => None,
            // A hook holds up what its node holds up.
            Placement::Under(parent) if added.hooked => self.nodes.get(parent.index()).and_then(|node| node.container),
            Placement::Under(parent) => Some(*parent),
            Placement::After(_) => added.boundary,
        };
        let before = if let Placement::After(before) = &added.place { &before[..] } else { &[] };
        let above = [container, added.boundary];
        let unknown = above.into_iter().flatten().chain(before.iter().copied()).any(|id| id >= added.node);
        if unknown || (container.is_none() && !added.hooked && added.node != NodeId::ROOT) {
            return self.violate("I8", format!("node {} hangs nowhere", added.node.0));
        }
        for id in above.into_iter().flatten() {
            if self.is_ended(id) {
                self.violate(
                    "children",
                    format!("node {} is added under node {}, which has ended", added.node.0, id.0),
                );
            }
        }
        for id in before {
            if !self.is_ended(*id) {
                self.violate("order", format!("node {} is added before node {} has ended", added.node.0, id.0));
            }
        }
        let exit = added.hooked && added.place == Placement::Root;
        let in_exit = exit || above.into_iter().flatten().any(|id| self.node(id).in_exit);
        if exit && self.exit.replace(added.node).is_some() {
            self.violate("order", format!("node {} is a second exit handler", added.node.0));
        }
        if exit && !self.is_ended(NodeId::ROOT) {
            self.violate("order", "the exit handler begins before the root has ended".into());
        }
        if self.is_stopping(in_exit) && !added.phase.is_fulfilled() && added.kind == NodeKind::Pod {
            self.violate("order", format!("node {} is added though the run is being stopped", added.node.0));
        }
        if let Some(retry) = container.filter(|_| added.retried) {
            self.try_added(retry, added.node);
        }
        let further_try = added.retried && container.is_some_and(|retry| self.node(retry).tries.len() > 1);
        let requested = call.is_some() || above.into_iter().flatten().any(|id| self.node(id).requested);
        self.nodes.push(Node {
            kind: added.kind,
            phase: added.phase,
            template: added.template,
            boundary: added.boundary,
            container,
            requested,
            further_try,
            in_exit,
            hooked: added.hooked || (added.retried && container.is_some_and(|retry| self.node(retry).hooked)),
            reopened: false,
            attempt: Attempt::default(),
            tries: Vec::new(),
            delayed_until: None,
        });
        if let Some(excess) = limits::excess(self, added.node) {
            self.violate("I9", excess);
        }
    }

    /// Whether nothing may start: the exit handler may after a stop.
    fn is_stopping(&self, in_exit: bool) -> bool {
        (self.shutdown || self.deadline) && (self.terminated || !in_exit)
    }

    /// Time asleep is nobody's fault.
    fn deadline_exceeded(&mut self) {
        self.deadline = true;
        let passed = self.at.since_us(self.began_at);
        let limit = self.plan.as_ref().and_then(|plan| plan.active_deadline_s);
        let allowed = limit.map(|s| s.saturating_mul(Time::SECOND_US).saturating_add(self.slept_us));
        if allowed.is_none_or(|allowed| passed < allowed) {
            let slept = self.slept_us;
            self.violate("policy", format!("the deadline strikes after {passed} us, of which {slept} were asleep"));
        }
    }

    /// A further try is the policy's, never more.
    fn try_added(&mut self, retry: NodeId, id: NodeId) {
        let tries = self.node(retry).tries.len();
        if let Some(last) = self.node(retry).tries.last().copied() {
            let phase = self.node(last).phase;
            if !phase.is_failed_or_error() {
                self.violate("I2", format!("node {} is tried again after {}", retry.0, phase.as_str()));
            }
            if self.node(retry).delayed_until.is_some_and(|until| until > self.at) {
                self.violate("policy", format!("node {} is tried again before its back-off is over", retry.0));
            }
            let strategy = self.template(retry).and_then(|template| template.retry.as_ref());
            let limit = strategy.and_then(|strategy| strategy.limit.as_ref()?.as_str().parse::<usize>().ok());
            let policy = strategy.map(|strategy| match (strategy.policy, &strategy.expression) {
                (Some(policy), _) => policy,
                (None, Some(_)) => RetryPolicy::Always,
                (None, None) => RetryPolicy::OnFailure,
            });
            let forbidden = match policy {
                Some(RetryPolicy::OnFailure) => phase == Phase::Error,
                Some(RetryPolicy::OnError) => phase == Phase::Failed,
                _ => false,
            };
            if forbidden || limit.is_some_and(|limit| tries > limit) {
                self.violate(
                    "policy",
                    format!("node {} is tried a {}. time after {}", retry.0, tries + 1, phase.as_str()),
                );
            }
        }
        let node = &mut self.nodes[retry.index()];
        node.tries.push(id);
        node.delayed_until = None;
    }

    fn attempt_started(&mut self, id: NodeId, n: u32) {
        let node = self.node(id);
        let (ended, right, again) = (node.phase.is_fulfilled(), node.attempt.n == n, node.attempt.started);
        if node.kind != NodeKind::Pod || !right {
            self.violate("I3", format!("attempt {n} of node {} starts and is not the one that counts", id.0));
        } else if ended {
            self.violate("children", format!("attempt {n} of node {} starts after the node's end", id.0));
        } else if again {
            self.violate("I3", format!("attempt {n} of node {} starts a second time", id.0));
        } else if self.is_stopping(self.node(id).in_exit) {
            self.violate("order", format!("attempt {n} of node {} starts though the run is being stopped", id.0));
        } else if let Some(above) = limits::above(self, id).into_iter().find(|above| self.is_ended(*above)) {
            self.violate(
                "children",
                format!("attempt {n} of node {} starts, and node {} above has ended", id.0, above.0),
            );
        }
        let attempt = &mut self.nodes[id.index()].attempt;
        attempt.started = true;
        self.nodes[id.index()].phase = Phase::Running;
    }

    fn attempt_ended(&mut self, ended: &AttemptEnded) {
        let node = self.node(ended.node);
        if node.attempt.n != ended.n || node.kind != NodeKind::Pod {
            self.violate(
                "I4",
                format!("an outcome of attempt {} of node {}, which does not count", ended.n, ended.node.0),
            );
        } else if node.attempt.ended.is_some() {
            self.violate("I4", format!("attempt {} of node {} ends a second time", ended.n, ended.node.0));
        } else if !node.attempt.started && !matches!(ended.exit, Exit::NotStarted(_)) {
            self.violate("I4", format!("attempt {} of node {} ends and never started", ended.n, ended.node.0));
        }
        self.nodes[ended.node.index()].attempt.ended = Some(ended.exit.clone());
    }

    /// An ended run goes on: what is open again has not ended, and what is reset hangs nowhere.
    fn reopened(&mut self, event: &RunReopened) {
        // From here on its deadline counts anew.
        (self.began_at, self.slept_us) = (self.at, 0);
        if !std::mem::replace(&mut self.ended, false) {
            self.violate("I8", "the run is reopened before its end".into());
        }
        self.plan = Some((*event.plan).clone());
        for id in &event.open {
            if id.index() >= self.nodes.len() || !self.is_ended(*id) {
                return self.violate("I8", format!("node {} is opened again and cannot be", id.0));
            }
            let node = &mut self.nodes[id.index()];
            node.phase = if node.kind == NodeKind::Pod { Phase::Pending } else { Phase::Running };
            node.reopened = node.kind == NodeKind::Pod;
        }
        for reset in &event.reset {
            self.nodes.iter_mut().for_each(|node| node.tries.retain(|id| *id != reset.node));
        }
    }

    fn attempt_added(&mut self, id: NodeId, n: u32, collects: Option<u32>) {
        let reopened = std::mem::take(&mut self.nodes[id.index()].reopened);
        let once = self.template(id).is_some_and(|template| template.at_most_once);
        let once = once && !reopened && collects.is_none();
        let node = self.node(id);
        let (ended, attempt) = (node.phase.is_fulfilled(), &node.attempt);
        if n != attempt.n + 1 {
            self.violate("I3", format!("attempt {n} of node {} follows attempt {}", id.0, attempt.n));
        } else if ended || once {
            self.violate("I2", format!("node {} gets attempt {n} and may not", id.0));
        } else if !reopened && !matches!(attempt.ended, Some(Exit::Lost(_))) {
            let before = attempt.ended.clone();
            self.violate("I2", format!("node {} gets attempt {n} after {before:?}", id.0));
        }
        let node = &mut self.nodes[id.index()];
        node.attempt = Attempt { n, ..Attempt::default() };
        node.phase = Phase::Pending;
    }

    fn node_ended(&mut self, ended: &NodeEnded) {
        if self.is_ended(ended.node) {
            self.violate("I4", format!("node {} ends a second time", ended.node.0));
        }
        if !ended.phase.is_fulfilled() {
            self.violate("I8", format!("node {} ends as {}", ended.node.0, ended.phase.as_str()));
        }
        let node = self.node(ended.node);
        let succeeded = ended.phase == Phase::Succeeded;
        if succeeded && node.kind == NodeKind::Pod && node.attempt.ended != Some(Exit::Exited(0)) {
            self.violate("I2", format!("node {} succeeds without a process that did", ended.node.0));
        }
        self.nodes[ended.node.index()].phase = ended.phase;
    }

    fn call_added(&mut self, call: &CallAdded) {
        let key = (call.parent, call.name.clone(), call.counter);
        let parent = self.node(call.parent);
        if parent.phase != Phase::Running || parent.attempt.ended.is_some() {
            self.violate("children", format!("node {} calls and does not run", call.parent.0));
        }
        if self.calls.insert(key, call.child).is_some() {
            self.violate(
                "I2",
                format!("call {}({}) of node {} is recorded twice", call.name, call.counter, call.parent.0),
            );
        }
        self.expected_child = Some(call.clone());
    }

    fn run_ended(&mut self, phase: RunPhase) {
        self.ended = true;
        let open = self.nodes.iter().position(|node| !node.phase.is_fulfilled());
        if let Some(index) = open {
            self.violate("I5", format!("the run ends before node {index}"));
        }
        let root = self.nodes.first().map(|node| node.phase);
        let exit = self.exit.map(|id| self.node(id).phase).filter(|phase| phase.is_failed_or_error());
        let root = if root == Some(Phase::Succeeded) { exit.or(root) } else { root };
        let expected = match root {
            _ if self.shutdown => RunPhase::Failed,
            Some(Phase::Failed) => RunPhase::Failed,
            Some(Phase::Error) => RunPhase::Error,
            _ => RunPhase::Succeeded,
        };
        if phase != expected {
            self.violate("I8", format!("the run ends as {}, its root as {root:?}", phase.as_str()));
        }
    }
}

fn node_of(event: &Event) -> Option<NodeId> {
    match event {
        Event::AttemptStarted { node, .. } | Event::AttemptAdded { node, .. } | Event::RetryDelayed { node, .. } => {
            Some(*node)
        }
        Event::AttemptEnded(ended) => Some(ended.node),
        Event::NodeEnded(ended) => Some(ended.node),
        Event::LoopOpened(opened) => Some(opened.node),
        Event::CallAdded(call) => Some(call.parent),
        _ => None,
    }
}
