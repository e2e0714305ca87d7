//! Going on with a run that failed because a task did not write what the plan declares, once the plan declares it elsewhere
//! (DESIGN §5): such outputs are collected from what was written, and nothing of it is computed again.
//! It must never collect for a task that would now do something else.

use crate::decide;
use crate::draft::Draft;
use crate::evolve::lay_plan;
use crate::kept::Kept;
use crate::leaf;
use crate::reopened::children;
use crate::retries;
use crate::state::{Body, Node, State};
use crate::steps;
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use model::event::{Reset, RunReopened};
use model::input::Reopen;
use model::plan::{Body as PlanBody, Plan, Task};
use model::{Event, Launch, NodeId, NodeKind, Phase, Refusal};

pub(crate) fn reopen(draft: &mut Draft<'_>, wish: &Reopen) -> Result<(), Refusal> {
    let state = draft.state();
    check(state)?;
    if let Some(what) = reshaped(state.plan(), &wish.plan) {
        return Err(Refusal::Reshaped(what));
    }
    let mut choice = Choice::new(state, wish);
    choice.visit(NodeId::ROOT);
    choice.judge()?;
    let Choice { open, reset, collect, again, .. } = choice;
    let mut open = open;
    open.sort_unstable();
    let tries: Vec<NodeId> =
        open.iter().copied().filter(|id| draft.state().node(*id).kind == NodeKind::Retry).collect();
    let reopened = RunReopened { by: wish.by.clone(), plan: Box::new(wish.plan.clone()), open: open.clone(), reset };
    draft.emit(Event::RunReopened(Box::new(reopened)));
    for (node, from) in collect {
        let n = next_n(draft.state(), node);
        draft.emit(Event::AttemptAdded { node, n, collects: Some(from) });
    }
    for node in again {
        let n = next_n(draft.state(), node);
        draft.emit(Event::AttemptAdded { node, n, collects: None });
    }
    for id in tries {
        if matches!(&draft.state().node(id).body, Body::Retry(retry) if retry.tries.is_empty()) {
            retries::try_again(draft, id);
        }
    }
    // The innermost first: what it comes to is heard above.
    for id in open.iter().rev() {
        go_on(draft, *id, &open);
    }
    Ok(())
}

fn check(state: &State) -> Result<(), Refusal> {
    let not = |why: &str| Err(Refusal::NotReopened(why.into()));
    if !state.is_ended() {
        return Err(Refusal::NotEnded);
    }
    if state.shutdown.is_some() {
        return not("it was stopped");
    }
    if state.deadline_exceeded {
        return not("it ran into its deadline");
    }
    if !state.open_attempts.is_empty() {
        return not("some of its tasks are still being ended");
    }
    if !state.hooks.is_empty() || state.exit.is_some() {
        return not("its hooks have run");
    }
    if !state.calls.is_empty() {
        return not("its tasks called others");
    }
    Ok(())
}

fn next_n(state: &State, id: NodeId) -> u32 {
    state.node(id).attempt().map_or(0, |attempt| attempt.n + 1)
}

/// Lets an open node go on with what it holds. `open`: nodes whose ends it will hear of.
fn go_on(draft: &mut Draft<'_>, id: NodeId, open: &[NodeId]) {
    let state = draft.state();
    if state.node(id).phase.is_fulfilled() {
        return;
    }
    let Body::Steps(body) = &state.node(id).body else { return decide::advance(draft, id) };
    if body.groups.last().is_none_or(|group| open.binary_search(group).is_err()) {
        steps::next_group(draft, id);
    }
}

/// Leaves whose programs ended well and that failed for their outputs alone.
pub fn missing_outputs(state: &State) -> Vec<NodeId> {
    let ids = (0..state.nodes.len() as u32).map(NodeId);
    ids.filter(|id| !state.node(*id).is_reset && lacks_outputs(state.node(*id))).collect()
}

fn lacks_outputs(node: &Node) -> bool {
    let code = node.outputs.as_ref().and_then(Kept::exit_code);
    node.attempt().is_some() && node.phase == Phase::Error && code == Some(0)
}

/// What becomes of each node.
struct Choice<'a> {
    state: &'a State,
    /// The same with the new plan.
    next: State,
    wish: &'a Reopen,
    open: Vec<NodeId>,
    reset: Vec<Reset>,
    /// What becomes of the nodes that were looked into.
    fates: BTreeMap<NodeId, Fate>,
    /// Redundant: the nodes of `reset`.
    known: BTreeSet<NodeId>,
    /// Leaves and the attempts whose files they are collected from.
    collect: Vec<(NodeId, u32)>,
    /// A leaf that is the whole run and runs again.
    again: Vec<NodeId>,
    /// Tasks that failed for their outputs and would now do something else.
    changed: u32,
    /// Names of those whose files are gone.
    gone: Vec<String>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Stays,
    Opens,
    Resets,
}

