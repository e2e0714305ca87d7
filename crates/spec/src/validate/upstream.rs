//! The whole language judged as upstream judges it, whatever of it is supported here: what the oracle table asks.
//! It must never say what is supported.

use super::{Mode, definition};
use crate::argo::definition::{Definition, Index, Kind, Library};
use crate::argo::faults::Faults;
use crate::argo::fields;
use crate::argo::schema::{self, Checker};
use crate::argo::view::{field, int, items, string, text, word};
use crate::diagnostic::Severity;
use crate::yaml::{self, Entry, Node, Scalar, Value};
use std::rc::Rc;

/// Upstream's answer to a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Upstream {
    Accepted,
    /// It cannot be read as one of Argo's objects.
    NotParsed(String),
    Invalid(String),
}

/// Faults that only we tell: what cannot run here yet, and what upstream hangs at or fails at later.
const OURS: [&str; 5] = ["E0203", "E0210", "E0506", "E0608", "E0801"];
const CRON_NAME_MAX: usize = 52;

/// Parses `text` (strictly or not) and validates each object in it; `with` are templates that exist.
pub fn upstream(text: &str, with: &[&str], mode: &Mode, strict: bool) -> Upstream {
    let mut library = Library::default();
    for template in with {
        if let Ok(found) = parse(template, false) {
            library.definitions.extend(found.into_iter().map(|object| object.definition));
        }
    }
    let objects = match parse(text, strict) {
        Ok(objects) => objects,
        Err(message) => return Upstream::NotParsed(message),
    };
    for object in objects {
        let mut faults = Faults::new("");
        if let Some(root) = &object.cron {
            cron(root, &mut faults);
        }
        definition(&object.definition, &library, mode, &mut faults);
        let ours = |code: &str| OURS.contains(&code);
        let error = faults.list.into_iter().find(|d| d.severity == Severity::Error && !ours(d.code));
        if let Some(error) = error {
            return Upstream::Invalid(format!("{} {}", error.code, error.message));
        }
    }
    Upstream::Accepted
}

struct Object {
    definition: Definition,
    /// The document, if it is a schedule.
    cron: Option<Rc<Node>>,
}

fn parse(text: &str, strict: bool) -> Result<Vec<Object>, String> {
    if text.split("\n---").any(is_only_comments) {
        return Err("not an Argo kind".to_owned());
    }
    let mut objects = Vec::new();
    for document in yaml::load(text) {
        let document = document.map_err(|error| error.message)?;
        if strict && !document.duplicates.is_empty() {
            return Err("a key is there twice".to_owned());
        }
        objects.push(object(&document.root, strict)?);
    }
    if objects.is_empty() { Err("no object".to_owned()) } else { Ok(objects) }
}

/// Whether a part between separators says something, and no document: upstream takes it for one without a kind.
fn is_only_comments(part: &str) -> bool {
    let mut lines = part.lines().map(str::trim).filter(|line| !line.is_empty()).peekable();
    lines.peek().is_some() && lines.all(|line| line.starts_with('#'))
}

fn object(root: &Rc<Node>, strict: bool) -> Result<Object, String> {
    if root.mapping().is_none() {
        return Err("not a mapping".to_owned());
    }
    let kind = text(root, "kind");
    let (own, shape) = match kind.as_str() {
        "Workflow" => (Kind::Workflow, &fields::WORKFLOW),
        "WorkflowTemplate" => (Kind::WorkflowTemplate, &fields::WORKFLOW),
        "ClusterWorkflowTemplate" => (Kind::ClusterWorkflowTemplate, &fields::WORKFLOW),
        "CronWorkflow" => (Kind::Workflow, &fields::CRON_WORKFLOW),
        other => return Err(format!("not an Argo kind: {other}")),
    };
    let folded = if strict { Rc::clone(root) } else { folded(root, &schema::Kind::Object(shape)) };
    let root = &folded;
    let mut faults = Faults::new("");
    let mut checker = Checker::new(&mut faults, strict);
    checker.only_current = true;
    checker.check(root, &schema::Kind::Object(shape), "");
    if let Some(fault) = faults.list.into_iter().find(|d| d.severity == Severity::Error) {
        return Err(format!("{} {}", fault.code, fault.message));
    }
    plugins(root)?;
    let empty = || Rc::new(Node { span: root.span, value: Value::Mapping(Vec::new()) });
    let spec = field(root, "spec").cloned().unwrap_or_else(empty);
    let is_cron = kind == "CronWorkflow";
    let (spec, root_of_workflow) = match is_cron {
        // The workflow that a schedule makes has a name of its own.
        true => (field(&spec, "workflowSpec").cloned().unwrap_or_else(empty), empty()),
        false => (spec, Rc::clone(root)),
    };
    let name = field(root, "metadata").map(|m| text(m, "name")).unwrap_or_default();
    let definition = Definition {
        file: String::new(),
        kind: own,
        name,
        root: root_of_workflow,
        templates: Index::of(&spec),
        spec,
        sound: true,
    };
    Ok(Object { definition, cron: is_cron.then(|| Rc::clone(root)) })
}

