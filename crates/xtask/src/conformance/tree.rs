//! A node tree in one shape, whether it was recorded (a golden file) or printed (Argo's `status`).
//! It must never know which fields of two trees have to agree.

use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Stems from a setting of the controller that made the records, not from the manifests.
const NOT_THE_MANIFESTS: &str = "main-logs";

/// A run's end and its nodes. Absent, null and empty are one and the same: the field is missing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RunTree {
    /// phase, message, progress, outputs, outputArtifacts.
    pub run: BTreeMap<&'static str, Value>,
    /// Node name → field → value. Sets are sorted lists of node names.
    pub nodes: BTreeMap<String, BTreeMap<&'static str, Value>>,
}

/// Fields of a node, in the order in which a difference tells most.
pub const NODE_FIELDS: &[&str] = &[
    "type",
    "phase",
    "message",
    "displayName",
    "id",
    "templateName",
    "templateRef",
    "templateScope",
    "boundary",
    "children",
    "outbound",
    "inputs",
    "inputArtifacts",
    "parameters",
    "artifacts",
    "result",
    "exitCode",
    "nodeFlag",
    "progress",
    "daemoned",
    "memoizationStatus",
];

pub const RUN_FIELDS: &[&str] = &["phase", "message", "progress", "outputs", "outputArtifacts"];

impl RunTree {
    /// From one object of a golden file, which has our field names already.
    pub fn recorded(object: &Value) -> Self {
        let nodes = object["nodes"].as_object().cloned().unwrap_or_default();
        let nodes = nodes.iter().map(|(name, node)| (name.clone(), gather(NODE_FIELDS, |field| node[field].clone())));
        Self { run: gather(RUN_FIELDS, |field| object[field].clone()), nodes: nodes.collect() }
    }

    /// From a Workflow object with Argo's `status`.
    pub fn printed(workflow: &Value) -> Self {
        let status = &workflow["status"];
        let run = gather(RUN_FIELDS, |field| match field {
            "outputs" => by_name(&status["outputs"]["parameters"]),
            "outputArtifacts" => names(&status["outputs"]["artifacts"]),
            _ => status[field].clone(),
        });
        let nodes = status["nodes"].as_object().cloned().unwrap_or_default();
        let name_of = |id: &Value| match id.as_str().and_then(|id| nodes.get(id)) {
            Some(node) => node["name"].clone(),
            None => id.clone(),
        };
        let names_of = |ids: &Value| Value::Array(ids.as_array().into_iter().flatten().map(name_of).collect());
        let read = |node: &Value| {
            gather(NODE_FIELDS, |field| match field {
                "boundary" => name_of(&node["boundaryID"]),
                "children" => names_of(&node["children"]),
                "outbound" => names_of(&node["outboundNodes"]),
                "inputs" => by_name(&node["inputs"]["parameters"]),
                "inputArtifacts" => names(&node["inputs"]["artifacts"]),
                "parameters" => by_name(&node["outputs"]["parameters"]),
                "artifacts" => names(&node["outputs"]["artifacts"]),
                "result" | "exitCode" => node["outputs"][field].clone(),
                "templateRef" => template_ref(&node["templateRef"]),
                _ => node[field].clone(),
            })
        };
        let named = nodes.values().map(|node| (node["name"].as_str().unwrap_or_default().to_owned(), read(node)));
        let nodes = named.collect();
        Self { run, nodes }
    }
}

/// The fields that are there, each in its one form.
fn gather(fields: &[&'static str], value: impl Fn(&str) -> Value) -> BTreeMap<&'static str, Value> {
    let settled = fields.iter().map(|field| (*field, settle(field, value(field))));
    settled.filter(|(_, value)| !is_empty(value)).collect()
}

fn settle(field: &str, value: Value) -> Value {
    match (field, value) {
        ("children" | "outbound" | "artifacts" | "inputArtifacts" | "outputArtifacts", Value::Array(mut items)) => {
            items.retain(|item| item != NOT_THE_MANIFESTS);
            items.sort_by_key(Value::to_string);
            Value::Array(items)
        }
        ("nodeFlag" | "templateRef", Value::Object(flags)) => {
            Value::Object(flags.into_iter().filter(|(_, set)| *set != Value::Bool(false)).collect())
        }
        (_, value) => value,
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(set) => !set,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Number(_) => false,
    }
}

/// `[{name, value}]` → `{name: value}`.
fn by_name(list: &Value) -> Value {
    let mut named = Map::new();
    for item in list.as_array().into_iter().flatten() {
        named.insert(item["name"].as_str().unwrap_or_default().to_owned(), item["value"].clone());
    }
    Value::Object(named)
}

/// `[{name, …}]` → `[name]`.
fn names(list: &Value) -> Value {
    Value::Array(list.as_array().into_iter().flatten().map(|item| item["name"].clone()).collect())
}

fn template_ref(reference: &Value) -> Value {
    let mut kept = reference.as_object().cloned().unwrap_or_default();
    kept.retain(|field, _| matches!(field.as_str(), "name" | "template" | "clusterScope"));
    Value::Object(kept)
}