impl<'a> Choice<'a> {
    fn new(state: &'a State, wish: &'a Reopen) -> Self {
        let mut record = state.record().clone();
        record.plan = wish.plan.clone();
        let mut next = state.clone();
        lay_plan(&mut next, record);
        let (open, reset, fates, known, collect, again, gone) = Default::default();
        Self { state, next, wish, open, reset, fates, known, collect, again, changed: 0, gone }
    }

    /// Whether there is a reason to go on at all.
    fn judge(&self) -> Result<(), Refusal> {
        if !self.collect.is_empty() || self.changed > 0 {
            return Ok(());
        }
        let why = match &self.gone[..] {
            [] => "the run failed for no task that ended well without its declared outputs".to_string(),
            names => {
                format!("what {} wrote was kept for a day at most, while there was room, and is gone", names.join(", "))
            }
        };
        Err(Refusal::NothingToCollect(why))
    }

    /// Decides for everything below a node. Without the stack: recursions are deep.
    fn visit(&mut self, top: NodeId) {
        let mut stack = alloc::vec![top];
        let mut order = Vec::new();
        while let Some(id) = stack.pop() {
            order.push(id);
            stack.extend(self.looked_into(id));
        }
        for id in order.into_iter().rev() {
            let fate = self.fate(id);
            self.fates.insert(id, fate);
        }
    }

    /// The nodes that decide what becomes of a node.
    fn looked_into(&self, id: NodeId) -> Vec<NodeId> {
        let node = self.state.node(id);
        match (node.phase, node.kind) {
            (Phase::Succeeded | Phase::Skipped | Phase::Omitted, _) => Vec::new(),
            (_, NodeKind::Retry) => {
                let last = children(&node.body).pop();
                last.into_iter().filter(|last| self.state.node(*last).kind != NodeKind::Pod).collect()
            }
            _ => children(&node.body),
        }
    }

    fn fate(&mut self, id: NodeId) -> Fate {
        let node = self.state.node(id);
        let fate = match (node.phase, node.kind) {
            (Phase::Succeeded | Phase::Skipped, _) => return Fate::Stays,
            (Phase::Omitted, _) => self.reset(id, "it had not run"),
            (_, NodeKind::Pod) => self.leaf(id),
            (_, NodeKind::Retry) => self.tries(id),
            (_, NodeKind::Steps | NodeKind::StepGroup | NodeKind::Dag | NodeKind::TaskGroup) => self.container(id),
            (_, NodeKind::Skipped | NodeKind::Suspend) => self.reset(id, "it could not be made"),
        };
        if fate == Fate::Opens {
            self.open.push(id);
        }
        fate
    }

    fn leaf(&mut self, id: NodeId) -> Fate {
        if !lacks_outputs(self.state.node(id)) {
            return self.run_again(id, "it failed");
        }
        if let Err(what) = self.same_work(id) {
            self.changed += 1;
            return self.run_again(id, &format!("it has {what}"));
        }
        let Some(attempt) = self.state.node(id).attempt() else { return Fate::Stays };
        let from = attempt.collects.unwrap_or(attempt.n);
        if !self.wish.kept.contains(&(id.0, from)) {
            self.gone.push(self.state.name(id).into_owned());
            return self.run_again(id, "what it wrote is gone");
        }
        self.collect.push((id, from));
        Fate::Opens
    }

    /// Nothing calls the root again: it runs again where it is.
    fn run_again(&mut self, id: NodeId, why: &str) -> Fate {
        if id == NodeId::ROOT {
            self.again.push(id);
            return Fate::Opens;
        }
        self.reset(id, why)
    }

    /// A Retry node stays if its last try can be collected; else its tries begin anew.
    fn tries(&mut self, id: NodeId) -> Fate {
        let tries = children(&self.state.node(id).body);
        let Some(last) = tries.last().copied() else { return self.run_again(id, "it failed") };
        if self.state.node(last).kind != NodeKind::Pod {
            let fate = self.known_fate(last);
            return if fate == Fate::Opens { fate } else { self.forget_tries(id, &tries) };
        }
        let collected = self.collect.len();
        let before = self.reset.len();
        self.fate(last);
        if self.collect.len() > collected {
            return Fate::Opens;
        }
        let taken: Vec<Reset> = self.reset.drain(before..).collect();
        for reset in &taken {
            self.known.remove(&reset.node);
        }
        let why = taken.into_iter().next().map_or_else(|| "it failed".to_string(), |reset| reset.why);
        if id == NodeId::ROOT { self.forget_tries(id, &tries) } else { self.reset(id, &why) }
    }

