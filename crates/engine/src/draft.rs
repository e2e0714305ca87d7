//! The draft of one decision: the events of an input, each folded into the state the moment it is emitted, and the commands that
//! follow from them. Nothing of it may leave before the events are durable.
//! It must never change the state but through `evolve`.

use crate::commands;
use crate::evolve::evolve;
use crate::hooks;
use crate::sites;
use crate::state::State;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use model::event::Recorded;
use model::{Command, Event, NodeId, Time};

pub struct Draft<'a> {
    state: &'a mut State,
    at: Time,
    events: Vec<Recorded>,
    commands: Vec<Held>,
    /// Nodes whose end their container has not looked at yet.
    pub(crate) ended: VecDeque<NodeId>,
    /// Boundaries that have a node and whose call sites nobody has looked at yet.
    pub(crate) unentered: VecDeque<NodeId>,
    /// How many boundaries are being entered, one from within the other.
    pub(crate) nesting: u32,
    /// Whether the run's own limit had no room at any moment of the draft: only then somebody waits for it.
    pub(crate) was_full: bool,
    /// Nodes are being swept together: no hook hears of it.
    pub(crate) quiet: bool,
}

/// A command and the event that it follows from.
#[derive(Clone, Debug, PartialEq)]
pub struct Held {
    /// How many events of this draft must be durable before the command may go.
    pub after: usize,
    pub command: Command,
}

/// What a decision came to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Decided {
    pub events: Vec<Recorded>,
    pub commands: Vec<Held>,
}

impl<'a> Draft<'a> {
    /// Time never runs backwards: an earlier `at` is raised to the last one.
    pub fn new(state: &'a mut State, at: Time) -> Self {
        let at = at.max(state.now);
        let was_full = !sites::run_has_room(state);
        let (events, commands, ended, unentered) = Default::default();
        Self { state, at, events, commands, ended, unentered, nesting: 0, was_full, quiet: false }
    }

    pub fn state(&self) -> &State {
        self.state
    }

    pub fn at(&self) -> Time {
        self.at
    }

    pub fn finish(self) -> Decided {
        Decided { events: self.events, commands: self.commands }
    }

    /// Records a fact: the next rule sees it.
    pub(crate) fn emit(&mut self, event: Event) {
        let recorded = Recorded { at: self.at, event };
        evolve(self.state, &recorded);
        self.was_full |= !sites::run_has_room(self.state);
        let after = self.events.len() + 1;
        commands::follow(self.state, &recorded.event, |command| self.commands.push(Held { after, command }));
        if let Event::NodeAdded(added) = &recorded.event
            && added.phase.is_fulfilled()
        {
            self.ended.push_back(added.node);
        }
        if let Event::NodeEnded(ended) = &recorded.event {
            self.ended.push_back(ended.node);
        }
        let changed = match &recorded.event {
            Event::NodeAdded(added) => Some(added.node),
            Event::NodeEnded(ended) => Some(ended.node),
            Event::AttemptStarted { node, .. } => Some(*node),
            _ => None,
        };
        self.events.push(recorded);
        // Before any rule sees it, so that nothing starts that would have to wait for the hook.
        if let Some(node) = changed.filter(|_| !self.quiet) {
            hooks::observe(self, node);
        }
    }

    /// An answer that needs no event.
    pub(crate) fn answer(&mut self, command: Command) {
        self.commands.push(Held { after: self.events.len(), command });
    }
}
