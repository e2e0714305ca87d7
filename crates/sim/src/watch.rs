//! The watch: what must hold at the very moment something leaves the pump or happens in the world.
//! It must never look at the pump but through what it puts out and its public state.

use crate::checker::{Start, Violation};
use crate::happening::Ask;
use crate::world::World;
use engine::{Body, State};
use model::command::KillReason;
use model::event::Recorded;
use model::input::{Epoch, Shutdown};
use model::plan::Body as PlanBody;
use model::{AttemptKey, Event, Exit, NodeId, Refusal, RunId};

/// One step in so many compares the states in memory with the folds of the logs.
const COMPARE_EVERY: u64 = 3;

impl World {
    pub(crate) fn violate(&mut self, invariant: &'static str, what: String) {
        self.trace.line(self.clock, || format!("VIOLATION {invariant}: {what}"));
        self.violations.push(Violation { invariant, position: None, what });
    }

    fn durable(&self, run: &RunId) -> &[Recorded] {
        self.disk.events(run)
    }

    fn has_event(&self, run: &RunId, is: impl Fn(&Event) -> bool) -> bool {
        self.durable(run).iter().rev().any(|recorded| is(&recorded.event))
    }

    /// Whether the log says that this attempt was started in this epoch and has not ended.
    fn is_started(&self, key: &AttemptKey, epoch: &Epoch) -> bool {
        match attempt(self.disk.state(&key.run), key.node) {
            Some(attempt) => attempt.n == key.n && attempt.epoch.as_deref() == Some(epoch) && !attempt.ended,
            None => false,
        }
    }

    pub(crate) fn watch_launch(&mut self, key: &AttemptKey, epoch: &Epoch) {
        if !self.is_started(key, epoch) {
            self.violate("durable-first", format!("{key} is launched, and its start is not in the log"));
        }
    }

    pub(crate) fn watch_start(&mut self, key: &AttemptKey, dynamic: bool) {
        let Some(runner) = &self.runner else { return };
        let epoch = runner.epoch.clone();
        let beside: Vec<&AttemptKey> =
            runner.processes.keys().filter(|other| other.run == key.run && other.node == key.node).collect();
        let (alone, live) = (beside.is_empty(), runner.processes.iter().filter(|(_, p)| !p.script.dynamic).count());
        if !self.is_started(key, &epoch) {
            self.violate("durable-first", format!("process {key} starts in {}, and the log does not say so", epoch.0));
        }
        if !alone {
            self.violate("I3", format!("process {key} starts beside another one of its node"));
        }
        if self.starts.iter().any(|start| start.key == *key) {
            self.violate("I3", format!("attempt {key} starts a second time"));
        }
        let succeeded = self.disk.state(&key.run).and_then(|state| state.nodes().get(key.node.index()));
        if succeeded.is_some_and(|node| node.phase == model::Phase::Succeeded) {
            self.violate("I2", format!("{key} starts, and its node has succeeded"));
        }
        let room = self.options.slots.min((self.options.cpu_millis / 1000) as u32).max(1) as usize;
        if !dynamic && live + 1 > room {
            self.violate("I9", format!("{key} starts beside {live} processes, and there are {room} places"));
        }
        let gpus = self.gpus_of(key);
        let others = self.runner.iter().flat_map(|runner| runner.processes.keys()).filter(|other| *other != key);
        if let Some(other) = others.into_iter().find(|other| self.gpus_of(other).iter().any(|gpu| gpus.contains(gpu))) {
            self.violate("I9", format!("{key} starts with devices {gpus:?}, and {other} has one of them"));
        }
        self.starts.push(Start { key: key.clone(), epoch });
    }

    /// The devices that the log says are this attempt's.
    fn gpus_of(&self, of: &AttemptKey) -> Vec<u32> {
        let started = self.durable(&of.run).iter().rev().find_map(|recorded| match &recorded.event {
            Event::AttemptStarted { node, n, gpus, .. } if *node == of.node && *n == of.n => Some(gpus.clone()),
            _ => None,
        });
        started.unwrap_or_default()
    }

