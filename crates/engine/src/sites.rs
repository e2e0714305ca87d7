//! Call sites: what a step or a task comes to when it is due. The rules that steps and DAGs share.
//! It must never know which of the two it serves beyond what the place says.

use crate::arguments::{Given, give};
use crate::hooks;
use crate::invoke::{self, Call};
use crate::loops::{self, Item};
use crate::scope::{Reach, Scope, Strictness, resolve};
use crate::state::State;
use alloc::borrow::Cow;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use model::event::{Items, Placement, Site};
use model::limits;
use model::plan::{Task, With};
use model::{NodeId, TemplateId};

/// One call that is due.
pub(crate) struct Due<'a> {
    pub task: &'a Task,
    pub boundary: NodeId,
    pub reach: Reach,
    pub place: Placement,
    pub site: Site,
    /// What stands before the child's own name: `wf[0]`, `wf`.
    pub prefix: Cow<'a, str>,
    pub item: Option<Item>,
}

/// What a call came to before a node is made of it.
pub(crate) enum Ready {
    /// `when` is false: the message.
    Skip(String),
    Go(TemplateId, Given),
}

impl Due<'_> {
    /// The child's own name: the task's, with index and label of its item.
    pub fn display_name(&self) -> String {
        match (&self.item, self.site.item) {
            (Some(item), Some(index)) => loops::child_name(&self.task.name, index, &item.label),
            _ => self.task.name.clone(),
        }
    }

    pub fn call(&self, template: Option<TemplateId>) -> Call {
        let display_name = self.display_name();
        Call {
            name: [&*self.prefix, ".", &display_name].concat(),
            display_name,
            template,
            boundary: Some(self.boundary),
            place: self.place.clone(),
            site: Some(self.site),
            retried: false,
            hooked: false,
        }
    }

    pub fn static_template(&self) -> Option<TemplateId> {
        match &self.task.target {
            model::plan::Target::Template(id) => Some(*id),
            model::plan::Target::Named(_) => None,
        }
    }
}

/// Resolves `when`, target and arguments. The error is upstream's text.
pub(crate) fn resolve_due(state: &State, due: &Due<'_>) -> Result<Ready, String> {
    let scope = Scope::of_site(state, due.boundary, due.reach, due.item.as_ref());
    // The tags of a loop's child have all been bound once its item is.
    let strictness = match &due.item {
        Some(_) if is_plainly_false(due.task) => Strictness::Lenient,
        Some(_) => Strictness::Strict,
        None => Strictness::Siblings,
    };
    if let Some(message) = skipped(due.task, &scope, strictness)? {
        return Ok(Ready::Skip(message));
    }
    let template = invoke::target(state, &due.task.target, &scope)?;
    Ok(Ready::Go(template, give(&due.task.arguments, &scope, strictness)?))
}

/// The message of a call whose `when` is false.
fn skipped(task: &Task, scope: &Scope<'_>, strictness: Strictness) -> Result<Option<String>, String> {
    let Some(when) = &task.when else { return Ok(None) };
    let text = resolve(when, scope, strictness)?;
    if text.is_empty() || expr::when::evaluate(&text)? {
        Ok(None)
    } else {
        Ok(Some(format!("when '{text}' evaluated false")))
    }
}

/// Resolves what a loop runs over, and checks what its children will refer to.
pub(crate) fn open_loop(state: &State, due: &Due<'_>) -> Result<Items, String> {
    let scope = Scope::of_site(state, due.boundary, due.reach, None);
    open_with(due.task, &scope)
}

/// The texts of `withItems` are the last that could still resolve; a value or a number may hold what it likes.
/// A loop whose plain `when` is false runs over nothing where its items cannot be had.
pub(crate) fn open_with(task: &Task, scope: &Scope<'_>) -> Result<Items, String> {
    let Some(with) = &task.with else { return Err("not a loop".to_string()) };
    let strictness = if matches!(with, With::Items(_)) { Strictness::Strict } else { Strictness::Siblings };
    match loops::open(with, &|text| resolve(text, scope, strictness)) {
        Err(_) if is_plainly_false(task) => Ok(Items::List(Vec::new())),
        opened => opened,
    }
}

/// Whether the `when` is false as it is written, so that the references of the call need not resolve. (Upstream asks this of the
/// text before its tags are replaced: `'{{item}}' == 'a'` is false so, and nothing of it must resolve then.)
pub(crate) fn is_plainly_false(task: &Task) -> bool {
    task.when.as_ref().is_some_and(|when| expr::when::evaluate(&when.0) == Ok(false))
}

/// Resolves the references of a loop's arguments as far as they do not need an item.
pub(crate) fn check_loop(state: &State, due: &Due<'_>) -> Result<(), String> {
    let scope = Scope::of_site(state, due.boundary, due.reach, None);
    if is_plainly_false(due.task) {
        return Ok(());
    }
    give(&due.task.arguments, &scope, Strictness::Siblings).map(|_| ())
}

/// Whether the limits on parallelism let `boundary` have one more child.
pub(crate) fn has_room(state: &State, boundary: NodeId) -> bool {
    let own = state.template_of(boundary).and_then(|template| template.parallelism);
    run_has_room(state) && own.is_none_or(|max| state.tally(boundary).active < max)
}

/// Leaves that are open at once; few in the tests of this crate, that there can be more.
const OPEN_LEAVES_MAX: u32 = if cfg!(test) { 12 } else { limits::OPEN_LEAVES_MAX };

/// Whether the run's own limit, and ours, let one more node start; true before there is a run.
pub(crate) fn run_has_room(state: &State) -> bool {
    let Some(record) = &state.record else { return true };
    let open = OPEN_LEAVES_MAX.max(record.jobs.unwrap_or(0).saturating_mul(2));
    state.active_leaves < record.plan.parallelism.map_or(open, |max| max.min(open))
}

/// Whether the run has passed the limit on its nodes: one call site became an error for it, and no further one starts.
pub(crate) fn is_overfull(state: &State) -> bool {
    state.nodes.len() as u32 > invoke::NODES_MAX
}

/// Whether nothing new may start in the run.
pub(crate) fn is_stopping(state: &State) -> bool {
    state.shutdown.is_some() || state.deadline_exceeded || state.is_ended()
}

/// Whether nothing new may start at a node. The exit handler of the run goes on after a stop, and knows no deadline.
pub(crate) fn is_stopping_at(state: &State, id: NodeId) -> bool {
    is_stopping(state)
        && (state.is_ended() || state.shutdown == Some(model::input::Shutdown::Terminate) || !hooks::is_exit(state, id))
}

/// Whether no call site of a node starts any more, for whichever reason.
pub(crate) fn is_closed(state: &State, id: NodeId) -> bool {
    is_stopping_at(state, id) || is_overfull(state)
}

/// Whether `failFast` of the boundary's template forbids new children.
pub(crate) fn failed_fast(state: &State, boundary: NodeId) -> bool {
    state.template_of(boundary).is_some_and(|template| template.fail_fast) && state.tally(boundary).failed > 0
}
