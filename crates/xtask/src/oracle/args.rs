//! Inputs bound to arguments, and the texts of a template resolved with them.

use super::{Row, Verdict, of};
use engine::probe;
use expr::Value as Var;
use model::Text;
use model::plan::{
    Arguments, Artifact, Body, Inputs, Location, OutputArtifact, OutputParameter, OutputSource, Outputs, Parameter,
    Scope, Template,
};
use serde_json::{Value, json};
use std::collections::BTreeMap;

pub fn check(row: &Row) -> Verdict {
    match of(row, |row| (expected(row), got(row))) {
        Verdict::Wrong { .. } if scanned_again(&row.text) => {
            Verdict::Deliberate("upstream scans values for tags after they were bound; values are data here")
        }
        Verdict::Wrong { .. } if super::is_nested(&row.text) => {
            Verdict::Deliberate("a nested tag is resolved in one pass, so that no value is scanned for tags")
        }
        verdict => verdict,
    }
}

/// Rows in which a value holds a tag.
fn scanned_again(text: &str) -> bool {
    let row: Value = serde_json::from_str(text).unwrap_or_default();
    let template: Value = serde_json::from_str(row["template"].as_str().unwrap_or("null")).unwrap_or_default();
    [&row["arguments"], &row["globals"], &row["locals"]].iter().any(|place| place.to_string().contains("{{"))
        || template["inputs"].to_string().contains("{{inputs.")
}

/// The inputs' values and every string of the body, as upstream leaves them.
fn expected(row: &Value) -> Value {
    if row["ok"] == false {
        return json!({ "error": row["error"] });
    }
    let result: Value = serde_json::from_str(row["result"].as_str().unwrap_or_default()).unwrap_or_default();
    let values = |list: &Value| -> Value {
        let of = |p: &Value| (p["name"].as_str().unwrap_or_default().to_string(), p["value"].clone());
        list.as_array()
            .into_iter()
            .flatten()
            .map(of)
            .collect::<BTreeMap<_, _>>()
            .into_iter()
            .collect::<serde_json::Map<_, _>>()
            .into()
    };
    let written: Value = serde_json::from_str(row["template"].as_str().unwrap_or("null")).unwrap_or_default();
    let texts: Vec<&Value> =
        places(&written).iter().map(|place| result.pointer(place).unwrap_or(&Value::Null)).collect();
    json!({ "inputs": values(&result["inputs"]["parameters"]), "texts": texts })
}

fn got(row: &Value) -> Value {
    let parse = |name: &str| -> Value {
        serde_json::from_str(row[name].as_str().filter(|t| !t.is_empty()).unwrap_or("null")).unwrap_or_default()
    };
    let (written, arguments) = (parse("template"), parse("arguments"));
    let vars: BTreeMap<String, Var> = [&row["globals"], &row["locals"]]
        .into_iter()
        .filter_map(Value::as_object)
        .flatten()
        .map(|(name, value)| (name.clone(), value.as_str().map_or(Var::Null, Var::str)))
        .collect();
    let places = places(&written);
    let borrowed: Vec<&str> = places.iter().filter_map(|place| written.pointer(place)?.as_str()).collect();
    match probe::bind(&template(&written), &inputs(&arguments), &vars, &borrowed) {
        Ok((inputs, texts)) => {
            let values: BTreeMap<String, String> = inputs.parameters.into_iter().map(|p| (p.name, p.value)).collect();
            json!({ "inputs": values, "texts": texts })
        }
        Err(error) => json!({ "error": error }),
    }
}

/// Where the strings of everything but inputs and outputs stand, as JSON pointers.
fn places(template: &Value) -> Vec<String> {
    let mut places = Vec::new();
    for key in ["container", "script", "steps", "dag", "resource", "suspend"] {
        strings(&format!("/{key}"), &template[key], &mut places);
    }
    places
}

fn strings(place: &str, value: &Value, out: &mut Vec<String>) {
    match value {
        Value::String(_) => out.push(place.to_string()),
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(i, item)| strings(&format!("{place}/{i}"), item, out))
        }
        Value::Object(entries) => {
            entries.iter().for_each(|(key, value)| strings(&format!("{place}/{key}"), value, out))
        }
        _ => {}
    }
}

fn template(written: &Value) -> Template {
    Template {
        locks: Vec::new(),
        name: written["name"].as_str().unwrap_or_default().into(),
        scope: Scope::Local,
        inputs: inputs(&written["inputs"]),
        outputs: outputs(&written["outputs"]),
        body: Body::Missing,
        retry: None,
        parallelism: None,
        fail_fast: false,
        timeout: None,
        active_deadline: None,
        at_most_once: false,
        annotations: BTreeMap::new(),
    }
}

fn inputs(written: &Value) -> Inputs {
    let text = |value: &Value| match value {
        Value::Null => None,
        Value::String(text) => Some(Text::new(text.clone())),
        other => Some(Text::new(other.to_string())),
    };
    let parameter = |p: &Value| Parameter {
        config_map: None,
        name: p["name"].as_str().unwrap_or_default().into(),
        value: text(&p["value"]),
        default: text(&p["default"]),
        expression: p["valueFrom"]["expression"].as_str().map(String::from),
        allowed: p["enum"].as_array().into_iter().flatten().filter_map(|e| e.as_str().map(String::from)).collect(),
        description: String::new(),
    };
    let location = |a: &Value| {
        let raw = text(&a["raw"]["data"]).map(Location::Raw);
        raw.or_else(|| text(&a["s3"]["key"]).map(Location::Key))
    };
    let artifact = |a: &Value| Artifact {
        name: a["name"].as_str().unwrap_or_default().into(),
        path: text(&a["path"]).unwrap_or_default(),
        location: location(a),
        optional: a["optional"] == true,
        ..Artifact::default()
    };
    let list = |name: &str| written[name].as_array().cloned().unwrap_or_default();
    Arguments {
        parameters: list("parameters").iter().map(parameter).collect(),
        artifacts: list("artifacts").iter().map(artifact).collect(),
    }
}

fn outputs(written: &Value) -> Outputs {
    let text = |value: &Value| Text::new(value.as_str().unwrap_or_default());
    let parameters = written["parameters"].as_array().into_iter().flatten().map(|p| OutputParameter {
        name: p["name"].as_str().unwrap_or_default().into(),
        source: OutputSource::Path(text(&p["valueFrom"]["path"])),
        default: None,
        global_name: String::new(),
    });
    let artifacts = written["artifacts"].as_array().into_iter().flatten().map(|a| OutputArtifact {
        name: a["name"].as_str().unwrap_or_default().into(),
        path: text(&a["path"]),
        ..OutputArtifact::default()
    });
    Outputs { parameters: parameters.collect(), artifacts: artifacts.collect() }
}
