//! Leaves: what an attempt of a container or script needs, and what its end means for the node.
//! It must never keep a resolved text: bindings are stored, texts are resolved when a command is made.

use crate::arguments::SUB_PATH;
use crate::kept::Kept;
use crate::loops;
use crate::outputs;
use crate::quantity;
use crate::results;
use crate::retry;
use crate::scope::{Called, Scope, Strictness, resolve};
use crate::sites;
use crate::state::{Body, State};
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use expr::Value;
use model::attempt::{Amounts, InputFile, Mount, Wanted, WantedArtifact, WantedParameter};
use model::event::Placement;
use model::node::Inputs;
use model::plan::{Body as PlanBody, Leaf, Location, OutputSource, Template, VolumeSource};
use model::{AttemptKey, Exit, Launch, NodeId, Outcome, Outputs, Phase, Text, Time, limits};

/// The scope of a leaf's own texts.
pub(crate) fn scope<'a>(state: &'a State, template: &'a Template, name: Called<'a>, inputs: &'a Inputs) -> Scope<'a> {
    Scope { inputs: Some(inputs), name, leaf: Some(template), ..Scope::global(state) }
}

/// `retries` and `lastRetry.*` of the try that comes after those of the Retry node.
pub(crate) fn retry_locals(state: &State, retry: NodeId, upto: usize) -> Vec<(String, Value)> {
    let Body::Retry(body) = &state.node(retry).body else { return Vec::new() };
    let mut locals = alloc::vec![("retries".to_string(), Value::str(upto.to_string()))];
    if let Some(situation) = upto.checked_sub(1).and_then(|last| situation(state, &body.tries[..=last])) {
        locals.extend(retry::variables(&situation).into_iter().filter(|(name, _)| name != "retries"));
    }
    locals
}

/// What the retry rules look at after these tries.
pub(crate) fn situation<'a>(state: &'a State, tries: &[NodeId]) -> Option<retry::Situation<'a>> {
    let first = state.node(*tries.first()?);
    let last = state.node(*tries.last()?);
    let stopping = sites::is_stopping_at(state, *tries.last()?);
    Some(retry::Situation {
        now: state.now,
        tries: tries.len() as u32,
        first_started_at: first.started_at.unwrap_or(first.added_at),
        last: retry::Try {
            phase: last.phase,
            started_at: last.started_at.unwrap_or(last.added_at),
            ended_at: last.ended_at.unwrap_or(state.now),
            message: &last.message,
            exit_code: last.outputs.as_ref().and_then(Kept::exit_code),
        },
        shutdown: state.shutdown.filter(|_| stopping),
        deadline_exceeded: state.deadline_exceeded && stopping,
    })
}

/// The scope of an existing leaf node, with what its Retry node adds.
fn scope_of(state: &State, id: NodeId) -> Option<(&Template, Scope<'_>)> {
    let node = state.node(id);
    let template = state.template_of(id)?;
    let mut scope = scope(state, template, Called::Node(id), &node.inputs);
    if let Placement::Under(parent) = node.place
        && let Body::Retry(body) = &state.node(parent).body
    {
        let index = body.tries.iter().rposition(|try_id| *try_id == id).unwrap_or(0);
        scope.locals.extend(retry_locals(state, parent, index));
    }
    Some((template, scope))
}

/// What has to be there before the current attempt of a leaf may start: amounts, and an environment.
pub(crate) fn needs(state: &State, id: NodeId) -> Result<(Amounts, Vec<String>), String> {
    let (template, scope) = scope_of(state, id).ok_or("the node has no template")?;
    let PlanBody::Leaf(leaf) = &template.body else { return Err("the node is no leaf".to_string()) };
    Ok((requested(leaf, &scope)?, leaf.python_requirements.clone()))
}

