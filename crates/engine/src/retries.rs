//! Retry nodes: one child a try, and what follows when it has ended.
//! It must never count lost attempts: those are launched again below the try.

use crate::draft::Draft;
use crate::invoke::{self, Call};
use crate::kept::Kept;
use crate::leaf;
use crate::retry::{self, Decision};
use crate::scope::{Called, Strictness, resolve};
use crate::sites;
use crate::state::{Body, State};
use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use model::event::{NodeEnded, Placement};
use model::{Event, NodeId, Outputs, Phase};

/// Whether the limits on parallelism let a Retry node have another try. What a running node asked for waits for nobody's room.
pub(crate) fn has_room(state: &State, id: NodeId) -> bool {
    let room = match state.node(id).boundary {
        Some(boundary) => sites::has_room(state, boundary),
        None => sites::run_has_room(state),
    };
    room || state.is_requested(id)
}

/// Adds the next try of a Retry node.
pub(crate) fn try_again(draft: &mut Draft<'_>, id: NodeId) {
    let state = draft.state();
    if invoke::is_full(state) {
        return end(draft, id, Phase::Error, invoke::full(), Outputs::default());
    }
    let node = state.node(id);
    let Body::Retry(body) = &node.body else { return };
    let n = body.tries.len();
    let call = Call {
        name: format!("{}({n})", state.name(id)),
        display_name: format!("{}({n})", state.display_name(id)),
        template: node.template,
        boundary: node.boundary,
        place: Placement::Under(id),
        site: node.site,
        retried: true,
        hooked: false,
    };
    let inputs = (*node.inputs).clone();
    let checked = state.template_of(id).map_or(Ok(()), |template| {
        let mut scope = leaf::scope(state, template, Called::Name(&call.name), &inputs);
        scope.locals.extend(leaf::retry_locals(state, id, n));
        leaf::check(template, &scope)
    });
    match checked {
        Ok(()) => invoke::add_body(draft, call, inputs),
        Err(reason) => invoke::add_ended(draft, call, Phase::Error, reason),
    };
}

/// A try ended.
pub(crate) fn try_ended(draft: &mut Draft<'_>, id: NodeId, child: NodeId) {
    let state = draft.state();
    if state.node(id).phase.is_fulfilled() {
        return;
    }
    let last = state.node(child);
    if !last.phase.is_failed_or_error() {
        let outputs = outputs_of(state, child);
        return end(draft, id, Phase::Succeeded, String::new(), outputs);
    }
    // Whoever made room before this end was heard of may have tried again already.
    if state.wanting.nodes.contains(&id) {
        follow(draft, id);
    }
}

/// Decides what follows after the last, failed try; also when a back-off is over, there is room again, or the run is stopped.
/// Without room the node stays among those that want a try.
pub(crate) fn follow(draft: &mut Draft<'_>, id: NodeId) {
    let state = draft.state();
    let Body::Retry(body) = &state.node(id).body else { return };
    let (Some(last), Some(mut situation)) = (body.tries.last().copied(), leaf::situation(state, &body.tries)) else {
        return;
    };
    situation.now = draft.at();
    let decision = decide(state, id, &situation);
    match decision {
        Ok(Decision::Retry) if has_room(state, id) => try_again(draft, id),
        Ok(Decision::Retry) if body.until.is_some() => {
            let message = "waits for room: parallelism is used up".to_string();
            draft.emit(Event::RetryDelayed { node: id, until: draft.at(), message });
        }
        Ok(Decision::Retry) => {}
        Ok(Decision::Wait { until, message }) => draft.emit(Event::RetryDelayed { node: id, until, message }),
        Ok(Decision::Stop { phase, message }) => {
            let outputs = outputs_of(state, last);
            end(draft, id, phase, message, outputs);
        }
        Err(reason) => end(draft, id, Phase::Error, reason, Outputs::default()),
    }
}

fn decide(state: &State, id: NodeId, situation: &retry::Situation<'_>) -> Result<Decision, String> {
    let node = state.node(id);
    let Some((template, strategy)) = state.template_of(id).and_then(|t| Some((t, t.retry.as_ref()?))) else {
        return Ok(Decision::Stop { phase: situation.last.phase, message: situation.last.message.into() });
    };
    let scope = leaf::scope(state, template, Called::Node(id), &node.inputs);
    retry::decide(strategy, situation, &|text| resolve(text, &scope, Strictness::Lenient))
}

fn outputs_of(state: &State, id: NodeId) -> Outputs {
    state.node(id).outputs.as_ref().map(Kept::whole).unwrap_or_default()
}

fn end(draft: &mut Draft<'_>, node: NodeId, phase: Phase, message: String, outputs: Outputs) {
    draft.emit(Event::NodeEnded(Box::new(NodeEnded { node, phase, message, outputs })));
}

/// Whether a Retry node ended because its strategy could not be evaluated, not because of its last try.
pub(crate) fn strategy_failed(state: &State, id: NodeId) -> bool {
    let node = state.node(id);
    let Body::Retry(body) = &node.body else { return false };
    let last = body.tries.last().map(|id| state.node(*id).phase);
    node.phase == Phase::Error && last != Some(Phase::Error)
}
