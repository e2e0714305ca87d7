//! The `jsonpath` table: paths as expr's `jsonpath()` takes them.
//! It must never know how a path is followed.

use std::collections::BTreeMap;

use ::expr::{Context, Value};

use super::expr::{encode, field, text};
use super::{Row, Verdict};

/// Follows the row's path and compares Go type, value and error text.
pub fn check(row: &Row) -> Verdict {
    let Ok(fields) = Value::from_json(&row.text) else {
        return Verdict::Wrong { expected: "a JSON object".to_owned(), got: row.text.clone() };
    };
    let (json, path) = (text(&fields, "json"), text(&fields, "path"));
    let scope: BTreeMap<String, Value> =
        [("json".to_owned(), Value::str(json)), ("path".to_owned(), Value::str(path.as_str()))].into_iter().collect();
    let got = match ::expr::lang::evaluate("jsonpath(json, path)", &scope, &Context::default()) {
        Ok(value) => format!("{} {}", value.go_type(), encode(&value)),
        Err(error) => format!("error {}", error.message.trim_end_matches(" (1:1)")),
    };
    let expected = if field(&fields, "ok") == Value::Bool(true) {
        // Numbers of the table are floats, as Go decodes JSON.
        format!("{} {}", text(&fields, "gotype"), encode(&field(&fields, "value")))
    } else {
        format!("error {}", text(&fields, "error"))
    };
    if got == expected { Verdict::Right } else { Verdict::Wrong { expected: format!("{path} => {expected}"), got } }
}
