//! Invoking a template: binding its inputs and adding the node that its kind asks for (upstream `executeTemplate`).
//! It must never decide whether the call is due: that is the caller's.

use crate::arguments::{self, Given};
use crate::draft::Draft;
use crate::leaf;
use crate::scope::{Called, Scope, Strictness, resolve};
use crate::state::{Body, State};
use crate::{dag, retries, steps, suspend, wants};
use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use model::event::{NodeAdded, Placement, Site};
use model::node::Inputs;
use model::plan::{Body as PlanBody, Target};
use model::{Event, NodeId, NodeKind, Phase, TemplateId, limits};

/// Nodes of one run; few in the tests of this crate, that they can have too many.
pub(crate) const NODES_MAX: u32 = if cfg!(test) { 40 } else { limits::NODES_MAX };

/// Whether the run has as many nodes as it may have: the next call site becomes an error.
pub(crate) fn is_full(state: &State) -> bool {
    state.nodes.len() as u32 >= NODES_MAX
}

/// What is told of the node that would be one too many.
pub(crate) fn full() -> String {
    format!(
        "the run has {NODES_MAX} nodes, and may have no more: give its loops fewer items, or split it into several runs"
    )
}

/// A node to be: everything about it but its kind and its inputs.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub name: String,
    pub display_name: String,
    pub template: Option<TemplateId>,
    pub boundary: Option<NodeId>,
    pub place: Placement,
    pub site: Option<Site>,
    pub retried: bool,
    pub hooked: bool,
}

/// The template that a call site means.
pub(crate) fn target(state: &State, target: &Target, scope: &Scope<'_>) -> Result<TemplateId, String> {
    match target {
        Target::Template(id) => Ok(*id),
        Target::Named(text) => {
            let name = resolve(text, scope, Strictness::Strict)?;
            let caller = scope.boundary.and_then(|boundary| state.template_of(boundary));
            let scope = caller.map_or(model::plan::Scope::Local, |template| template.scope.clone());
            state.plan().find(&scope, &name).ok_or_else(|| format!("template {name} not found"))
        }
    }
}

/// Binds the inputs of a template for a node of this name, and checks what can be checked before there is a node.
pub(crate) fn bind(
    state: &State,
    template: TemplateId,
    given: &Given,
    name: &str,
    depth: u32,
) -> Result<Inputs, String> {
    let template = state.plan().template(template);
    if depth > limits::TEMPLATE_DEPTH_MAX {
        return Err("Maximum recursion depth exceeded. See https://argo-workflows.readthedocs.io/en/latest/scaling/#limitations"
            .to_string());
    }
    let inputs = arguments::bind(template, given, &mut Scope::global(state))?;
    if template.retry.is_none() {
        leaf::check(template, &leaf::scope(state, template, Called::Name(name), &inputs))?;
    }
    Ok(inputs)
}

/// How many boundaries lie above what is called in this one.
pub(crate) fn depth(state: &State, boundary: Option<NodeId>) -> u32 {
    boundary.map_or(0, |boundary| state.node(boundary).depth + 1)
}

/// Adds a node that never runs.
pub(crate) fn add_ended(draft: &mut Draft<'_>, call: Call, phase: Phase, message: String) -> NodeId {
    add(draft, call, NodeKind::Skipped, phase, message, Inputs::default())
}

/// Adds the node of an invocation: a Retry node where the template is tried again, else what its body asks for.
pub(crate) fn invoke(draft: &mut Draft<'_>, mut call: Call, inputs: Inputs) -> NodeId {
    if let Some(name) = display_name(draft.state(), &call, &inputs) {
        call.display_name = name;
    }
    let template = call.template.map(|id| draft.state().plan().template(id));
    if template.is_some_and(|template| template.retry.is_some()) && !call.retried {
        let (phase, message) = match lock_message(draft.state(), &call, &inputs) {
            Ok(None) => (Phase::Running, String::new()),
            Ok(Some(message)) => (Phase::Pending, message),
            Err(reason) => return add_ended(draft, call, Phase::Error, reason),
        };
        let id = add(draft, call, NodeKind::Retry, phase, message, inputs);
        begin(draft, id);
        return id;
    }
    add_body(draft, call, inputs)
}

/// The display name that the template asks for by annotation, its tags resolved.
fn display_name(state: &State, call: &Call, inputs: &Inputs) -> Option<String> {
    let template = state.plan().template(call.template?);
    let text = template.annotations.get("workflows.argoproj.io/display-name")?;
    let scope = leaf::scope(state, template, Called::Name(&call.name), inputs);
    resolve(&model::Text::new(text.as_str()), &scope, Strictness::Lenient).ok()
}

