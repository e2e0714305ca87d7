//! `decide`: an input becomes events if it is admissible, and everything that follows from them at once follows here.
//! It must never emit an event before it knows that the input is not refused.

use crate::calls;
use crate::draft::Draft;
use crate::hooks;
use crate::invoke;
use crate::kept::Kept;
use crate::reopen;
use crate::reports;
use crate::sites;
use crate::state::{Body, State};
use crate::stop;
use crate::submit;
use crate::suspend;
use crate::{dag, retries, steps};
use alloc::boxed::Box;
use alloc::string::ToString;
use model::event::RunEnded;
use model::input::Stamped;
use model::{Command, Event, Input, NodeId, NodeKind, Outputs, Phase, Refusal, RunPhase};

/// Decides one input. On a refusal the draft is empty and the state is as it was.
pub fn decide(draft: &mut Draft<'_>, stamped: &Stamped) -> Result<(), Refusal> {
    match &stamped.input {
        Input::Submit(record) => submit::submit(draft, record)?,
        _ if !draft.state().is_created() => return Err(Refusal::NoRun),
        Input::Reports(reports) => reports::take(draft, reports),
        Input::Woke => stop::woke(draft),
        Input::Slept { us } => stop::slept(draft, *us),
        Input::Shutdown { strategy, by } => stop::shut_down(draft, *strategy, by)?,
        Input::Resume { by } => {
            if draft.state().is_ended() {
                return Err(Refusal::Ended);
            }
            draft.emit(Event::RunResumed { by: by.clone() });
        }
        Input::Reopen(wish) => reopen::reopen(draft, wish)?,
        Input::Call(call) => {
            calls::call(draft, call)?;
            // From now on the caller waits, and leaves its room.
            share_room(draft, call.parent);
        }
        Input::Approve(wish) => suspend::approve(draft, wish)?,
        Input::Locked { node } => locked(draft, *node),
        Input::Environment(lock) => {
            if !draft.state().locked.contains(&lock.requirements) {
                draft.emit(Event::EnvironmentLocked(lock.clone()));
            }
        }
    }
    cascade(draft);
    Ok(())
}

/// Locks were granted to whoever still waits for them: a run begins, or a node.
fn locked(draft: &mut Draft<'_>, node: Option<NodeId>) {
    let state = draft.state();
    match node {
        None if state.waits_for_locks && !state.waits_for_person && !sites::is_stopping(state) => {
            draft.emit(Event::LocksGranted { node });
            submit::begin(draft);
        }
        Some(id) if state.lock_waiters.contains(&id) && !sites::is_stopping_at(state, id) => {
            draft.emit(Event::LocksGranted { node });
            invoke::begin(draft, id);
        }
        // It has them already.
        None if state.has_run_locks && !state.is_ended() => {}
        Some(id)
            if state.nodes.get(id.index()).is_some_and(|node| !node.phase.is_fulfilled() && !node.waits_for_locks) => {}
        // Nobody waits any more: what was granted goes back.
        _ => draft.answer(Command::Release { node }),
    }
}

/// Follows every end to its container until nothing moves.
fn cascade(draft: &mut Draft<'_>) {
    loop {
        enter(draft);
        while let Some(id) = draft.ended.pop_front() {
            ended(draft, id);
            enter(draft);
        }
        if !fill(draft) {
            return;
        }
    }
}

/// Enters the boundaries that were nested too deeply to be entered at once.
fn enter(draft: &mut Draft<'_>) {
    while let Some(boundary) = draft.unentered.pop_front() {
        if !draft.state().node(boundary).phase.is_fulfilled() {
            invoke::enter(draft, boundary);
        }
    }
}

/// A node ended: tries that wait for room go on, then whoever holds the node.
fn ended(draft: &mut Draft<'_>, id: NodeId) {
    let Some(container) = draft.state().container(id) else { return settle_run(draft) };
    let boundary = limited_boundary(draft.state(), id);
    if boundary.is_some() {
        try_again(draft, boundary);
    }
    if draft.was_full {
        try_again(draft, None);
    }
    match draft.state().node(container).kind {
        NodeKind::StepGroup => steps::advance(draft, container),
        NodeKind::Steps => steps::group_ended(draft, container, id),
        NodeKind::TaskGroup => dag::advance_group(draft, container),
        NodeKind::Dag => dag::advance(draft, container),
        NodeKind::Retry => retries::try_ended(draft, container, id),
        NodeKind::Pod | NodeKind::Skipped | NodeKind::Suspend => {}
    }
    share_room(draft, id);
}

