//! Two node trees: whether they are the same, or else the first place where they are not.
//! It must never know how a tree was got.

use super::tree::{NODE_FIELDS, RUN_FIELDS, RunTree};
use serde_json::Value;
use std::collections::BTreeMap;

/// Stand in records for what differs between any two runs.
const PLACEHOLDERS: &[&str] = &["<ip>", "<uid>", "<time>"];

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// A node's name, or `run`.
    pub node: String,
    pub field: &'static str,
    pub expected: String,
    pub got: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Match {
    /// Every node and every field.
    Whole,
    /// The run ends in the same phase; the tree differs first here.
    PhaseOnly(Difference),
    Wrong(Difference),
}

/// Compares a recorded tree with a printed one.
pub fn compare(expected: &RunTree, got: &RunTree) -> Match {
    let same_end = same(expected.run.get("phase"), got.run.get("phase"));
    match first_difference(expected, got) {
        None => Match::Whole,
        Some(difference) if same_end => Match::PhaseOnly(difference),
        Some(difference) => Match::Wrong(difference),
    }
}

fn first_difference(expected: &RunTree, got: &RunTree) -> Option<Difference> {
    let unlike = fields_differ("run", RUN_FIELDS, &expected.run, &got.run);
    // A node's difference tells more than what follows from it in the run's own fields.
    nodes_differ(expected, got).or(unlike)
}

fn nodes_differ(expected: &RunTree, got: &RunTree) -> Option<Difference> {
    let difference = |node: &str, expected: &str, got: &str| Difference {
        node: node.to_owned(),
        field: "name",
        expected: expected.to_owned(),
        got: got.to_owned(),
    };
    for (name, fields) in &expected.nodes {
        let Some(other) = got.nodes.get(name) else {
            return Some(difference(name, "a node", "none of that name"));
        };
        if let Some(unlike) = fields_differ(name, NODE_FIELDS, fields, other) {
            return Some(unlike);
        }
    }
    let surplus = got.nodes.keys().find(|name| !expected.nodes.contains_key(*name))?;
    Some(difference(surplus, "no such node", "a node"))
}