/// Adds the node of a template's body, and what follows at once.
pub(crate) fn add_body(draft: &mut Draft<'_>, call: Call, inputs: Inputs) -> NodeId {
    let template = call.template.map(|id| draft.state().plan().template(id));
    let missing = |name: &str| format!("Template '{name}' missing specification");
    let (kind, phase, message) = match template.map(|t| (&t.body, t.name.as_str())) {
        Some((PlanBody::Leaf(_), _)) => (NodeKind::Pod, Phase::Pending, String::new()),
        Some((PlanBody::Steps(_), _)) => (NodeKind::Steps, Phase::Running, String::new()),
        Some((PlanBody::Dag(_), _)) => (NodeKind::Dag, Phase::Running, String::new()),
        Some((PlanBody::Suspend { .. }, _)) => (NodeKind::Suspend, Phase::Running, String::new()),
        Some((PlanBody::Missing, name)) => (NodeKind::Skipped, Phase::Error, missing(name)),
        None => (NodeKind::Skipped, Phase::Error, missing("")),
    };
    let (phase, message) = match lock_message(draft.state(), &call, &inputs) {
        Ok(Some(waits)) if !phase.is_fulfilled() => (Phase::Pending, waits),
        Err(reason) if !phase.is_fulfilled() => return add_ended(draft, call, Phase::Error, reason),
        _ => (phase, message),
    };
    let id = add(draft, call, kind, phase, message, inputs);
    begin(draft, id);
    id
}

/// What is told of a node whose template has locks, until it has them.
fn lock_message(state: &State, call: &Call, inputs: &Inputs) -> Result<Option<String>, String> {
    let template = call.template.map(|id| state.plan().template(id)).filter(|_| !call.retried);
    let Some(template) = template.filter(|template| !template.locks.is_empty()) else { return Ok(None) };
    wants::of_template(state, template, &call.name, inputs).map(|wants| Some(wants::message(&wants)))
}

/// What follows at once from a node that is there and has its locks.
pub(crate) fn begin(draft: &mut Draft<'_>, id: NodeId) {
    let node = draft.state().node(id);
    if node.waits_for_locks || node.phase.is_fulfilled() {
        return;
    }
    let kind = node.kind;
    if kind == NodeKind::Retry {
        retries::try_again(draft, id);
    } else if kind == NodeKind::Suspend {
        suspend::begin(draft, id);
    } else if matches!(kind, NodeKind::Steps | NodeKind::Dag) {
        if draft.nesting < NESTING_MAX {
            draft.nesting += 1;
            enter(draft, id);
            draft.nesting -= 1;
        } else {
            draft.unentered.push_back(id);
        }
    }
}

/// Boundaries that are entered from within one another, on the stack; those deeper inside wait until these are left.
const NESTING_MAX: u32 = limits::WHOLE_NAMES_DEPTH_MAX;

/// Starts the first of a boundary's call sites.
pub(crate) fn enter(draft: &mut Draft<'_>, boundary: NodeId) {
    match &draft.state().node(boundary).body {
        Body::Steps(steps) if steps.groups.is_empty() => steps::next_group(draft, boundary),
        Body::Dag(_) => dag::advance(draft, boundary),
        _ => {}
    }
}

