//! One run in the pump: its state, which may run ahead of the log, and what waits for the log to follow.
//! It must never let anything go whose events are not durable.

use super::ahead::Pace;
use super::{Denied, Out, RunAppend, Ticket};
use engine::{Draft, State, evolve};
use model::event::{Placement, Recorded};
use model::input::Stamped;
use model::plan::{Body, Template};
use model::planted::{self, Bug};
use model::row::RowChange;
use model::{AttemptKey, Command, Event, NodeId, Outcome, Refusal, RunId};
use std::collections::{BTreeSet, VecDeque};
use views::rows::{RunRow, refs};

pub(super) struct Run {
    pub state: State,
    /// The row that lists show, folded beside the state.
    row: RunRow,
    /// May start attempts. A run that was found interrupted may not until somebody resumes it.
    pub resumed: bool,
    /// Commands that wait for that.
    pub kept_back: Vec<Command>,
    /// Events in the log.
    durable: u64,
    /// Events decided, of which the last `fresh` were given to no batch yet.
    decided: u64,
    fresh: Vec<Recorded>,
    /// Batches under way, oldest first.
    flying: VecDeque<Vec<Recorded>>,
    commands: VecDeque<(u64, Command)>,
    answers: VecDeque<(u64, Ticket, Result<(), Refusal>)>,
    /// There are templates whose nodes may call.
    may_call: bool,
    /// Nodes that ever called: only they can wait for calls.
    callers: BTreeSet<NodeId>,
    /// How fast its attempts end.
    pace: Pace,
    /// How many events must be durable before the resumption that was asked for counts.
    resumes_after: Option<u64>,
    /// A worker connected while events were under way: what it is owed is looked at when they are durable.
    pub unchecked: bool,
    /// Attempts whose end became durable with the last commit.
    ends: Vec<(NodeId, u32)>,
}

/// A run's log, folded: what a run in memory is made of after a start. It is folded as it is read, and not kept.
#[derive(Clone, Debug, Default)]
pub struct Folded {
    state: State,
    row: RunRow,
    may_call: bool,
    callers: BTreeSet<NodeId>,
    events: u64,
}

impl Folded {
    pub fn of<'a>(events: impl IntoIterator<Item = &'a Recorded>) -> Self {
        let mut folded = Self::default();
        events.into_iter().for_each(|event| folded.apply(event));
        folded
    }

    /// Takes the next event of a sound log.
    pub fn apply(&mut self, event: &Recorded) {
        evolve(&mut self.state, event);
        self.row.apply(event);
        self.events += 1;
        note(event, &mut self.may_call, &mut self.callers);
    }

    pub fn events(&self) -> u64 {
        self.events
    }

    /// Of its last event.
    pub fn at(&self) -> model::Time {
        self.state.time()
    }
}

/// Who calls, and whether anybody may.
fn note(recorded: &Recorded, may_call: &mut bool, callers: &mut BTreeSet<NodeId>) {
    match &recorded.event {
        Event::CallAdded(call) => drop(callers.insert(call.parent)),
        Event::RunCreated(record) => *may_call = record.plan.templates.iter().any(is_dynamic),
        _ => {}
    }
}

impl Run {
    pub fn new() -> Self {
        Self {
            state: State::default(),
            row: RunRow::default(),
            resumed: true,
            kept_back: Vec::new(),
            durable: 0,
            decided: 0,
            fresh: Vec::new(),
            flying: VecDeque::new(),
            commands: VecDeque::new(),
            answers: VecDeque::new(),
            may_call: false,
            callers: BTreeSet::new(),
            pace: Pace::default(),
            resumes_after: None,
            unchecked: false,
            ends: Vec::new(),
        }
    }

    pub fn load(log: Folded, resumed: bool) -> Self {
        let Folded { state, row, may_call, callers, events } = log;
        // Whoever stopped it wants it to come to its end: nothing but its exit handler starts any more.
        let resumed = resumed || (state.is_shutting_down() && !state.is_ended());
        Self { state, row, may_call, callers, resumed, durable: events, decided: events, ..Self::new() }
    }

    /// Decides an input. Returns commands that may go at once: a wish for a place stays in this process, and what comes of it
    /// is appended behind the event that made the wish.
    pub fn decide(&mut self, stamped: &Stamped) -> Result<Vec<Command>, Refusal> {
        let mut draft = Draft::new(&mut self.state, stamped.at);
        engine::decide(&mut draft, stamped)?;
        let decided = draft.finish();
        let before = self.decided;
        self.decided += decided.events.len() as u64;
        for event in &decided.events {
            self.row.apply(event);
            self.note(event);
        }
        self.fresh.extend(decided.events);
        let mut early = Vec::new();
        for held in decided.commands {
            let early_now = match &held.command {
                // An environment is built outside.
                Command::Place(place) => place.python_requirements.is_empty(),
                Command::Launch { .. } => planted::is(Bug::LaunchBeforeAppend),
                _ => false,
            };
            if early_now {
                early.push(held.command);
            } else {
                self.commands.push_back((before + held.after as u64, held.command));
            }
        }
        Ok(early)
    }

    /// Answers when everything decided so far is durable.
    pub fn answer(&mut self, ticket: Ticket, result: Result<(), Refusal>) {
        self.answers.push_back((self.decided, ticket, result));
    }

    fn note(&mut self, recorded: &Recorded) {
        note(recorded, &mut self.may_call, &mut self.callers);
    }