fn fields_differ(
    node: &str,
    fields: &[&'static str],
    expected: &BTreeMap<&'static str, Value>,
    got: &BTreeMap<&'static str, Value>,
) -> Option<Difference> {
    let field = fields.iter().find(|field| !same(expected.get(*field), got.get(*field)))?;
    let text = |value: Option<&Value>| value.map_or_else(|| "nothing".to_owned(), Value::to_string);
    Some(Difference { node: node.to_owned(), field, expected: text(expected.get(field)), got: text(got.get(field)) })
}

fn same(expected: Option<&Value>, got: Option<&Value>) -> bool {
    match (expected, got) {
        (Some(expected), Some(got)) => alike(expected, got),
        (None, None) => true,
        _ => false,
    }
}

/// Equal, where placeholders in the expected texts stand for anything.
fn alike(expected: &Value, got: &Value) -> bool {
    match (expected, got) {
        (Value::String(expected), Value::String(got)) => fits(expected, got),
        (Value::Array(expected), Value::Array(got)) => {
            expected.len() == got.len() && expected.iter().zip(got).all(|(a, b)| alike(a, b))
        }
        (Value::Object(expected), Value::Object(got)) => {
            expected.len() == got.len() && expected.iter().all(|(key, a)| got.get(key).is_some_and(|b| alike(a, b)))
        }
        _ => expected == got,
    }
}

/// Whether `text` is `pattern` with each placeholder replaced by something that is not empty.
fn fits(pattern: &str, text: &str) -> bool {
    let next = PLACEHOLDERS.iter().filter_map(|p| pattern.find(p).map(|at| (at, p.len()))).min();
    let Some((at, length)) = next else { return pattern == text };
    let (Some(rest), after) = (text.strip_prefix(&pattern[..at]), &pattern[at + length..]) else { return false };
    rest.char_indices()
        .skip(1)
        .map(|(from, _)| from)
        .chain([rest.len()])
        .any(|from| from > 0 && fits(after, &rest[from..]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn golden() -> Value {
        json!({
            "name": "w", "phase": "Succeeded", "message": null, "progress": "1/1", "ended": true, "seconds": 3.0,
            "outputs": {"g": "1"}, "outputArtifacts": [],
            "nodes": {
                "w": {"type": "Steps", "phase": "Succeeded", "displayName": "w", "id": "w", "templateName": "main",
                      "templateScope": "local/w", "children": ["w[0]"], "outbound": ["w[0].a"], "progress": "1/1"},
                "w[0]": {"type": "StepGroup", "phase": "Succeeded", "displayName": "[0]", "id": "w-1", "boundary": "w",
                         "children": ["w[0].a"], "templateScope": "local/w", "progress": "1/1"},
                "w[0].a": {"type": "Pod", "phase": "Succeeded", "displayName": "a", "id": "w-2", "boundary": "w",
                           "templateName": "t", "templateScope": "local/w", "inputs": {"p": "x"}, "inputArtifacts": ["in"],
                           "parameters": {"o": "at <time> from <ip>"}, "artifacts": ["main-logs", "out"], "result": "r",
                           "exitCode": "0", "nodeFlag": {"retried": true}, "progress": "1/1"}
            }
        })
    }

    /// The same as `golden`, as a Workflow object.
    fn status() -> Value {
        json!({"metadata": {"name": "w"}, "status": {
        "phase": "Succeeded", "progress": "1/1", "outputs": {"parameters": [{"name": "g", "value": "1"}]},
        "nodes": {
            "w": {"id": "w", "name": "w", "type": "Steps", "phase": "Succeeded", "displayName": "w", "templateName": "main",
                  "templateScope": "local/w", "children": ["w-1"], "outboundNodes": ["w-2"], "progress": "1/1"},
            "w-1": {"id": "w-1", "name": "w[0]", "type": "StepGroup", "phase": "Succeeded", "displayName": "[0]",
                    "boundaryID": "w", "children": ["w-2"], "templateScope": "local/w", "progress": "1/1"},
            "w-2": {"id": "w-2", "name": "w[0].a", "type": "Pod", "phase": "Succeeded", "displayName": "a", "boundaryID": "w",
                    "templateName": "t", "templateScope": "local/w", "startedAt": "2026-01-01T00:00:00Z",
                    "inputs": {"parameters": [{"name": "p", "value": "x"}], "artifacts": [{"name": "in", "path": "/in"}]},
                    "outputs": {"parameters": [{"name": "o", "value": "at noon from 10.0.0.1"}], "result": "r", "exitCode": "0",
                                "artifacts": [{"name": "out", "path": "/out"}]},
                    "nodeFlag": {"retried": true}, "progress": "1/1"}
        }}})
    }

    fn outcome(expected: &Value, got: &Value) -> Match {
        compare(&RunTree::recorded(expected), &RunTree::printed(got))
    }

    #[test]
    fn the_same_tree_matches_whole() {
        assert_eq!(outcome(&golden(), &status()), Match::Whole);
    }

    #[test]
    fn each_field_is_compared() {
        for (pointer, value, node, field) in [
            ("/status/nodes/w-2/type", json!("Retry"), "w[0].a", "type"),
            ("/status/nodes/w-2/phase", json!("Failed"), "w[0].a", "phase"),
            ("/status/nodes/w-2/displayName", json!("b"), "w[0].a", "displayName"),
            ("/status/nodes/w-2/id", json!("w-3"), "w[0].a", "id"),
            ("/status/nodes/w-2/templateName", json!("u"), "w[0].a", "templateName"),
            ("/status/nodes/w-2/templateScope", json!(""), "w[0].a", "templateScope"),
            ("/status/nodes/w-2/boundaryID", json!("w-1"), "w[0].a", "boundary"),
            ("/status/nodes/w-1/children", json!([]), "w[0]", "children"),
            ("/status/nodes/w/outboundNodes", json!(["w-1"]), "w", "outbound"),
            ("/status/nodes/w-2/inputs/parameters/0/value", json!("y"), "w[0].a", "inputs"),
            ("/status/nodes/w-2/inputs/artifacts", json!([]), "w[0].a", "inputArtifacts"),
            ("/status/nodes/w-2/outputs/parameters/0/value", json!("at noon"), "w[0].a", "parameters"),
            ("/status/nodes/w-2/outputs/artifacts", json!(null), "w[0].a", "artifacts"),
            ("/status/nodes/w-2/outputs/result", json!("q"), "w[0].a", "result"),
            ("/status/nodes/w-2/outputs/exitCode", json!("1"), "w[0].a", "exitCode"),
            ("/status/nodes/w-2/nodeFlag", json!({}), "w[0].a", "nodeFlag"),
            ("/status/nodes/w-1/progress", json!("0/1"), "w[0]", "progress"),
            ("/status/progress", json!("0/1"), "run", "progress"),
            ("/status/outputs/parameters", json!([]), "run", "outputs"),
        ] {
            let mut changed = status();
            *changed.pointer_mut(pointer).unwrap() = value;
            let Match::PhaseOnly(difference) = outcome(&golden(), &changed) else { panic!("{pointer}") };
            assert_eq!((difference.node.as_str(), difference.field), (node, field), "{pointer}");
        }
    }

    #[test]
    fn messages_count_and_a_wrong_end_is_wrong() {
        let mut changed = status();
        changed["status"]["nodes"]["w"]["message"] = json!("oh");
        let Match::PhaseOnly(difference) = outcome(&golden(), &changed) else { panic!() };
        assert_eq!(
            (difference.field, difference.expected.as_str(), difference.got.as_str()),
            ("message", "nothing", "\"oh\"")
        );
        changed["status"]["phase"] = json!("Failed");
        assert!(matches!(outcome(&golden(), &changed), Match::Wrong(_)));
    }

    #[test]
    fn a_missing_and_a_surplus_node_are_found() {
        let mut fewer = golden();
        fewer["nodes"].as_object_mut().unwrap().remove("w[0].a");
        let mut got = RunTree::printed(&status());
        let Match::PhaseOnly(difference) = compare(&RunTree::recorded(&fewer), &got) else { panic!() };
        assert_eq!((difference.node.as_str(), difference.field), ("w[0].a", "name"));
        got.nodes.remove("w[0]");
        let Match::PhaseOnly(difference) = compare(&RunTree::recorded(&golden()), &got) else { panic!() };
        assert_eq!((difference.node.as_str(), difference.got.as_str()), ("w[0]", "none of that name"));
    }

    #[test]
    fn placeholders_stand_for_something() {
        assert!(fits("a <ip> b <time>", "a 1.2.3.4 b 2026 b"));
        assert!(fits("<uid>", "é"));
        assert!(!fits("a <ip> b", "a  b") && !fits("<uid>", "") && !fits("<ip>x", "yy"));
    }

    /// A record in the shape of Argo's status.
    fn as_status(record: &Value) -> Value {
        let nodes = record["nodes"].as_object().unwrap();
        let id =
            |name: &Value| nodes.get(name.as_str().unwrap()).map_or_else(|| name.clone(), |node| node["id"].clone());
        let ids = |names: &Value| Value::Array(names.as_array().into_iter().flatten().map(id).collect());
        let listed = |values: &Value| -> Value {
            let item = |(name, value): (&String, &Value)| json!({"name": name, "value": value});
            Value::Array(values.as_object().into_iter().flatten().map(item).collect())
        };
        let named = |names: &Value| -> Value {
            Value::Array(names.as_array().into_iter().flatten().map(|name| json!({"name": name})).collect())
        };
        let mut by_id = serde_json::Map::new();
        for (name, node) in nodes {
            let mut status = node.clone();
            status["name"] = json!(name);
            status["boundaryID"] = if node["boundary"].is_null() { Value::Null } else { id(&node["boundary"]) };
            status["children"] = ids(&node["children"]);
            status["outboundNodes"] = ids(&node["outbound"]);
            status["inputs"] =
                json!({"parameters": listed(&node["inputs"]), "artifacts": named(&node["inputArtifacts"])});
            status["outputs"] = json!({"parameters": listed(&node["parameters"]), "artifacts": named(&node["artifacts"]),
                                       "result": node["result"], "exitCode": node["exitCode"]});
            by_id.insert(node["id"].as_str().unwrap().to_owned(), status);
        }
        json!({"status": {"phase": record["phase"], "message": record["message"], "progress": record["progress"], "nodes": by_id,
            "outputs": {"parameters": listed(&record["outputs"]), "artifacts": named(&record["outputArtifacts"])}}})
    }

    #[test]
    fn every_record_matches_itself_and_no_field_can_be_lost() {
        let folder = crate::checkout::corpus().join("golden");
        if !folder.is_dir() {
            println!("skipped: there is no folder {}", folder.display());
            return;
        }
        let mut fields_lost = 0;
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_none_or(|extension| extension != "json") {
                continue;
            }
            let records: Vec<Value> = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
            for record in records {
                let (expected, whole) = (RunTree::recorded(&record), RunTree::printed(&as_status(&record)));
                assert_eq!(compare(&expected, &whole), Match::Whole, "{}", path.display());
                for (name, fields) in &whole.nodes {
                    for field in fields.keys() {
                        let mut less = whole.clone();
                        less.nodes.get_mut(name).unwrap().remove(field);
                        let Match::PhaseOnly(difference) = compare(&expected, &less) else { panic!("{name}: {field}") };
                        assert_eq!((&difference.node, difference.field), (name, *field));
                        fields_lost += 1;
                    }
                }
            }
        }
        assert!(fields_lost > 1_000, "{fields_lost}");
    }
}
