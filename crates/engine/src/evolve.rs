//! The fold: how each event changes the state. Bookkeeping only, and total: it decides nothing and refuses nothing.
//! It must never be given an event that `decide` did not emit from this very state.

use crate::globals;
use crate::graph::Graph;
use crate::kept::Kept;
use crate::leaf;
use crate::reopened;
use crate::results;
use crate::scope::{Called, Scope};
use crate::state::{Attempt, Body, DagBody, GroupBody, Names, Node, SiteBody, State, Tally};
use crate::suspend;
use crate::targets;
use crate::wants;
use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::sync::Arc;
use model::event::{AttemptEnded, LoopOpened, NodeAdded, NodeEnded, Placement, Recorded, Site};
use model::plan::Body as PlanBody;
use model::{Event, NodeId, NodeKind, Outputs, Phase, RunPhase, RunRecord, TemplateId, Time};

pub fn evolve(state: &mut State, recorded: &Recorded) {
    state.now = recorded.at;
    let at = recorded.at;
    match &recorded.event {
        Event::RunCreated(record) => created(state, at, record),
        Event::NodeAdded(added) => node_added(state, added, at),
        Event::AttemptStarted { node, epoch, gpus, .. } => {
            attempt_started(state, *node, epoch, at);
            if !gpus.is_empty() {
                state.gpus.insert(*node, gpus.clone());
            }
        }
        Event::AttemptEnded(ended) => attempt_ended(state, ended),
        Event::AttemptAdded { node, n, collects } => attempt_added(state, *node, *n, *collects),
        Event::NodeEnded(ended) => node_ended(state, ended, at),
        Event::LoopOpened(opened) => loop_opened(state, opened),
        Event::RetryDelayed { node, until, message } => {
            retry_delayed(state, *node, (*until > at).then_some(*until), message)
        }
        Event::EnvironmentLocked(lock) => {
            state.locked.insert(lock.requirements.clone());
        }
        Event::RunResumed { .. } => {}
        Event::RunReopened(event) => reopened::reopened(state, event, at),
        Event::ShutdownRequested { strategy, .. } => state.shutdown = Some(*strategy),
        Event::DeadlineExceeded => state.deadline_exceeded = true,
        Event::Slept { us } => slept(state, at, *us),
        Event::Approved { node: None, .. } => state.waits_for_person = false,
        Event::Approved { .. } => {}
        Event::LocksGranted { node } => locks_granted(state, *node, at),
        Event::CallAdded(call) => {
            let key = (call.parent, call.name.clone(), call.counter);
            state.calls.insert(key, (call.fingerprint.clone(), call.child));
            state.called.insert(call.child, (call.name.clone(), call.counter));
        }
        Event::RunEnded(ended) => {
            state.phase = Some(ended.phase);
            state.message.clone_from(&ended.message);
            state.outputs = ended.outputs.clone();
        }
    }
}

/// Folds a whole log.
pub fn fold<'a>(events: impl IntoIterator<Item = &'a Recorded>) -> State {
    let mut state = State::default();
    events.into_iter().for_each(|event| evolve(&mut state, event));
    state
}

fn created(state: &mut State, at: Time, record: &RunRecord) {
    state.locked = record.environments.iter().map(|lock| lock.requirements.clone()).collect();
    // Not when the client says that it asked: its clock may have been set since.
    state.began = at;
    lay_plan(state, record.clone());
    state.waits_for_person = record.plan.suspended;
    state.waits_for_locks = !record.plan.locks.is_empty();
    state.phase = Some(RunPhase::Running);
}

/// The record, and what is computed from its plan once. What nodes made known to the whole run stays.
pub(crate) fn lay_plan(state: &mut State, record: RunRecord) {
    let graphs = record.plan.templates.iter().enumerate().filter_map(|(i, template)| match &template.body {
        PlanBody::Dag(dag) => Some((TemplateId(i as u32), Graph::of(dag))),
        _ => None,
    });
    state.graphs = Arc::new(graphs.collect());
    let templates = record.plan.templates.iter().enumerate();
    let results = templates.map(|(i, template)| (TemplateId(i as u32), results::wanted(template)));
    state.results = Arc::new(results.filter(|(_, names)| !names.is_empty()).collect());
    let mut globals = globals::of(&record);
    let handed_out = state.globals.iter().filter(|(name, _)| name.starts_with(HANDED_OUT));
    globals.extend(handed_out.map(|(name, value)| (name.clone(), value.clone())));
    state.globals = Arc::new(globals);
    state.record = Some(Arc::new(record));
}

/// How the names begin of what nodes made known to the whole run.
const HANDED_OUT: &str = "workflow.outputs.";