    /// The run may start attempts as soon as what was decided so far is durable.
    pub fn resume_when_durable(&mut self) {
        self.resumes_after = Some(self.decided);
    }

    /// Whether the resumption that was asked for counts now. True once.
    pub fn resumes_now(&mut self) -> bool {
        let due = self.resumes_after.is_some_and(|after| after <= self.durable);
        if due {
            self.resumes_after = None;
        }
        due
    }

    /// How many attempts such as this node's will end within this time if so many run. None where an end need not free a place
    /// (nodes that wait for their calls have none), nor of what must not be taken for started when it is lost.
    pub fn ends(&self, node: NodeId, at_once: usize, within_us: i64) -> usize {
        let template = self.state.nodes().get(node.index()).and_then(|node| node.template);
        let Some(template) = template.filter(|_| !self.may_call && !self.state.is_at_most_once(node)) else { return 0 };
        self.pace.ends(template, at_once, within_us)
    }

    /// An attempt of this node ended.
    pub fn note_pace(&mut self, node: NodeId, outcome: &Outcome) {
        if let Some(template) = self.state.nodes().get(node.index()).and_then(|node| node.template) {
            self.pace.note(template, outcome);
        }
    }

    /// Whether a child that this node called for has not ended.
    pub fn waits_for_calls(&self, node: NodeId) -> bool {
        let of_node = |place: &Placement| matches!(place, Placement::Under(parent) if *parent == node);
        self.callers.contains(&node)
            && self.state.nodes().iter().any(|child| of_node(&child.place) && !child.phase.is_fulfilled())
    }

    /// Whether the end of this attempt is decided and not durable.
    pub fn is_ending(&self, key: &AttemptKey) -> bool {
        let ends =
            |event: &Recorded| matches!(&event.event, Event::AttemptEnded(e) if e.node == key.node && e.n == key.n);
        self.fresh.iter().chain(self.flying.iter().flatten()).any(ends)
    }

    /// Whether a report about this attempt would still change something.
    pub fn awaits(&self, key: &AttemptKey) -> bool {
        let attempt = self.state.nodes().get(key.node.index()).map(|node| &node.body);
        match attempt {
            Some(engine::Body::Leaf(attempt)) => {
                !attempt.ended && (attempt.n == key.n || planted::is(Bug::MissingFence))
            }
            _ => false,
        }
    }

    pub fn is_durable(&self) -> bool {
        self.fresh.is_empty() && self.flying.is_empty()
    }

    /// Nothing is under way, and nothing that may be done is owed.
    pub fn is_idle(&self) -> bool {
        let owes = |command: &Command| matches!(command, Command::Launch { .. } | Command::Kill { .. });
        let quiet = self.is_durable() && self.answers.is_empty() && self.resumes_after.is_none();
        quiet && (!self.resumed || self.state.is_ended()) && !engine::outstanding(&self.state).iter().any(owes)
    }

    /// The events that no batch has yet, as an append after those under way.
    pub fn take_append(&mut self, id: &RunId) -> Option<RunAppend> {
        if self.fresh.is_empty() {
            return None;
        }
        let events = std::mem::take(&mut self.fresh);
        let expect = self.decided - events.len() as u64;
        let mut rows: Vec<RowChange> = events.iter().flat_map(|event| refs(id, event)).collect();
        rows.extend(self.row.change());
        self.flying.push_back(events.clone());
        Some(RunAppend { run: id.clone(), expect, events, rows })
    }

    /// The oldest batch under way is durable: publishes it, answers, and gives the commands that may go.
    pub fn committed(&mut self, id: &RunId, out: &mut Vec<Out>) -> Vec<Command> {
        let Some(events) = self.flying.pop_front() else { return Vec::new() };
        let first = self.durable;
        self.durable += events.len() as u64;
        let ends = events.iter().filter_map(|recorded| match &recorded.event {
            Event::AttemptEnded(ended) => Some((ended.node, ended.n)),
            _ => None,
        });
        self.ends.extend(ends);
        out.push(Out::Publish { run: id.clone(), first, events });
        self.release(out)
    }

    fn release(&mut self, out: &mut Vec<Out>) -> Vec<Command> {
        while self.answers.front().is_some_and(|(after, ..)| *after <= self.durable) {
            if let Some((_, ticket, result)) = self.answers.pop_front() {
                out.push(Out::Answer { ticket, result: result.map_err(Denied::Refused) });
            }
        }
        let mut commands = Vec::new();
        while self.commands.front().is_some_and(|(after, _)| *after <= self.durable) {
            commands.extend(self.commands.pop_front().map(|(_, command)| command));
        }
        commands
    }

    /// Answers of wishes that made no events, and the commands that are answers as well (`Return`).
    pub fn release_now(&mut self, out: &mut Vec<Out>) -> Vec<Command> {
        self.release(out)
    }

    pub fn durable_ends(&mut self) -> Vec<(NodeId, u32)> {
        std::mem::take(&mut self.ends)
    }

    /// Everything that waits is told that the store could not take it.
    pub fn deny_all(&mut self, reason: &str, out: &mut Vec<Out>) {
        for (_, ticket, _) in self.answers.drain(..) {
            out.push(Out::Answer { ticket, result: Err(Denied::Store(reason.to_string())) });
        }
    }
}

fn is_dynamic(template: &Template) -> bool {
    matches!(&template.body, Body::Leaf(leaf) if leaf.dynamic)
}
