//! `workflow.*`.

use super::{Row, Verdict, of};
use engine::probe;
use model::attempt::Profile;
use model::record::Source;
use model::{RunId, RunRecord, Time};
use serde_json::{Value, json};
use spec::{Options, SourceFile, compile};

pub fn check(row: &Row) -> Verdict {
    if row.text.contains("workflowMetadata") {
        return Verdict::Deliberate("workflowMetadata belongs to the second part of the language");
    }
    match of(row, |row| (expected(row), got(row))) {
        Verdict::Wrong { got, .. } if got.ends_with("\"an error\"") => {
            Verdict::Deliberate("the document is refused before there are variables, as upstream's validation does")
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
    };
    json!(probe::workflow_variables(&record))
}