    fn forget_tries(&mut self, id: NodeId, tries: &[NodeId]) -> Fate {
        if id != NodeId::ROOT {
            return self.reset(id, "it failed");
        }
        for try_ in tries {
            self.reset(*try_, "it failed");
        }
        Fate::Opens
    }

    fn container(&mut self, id: NodeId) -> Fate {
        let moves = |child: &NodeId| self.known_fate(*child) != Fate::Stays;
        let moved = children(&self.state.node(id).body).iter().filter(|child| moves(child)).count();
        // It failed by itself, before its steps could.
        if moved == 0 && self.state.node(id).kind == NodeKind::StepGroup {
            return self.reset(id, "its references did not resolve");
        }
        Fate::Opens
    }

    /// What becomes of a node that was looked into.
    fn known_fate(&self, id: NodeId) -> Fate {
        self.fates.get(&id).copied().unwrap_or(Fate::Stays)
    }

    /// The node and all that it holds.
    fn reset(&mut self, id: NodeId, why: &str) -> Fate {
        let mut stack = alloc::vec![id];
        while let Some(id) = stack.pop() {
            if self.known.insert(id) {
                self.reset.push(Reset { node: id, why: why.into() });
            }
            stack.extend(children(&self.state.node(id).body));
        }
        Fate::Resets
    }

    /// Whether the task would do the same by the new plan, its outputs apart. The error is what it has now.
    fn same_work(&self, id: NodeId) -> Result<(), &'static str> {
        let mut at = id;
        loop {
            let (old, new) = (self.state.template_of(at), self.next.template_of(at));
            if old.map(|template| &template.inputs) != new.map(|template| &template.inputs) {
                return Err("other inputs");
            }
            let node = self.state.node(at);
            let Some(boundary) = node.boundary else { break };
            let task = |state: &'a State, site| state.task(boundary, site);
            if let Some(site) = node.site
                && task(self.state, site) != self.next.task(boundary, site)
            {
                return Err("other arguments or conditions");
            }
            at = boundary;
        }
        match (leaf::launch(self.state, id), leaf::launch(&self.next, id)) {
            (Ok(old), Ok(new)) => same_launch(&old, &new),
            _ => Err("texts that do not resolve"),
        }
    }
}

fn same_launch(old: &Launch, new: &Launch) -> Result<(), &'static str> {
    let same = [
        (old.image == new.image, "another image"),
        (old.command == new.command && old.args == new.args, "another command or other arguments"),
        (old.script == new.script, "another script"),
        (old.working_dir == new.working_dir, "another working directory"),
        (old.env == new.env, "other environment variables"),
        (old.mounts == new.mounts && old.inputs == new.inputs, "other inputs or volumes"),
        (old.python_requirements == new.python_requirements, "other Python requirements"),
    ];
    same.into_iter().find(|(same, _)| !same).map_or(Ok(()), |(_, what)| Err(what))
}

/// What of the new plan does not fit the nodes that are there.
fn reshaped(old: &Plan, new: &Plan) -> Option<String> {
    let templates = |plan: &Plan| plan.templates.iter().map(|t| (t.name.clone(), t.scope.clone())).collect::<Vec<_>>();
    if templates(old) != templates(new) || old.entrypoint != new.entrypoint {
        return Some("other templates, or another entrypoint".into());
    }
    if old.arguments != new.arguments {
        return Some("other arguments of the workflow".into());
    }
    let bodies = old.templates.iter().zip(&new.templates);
    let differs = bodies.into_iter().find(|(old, new)| !same_shape(&old.body, &new.body))?;
    Some(format!("other tasks in template `{}`", differs.0.name))
}

fn same_shape(old: &PlanBody, new: &PlanBody) -> bool {
    let all = |old: &[Task], new: &[Task]| old.len() == new.len() && old.iter().zip(new).all(|(o, n)| same_task(o, n));
    match (old, new) {
        (PlanBody::Steps(old), PlanBody::Steps(new)) => {
            old.len() == new.len() && old.iter().zip(new).all(|(old, new)| all(old, new))
        }
        (PlanBody::Dag(old), PlanBody::Dag(new)) => old.target == new.target && all(&old.tasks, &new.tasks),
        (PlanBody::Leaf(old), PlanBody::Leaf(new)) => old.dynamic == new.dynamic,
        (old, new) => core::mem::discriminant(old) == core::mem::discriminant(new),
    }
}

fn same_task(old: &Task, new: &Task) -> bool {
    (&old.name, &old.target, &old.depends, &old.with) == (&new.name, &new.target, &new.depends, &new.with)
        && old.from_dependencies == new.from_dependencies
}
