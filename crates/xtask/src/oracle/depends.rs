//! `depends`: the tasks it names, its full form, and whether it is met.

use super::{Row, Verdict, of};
use engine::depends::{Results, asks_for_children, evaluate, expand, names, unknown_result};
use model::Phase;
use model::plan::ContinueOn;
use serde_json::{Value, json};
use std::collections::BTreeMap;

pub fn check(row: &Row) -> Verdict {
    if row.text.contains("\"eval_error\":\"panic: target") {
        return Verdict::Deliberate("upstream panics on a task that does not exist; we refuse the plan");
    }
    of(row, |row| (expected(row), got(row)))
}

fn expected(row: &Value) -> Value {
    let failed = row["eval_error"] != "";
    let error = if failed { json!("an error") } else { json!("") };
    json!([row["refs"], row["expanded"], row["validate_error"], row["execute"], row["proceed"], error])
}

fn got(row: &Value) -> Value {
    let task = &row["task"];
    let dependencies = || {
        let names: Vec<&str> =
            task["dependencies"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        names.join(" && ")
    };
    let depends = task["depends"].as_str().filter(|depends| !depends.is_empty());
    let depends = depends.map_or_else(dependencies, String::from);
    let tasks: BTreeMap<&str, &Value> =
        row["tasks"].as_array().into_iter().flatten().filter_map(|t| Some((t["name"].as_str()?, t))).collect();
    let on = |name: &str, key: &str| tasks.get(name).is_some_and(|t| t["continueOn"][key] == true);
    let expanded = expand(&depends, &|name| ContinueOn { error: on(name, "error"), failed: on(name, "failed") });
    let refs: serde_json::Map<String, Value> = names(&depends)
        .into_iter()
        .map(|name| (name.clone(), json!(if asks_for_children(&depends, &name) { "items" } else { "task" })))
        .collect();
    let invalid = match unknown_result(&depends) {
        Some((task, result)) => format!("task result '{result}' for task '{task}' is invalid"),
        None => String::new(),
    };
    let fulfilled = |name: &String| tasks.get(name.as_str()).is_some_and(|task| is_fulfilled(task));
    let proceed = names(&depends).iter().all(fulfilled);
    let (execute, proceed, error) =
        match proceed.then(|| evaluate(&expanded, &|name| tasks.get(name).map(|t| results(t)))) {
            Some(Ok(execute)) => (execute, true, ""),
            Some(Err(_)) => (false, false, "an error"),
            None => (false, false, ""),
        };
    json!([refs, expanded, invalid, execute, proceed, error])
}

fn phase(text: &Value) -> Option<Phase> {
    serde_json::from_value(text.clone()).ok()
}

/// Upstream counts a daemon that runs as done.
fn is_fulfilled(task: &Value) -> bool {
    (task["daemoned"] == true && task["phase"] != "Pending") || phase(&task["phase"]).is_some_and(Phase::is_fulfilled)
}

fn results(task: &Value) -> Results {
    let mut results = phase(&task["phase"]).map(Results::of).unwrap_or_default();
    results.daemoned = task["daemoned"] == true && task["phase"] != "Pending";
    let children = task["children"].as_array().cloned().unwrap_or_default();
    if task["loop"] == true { results.with_children(children.iter().filter_map(phase)) } else { results }
}