    pub(crate) fn watch_kill(&mut self, key: &AttemptKey, why: KillReason) {
        let of_run = |event: &Event| match event {
            Event::ShutdownRequested { .. } | Event::DeadlineExceeded | Event::RunEnded(_) => true,
            Event::NodeEnded(ended) => ended.node == key.node,
            Event::AttemptEnded(ended) => ended.node == key.node && ended.n == key.n,
            _ => false,
        };
        if !self.has_event(&key.run, of_run) {
            self.violate("durable-first", format!("{key} is killed ({why:?}), and nothing in the log says why"));
        }
    }

    pub(crate) fn watch_acknowledge(&mut self, key: &AttemptKey) {
        let ended = |event: &Event| matches!(event, Event::AttemptEnded(e) if e.node == key.node && e.n == key.n);
        if !self.has_event(&key.run, ended) {
            self.violate("I4", format!("the outcome of {key} is acknowledged and not in the log"));
        }
    }

    pub(crate) fn watch_return(&mut self, run: &RunId, child: NodeId) {
        let node = self.disk.state(run).and_then(|state| state.nodes().get(child.index()));
        if !node.is_some_and(|node| node.phase.is_fulfilled()) {
            self.violate("durable-first", format!("node {} of {run} returns, and its end is not in the log", child.0));
        }
    }

    pub(crate) fn watch_publish(&mut self, run: &RunId, first: u64, events: &[Recorded]) {
        let first = first as usize;
        if self.durable(run).get(first..first + events.len()) != Some(events) {
            self.violate("I8", format!("events {first}.. of {run} are published and not those in the log"));
        }
    }

    pub(crate) fn watch_submitted(&mut self, index: usize) {
        let run = self.clients[index].record.id.clone();
        if self.durable(&run).is_empty() {
            self.violate("I1", format!("the submission of {run} is acknowledged and not in the log"));
        }
    }

    pub(crate) fn is_shutting_down(&self, run: &RunId) -> bool {
        self.has_event(run, |event| matches!(event, Event::ShutdownRequested { .. }))
    }

    pub(crate) fn watch_shutdown(&mut self, index: usize, strategy: Shutdown) {
        let run = self.clients[index].record.id.clone();
        let asked = |event: &Event| matches!(event, Event::ShutdownRequested { strategy: s, .. } if *s >= strategy);
        if !self.has_event(&run, asked) {
            self.violate("durable-first", format!("{strategy:?} of {run} is answered and not in the log"));
        }
    }

    /// The recorded fingerprint of a call.
    fn fingerprint(&self, key: &AttemptKey, index: usize) -> (Option<String>, String) {
        let process = self.runner.as_ref().and_then(|runner| runner.processes.get(key));
        let Some(call) = process.map(|process| &process.script.calls[index]) else { return (None, String::new()) };
        let recorded = self.durable(&key.run).iter().find_map(|recorded| match &recorded.event {
            Event::CallAdded(added)
                if added.parent == key.node && added.name == call.name && added.counter == call.counter =>
            {
                Some(added.fingerprint.clone())
            }
            _ => None,
        });
        (recorded, call.fingerprint.clone())
    }

    pub(crate) fn watch_call(&mut self, key: &AttemptKey, index: usize) {
        let (recorded, sent) = self.fingerprint(key, index);
        if !sent.is_empty() && recorded.as_ref() != Some(&sent) {
            self.violate(
                "durable-first",
                format!("call {index} of {key} is answered: sent {sent}, recorded {recorded:?}"),
            );
        }
    }

    /// A refusal is an answer too: what it says must be so on the disk.
    pub(crate) fn watch_refusal(&mut self, ask: &Ask, refusal: &Refusal) {
        let run = match ask {
            Ask::Submit(index) | Ask::Shutdown(index, _) | Ask::Resume(index) => self.clients[*index].record.id.clone(),
            Ask::Call { key, .. } => key.run.clone(),
        };
        let ended = self.disk.state(&run).is_some_and(State::is_ended);
        let holds = match refusal {
            Refusal::Exists => !self.durable(&run).is_empty(),
            Refusal::Ended => ended,
            Refusal::ShuttingDown => self.is_shutting_down(&run),
            Refusal::NoRun => ended || self.durable(&run).is_empty(),
            Refusal::Diverged(_) => match ask {
                Ask::Call { key, index } => {
                    let (recorded, sent) = self.fingerprint(key, *index);
                    sent.is_empty() || recorded.is_some_and(|recorded| recorded != sent)
                }
                _ => false,
            },
            _ => true,
        };
        if !holds {
            self.violate("durable-first", format!("{ask:?} is refused ({refusal:?}), and the log does not say so"));
        }
    }