fn node_added(state: &mut State, added: &NodeAdded, at: Time) {
    let id = added.node;
    let fulfilled = added.phase.is_fulfilled();
    let is_leaf = added.kind == NodeKind::Pod;
    let computed = state.names_of_item(added.boundary, &added.place, added.site);
    let says = |(prefix, own): (Cow<'_, str>, alloc::string::String)| {
        let before = added.name.strip_suffix(own.as_str()).and_then(|name| name.strip_suffix('.'));
        own == added.display_name && before == Some(&*prefix)
    };
    let own = !computed.is_some_and(says);
    let names = || Names { name: added.name.as_str().into(), display_name: added.display_name.as_str().into() };
    if added.inputs != *state.last.inputs {
        state.last.inputs = Arc::new(added.inputs.clone());
    }
    state.nodes.push(Node {
        names: own.then(|| Box::new(names())),
        kind: added.kind,
        phase: added.phase,
        message: added.message.as_str().into(),
        template: added.template,
        boundary: added.boundary,
        depth: added.boundary.map_or(0, |boundary| state.node(boundary).depth + 1),
        place: added.place.clone(),
        site: added.site,
        inputs: state.last.inputs.clone(),
        outputs: None,
        retried: added.retried,
        hooked: added.hooked,
        waits_for_locks: false,
        added_at: at,
        started_at: (!is_leaf).then_some(at),
        ended_at: fulfilled.then_some(at),
        is_reset: false,
        body: Body::Nothing,
    });
    let body = new_body(state, id);
    state.nodes[id.index()].body = body;
    if !fulfilled && wants::has(state, id) {
        state.nodes[id.index()].waits_for_locks = true;
        state.lock_waiters.insert(id);
    }
    suspended(state, id);
    if is_leaf && !fulfilled {
        state.open_attempts.insert(id);
        set_timeout(state, id, at);
    }
    if state.takes_room(id) {
        take_room(state, id);
    }
    attach(state, id, fulfilled);
    if fulfilled {
        count_failure(state, id);
    }
    refresh_willing(state, id);
}

/// A suspended node goes on by itself then.
fn suspended(state: &mut State, id: NodeId) {
    if let Some(due) = suspend::due(state, id) {
        state.suspended.insert((due, id));
    }
}

/// A node has its locks, or the run its own.
fn locks_granted(state: &mut State, node: Option<NodeId>, at: Time) {
    let Some(id) = node else {
        (state.waits_for_locks, state.has_run_locks) = (false, true);
        return;
    };
    state.lock_waiters.remove(&id);
    let node = &mut state.nodes[id.index()];
    node.waits_for_locks = false;
    node.message = Box::default();
    if node.kind != NodeKind::Pod {
        (node.phase, node.started_at) = (Phase::Running, Some(at));
    }
    suspended(state, id);
    refresh_willing(state, id);
}

/// A leaf waits: its `timeout` counts from the moment in which the node was added.
fn set_timeout(state: &mut State, id: NodeId, added_at: Time) {
    let due = timeout_of(state, id, added_at);
    state.timeouts.extend(due.map(|due| (due, id)));
    if let Body::Leaf(attempt) = &mut state.nodes[id.index()].body {
        attempt.timeout = due;
    }
}

/// What waits, waits longer.
fn slept(state: &mut State, at: Time, us: i64) {
    state.sleeps.push((at, us));
    for (due, id) in core::mem::take(&mut state.timeouts) {
        let due = due.plus_us(us);
        state.timeouts.insert((due, id));
        if let Body::Leaf(attempt) = &mut state.nodes[id.index()].body {
            attempt.timeout = Some(due);
        }
    }
}

fn clear_timeout(state: &mut State, id: NodeId) {
    if let Body::Leaf(attempt) = &mut state.nodes[id.index()].body
        && let Some(due) = attempt.timeout.take()
    {
        state.timeouts.remove(&(due, id));
    }
}

fn tally(state: &mut State, boundary: NodeId) -> Option<&mut Tally> {
    match &mut state.nodes[boundary.index()].body {
        Body::Steps(steps) => Some(&mut steps.tally),
        Body::Dag(dag) => Some(&mut dag.tally),
        _ => None,
    }
}

/// The tally that counts a node: none for what a running node asked for.
fn tally_above(state: &mut State, id: NodeId) -> Option<&mut Tally> {
    let boundary = state.node(id).boundary.filter(|_| !state.is_requested(id) && !state.is_hook(id))?;
    tally(state, boundary)
}