/// The document with the keys that its shape has: Go's lenient decoding takes `Container` for `container`.
fn folded(node: &Rc<Node>, kind: &schema::Kind) -> Rc<Node> {
    let entry = |entry: &Entry, inner: &schema::Kind, key: Rc<Node>| Entry { key, value: folded(&entry.value, inner) };
    let value = match (&node.value, kind) {
        (Value::Mapping(entries), schema::Kind::Object(object)) => Value::Mapping(
            entries
                .iter()
                .map(|each| {
                    let text = each.key.key_text().unwrap_or_default();
                    let exact = object.fields.iter().find(|field| field.name == text);
                    match exact.or_else(|| object.fields.iter().find(|field| field.name.eq_ignore_ascii_case(text))) {
                        Some(field) => entry(each, &field.kind, renamed(&each.key, field.name)),
                        None => each.clone(),
                    }
                })
                .collect(),
        ),
        (Value::Mapping(entries), schema::Kind::Map(inner)) => {
            Value::Mapping(entries.iter().map(|each| entry(each, inner, Rc::clone(&each.key))).collect())
        }
        (Value::Sequence(items), schema::Kind::List(inner)) => {
            Value::Sequence(items.iter().map(|item| folded(item, inner)).collect())
        }
        (Value::Alias(target), kind) => Value::Alias(folded(target, kind)),
        _ => return Rc::clone(node),
    };
    Rc::new(Node { span: node.span, value })
}

fn renamed(key: &Rc<Node>, name: &str) -> Rc<Node> {
    match &key.value {
        Value::Scalar(scalar) if *scalar.text != *name => {
            Rc::new(Node { span: key.span, value: Value::Scalar(Scalar { text: name.into(), ..scalar.clone() }) })
        }
        _ => Rc::clone(key),
    }
}

/// A plugin template is an object with exactly one key (its own JSON decoder says so).
fn plugins(root: &Node) -> Result<(), String> {
    let Some(spec) = field(root, "spec") else { return Ok(()) };
    for template in items(spec, "templates") {
        if let Some(plugin) = field(template, "plugin")
            && plugin.mapping().is_none_or(|entries| entries.len() != 1)
        {
            return Err("a plugin has exactly one key".to_owned());
        }
    }
    Ok(())
}

fn cron(root: &Node, faults: &mut Faults) {
    let Some(spec) = field(root, "spec") else { return };
    let name = field(root, "metadata").and_then(|m| word(m, "name"));
    if let Some(name) = name.filter(|name| name.text.len() > CRON_NAME_MAX) {
        faults.error("E0304", name.span, "the name of a schedule has at most 52 characters", None);
    }
    let schedules = items(spec, "schedules");
    if schedules.is_empty() {
        faults.error("E0901", spec.span, "there is no schedule", None);
    }
    for node in schedules {
        let schedule = string(node).unwrap_or_default();
        if !is_schedule(&schedule) {
            faults.error("E0901", node.span, format!("`{schedule}` is no schedule"), None);
        }
    }
    let policy = text(spec, "concurrencyPolicy");
    if !["", "Allow", "Forbid", "Replace"].contains(&policy.as_str()) {
        faults.error("E0902", spec.span, format!("there is no concurrencyPolicy `{policy}`"), None);
    }
    if int(spec, "startingDeadlineSeconds").is_some_and(|seconds| seconds < 0) {
        faults.error("E0902", spec.span, "startingDeadlineSeconds must be positive", None);
    }
}

/// The outline of robfig/cron's standard parser: a descriptor, or five fields whose numbers are within their ranges.
fn is_schedule(schedule: &str) -> bool {
    let mut rest = schedule;
    if let Some(zone) = schedule.strip_prefix("CRON_TZ=").or_else(|| schedule.strip_prefix("TZ=")) {
        let Some((zone, after)) = zone.split_once(' ') else { return false };
        if !(matches!(zone, "UTC" | "Local") || zone.contains('/')) {
            return false;
        }
        rest = after.trim();
    }
    if let Some(descriptor) = rest.strip_prefix('@') {
        const KNOWN: [&str; 7] = ["yearly", "annually", "monthly", "weekly", "daily", "midnight", "hourly"];
        return KNOWN.contains(&descriptor) || descriptor.starts_with("every ");
    }
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let ranges = [(0, 59), (0, 23), (1, 31), (1, 12), (0, 6)];
    fields.len() == 5
        && fields.iter().zip(ranges).all(|(field, (low, high))| {
            let numbers = field.split(|c: char| !c.is_ascii_digit()).filter_map(|n| n.parse::<u32>().ok());
            let step = field.split_once('/').and_then(|(_, n)| n.parse::<u32>().ok());
            numbers.into_iter().all(|n| (low..=high).contains(&n) || Some(n) == step)
                && field.bytes().all(|b| b.is_ascii_alphanumeric() || b"*/,-?".contains(&b))
        })
}