/// All that is needed to launch the current attempt of a leaf.
pub(crate) fn launch(state: &State, id: NodeId) -> Result<Box<Launch>, String> {
    let (template, scope) = scope_of(state, id).ok_or("the node has no template")?;
    let PlanBody::Leaf(leaf) = &template.body else { return Err("the node is no leaf".to_string()) };
    let record = state.record();
    let node = state.node(id);
    let text = |text: &Text| resolve(text, &scope, Strictness::Lenient);
    let texts = |list: &[Text]| list.iter().map(text).collect::<Result<Vec<_>, _>>();
    let pending_us = state.now.since_us(node.added_at) - state.slept_since(node.added_at);
    let (deadline_s, timeout_s) = deadline(template, &scope, pending_us)?;
    let collects = node.attempt().filter(|attempt| !attempt.ended).and_then(|attempt| attempt.collects);
    let mut launch = Box::new(Launch {
        key: key(state, id),
        run_name: record.name.clone(),
        node_name: state.name(id).into_owned(),
        template: template.name.clone(),
        image: text(&leaf.image)?,
        command: texts(&leaf.command)?,
        args: texts(&leaf.args)?,
        script: leaf.source.as_ref().map(text).transpose()?,
        working_dir: leaf.working_dir.as_ref().map(text).transpose()?,
        env: variables(leaf, &scope)?,
        secrets: leaf.env.iter().filter_map(|e| Some((e.name.0.clone(), e.secret.clone()?))).collect(),
        mounts: mounts(leaf, &scope)?,
        inputs: inputs(template, &node.inputs),
        outputs: Wanted { result: state.keeps_result(id), ..wanted(template, &scope)? },
        requests: requested(leaf, &scope)?,
        limits: amounts(&leaf.resources.limits, &scope)?,
        gpus: state.gpus.get(&id).cloned().unwrap_or_default(),
        deadline_s,
        timeout_s,
        grace_s: limits::GRACE_SECONDS,
        python_requirements: leaf.python_requirements.clone(),
        profile: record.profile,
        source: record.source.tree,
        directory: record.source.directory.clone(),
        collects,
    });
    if collects.is_some() {
        // An attempt that starts nothing asks for nothing.
        (launch.requests, launch.limits) = (Amounts::default(), Amounts::default());
        (launch.deadline_s, launch.timeout_s, launch.python_requirements) = (None, None, Vec::new());
    }
    Ok(launch)
}

pub(crate) fn key(state: &State, id: NodeId) -> AttemptKey {
    let n = state.node(id).attempt().map_or(0, |attempt| attempt.n);
    AttemptKey { run: state.record().id.clone(), node: id, n }
}

/// Checks that the expressions of a boundary's call sites can be read: upstream reads all of them when it binds the template's
/// inputs.
fn check_calls(template: &Template) -> Result<(), String> {
    let texts = results::texts(template);
    for tag in texts.iter().flat_map(|text| expr::template::tags(text)) {
        if let expr::template::TagKind::Expression(source) = &tag.kind
            && let Err(error) = expr::lang::identifiers(source)
        {
            return Err(format!("failed to evaluate expression: {}", error.with_snippet(source)));
        }
    }
    Ok(())
}

/// Checks, before a node is made of it, that the template's texts resolve.
pub(crate) fn check(template: &Template, scope: &Scope<'_>) -> Result<(), String> {
    let PlanBody::Leaf(leaf) = &template.body else { return check_calls(template) };
    let texts = leaf.command.iter().chain(&leaf.args).chain(&leaf.source).chain(&leaf.working_dir);
    let env = leaf.env.iter().filter(|e| !e.literal).map(|e| &e.value);
    for text in texts.chain(env).chain([&leaf.image]) {
        resolve(text, scope, Strictness::Lenient)?;
    }
    amounts(&leaf.resources.requests, scope)?;
    amounts(&leaf.resources.limits, scope)?;
    deadline(template, scope, 0)?;
    Ok(())
}

/// Variables with their values, but for those of Secrets.
fn variables(leaf: &Leaf, scope: &Scope<'_>) -> Result<Vec<(String, String)>, String> {
    let text = |text: &Text| resolve(text, scope, Strictness::Lenient);
    let plain = leaf.env.iter().filter(|variable| variable.secret.is_none());
    plain.map(|v| Ok((text(&v.name)?, if v.literal { v.value.0.clone() } else { text(&v.value)? }))).collect()
}

fn mounts(leaf: &Leaf, scope: &Scope<'_>) -> Result<Vec<Mount>, String> {
    let resolved = leaf.mounts.iter().map(|mount| {
        Ok(Mount {
            volume: mount.volume.clone(),
            path: resolve(&mount.path, scope, Strictness::Lenient)?,
            sub_path: resolve(&mount.sub_path, scope, Strictness::Lenient)?,
            read_only: mount.read_only,
            source: match &mount.source {
                VolumeSource::Home(claim) => {
                    VolumeSource::Home(resolve(&Text::new(claim.as_str()), scope, Strictness::Lenient)?)
                }
                source => source.clone(),
            },
        })
    });
    resolved.collect()
}