/// Whether a node is one of the leaves that the run's own limit counts: hooks wait for nobody's room, and take none.
fn counts(state: &State, id: NodeId) -> bool {
    state.node(id).kind == NodeKind::Pod && !state.is_hook(id)
}

pub(crate) fn take_room(state: &mut State, id: NodeId) {
    state.active_leaves += u32::from(counts(state, id));
    if let Some(tally) = tally_above(state, id) {
        tally.active += 1;
    }
}

fn leave_room(state: &mut State, id: NodeId) {
    state.active_leaves -= u32::from(counts(state, id));
    if let Some(tally) = tally_above(state, id) {
        tally.active -= 1;
    }
}

/// A node has its last phase.
pub(crate) fn count_failure(state: &mut State, id: NodeId) {
    let failed = state.node(id).phase.is_failed_or_error() && state.is_call_site(id);
    if let Some(tally) = tally_above(state, id).filter(|_| failed) {
        tally.failed += 1;
    }
}

/// A leaf made a call that is open, or one of them ended: while it waits for any, it takes no room.
fn calls_changed(state: &mut State, id: NodeId, change: i32) {
    let took = state.takes_room(id);
    if took && change > 0 {
        leave_room(state, id);
    }
    if let Body::Leaf(attempt) = &mut state.nodes[id.index()].body {
        attempt.open_calls = attempt.open_calls.saturating_add_signed(change);
    }
    if !took && state.takes_room(id) {
        take_room(state, id);
    }
}

fn timeout_of(state: &State, id: NodeId, added_at: Time) -> Option<Time> {
    let template = state.template_of(id).filter(|template| template.timeout.is_some())?;
    let scope = leaf::scope(state, template, Called::Node(id), &state.node(id).inputs);
    let us = leaf::timeout_us(template, &scope).ok().flatten()?;
    Some(added_at.plus_us(us.saturating_add(state.slept_since(added_at))))
}

pub(crate) fn new_body(state: &State, id: NodeId) -> Body {
    let node = state.node(id);
    match node.kind {
        NodeKind::Pod => Body::Leaf(Attempt::new(0, None)),
        NodeKind::Steps => Body::Steps(Box::default()),
        NodeKind::StepGroup => {
            Body::StepGroup(Box::new(GroupBody { sites: group_sites(state, node), ..GroupBody::default() }))
        }
        NodeKind::Dag => Body::Dag(Box::new(dag_body(state, id))),
        NodeKind::TaskGroup => {
            Body::TaskGroup(Box::new(GroupBody { sites: alloc::vec![SiteBody::default()], ..GroupBody::default() }))
        }
        NodeKind::Retry => Body::Retry(Box::default()),
        NodeKind::Skipped | NodeKind::Suspend => Body::Nothing,
    }
}

/// The steps of the group: one child for each that is no loop; loops say later how many.
fn group_sites(state: &State, node: &Node) -> alloc::vec::Vec<SiteBody> {
    let template = node.boundary.and_then(|boundary| state.template_of(boundary));
    let (Some(template), Some(site)) = (template, node.site) else { return alloc::vec::Vec::new() };
    let PlanBody::Steps(groups) = &template.body else { return alloc::vec::Vec::new() };
    let tasks = groups.get(site.group as usize).map(alloc::vec::Vec::as_slice).unwrap_or_default();
    tasks.iter().map(|task| SiteBody { items: None, created: 0, total: u32::from(!task.is_loop()) }).collect()
}

fn dag_body(state: &State, id: NodeId) -> DagBody {
    let Some(graph) = state.graph_of(id) else { return DagBody::default() };
    let wanted = graph.wanted(&targets::of(&Scope::of_site(state, id, crate::scope::Reach::Nothing, None), id));
    let waiting: alloc::vec::Vec<u32> = graph.refs.iter().map(|refs| refs.len() as u32).collect();
    let count = waiting.len() as u32;
    let ready = (0..count).filter(|&t| waiting[t as usize] == 0 && wanted[t as usize]).collect();
    // A task that no target wants waits for ever.
    let waiting = waiting.iter().zip(&wanted).map(|(n, wanted)| if *wanted { *n } else { u32::MAX }).collect();
    DagBody { tasks: alloc::vec![None; count as usize], waiting, ready, open: 0, tally: Tally::default() }
}

