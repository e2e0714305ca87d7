//! `workflow.*`.

use super::{Row, Verdict, of};
use engine::probe;
use model::attempt::Profile;
use model::record::Source;
use model::{RunId, RunRecord, Time};
use serde_json::{Value, json};
use spec::{Options, SourceFile, compile};

/// Values and names that we refuse, each with a fault of its own (E0202, E0203, E0104).
const REFUSED: [&str; 4] = ["value: [", "value: {", "name: a.b", "annotations: {x: y}"];

pub fn check(row: &Row) -> Verdict {
    match of(row, |row| (expected(row), got(row))) {
        Verdict::Wrong { .. } if REFUSED.iter().any(|what| row.text.contains(what)) => {
            Verdict::Deliberate("the document is refused: a value that is no scalar, a name that no parameter may have")
        }
        verdict => verdict,
    }
}

fn expected(row: &Value) -> Value {
    if row["ok"] == true { row["globals"].clone() } else { json!("an error") }
}

fn got(row: &Value) -> Value {
    let text = row["yaml"].as_str().unwrap_or_default().to_string();
    let files = [SourceFile { name: "row.yaml".into(), text }];
    let Some(plan) = compile(&files, &Options::default()).plans.pop() else { return json!("an error") };
    if plan.arguments.parameters.iter().any(|p| p.value.is_none() && p.default.is_none()) {
        return json!("an error");
    }
    let Value::String(created) = &row["globals"]["workflow.creationTimestamp.s"] else { return json!("an error") };
    let created = created.parse().unwrap_or(0);
    let record = RunRecord {
        id: RunId("11-22".into()),
        name: plan.metadata.name.clone(),
        plan,
        parameters: Vec::new(),
        artifacts: Vec::new(),
        created_at: Time(created * Time::SECOND_US),
        version: String::new(),
        trigger: String::new(),
        profile: Profile::Standard,
        source: Source::default(),
        environments: Vec::new(),
        jobs: None,
    };
    json!(probe::workflow_variables(&record))
}
