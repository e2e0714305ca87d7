//! Oracle table `validate`: which documents upstream's parser and `workflow/validate` accept.
//! It must never know other tables.

use super::{Row, Verdict};
use serde_json::Value;
use spec::validate::{Mode, Upstream, upstream};

pub fn check(row: &Row) -> Verdict {
    let Ok(Value::Object(columns)) = serde_json::from_str(&row.text) else {
        return Verdict::Wrong { expected: "a JSON object".into(), got: row.text.clone() };
    };
    let text = |name: &str| columns.get(name).and_then(Value::as_str).unwrap_or_default();
    let flag = |name: &str| columns.get(name).and_then(Value::as_bool).unwrap_or_default();
    let with: Vec<&str> =
        columns.get("with").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
    let mode = Mode { lint: text("mode") == "lint", submit: text("mode") == "submit", ..Mode::default() };
    let answer = upstream(text("yaml"), &with, &mode, flag("strict"));
    let (ok, stage, message) = match &answer {
        Upstream::Accepted => (true, "", String::new()),
        Upstream::NotParsed(message) => (false, "parse", message.clone()),
        Upstream::Invalid(message) => (false, "validate", message.clone()),
    };
    if ok == flag("ok") && stage == text("stage") {
        return Verdict::Right;
    }
    Verdict::Wrong {
        expected: format!("{} {} {}", flag("ok"), text("stage"), text("error")),
        got: format!("{ok} {stage} {message}"),
    }
}