/// Tells the container that it has a new child.
pub(crate) fn attach(state: &mut State, id: NodeId, fulfilled: bool) {
    if state.node(id).hooked {
        return hook_added(state, id, fulfilled);
    }
    let Some(container) = state.container(id) else { return };
    let node = state.node(id);
    let (kind, phase) = (node.kind, node.phase);
    let site = node.site.unwrap_or(Site { group: 0, task: 0, item: None });
    let open = u32::from(!fulfilled);
    match &mut state.nodes[container.index()].body {
        Body::Steps(steps) => steps.groups.push(id),
        Body::StepGroup(group) => {
            group.children.push(id);
            group.open += open;
            group.doomed |= kind == NodeKind::Skipped && phase == Phase::Error;
            if let Some(of) = group.sites.get_mut(site.task as usize) {
                of.created += 1;
            }
            let full = group.sites[group.first as usize..].iter().take_while(|site| site.created >= site.total);
            group.first += full.count() as u32;
        }
        Body::TaskGroup(group) => {
            group.children.push(id);
            group.open += open;
            group.sites[0].created += 1;
        }
        Body::Dag(dag) => {
            dag.tasks[site.task as usize] = Some(id);
            dag.ready.remove(&site.task);
            dag.open += open;
        }
        Body::Retry(retry) => {
            retry.tries.push(id);
            state.nodes[container.index()].message = Box::default();
            clear_delay(state, container);
        }
        Body::Leaf(_) if !fulfilled => calls_changed(state, container, 1),
        Body::Nothing | Body::Leaf(_) => {}
    }
    if fulfilled {
        release_dependents(state, container, site.task);
    }
    refresh_willing(state, container);
}

/// A hook holds up what its node holds up, until it has ended.
fn hook_added(state: &mut State, id: NodeId, fulfilled: bool) {
    let Placement::Under(parent) = state.node(id).place else {
        state.exit = Some(id);
        return;
    };
    state.hooks.entry(parent).or_default().push(id);
    if let Some(container) = state.container(id).filter(|_| !fulfilled) {
        change_open(state, container, 1);
        let task = state.node(id).site.map_or(0, |site| site.task);
        withhold_dependents(state, container, task);
        refresh_willing(state, container);
    }
}

/// A child of a group, a loop or a DAG is open, or has ended.
fn change_open(state: &mut State, container: NodeId, change: i32) {
    match &mut state.nodes[container.index()].body {
        Body::StepGroup(group) | Body::TaskGroup(group) => group.open = group.open.saturating_add_signed(change),
        Body::Dag(dag) => dag.open = dag.open.saturating_add_signed(change),
        Body::Leaf(_) => calls_changed(state, container, change),
        _ => {}
    }
}

fn clear_delay(state: &mut State, retry: NodeId) {
    if let Body::Retry(body) = &mut state.nodes[retry.index()].body
        && let Some(until) = body.until.take()
    {
        state.delayed.remove(&(until, retry));
    }
}

/// A back-off begins; or it is over (`None`), and there is no room for the next try yet.
fn retry_delayed(state: &mut State, id: NodeId, until: Option<Time>, message: &str) {
    clear_delay(state, id);
    state.delayed.extend(until.map(|until| (until, id)));
    let node = &mut state.nodes[id.index()];
    node.message = message.into();
    if let Body::Retry(retry) = &mut node.body {
        retry.until = until;
    }
    refresh_willing(state, id);
}

/// A task of a DAG ended: what waited for it waits for one less.
fn release_dependents(state: &mut State, dag: NodeId, task: u32) {
    change_dependents(state, dag, task, |body, dependent| {
        let waiting = &mut body.waiting[dependent as usize];
        *waiting = waiting.saturating_sub(1);
        if *waiting == 0 && body.tasks[dependent as usize].is_none() {
            body.ready.insert(dependent);
        }
    });
}

/// What waits for a task waits for one thing more: a hook of it.
fn withhold_dependents(state: &mut State, dag: NodeId, task: u32) {
    change_dependents(state, dag, task, |body, dependent| {
        body.waiting[dependent as usize] += 1;
        body.ready.remove(&dependent);
    });
}

/// Of what waits for a task, those that are to run at all.
fn change_dependents(state: &mut State, dag: NodeId, task: u32, change: impl Fn(&mut DagBody, u32)) {
    let graphs = state.graphs.clone();
    let Some(graph) = state.node(dag).template.and_then(|template| graphs.get(&template)) else { return };
    let Body::Dag(body) = &mut state.nodes[dag.index()].body else { return };
    for dependent in &graph.dependents[task as usize] {
        if body.waiting[*dependent as usize] != u32::MAX {
            change(body, *dependent);
        }
    }
}

