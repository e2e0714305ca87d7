//! What ends a run before its time: stop, terminate, the deadline; and the timers that tell of it.
//! It must never start anything.

use crate::calls;
use crate::commands;
use crate::decide::advance;
use crate::draft::Draft;
use crate::retries;
use crate::sites;
use crate::state::State;
use crate::suspend;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;
use model::event::{NodeEnded, RunEnded};
use model::input::Shutdown;
use model::{Event, NodeId, Outputs, Phase, Refusal, RunPhase};

/// Stop may be followed by terminate; nothing else may follow.
pub(crate) fn shut_down(draft: &mut Draft<'_>, strategy: Shutdown, by: &str) -> Result<(), Refusal> {
    let state = draft.state();
    if state.is_ended() {
        return Err(Refusal::Ended);
    }
    if state.shutdown.is_some_and(|current| current >= strategy) {
        return Err(Refusal::ShuttingDown);
    }
    draft.emit(Event::ShutdownRequested { strategy, by: by.into() });
    let message = format!("workflow shutdown with strategy: {}", strategy.as_str());
    halt(draft, &message);
    Ok(())
}

/// A timer is due: the run's deadline, a node's timeout, the end of a back-off.
pub(crate) fn woke(draft: &mut Draft<'_>) {
    let now = draft.at();
    if draft.state().is_ended() {
        return;
    }
    if commands::deadline(draft.state()).is_some_and(|deadline| deadline <= now) {
        draft.emit(Event::DeadlineExceeded);
        halt(draft, "Step exceeded its deadline");
        return;
    }
    suspend::woke(draft);
    while let Some((_, node)) = draft.state().timeouts.first().copied().filter(|(due, _)| *due <= now) {
        end(draft, node, Phase::Failed, "timeout");
        // An earlier attempt of it may have called.
        calls::close_children(draft, node);
    }
    let due: Vec<NodeId> = draft.state().delayed.iter().take_while(|(due, _)| *due <= now).map(|(_, id)| *id).collect();
    for id in due {
        retries::follow(draft, id);
    }
}

/// Time passed that does not count. Only what has a deadline needs to know.
pub(crate) fn slept(draft: &mut Draft<'_>, us: i64) {
    let state = draft.state();
    let counts = commands::deadline(state).is_some() || !state.timeouts.is_empty();
    if us > 0 && counts && !state.is_ended() {
        draft.emit(Event::Slept { us });
    }
}

/// Ends what has not started, and lets what waits see that nothing starts any more.
fn halt(draft: &mut Draft<'_>, message: &str) {
    let unplaced = |state: &State, id: &NodeId| {
        state.node(*id).attempt().is_some_and(|a| a.epoch.is_none()) && sites::is_stopping_at(state, *id)
    };
    let leaves: Vec<NodeId> =
        draft.state().open_attempts.iter().copied().filter(|id| unplaced(draft.state(), id)).collect();
    for id in leaves {
        end(draft, id, Phase::Failed, message);
    }
    let waiters: Vec<NodeId> = draft.state().lock_waiters.iter().copied().collect();
    for id in waiters {
        if sites::is_stopping_at(draft.state(), id) && !draft.state().node(id).phase.is_fulfilled() {
            end(draft, id, Phase::Failed, message);
        }
    }
    let delayed: Vec<NodeId> = draft.state().delayed.iter().map(|(_, id)| *id).collect();
    for id in delayed {
        retries::follow(draft, id);
    }
    let wanting: Vec<NodeId> = draft.state().wanting.nodes.iter().copied().collect();
    for id in wanting {
        retries::follow(draft, id);
    }
    let willing: Vec<NodeId> = draft.state().willing.nodes.iter().copied().collect();
    for id in willing {
        advance(draft, id);
    }
    end_suspended(draft, message);
    let state = draft.state();
    if state.nodes.is_empty() && !state.is_ended() {
        // It was not let begin: there is no node that could end.
        let message = state.shutdown.map_or(message.to_string(), |s| format!("Stopped with strategy '{}'", s.as_str()));
        let ended = RunEnded { phase: RunPhase::Failed, message, outputs: Outputs::default() };
        draft.emit(Event::RunEnded(Box::new(ended)));
    }
}

/// Suspended nodes wait for a person who will not come.
fn end_suspended(draft: &mut Draft<'_>, message: &str) {
    let state = draft.state();
    let open =
        state.nodes.iter().enumerate().filter(|(_, n)| n.kind == model::NodeKind::Suspend && !n.phase.is_fulfilled());
    let open = open.map(|(i, _)| NodeId(i as u32)).filter(|id| sites::is_stopping_at(state, *id));
    let open: Vec<NodeId> = open.collect();
    for id in open {
        end(draft, id, Phase::Failed, message);
    }
}

fn end(draft: &mut Draft<'_>, node: NodeId, phase: Phase, message: &str) {
    let ended = NodeEnded { node, phase, message: message.to_string(), outputs: Outputs::default() };
    draft.emit(Event::NodeEnded(Box::new(ended)));
}

/// Ends every node that is still open, children first, without any rule seeing it.
pub(crate) fn close_open(draft: &mut Draft<'_>, message: &str) {
    let state = draft.state();
    let open: Vec<NodeId> =
        (0..state.nodes.len() as u32).rev().map(NodeId).filter(|id| !state.node(*id).phase.is_fulfilled()).collect();
    let quiet = core::mem::replace(&mut draft.quiet, true);
    for id in open {
        end(draft, id, Phase::Failed, message);
    }
    draft.quiet = quiet;
    draft.ended.clear();
}