fn inputs(template: &Template, inputs: &Inputs) -> Vec<InputFile> {
    let declared = |name: &str| template.inputs.artifacts.iter().find(|a| a.name == name);
    let files = inputs.artifacts.iter().filter_map(|named| {
        let artifact = named.artifact.clone()?;
        let declared = declared(&named.name);
        Some(InputFile {
            name: named.name.clone(),
            path: named.path.clone(),
            sub_path: artifact.metadata.get(SUB_PATH).cloned().unwrap_or_default(),
            mode: declared.and_then(|d| d.mode),
            recurse_mode: declared.is_some_and(|d| d.recurse_mode),
            artifact,
        })
    });
    files.collect()
}

fn wanted(template: &Template, scope: &Scope<'_>) -> Result<Wanted, String> {
    let text = |text: &Text| resolve(text, scope, Strictness::Lenient);
    let mut wanted = Wanted::default();
    for parameter in &template.outputs.parameters {
        if let OutputSource::Path(path) = &parameter.source {
            let default = parameter.default.as_ref().map(text).transpose()?;
            wanted.parameters.push(WantedParameter { name: parameter.name.clone(), path: text(path)?, default });
        }
    }
    for artifact in &template.outputs.artifacts {
        let (name, path) = (artifact.name.clone(), text(&artifact.path)?);
        wanted.artifacts.push(WantedArtifact { name, path, optional: artifact.optional });
    }
    Ok(wanted)
}

/// What admission counts: the requests, and the limit of what has none (as Kubernetes defaults it).
fn requested(leaf: &Leaf, scope: &Scope<'_>) -> Result<Amounts, String> {
    let (requests, limits) = (amounts(&leaf.resources.requests, scope)?, amounts(&leaf.resources.limits, scope)?);
    Ok(Amounts {
        cpu_millis: requests.cpu_millis.or(limits.cpu_millis),
        memory_bytes: requests.memory_bytes.or(limits.memory_bytes),
        // A dynamic leaf gives its place back while it waits for its calls; devices hold its data and could not be given back.
        gpus: requests.gpus.or(limits.gpus).filter(|_| !leaf.dynamic),
    })
}

/// Amounts of cpu, memory and GPUs; other names only place a pod.
pub(crate) fn amounts(amounts: &BTreeMap<String, Text>, scope: &Scope<'_>) -> Result<Amounts, String> {
    if amounts.is_empty() {
        return Ok(Amounts::default());
    }
    let text = |name: &str| amounts.get(name).map(|text| resolve(text, scope, Strictness::Lenient)).transpose();
    let mut gpus = None;
    for name in quantity::GPUS {
        if let Some(count) = text(name)? {
            let count = u32::try_from(quantity::whole(&count)?).unwrap_or(u32::MAX);
            gpus = Some(gpus.unwrap_or(0_u32).saturating_add(count));
        }
    }
    Ok(Amounts {
        cpu_millis: text("cpu")?.map(|t| quantity::millis(&t)).transpose()?,
        memory_bytes: text("memory")?.map(|t| quantity::whole(&t)).transpose()?,
        gpus,
    })
}

/// Seconds that the process may run, by `activeDeadlineSeconds` and at most for what is left of `timeout`; and what is left of that,
/// which counts pending time too.
fn deadline(template: &Template, scope: &Scope<'_>, pending_us: i64) -> Result<(Option<i64>, Option<i64>), String> {
    let active = match &template.active_deadline {
        Some(text) => Some(loops::atoi(&resolve(text, scope, Strictness::Lenient)?)?),
        None => None,
    };
    let timeout = timeout_us(template, scope)?.map(|us| {
        let left = us - pending_us.max(0);
        (left.max(0) + Time::SECOND_US - 1) / Time::SECOND_US
    });
    Ok(([active, timeout].into_iter().flatten().min(), timeout))
}

/// The template's `timeout` in microseconds.
pub(crate) fn timeout_us(template: &Template, scope: &Scope<'_>) -> Result<Option<i64>, String> {
    let Some(text) = &template.timeout else { return Ok(None) };
    let text = resolve(text, scope, Strictness::Lenient)?;
    if text.is_empty() { Ok(None) } else { retry::duration_us(&text).map(Some) }
}

