//! What the state owes the world: after one event, and after a restart. The keys are the same both ways.
//! It must never look at anything but the state.

use crate::leaf;
use crate::sites;
use crate::state::State;
use crate::{suspend, wants};
use alloc::vec::Vec;
use model::command::{KillReason, Place};
use model::event::Placement;
use model::input::{Epoch, Shutdown};
use model::{AttemptKey, Command, Event, NodeId, Time};

/// Gives the commands that follow from an event, from the state right after it.
pub(crate) fn follow(state: &State, event: &Event, give: impl FnMut(Command)) {
    match event {
        Event::RunCreated(_) => {
            deadline(state).map(Command::WakeAt).into_iter().chain(run_locks(state)).for_each(give);
        }
        Event::RunReopened(_) => deadline(state).map(Command::WakeAt).into_iter().for_each(give),
        Event::Approved { node: None, .. } => run_locks(state).into_iter().for_each(give),
        Event::LocksGranted { node: Some(node) } => begins(state, *node).for_each(give),
        Event::NodeAdded(added) if state.node(added.node).waits_for_locks => {
            core::iter::once(wants::acquire(state, Some(added.node))).for_each(give);
        }
        Event::NodeAdded(added) => begins(state, added.node).for_each(give),
        Event::AttemptAdded { node, .. } => waits(state, *node).for_each(give),
        Event::AttemptStarted { node, epoch, .. } => launch(state, *node, epoch).into_iter().for_each(give),
        Event::RetryDelayed { node, until, .. } => {
            state.delayed.contains(&(*until, *node)).then_some(Command::WakeAt(*until)).into_iter().for_each(give);
        }
        Event::ShutdownRequested { .. } | Event::DeadlineExceeded => kills(state).for_each(give),
        // All of them are due later.
        Event::Slept { .. } => {
            let timeouts = state.timeouts.iter().map(|(due, _)| *due);
            deadline(state).into_iter().chain(timeouts).map(Command::WakeAt).for_each(give);
        }
        Event::NodeEnded(ended) => after_end(state, ended.node).for_each(give),
        Event::RunEnded(_) => kills(state).chain(over(state)).for_each(give),
        Event::AttemptEnded(_) => over(state).into_iter().for_each(give),
        Event::Approved { .. }
        | Event::LocksGranted { .. }
        | Event::LoopOpened(_)
        | Event::EnvironmentLocked(_)
        | Event::RunResumed { .. }
        | Event::CallAdded(_) => {}
    }
}

/// What is owed to a node that may begin.
fn begins(state: &State, id: NodeId) -> impl Iterator<Item = Command> {
    waits(state, id).chain(suspend::due(state, id).map(Command::WakeAt))
}

/// The locks of the whole run, while it waits for nothing else.
fn run_locks(state: &State) -> Option<Command> {
    let waits = state.waits_for_locks && !state.waits_for_person && !state.is_ended();
    waits.then(|| wants::acquire(state, None))
}

/// Everything that is owed, for a state that was folded from a log.
pub fn outstanding(state: &State) -> Vec<Command> {
    if !state.is_created() {
        return Vec::new();
    }
    let mut commands = Vec::new();
    for id in &state.open_attempts {
        let Some(attempt) = state.node(*id).attempt() else { continue };
        let closed = state.node(*id).phase.is_fulfilled();
        let ending = sites::is_stopping_at(state, *id);
        match &attempt.epoch {
            None if !ending && !closed => commands.extend(place(state, *id)),
            None => {}
            Some(epoch) => {
                commands.extend(launch(state, *id, epoch));
                if ending || closed {
                    commands.push(kill(state, *id));
                }
            }
        }
    }
    commands.extend(run_locks(state));
    commands.extend(state.lock_waiters.iter().map(|id| wants::acquire(state, Some(*id))));
    commands.extend(next_wake(state).map(Command::WakeAt));
    commands.extend(waiting_returns(state));
    commands.extend(over(state));
    commands
}

/// When the state next wants to be woken.
pub fn next_wake(state: &State) -> Option<Time> {
    if state.is_ended() {
        return None;
    }
    let delayed = state.delayed.first().map(|(at, _)| *at);
    let timeout = state.timeouts.first().map(|(at, _)| *at);
    let suspended = state.suspended.first().map(|(at, _)| *at);
    [delayed, timeout, suspended, deadline(state)].into_iter().flatten().min()
}