/// Keeps `willing` and `wanting` in step with what the node's body says.
pub(crate) fn refresh_willing(state: &mut State, id: NodeId) {
    let node = state.node(id);
    let willing = !node.phase.is_fulfilled()
        && !node.waits_for_locks
        && match &node.body {
            Body::StepGroup(group) | Body::TaskGroup(group) => group.next().is_some(),
            Body::Dag(dag) => !dag.ready.is_empty(),
            _ => false,
        };
    let (asks, wanting) = (state.asks(id), state.wants_try(id));
    state.willing.set(id, asks, willing);
    state.wanting.set(id, asks, wanting);
}

fn attempt_started(state: &mut State, id: NodeId, epoch: &model::input::Epoch, at: Time) {
    clear_timeout(state, id);
    if state.last.epoch.as_deref() != Some(epoch) {
        state.last.epoch = Some(Arc::new(epoch.clone()));
    }
    let node = &mut state.nodes[id.index()];
    node.phase = Phase::Running;
    node.started_at.get_or_insert(at);
    if let Body::Leaf(attempt) = &mut node.body {
        attempt.epoch.clone_from(&state.last.epoch);
    }
}

fn attempt_ended(state: &mut State, ended: &AttemptEnded) {
    let node = &mut state.nodes[ended.node.index()];
    if let Body::Leaf(attempt) = &mut node.body
        && attempt.n == ended.n
    {
        attempt.ended = true;
        if let (Some(at), false) = (ended.started_at, node.phase.is_fulfilled()) {
            node.started_at = Some(at);
        }
        state.open_attempts.remove(&ended.node);
        state.gpus.remove(&ended.node);
    }
}

fn attempt_added(state: &mut State, id: NodeId, n: u32, collects: Option<u32>) {
    clear_timeout(state, id);
    let node = &mut state.nodes[id.index()];
    node.phase = Phase::Pending;
    let open_calls = node.attempt().map_or(0, |attempt| attempt.open_calls);
    state.gpus.remove(&id);
    node.body = Body::Leaf(Attempt { open_calls, ..Attempt::new(n, collects) });
    // It waits again, and the time since the node was added still counts, unless it computes nothing.
    let added_at = node.added_at;
    state.open_attempts.insert(id);
    if collects.is_none() {
        set_timeout(state, id, added_at);
    }
}

fn node_ended(state: &mut State, ended: &NodeEnded, at: Time) {
    let id = ended.node;
    clear_delay(state, id);
    clear_timeout(state, id);
    if let Some(due) = suspend::due(state, id) {
        state.suspended.remove(&(due, id));
    }
    state.lock_waiters.remove(&id);
    if state.takes_room(id) {
        leave_room(state, id);
    }
    let node = &mut state.nodes[id.index()];
    node.phase = ended.phase;
    node.message = ended.message.as_str().into();
    node.ended_at = Some(at);
    for named in &ended.outputs.artifacts {
        let artifact = named.artifact.as_ref();
        if let Some((artifact, key)) = artifact.and_then(|a| Some((a, a.metadata.get(leaf::KEY)?))) {
            state.keys.insert(key.clone(), artifact.clone());
        }
    }
    let last = &mut state.last.outputs;
    node.outputs = (!ended.outputs.is_empty()).then(|| Kept::of(&ended.outputs, last));
    if let Body::Leaf(attempt) = &mut node.body {
        let placed = attempt.epoch.is_some();
        attempt.ended |= !placed;
        if !placed {
            state.open_attempts.remove(&id);
        }
    }
    export(state, &ended.outputs);
    refresh_willing(state, id);
    count_failure(state, id);
    if let Some(container) = state.container(id) {
        let task = state.node(id).site.map_or(0, |site| site.task);
        change_open(state, container, -1);
        release_dependents(state, container, task);
        refresh_willing(state, container);
    }
}

/// What the whole run sees of a node's outputs from now on.
fn export(state: &mut State, outputs: &Outputs) {
    for global in &outputs.globals {
        if global.is_artifact {
            let named = outputs.artifacts.iter().find(|named| named.name == global.of);
            state.global_artifacts.extend(named.map(|named| (global.name.clone(), named.clone())));
        } else if let Some(value) = outputs.parameter(&global.of) {
            let name = alloc::format!("{HANDED_OUT}parameters.{}", global.name);
            Arc::make_mut(&mut state.globals).insert(name, expr::Value::str(value));
        }
    }
}

fn loop_opened(state: &mut State, opened: &LoopOpened) {
    let body = &mut state.nodes[opened.node.index()].body;
    if let Body::StepGroup(group) | Body::TaskGroup(group) = body
        && let Some(site) = group.sites.get_mut(opened.task as usize)
    {
        site.total = opened.items.len();
        site.items = Some(Arc::new(opened.items.clone()));
        group.first = group.first.min(opened.task);
    }
    refresh_willing(state, opened.node);
}
