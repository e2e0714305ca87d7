//! Inputs bound to arguments, and the texts of a template resolved with them.

use super::{Row, Verdict, of};
use engine::probe;
use expr::Value as Var;
use model::Text;
use model::plan::{Arguments, Artifact, Body, Inputs, Location, Outputs, Parameter, Scope, Template};
use serde_json::{Value, json};
use std::collections::BTreeMap;

pub fn check(row: &Row) -> Verdict {
    of(row, |row| (expected(row), got(row)))
}

/// The inputs' values and every string of the body, as upstream leaves them.
fn expected(row: &Value) -> Value {
    if row["ok"] == false {
        return json!({ "error": row["error"] });
    }
    let result: Value = serde_json::from_str(row["result"].as_str().unwrap_or_default()).unwrap_or_default();
    let values = |list: &Value| -> Value {
        let of = |p: &Value| (p["name"].as_str().unwrap_or_default().to_string(), p["value"].clone());
        list.as_array().into_iter().flatten().map(of).collect::<BTreeMap<_, _>>().into_iter().collect::<serde_json::Map<_, _>>().into()
    };
    let mut texts = Vec::new();
    body_texts(&result, &mut texts);
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
    let mut texts = Vec::new();
    body_texts(&written, &mut texts);
    let borrowed: Vec<&str> = texts.iter().map(String::as_str).collect();
    match probe::bind(&template(&written), &inputs(&arguments), &vars, &borrowed) {
        Ok((inputs, texts)) => {
            let values: BTreeMap<String, String> = inputs.parameters.into_iter().map(|p| (p.name, p.value)).collect();
            json!({ "inputs": values, "texts": texts })
        }
        Err(error) => json!({ "error": error }),
    }
}

/// The strings of everything but inputs, in the order of sorted keys.
fn body_texts(template: &Value, out: &mut Vec<String>) {
    let kept = ["container", "script", "steps", "dag", "resource", "suspend"];
    for key in kept {
        strings(&template[key], out);
    }
}

fn strings(value: &Value, out: &mut Vec<String>) {
    match value {
        Value::String(text) if !text.is_empty() => out.push(text.clone()),
        Value::Array(items) => items.iter().for_each(|item| strings(item, out)),
        Value::Object(entries) => entries.values().for_each(|value| strings(value, out)),
        _ => {}
    }
}

fn template(written: &Value) -> Template {
    Template {
        name: written["name"].as_str().unwrap_or_default().into(),
        scope: Scope::Local,
        inputs: inputs(&written["inputs"]),
        outputs: Outputs::default(),
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
        name: p["name"].as_str().unwrap_or_default().into(),
        value: text(&p["value"]),
        default: text(&p["default"]),
        expression: p["valueFrom"]["expression"].as_str().map(String::from),
        allowed: p["enum"].as_array().into_iter().flatten().filter_map(|e| e.as_str().map(String::from)).collect(),
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