/// What the end of the counting attempt means for the node: phase, message, outputs. Not for `Lost`.
pub(crate) fn meaning(state: &State, id: NodeId, outcome: &Outcome) -> (Phase, String, Outputs) {
    let (phase, message, exit_code) = verdict(state, id, outcome);
    let mut outputs = Outputs {
        result: outcome.result.clone(),
        exit_code,
        parameters: outcome.parameters.clone(),
        artifacts: outcome.artifacts.clone(),
        globals: Vec::new(),
    };
    if let Some(template) = state.template_of(id) {
        literal_outputs(state, id, template, &mut outputs);
        name_keys(state, id, template, &mut outputs);
        let node = state.node(id);
        outputs.globals = outputs::globals(template, &scope(state, template, Called::Node(id), &node.inputs), &outputs);
    }
    (phase, message, outputs)
}

fn verdict(state: &State, id: NodeId, outcome: &Outcome) -> (Phase, String, Option<i32>) {
    let stopping = sites::is_stopping_at(state, id);
    if let Some(strategy) = state.shutdown.filter(|_| stopping) {
        return (Phase::Failed, format!("workflow shutdown with strategy:  {}", strategy.as_str()), None);
    }
    if state.deadline_exceeded && stopping {
        return (Phase::Failed, "Step exceeded its deadline".to_string(), None);
    }
    let failed = |code: i32| (Phase::Failed, format!("main: Error (exit code {code})"), Some(code));
    match (&outcome.exit, &outcome.collect_error) {
        (Exit::Exited(0), None) => (Phase::Succeeded, String::new(), Some(0)),
        (Exit::Exited(0), Some(reason)) => (Phase::Error, format!("wait: Error (exit code 64): {reason}"), Some(0)),
        (Exit::Exited(code), _) => failed(*code),
        (Exit::Signalled(signal), _) => failed(128 + signal),
        (Exit::Oom, _) => (Phase::Failed, "main: OOMKilled (exit code 137)".to_string(), Some(137)),
        (Exit::Deadline, _) => {
            (Phase::Failed, "Pod was active on the node longer than the specified deadline".to_string(), None)
        }
        (Exit::Cancelled, _) => (Phase::Failed, "cancelled".to_string(), None),
        (Exit::Lost(why), _) => (Phase::Error, format!("attempt lost: {why}"), None),
        (Exit::NotStarted(why), _) if why.starts_with(NOT_FOUND) => {
            (Phase::Failed, format!("main: Error (exit code 64): {why}"), Some(64))
        }
        (Exit::NotStarted(why), _) => (Phase::Error, why.clone(), None),
    }
}

/// How the executor begins the message of a command that is not there; upstream's executor ends with code 64 then.
const NOT_FOUND: &str = "failed to find name in PATH";

/// Metadata key of an artifact's key in the default repository.
pub(crate) const KEY: &str = "key";

/// Artifacts that the document stores under a key of its own.
fn name_keys(state: &State, id: NodeId, template: &Template, outputs: &mut Outputs) {
    let node = state.node(id);
    for declared in &template.outputs.artifacts {
        let Some(Location::Key(text)) = &declared.location else { continue };
        let scope = scope(state, template, Called::Node(id), &node.inputs);
        let named = outputs.artifacts.iter_mut().find(|named| named.name == declared.name);
        if let (Some(artifact), Ok(key)) =
            (named.and_then(|n| n.artifact.as_mut()), resolve(text, &scope, Strictness::Lenient))
        {
            artifact.metadata.insert(KEY.to_string(), key.trim_end_matches('/').to_string());
        }
    }
}

/// Output parameters of a leaf that are written in the document.
fn literal_outputs(state: &State, id: NodeId, template: &Template, outputs: &mut Outputs) {
    let node = state.node(id);
    for parameter in &template.outputs.parameters {
        if let OutputSource::Value(text) = &parameter.source {
            let scope = scope(state, template, Called::Node(id), &node.inputs);
            if let Ok(value) = resolve(text, &scope, Strictness::Lenient) {
                outputs.parameters.push(model::node::Parameter { name: parameter.name.clone(), value });
            }
        }
    }
}
