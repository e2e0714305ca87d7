//! `workflow.*`: the variables that are the same everywhere in a run (upstream `setGlobalParameters`).
//! It must never be computed twice for a run: they stand in the state.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use expr::write_string;
use expr::{Instant, Zone};
use expr::{Value, gofmt};
use model::RunRecord;
use model::node::Parameter;
use model::plan::Parameter as Declared;

/// The strftime letters that have a variable of their own below `workflow.creationTimestamp`.
const TIME_LETTERS: &str = "ABHILMSYZabdmpyz";

/// All of `workflow.*` for a run.
pub fn of(record: &RunRecord) -> BTreeMap<String, Value> {
    let plan = &record.plan;
    let is_blank = |section: &str| plan.metadata.blank.iter().any(|blank| blank == section);
    let mut globals = BTreeMap::new();
    let mut set = |name: &str, value: String| globals.insert(format!("workflow.{name}"), Value::str(value));
    set("name", record.name.clone());
    set("namespace", plan.metadata.namespace.clone());
    set("uid", record.id.0.clone());
    set("mainEntrypoint", plan.template(plan.entrypoint).name.clone());
    set("serviceAccountName", plan.service_account.clone());
    if plan.priority != 0 {
        set("priority", plan.priority.to_string());
    }
    let created = rfc3339(record.created_at);
    let instant = instant(record.created_at);
    for letter in TIME_LETTERS.chars() {
        set(&format!("creationTimestamp.{letter}"), gofmt::strftime(&instant, &format!("%{letter}")));
    }
    set("creationTimestamp", created.clone());
    set("creationTimestamp.RFC3339", created);
    set("creationTimestamp.s", record.created_at.seconds().to_string());
    for (group, entries) in [("labels", &plan.metadata.labels), ("annotations", &plan.metadata.annotations)] {
        for (key, value) in entries {
            set(&format!("{group}.{key}"), value.clone());
        }
        let json = if is_blank(group) { "{}".to_string() } else { json_map(entries) };
        set(group, json.clone());
        set(&format!("{group}.json"), json);
    }
    for (name, value) in &plan.metadata.of_runs.labels {
        set(&format!("labels.{name}"), value.clone());
    }
    for (name, value) in &plan.metadata.of_runs.annotations {
        set(&format!("annotations.{name}"), value.clone());
    }
    if let Some(time) = plan.metadata.annotations.get("workflows.argoproj.io/scheduled-time") {
        set("scheduledTime", time.clone());
    }
    let parameters = parameters(record);
    for parameter in &parameters {
        set(&format!("parameters.{}", parameter.name), parameter.value.clone());
    }
    let json = match is_blank("parameters") {
        true => "[]".to_string(),
        false => json_declared(&plan.arguments.parameters, &parameters),
    };
    set("parameters", json.clone());
    set("parameters.json", json);
    for (name, source) in &plan.metadata.of_runs.labels_from {
        let key = format!("workflow.labels.{name}");
        globals.remove(&key);
        if let Ok(Value::Str(text)) = expr::lang::evaluate(source, &globals, &expr::Context::default()) {
            globals.insert(key, Value::Str(text));
        }
    }
    globals
}

/// The workflow's parameters with the values of this run: those given at the start, else the document's.
pub fn parameters(record: &RunRecord) -> alloc::vec::Vec<Parameter> {
    let given = |name: &str| record.parameters.iter().find(|p| p.name == name).map(|p| p.value.clone());
    let declared = record.plan.arguments.parameters.iter().map(|p| {
        let own = || p.value.as_ref().or(p.default.as_ref()).map(|text| text.0.clone());
        Parameter { name: p.name.clone(), value: given(&p.name).or_else(own).unwrap_or_default() }
    });
    declared.collect()
}

fn json_map(entries: &BTreeMap<String, String>) -> String {
    if entries.is_empty() {
        return "null".to_string();
    }
    let map = entries.iter().map(|(key, value)| (key.clone(), crate::json::Json::text(value.clone()))).collect();
    crate::json::Json::Map(map).to_text()
}

/// `[{"name":…,"value":…},…]`, `null` for none.
pub(crate) fn json_parameters(parameters: &[Parameter]) -> String {
    if parameters.is_empty() {
        return "null".to_string();
    }
    let mut out = String::from("[");
    for (i, parameter) in parameters.iter().enumerate() {
        out.push_str(if i == 0 { "{\"name\":" } else { ",{\"name\":" });
        write_string(&parameter.name, true, &mut out);
        out.push_str(",\"value\":");
        write_string(&parameter.value, true, &mut out);
        out.push('}');
    }
    out.push(']');
    out
}

/// The workflow's parameters as upstream prints them: with default, enum and description.
fn json_declared(declared: &[Declared], parameters: &[Parameter]) -> String {
    if parameters.is_empty() {
        return "null".to_string();
    }
    let field = |out: &mut String, name: &str, text: &str| {
        out.push_str(if out.ends_with('{') { "" } else { "," });
        write_string(name, true, out);
        out.push(':');
        write_string(text, true, out);
    };
    let mut out = String::from("[");
    for (declared, parameter) in declared.iter().zip(parameters) {
        out.push_str(if out.len() == 1 { "{" } else { ",{" });
        field(&mut out, "name", &declared.name);
        if let Some(default) = &declared.default {
            field(&mut out, "default", &default.0);
        }
        field(&mut out, "value", &parameter.value);
        if !declared.allowed.is_empty() {
            let allowed = declared.allowed.iter().map(|a| crate::json::Json::text(a.clone())).collect();
            out.push_str(&format!(",\"enum\":{}", crate::json::Json::List(allowed).to_text()));
        }
        if !declared.description.is_empty() {
            field(&mut out, "description", &declared.description);
        }
        out.push('}');
    }
    out.push(']');
    out
}

fn instant(time: model::Time) -> Instant {
    Instant { unix: time.seconds(), nanos: 0, zone: Zone::Utc }
}

/// A time as Argo writes it: RFC 3339, whole seconds, UTC.
pub fn rfc3339(time: model::Time) -> String {
    gofmt::strftime(&instant(time), "%Y-%m-%dT%H:%M:%SZ")
}
