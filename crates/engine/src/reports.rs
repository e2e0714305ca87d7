//! Reports about attempts: that one was placed, that one ended. Each counts once; old and repeated ones change nothing.
//! It must never believe a report about an attempt that the state does not know.

use crate::draft::Draft;
use crate::leaf;
use alloc::boxed::Box;
use alloc::format;
use model::event::{AttemptEnded, NodeEnded};
use model::input::{Epoch, Report, ReportKind};
use model::planted::{self, Bug};
use model::{Event, Exit, NodeId, Outcome, Outputs, Phase};

/// Takes reports that arrived together; what follows from them follows after the last.
pub(crate) fn take(draft: &mut Draft<'_>, reports: &[Report]) {
    for report in reports {
        match &report.what {
            ReportKind::Placed(epoch, gpus) => placed(draft, report.node, report.n, epoch, gpus),
            ReportKind::Ended(outcome) => ended(draft, report.node, report.n, outcome),
        }
    }
}

/// The attempt that counts, if `n` is its number and it has not ended: whether it was placed.
fn counting(draft: &Draft<'_>, node: NodeId, n: u32) -> Option<bool> {
    let attempt = draft.state().nodes.get(node.index())?.attempt()?;
    (attempt.n == n || planted::is(Bug::MissingFence)).then_some(())?;
    (!attempt.ended).then_some(attempt.epoch.is_some())
}

fn placed(draft: &mut Draft<'_>, node: NodeId, n: u32, epoch: &Epoch, gpus: &[u32]) {
    let open =
        draft.state().nodes.get(node.index()).is_some_and(|node| !node.phase.is_fulfilled() && !node.waits_for_locks);
    if open && counting(draft, node, n) == Some(false) && !crate::sites::is_stopping_at(draft.state(), node) {
        draft.emit(Event::AttemptStarted { node, n, epoch: epoch.clone(), gpus: gpus.to_vec() });
    }
}

fn ended(draft: &mut Draft<'_>, node: NodeId, n: u32, outcome: &Outcome) {
    if counting(draft, node, n).is_none() {
        return;
    }
    draft.emit(Event::AttemptEnded(Box::new(AttemptEnded {
        node,
        n,
        exit: outcome.exit.clone(),
        started_at: outcome.started_at,
        ended_at: outcome.ended_at,
        usage: outcome.usage,
        written: outcome.written.clone(),
    })));
    let state = draft.state();
    // The node may have ended before its attempt did: then the outcome is history.
    if state.node(node).phase.is_fulfilled() {
        return;
    }
    match &outcome.exit {
        Exit::Lost(why) if !crate::sites::is_stopping_at(state, node) => lost(draft, node, n, why),
        _ => {
            let (phase, message, outputs) = leaf::meaning(state, node, outcome);
            draft.emit(Event::NodeEnded(Box::new(NodeEnded { node, phase, message, outputs })));
            crate::calls::close_children(draft, node);
        }
    }
}

/// A lost attempt is launched again, unless its template forbids it and it may have run: one without a place was never launched.
fn lost(draft: &mut Draft<'_>, node: NodeId, n: u32, why: &str) {
    let state = draft.state();
    let once = state.template_of(node).is_some_and(|template| template.at_most_once);
    let attempt = state.node(node).attempt();
    let placed = attempt.is_some_and(|attempt| attempt.epoch.is_some());
    // One that was to collect never ran.
    let collects = attempt.and_then(|attempt| attempt.collects);
    if once && placed && collects.is_none() {
        let message = format!("attempt lost: {why}");
        let (phase, outputs) = (Phase::Error, Outputs::default());
        draft.emit(Event::NodeEnded(Box::new(NodeEnded { node, phase, message, outputs })));
        crate::calls::close_children(draft, node);
    } else {
        let next = if planted::is(Bug::AttemptNumberUsedTwice) { n } else { n + 1 };
        draft.emit(Event::AttemptAdded { node, n: next, collects });
    }
}