pub(crate) fn add(
    draft: &mut Draft<'_>,
    call: Call,
    kind: NodeKind,
    phase: Phase,
    message: String,
    inputs: Inputs,
) -> NodeId {
    let node = NodeId(draft.state().nodes.len() as u32);
    draft.emit(Event::NodeAdded(Box::new(NodeAdded {
        node,
        name: call.name,
        display_name: call.display_name,
        kind,
        phase,
        message,
        template: call.template,
        boundary: call.boundary,
        place: call.place,
        site: call.site,
        inputs,
        retried: call.retried,
        hooked: call.hooked,
    })));
    node
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{decide, next_wake};
    use alloc::vec::Vec;
    use model::attempt::Profile;
    use model::input::{Report, ReportKind, Stamped};
    use model::record::Source;
    use model::{Exit, Input, Outcome, RunId, RunPhase, RunRecord, Time};

    fn give(state: &mut State, at: Time, input: Input) {
        let mut draft = Draft::new(state, at);
        decide(&mut draft, &Stamped { at, seed: 0, input }).expect("a sound input");
        draft.finish();
        state.check().expect("sound indexes");
    }

    /// Plays a run to its end; every leaf ends with this exit.
    fn play(spec: &str, exit: i32) -> State {
        play_watched(spec, exit, |_| ())
    }

    fn play_watched(spec: &str, exit: i32, mut watch: impl FnMut(&State)) -> State {
        let text = format!(
            "{{apiVersion: argoproj.io/v1alpha1, kind: Workflow, metadata: {{name: wf}}, spec: {{entrypoint: main, {spec}}}}}"
        );
        let files = [::spec::SourceFile { name: "plan.yaml".into(), text }];
        let plan = ::spec::compile(&files, &::spec::Options::default()).plans.remove(0);
        let record = RunRecord {
            id: RunId("uid".into()),
            name: "wf".into(),
            plan,
            parameters: Vec::new(),
            artifacts: Vec::new(),
            created_at: Time(1),
            version: "1".into(),
            trigger: "test".into(),
            profile: Profile::Standard,
            source: Source::default(),
            environments: Vec::new(),
            jobs: None,
        };
        let mut state = State::default();
        give(&mut state, Time(1), Input::Submit(Box::new(record)));
        let mut at = Time(1);
        for _ in 0..500 {
            watch(&state);
            let open: Vec<NodeId> = state.open_attempts.iter().copied().collect();
            let outcome = || Outcome::bare(Exit::Exited(exit), at);
            let report = |node| Report { node, n: 0, what: ReportKind::Ended(Box::new(outcome())) };
            match (open.first(), next_wake(&state)) {
                (Some(first), _) => give(&mut state, at, Input::Reports([report(*first)].into())),
                (None, Some(wake)) => {
                    at = wake;
                    give(&mut state, at, Input::Woke);
                }
                (None, None) => break,
            }
        }
        assert!(state.is_ended(), "the run is stuck: {:#?}", state.nodes);
        state
    }

    const LEAF: &str = "{name: leaf, container: {image: i, command: [run]}}";

    /// The run's phase, how many nodes there are, and the messages of those that were refused.
    fn ends(spec: &str, exit: i32) -> (RunPhase, usize, usize) {
        let state = play(&format!("{spec}, {LEAF}]"), exit);
        let refused = state.nodes.iter().filter(|node| node.message.contains(&full())).count();
        (state.phase.expect("it was created"), state.nodes.len(), refused)
    }

    fn looped(name: &str, count: u32) -> String {
        format!("{{name: {name}, template: leaf, withSequence: {{count: '{count}'}}}}")
    }

    #[test]
    fn a_long_loop_has_few_open_children_at_a_time_and_all_in_the_end() {
        let (once, each) = (looped("each", 30), "{name: main, parallelism: 20, dag: {tasks: [");
        for head in ["templates: [{name: main, dag: {tasks: [", &format!("templates: [{each}")] {
            let mut most = 0;
            let state = play_watched(&format!("{head}{once}]}}}}, {LEAF}]"), 0, |state| {
                most = most.max(state.open_attempts.len());
            });
            assert_eq!((most, state.nodes.len(), state.phase), (12, 32, Some(RunPhase::Succeeded)));
        }
    }

    #[test]
    fn one_node_too_many_is_an_error_and_no_further_one_is_made() {
        let most = NODES_MAX as usize;
        let (a, b, c) = (looped("a", 20), looped("b", 17), looped("c", 30));
        let dag = |head: &str| format!("{head} templates: [{{name: main, dag: {{tasks: [{a}, {b}, {c}]}}}}");
        let steps = |head: &str| format!("{head} templates: [{{name: main, steps: [[{a}, {b}], [{c}]]}}");
        // Two loops and what is around them just fit.
        let fits = format!("templates: [{{name: main, dag: {{tasks: [{a}, {b}]}}}}");
        assert_eq!(ends(&fits, 0), (RunPhase::Succeeded, most, 0));
        for head in ["", "parallelism: 1,", "parallelism: 3,"] {
            let (phase, nodes, refused) = ends(&dag(head), 0);
            assert!(phase != RunPhase::Succeeded && nodes == most + 1 && refused == 1, "DAG {head}: {nodes} {refused}");
            let (phase, nodes, refused) = ends(&steps(head), 0);
            assert!(phase == RunPhase::Failed && nodes <= most + 1 && refused >= 1, "steps {head}: {nodes} {refused}");
        }
        let both = format!("parallelism: 2, templates: [{{name: main, steps: [[{a}, {c}]]}}");
        let (phase, nodes, refused) = ends(&both, 0);
        assert!(phase == RunPhase::Failed && nodes == most + 1 && refused >= 2, "{phase:?} {nodes} {refused}");
    }

    #[test]
    fn tries_groups_and_nested_boundaries_do_not_pass_the_limit() {
        let most = NODES_MAX as usize;
        let again = "templates: [{name: main, retryStrategy: {limit: 1000}, container: {image: i, command: [run]}}";
        let (phase, nodes, refused) = ends(again, 1);
        assert_eq!((phase, nodes, refused), (RunPhase::Error, most, 1));
        let nested = "{name: inner, steps: [[{name: p, template: leaf}], [{name: q, template: leaf}]]}";
        for head in ["", "parallelism: 1,", "parallelism: 4,"] {
            let each = "{name: a, template: inner, withSequence: {count: '9'}}";
            let dag = format!("{head} templates: [{{name: main, dag: {{tasks: [{each}]}}}}, {nested}");
            let (phase, nodes, refused) = ends(&dag, 0);
            assert!(phase != RunPhase::Succeeded && nodes <= most + 1 && refused >= 1, "{head}: {nodes} {refused}");
        }
        let inner = "{name: inner, retryStrategy: {limit: 9}, dag: {tasks: [{name: p, template: leaf}]}}";
        let retried = format!(
            "templates: [{{name: main, parallelism: 2, dag: {{tasks: [{}]}}}}, {inner}",
            "{name: a, template: inner, withSequence: {count: '9'}}"
        );
        let (phase, nodes, _) = ends(&retried, 1);
        assert!(phase != RunPhase::Succeeded && nodes <= most + 1, "{nodes}");
    }
}