/// The boundary's own limit may have room again: its other call sites go on, not only those of the node's container.
fn share_room(draft: &mut Draft<'_>, id: NodeId) {
    if let Some(boundary) = limited_boundary(draft.state(), id) {
        try_again(draft, Some(boundary));
        // After a failure that ends the boundary, call sites that start no more end their groups.
        let may = |state: &State| sites::has_room(state, boundary) || sites::failed_fast(state, boundary);
        go_on(draft, Some(boundary), may);
    }
}

/// The boundary that a node stands in, if its template has a limit.
fn limited_boundary(state: &State, id: NodeId) -> Option<NodeId> {
    let limited = |id: &NodeId| state.template_of(*id).is_some_and(|template| template.parallelism.is_some());
    state.node(id).boundary.filter(limited)
}

/// Lets waiting tries and call sites start where the run's own limit has room again. True if something moved.
fn fill(draft: &mut Draft<'_>) -> bool {
    let state = draft.state();
    if sites::is_stopping(state) && state.exit.is_none() {
        return false;
    }
    let before = state.nodes.len();
    if sites::is_overfull(state) {
        // Nothing starts any more: what waited ends.
        try_again(draft, None);
        go_on(draft, None, |_| true);
    } else if draft.was_full {
        try_again(draft, None);
        go_on(draft, None, sites::run_has_room);
    }
    // A call site that may start no more ends its group instead.
    draft.state().nodes.len() > before || !draft.ended.is_empty() || !draft.unentered.is_empty()
}

/// Follows Retry nodes whose next try waits for room, of one boundary or of the run, in their order, as far as there is room.
/// They come before call sites, which have not begun.
fn try_again(draft: &mut Draft<'_>, boundary: Option<NodeId>) {
    let mut from = NodeId::ROOT;
    while let Some(id) = draft.state().wanting.next(boundary, from).filter(|_| sites::run_has_room(draft.state())) {
        from = NodeId(id.0 + 1);
        if retries::has_room(draft.state(), id) {
            retries::follow(draft, id);
        }
    }
}

/// Lets call sites that wait for room start, of one boundary or of the run, in the order of their nodes.
fn go_on(draft: &mut Draft<'_>, boundary: Option<NodeId>, may: impl Fn(&State) -> bool) {
    let mut from = NodeId::ROOT;
    while let Some(id) = draft.state().willing.next(boundary, from).filter(|_| may(draft.state())) {
        from = NodeId(id.0 + 1);
        advance(draft, id);
    }
}

/// Starts what may start below a node.
pub(crate) fn advance(draft: &mut Draft<'_>, id: NodeId) {
    match &draft.state().node(id).body {
        Body::StepGroup(_) => steps::advance(draft, id),
        Body::TaskGroup(_) => dag::advance_group(draft, id),
        Body::Dag(_) => dag::advance(draft, id),
        _ => {}
    }
}

/// The root, a hook of it or the exit handler ended: the exit handler follows once all else has ended, then the end of the run.
fn settle_run(draft: &mut Draft<'_>) {
    let state = draft.state();
    let open = |id: NodeId| !state.node(id).phase.is_fulfilled();
    if state.is_ended() || open(NodeId::ROOT) || hooks::open(state, NodeId::ROOT) > 0 {
        return;
    }
    if state.exit.is_none() {
        stop::close_open(draft, "the run has ended");
        if hooks::exit_run(draft) {
            return;
        }
    } else if state.exit.is_some_and(open) {
        return;
    }
    end_run(draft);
}

/// The run ends with the root's phase and message; a run that succeeded takes those of a failed exit handler.
fn end_run(draft: &mut Draft<'_>) {
    let state = draft.state();
    let root = state.node(NodeId::ROOT);
    let exit = state.exit.map(|exit| state.node(exit));
    let failed = exit.filter(|exit| exit.phase.is_failed_or_error() && !root.phase.is_failed_or_error());
    let node = failed.unwrap_or(root);
    let unmade = failed.is_none() && node.kind == NodeKind::Skipped && node.phase == Phase::Error;
    let phase = match node.phase {
        Phase::Failed => RunPhase::Failed,
        Phase::Error => RunPhase::Error,
        _ => RunPhase::Succeeded,
    };
    let message = match (state.shutdown, unmade) {
        (Some(strategy), _) => alloc::format!("Stopped with strategy '{}'", strategy.as_str()),
        (None, true) => alloc::format!("error in entry template execution: {}", node.message),
        (None, false) => node.message.to_string(),
    };
    let outputs: Outputs = root.outputs.as_ref().map(Kept::whole).unwrap_or_default();
    let phase = if state.shutdown.is_some() { RunPhase::Failed } else { phase };
    stop::close_open(draft, "the run has ended");
    draft.emit(Event::RunEnded(Box::new(RunEnded { phase, message, outputs })));
}