    /// An event became durable.
    pub(crate) fn watch_event(&mut self, run: &RunId, event: &Event) {
        let Event::AttemptEnded(ended) = event else { return };
        if !matches!(ended.exit, Exit::Lost(_)) {
            return;
        }
        let key = AttemptKey { run: run.clone(), node: ended.node, n: ended.n };
        if self.runner.as_ref().is_some_and(|runner| runner.processes.contains_key(&key)) {
            self.violate("I3", format!("{key} is recorded as lost while its process lives"));
        } else if self.disk.outcomes.contains_key(&key) {
            self.violate("I4", format!("{key} is recorded as lost while its outcome is kept for us"));
        }
    }

    /// After a step: what is in memory is the fold of what is on the disk, and no place stays free that somebody waits for.
    pub(crate) fn watch_states(&mut self) {
        self.steps += 1;
        let Some(holder) = &self.holder else { return };
        if !holder.is_quiet() || self.has_writes() {
            return;
        }
        let mut wrong = Vec::new();
        if self.steps.is_multiple_of(COMPARE_EVERY) {
            for run in holder.pump.runs() {
                if self.disk.state(run) != holder.pump.state(run) {
                    wrong.push(("I8", format!("the state of {run} in memory is not the fold of its log")));
                }
            }
        }
        if holder.local.link.is_some() {
            wrong.extend(self.idle_place().map(|what| ("I9", what)));
        }
        wrong.into_iter().for_each(|(invariant, what)| self.violate(invariant, what));
    }

    /// A process started: there are no more than places. (Who comes back from its calls goes on without one.)
    pub(crate) fn watch_places(&mut self) {
        let Some(runner) = &self.runner else { return };
        let jobs = self.clients.iter().filter_map(|client| client.record.jobs).max().unwrap_or(0);
        let room = self.options.slots.max(jobs) as usize;
        let calls = runner.processes.values().any(|process| process.script.dynamic);
        let running = runner.processes.len();
        if !calls && running > room {
            self.violate("I9", format!("{running} processes run at once, and there are {room} places"));
        }
    }

    fn idle_place(&self) -> Option<String> {
        let pump = &self.holder.as_ref()?.pump;
        let (mut placed, mut waiting, mut sized) = (0, None, false);
        for run in pump.runs() {
            let Some(state) = pump.state(run) else { continue };
            sized |= self.durable(run).first().is_some_and(|recorded| asks(&recorded.event));
            for (index, node) in state.nodes().iter().enumerate() {
                let Body::Leaf(attempt) = &node.body else { continue };
                if attempt.epoch.is_some() && !attempt.ended {
                    placed += 1;
                } else if !node.phase.is_fulfilled()
                    && !node.waits_for_locks
                    && attempt.epoch.is_none()
                    && pump.is_resumed(run)
                {
                    waiting.get_or_insert_with(|| format!("{run}/{index}/{}", attempt.n));
                }
            }
        }
        // Where sizes differ a place may stay free for a large one, but never all of them.
        let room = if sized { 1 } else { u64::from(self.options.slots).min(self.options.cpu_millis / 1000).max(1) };
        let key = waiting?;
        (placed < room).then(|| format!("{key} waits for a place, {placed} of {room} are taken"))
    }
}

/// Whether the run has leaves with requests of their own.
fn asks(created: &Event) -> bool {
    let asks = |body: &PlanBody| matches!(body, PlanBody::Leaf(leaf) if !leaf.resources.requests.is_empty());
    matches!(created, Event::RunCreated(record) if record.plan.templates.iter().any(|template| asks(&template.body)))
}

fn attempt(state: Option<&State>, node: NodeId) -> Option<&engine::Attempt> {
    match &state?.nodes().get(node.index())?.body {
        Body::Leaf(attempt) => Some(attempt),
        _ => None,
    }
}
