//! Loops: names and values of their children.

use super::{Row, Verdict, of};
use engine::probe;
use expr::Value as Var;
use model::Text;
use model::plan::{Arguments, ContinueOn, Parameter, Sequence, Target, Task, With};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::collections::BTreeMap;

pub fn check(row: &Row) -> Verdict {
    if row.text.contains("\"error\":\"panic") {
        return Verdict::Deliberate("upstream panics");
    }
    if scanned_again(&row.text) {
        return Verdict::Deliberate("upstream scans items for tags; items are data here");
    }
    match of(row, |row| (expected(row), got(row))) {
        Verdict::Wrong { .. } if is_nested(&row.text) => {
            Verdict::Deliberate("a nested tag is resolved in one pass, so that no value is scanned for tags")
        }
        verdict => verdict,
    }
}

/// Rows whose probes have a tag inside a tag.
fn is_nested(text: &str) -> bool {
    let row: Value = serde_json::from_str(text).unwrap_or_default();
    let probes = row["probes"].as_object().into_iter().flatten();
    probes.filter_map(|(_, probe)| probe.as_str()).any(super::is_nested)
}

/// Rows whose items hold braces, which upstream reads as tags.
fn scanned_again(text: &str) -> bool {
    let with = serde_json::from_str::<Value>(text).ok().and_then(|row| row["with"].as_str().map(String::from));
    with.is_some_and(|with| with.contains("{{"))
}

fn expected(row: &Value) -> Value {
    if row["ok"] == true { row["children"].clone() } else { json!({ "error": row["error"] }) }
}

fn got(row: &Value) -> Value {
    let with = match with(row["with"].as_str().unwrap_or_default()) {
        Ok(with) => with,
        Err(error) => return json!({ "error": error }),
    };
    let text = |value: &Value| value.as_str().map(Text::new);
    let parameters = row["probes"].as_object().into_iter().flatten().map(|(name, probe)| Parameter {
        name: name.clone(),
        value: text(probe),
        ..Parameter::default()
    });
    let task = Task {
        name: row["name"].as_str().unwrap_or_default().into(),
        target: Target::Named(Text::new("t")),
        arguments: Arguments { parameters: parameters.collect(), artifacts: Vec::new() },
        when: text(&row["when"]).filter(|when| !when.0.is_empty()),
        with,
        continue_on: ContinueOn::default(),
        depends: String::new(),
        from_dependencies: false,
        hooks: Vec::new(),
    };
    let var = |value: &Value| value.as_str().map_or(Var::Null, Var::str);
    let vars: BTreeMap<String, Var> =
        row["vars"].as_object().into_iter().flatten().map(|(name, value)| (name.clone(), var(value))).collect();
    match probe::expand(&task, &vars) {
        Ok(children) => children
            .into_iter()
            .map(|child| {
                let values: BTreeMap<String, String> = child.values.into_iter().collect();
                json!({ "name": child.name, "when": child.when, "values": values })
            })
            .collect(),
        Err(error) => json!({ "error": error }),
    }
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Written<'a> {
    #[serde(borrow, default)]
    with_items: Option<Vec<&'a RawValue>>,
    #[serde(default)]
    with_param: Option<String>,
    #[serde(default)]
    with_sequence: Option<Value>,
}

fn with(text: &str) -> Result<Option<With>, String> {
    let written: Written<'_> = serde_json::from_str(text).map_err(|error| error.to_string())?;
    if let Some(items) = written.with_items {
        return Ok(Some(With::Items(items.iter().map(|raw| Text::new(raw.get())).collect())));
    }
    if let Some(param) = written.with_param.filter(|param| !param.is_empty()) {
        return Ok(Some(With::Param(Text::new(param))));
    }
    let Some(sequence) = written.with_sequence else { return Ok(None) };
    let number = |name: &str| match &sequence[name] {
        Value::Null => None,
        Value::String(text) => Some(Text::new(text.clone())),
        other => Some(Text::new(other.to_string())),
    };
    Ok(Some(With::Sequence(Sequence {
        count: number("count"),
        start: number("start"),
        end: number("end"),
        format: sequence["format"].as_str().unwrap_or_default().into(),
    })))
}
