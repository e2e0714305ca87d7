//! What those who watch runs wait for: how far each log is, and notes. The events themselves they read from the store, so that
//! a slow or stopped watcher costs the holder nothing.
//! It must never hold an event.

use model::RunId;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Notes that are kept for watchers that are behind.
const NOTES_MAX: usize = 1000;
/// Runs that left memory whose lengths are kept: a watcher may not have woken since their end.
const FORGOTTEN_MAX: usize = 1000;

/// Shared by the holder's loop and its connections.
#[derive(Default)]
pub(crate) struct Board {
    state: Mutex<State>,
    changed: Condvar,
    /// A run ended, or the board closed: nobody rests through that.
    over: Condvar,
}

#[derive(Default)]
struct State {
    /// Events in the log of each run that was published.
    lengths: BTreeMap<RunId, u64>,
    /// Runs that have ended, until they are forgotten.
    ended: BTreeSet<RunId>,
    forgotten: VecDeque<RunId>,
    /// What this machine lacks: told to every watcher.
    machine: Vec<String>,
    /// The number of the first note that is kept.
    first_note: u64,
    /// `None`: for every run.
    notes: VecDeque<(Option<RunId>, String)>,
    closed: bool,
}

/// What a watcher has seen.
pub(crate) struct Seen {
    pub events: u64,
    notes: Option<u64>,
    /// It has been told what this machine lacks.
    machine: bool,
}

impl Seen {
    pub fn from(events: u64) -> Self {
        Self { events, notes: None, machine: false }
    }
}

impl Board {
    fn state(&self) -> MutexGuard<'_, State> {
        // Each change is one call: a thread that panicked left it whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The log of this run has so many durable events. `ended`: the run's end is among the last of them.
    pub fn publish(&self, run: &RunId, length: u64, ended: bool) {
        let mut state = self.state();
        if ended {
            state.ended.insert(run.clone());
            self.over.notify_all();
        } else if !state.ended.is_empty() {
            // It may have been reopened.
            state.ended.remove(run);
        }
        match state.lengths.get_mut(run) {
            Some(known) => *known = length,
            None => {
                state.lengths.insert(run.clone(), length);
            }
        }
        drop(state);
        self.changed.notify_all();
    }

    /// The run left memory: nothing more will be published.
    pub fn forget(&self, run: RunId) {
        let mut state = self.state();
        state.forgotten.push_back(run);
        if state.forgotten.len() > FORGOTTEN_MAX
            && let Some(oldest) = state.forgotten.pop_front()
        {
            state.lengths.remove(&oldest);
            state.ended.remove(&oldest);
        }
    }

    pub fn note(&self, run: Option<RunId>, text: String) {
        let mut state = self.state();
        state.notes.push_back((run, text));
        if state.notes.len() > NOTES_MAX {
            state.notes.pop_front();
            state.first_note += 1;
        }
        drop(state);
        self.changed.notify_all();
    }

    pub fn set_machine_notices(&self, notices: Vec<String>) {
        self.state().machine = notices;
        self.changed.notify_all();
    }

    /// Wakes everybody: the holder leaves.
    pub fn close(&self) {
        self.state().closed = true;
        self.changed.notify_all();
        self.over.notify_all();
    }

    pub fn is_closed(&self) -> bool {
        self.state().closed
    }

    /// Notes for this run that the watcher has not seen.
    pub fn new_notes(&self, run: &RunId, seen: &mut Seen) -> Vec<String> {
        let state = self.state();
        // The runner says it when it is there, which may be after a watcher is.
        let mut found = if seen.machine { Vec::new() } else { state.machine.clone() };
        seen.machine |= !found.is_empty();
        // Whoever begins to watch is told what was noted about this run before.
        let from = seen.notes.unwrap_or(0).max(state.first_note) - state.first_note;
        let new = state.notes.iter().skip(from as usize);
        let begins = seen.notes.is_none();
        found.extend(new.filter(|(of, _)| of.as_ref().map_or(!begins, |of| of == run)).map(|(_, text)| text.clone()));
        seen.notes = Some(state.first_note + state.notes.len() as u64);
        found
    }

    /// Lets `time` pass, unless the run ends before: a watcher that is told of each event by itself costs more than the events.
    pub fn rest(&self, run: &RunId, time: Duration) {
        let goes_on = |state: &mut State| !state.closed && !state.ended.contains(run);
        drop(self.over.wait_timeout_while(self.state(), time, goes_on));
    }

    /// Waits until there is something new. False after `timeout` without.
    pub fn wait(&self, run: &RunId, seen: &Seen, timeout: Duration) -> bool {
        let nothing = |state: &mut State| {
            let notes = state.first_note + state.notes.len() as u64;
            let events = state.lengths.get(run).is_some_and(|length| *length > seen.events);
            let machine = !seen.machine && !state.machine.is_empty();
            !events && !machine && seen.notes == Some(notes) && !state.closed
        };
        let waited = self.changed.wait_timeout_while(self.state(), timeout, nothing);
        let (_state, result) = waited.unwrap_or_else(PoisonError::into_inner);
        !result.timed_out()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_machine_lacks_is_told_once_whenever_it_is_known() {
        let (board, run) = (Board::default(), RunId("a".into()));
        let mut seen = Seen::from(0);
        assert!(board.new_notes(&run, &mut seen).is_empty());
        assert!(!board.wait(&run, &seen, Duration::ZERO));
        board.set_machine_notices(vec!["no cgroups".into()]);
        assert!(board.wait(&run, &seen, Duration::ZERO));
        assert_eq!(board.new_notes(&run, &mut seen), ["no cgroups"]);
        assert!(!board.wait(&run, &seen, Duration::ZERO));
    }

    #[test]
    fn a_watcher_sees_each_note_of_its_run_once() {
        let board = Board::default();
        let (ours, other) = (RunId("a".into()), RunId("b".into()));
        board.set_machine_notices(vec!["no cgroups".into()]);
        board.note(Some(ours.clone()), "before".into());
        board.note(None, "old and for all".into());
        let mut seen = Seen::from(0);
        assert_eq!(board.new_notes(&ours, &mut seen), ["no cgroups", "before"]);
        board.note(None, "for all".into());
        board.note(Some(other), "not ours".into());
        assert!(board.wait(&ours, &seen, Duration::ZERO));
        assert_eq!(board.new_notes(&ours, &mut seen), ["for all"]);
        assert!(!board.wait(&ours, &seen, Duration::ZERO));
        board.publish(&ours, 3, false);
        assert!(board.wait(&ours, &seen, Duration::ZERO));
        board.forget(ours.clone());
        assert!(board.wait(&ours, &seen, Duration::ZERO), "the end is seen after it was forgotten");
        seen.events = 3;
        assert!(!board.wait(&ours, &seen, Duration::ZERO));
    }
}