/// The end of `activeDeadlineSeconds`, while it may still strike.
pub(crate) fn deadline(state: &State) -> Option<Time> {
    let record = state.record.as_ref()?;
    let seconds = record.plan.active_deadline_s?;
    // The exit handler has none.
    let begun = state.nodes.first().is_some_and(|root| root.phase.is_fulfilled());
    (!state.deadline_exceeded && !state.is_ended() && !begun)
        .then(|| state.began.plus_seconds(seconds).plus_us(state.slept_since(state.began)))
}

/// What an attempt that waits is owed: a place, and a word when its `timeout` is over.
fn waits(state: &State, id: NodeId) -> impl Iterator<Item = Command> {
    let timeout = state.node(id).attempt().and_then(|attempt| attempt.timeout).map(Command::WakeAt);
    place(state, id).into_iter().chain(timeout)
}

fn place(state: &State, id: NodeId) -> Option<Command> {
    let node = state.node(id);
    let attempt = node.attempt()?;
    if attempt.epoch.is_some() || attempt.ended || node.phase.is_fulfilled() || node.waits_for_locks {
        return None;
    }
    let (requests, python_requirements) = leaf::needs(state, id).ok()?;
    let priority = state.plan().priority;
    Some(Command::Place(Place { key: leaf::key(state, id), requests, priority, python_requirements }))
}

fn launch(state: &State, id: NodeId, epoch: &Epoch) -> Option<Command> {
    let launch = leaf::launch(state, id).ok()?;
    Some(Command::Launch { launch, epoch: epoch.clone() })
}

fn kill_reason(state: &State) -> Option<KillReason> {
    match state.shutdown {
        Some(Shutdown::Stop) => Some(KillReason::Stopped),
        Some(Shutdown::Terminate) => Some(KillReason::Terminated),
        None if state.deadline_exceeded => Some(KillReason::Deadline),
        None if state.is_ended() => Some(KillReason::Terminated),
        None => None,
    }
}

fn kill(state: &State, id: NodeId) -> Command {
    Command::Kill { key: leaf::key(state, id), why: kill_reason(state).unwrap_or(KillReason::TimedOut) }
}

/// Kills of all attempts that may be running.
fn kills(state: &State) -> impl Iterator<Item = Command> {
    let started = |id: &NodeId| state.node(*id).attempt().is_some_and(|a| a.epoch.is_some());
    let running = state.open_attempts.iter().copied();
    running.filter(move |id| sites::is_stopping_at(state, *id) && started(id)).map(|id| kill(state, id))
}

/// A node ended: its attempt, if it still runs, is not wanted any more; a call that waits for it returns.
fn after_end(state: &State, id: NodeId) -> impl Iterator<Item = Command> {
    let running = state.node(id).attempt().is_some_and(|a| a.epoch.is_some() && !a.ended);
    let release = wants::has(state, id).then_some(Command::Release { node: Some(id) });
    running.then(|| kill(state, id)).into_iter().chain(return_to_caller(state, id)).chain(release)
}

fn return_to_caller(state: &State, child: NodeId) -> Option<Command> {
    let Placement::Under(parent) = state.node(child).place else { return None };
    let caller = state.node(parent);
    // One that has ended waits for nothing.
    (caller.attempt().is_some() && !caller.phase.is_fulfilled()).then_some(())?;
    let (name, counter) = state.called.get(&child)?.clone();
    let AttemptKey { n, .. } = leaf::key(state, parent);
    Some(Command::Return { parent, n, name, counter, child })
}

/// After a restart every finished child is told again to a caller that still runs.
fn waiting_returns(state: &State) -> Vec<Command> {
    // A log may end between a call and its child.
    let there = |child: &NodeId| state.nodes.get(child.index()).is_some_and(|node| node.phase.is_fulfilled());
    let ended = state.calls.values().map(|(_, child)| *child).filter(there);
    let returns = ended.filter_map(|child| return_to_caller(state, child));
    returns
        .filter(|command| matches!(command, Command::Return { parent, .. } if state.open_attempts.contains(parent)))
        .collect()
}

/// The run owes nothing more once it has ended and no attempt is open.
fn over(state: &State) -> Option<Command> {
    let placed = |id: &NodeId| state.node(*id).attempt().is_some_and(|a| a.epoch.is_some());
    (state.is_ended() && !state.open_attempts.iter().any(placed)).then_some(Command::Ended)
}
