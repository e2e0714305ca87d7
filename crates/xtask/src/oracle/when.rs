//! The `when` table: conditions after substitution.
//! It must never know how a condition is evaluated.

use ::expr::Value;

use super::expr::{field, text};
use super::{Row, Verdict};

/// Evaluates the row's condition and compares result and error text, which ends up in messages of nodes.
pub fn check(row: &Row) -> Verdict {
    let Ok(fields) = Value::from_json(&row.text) else {
        return Verdict::Wrong { expected: "a JSON object".to_owned(), got: row.text.clone() };
    };
    let condition = text(&fields, "when");
    let got = match ::expr::when::evaluate(&condition) {
        Ok(result) => format!("ok {result}"),
        // The tables hold first lines.
        Err(message) => format!("error {}", message.split('\n').next().unwrap_or_default()),
    };
    let expected = if field(&fields, "ok") == Value::Bool(true) {
        format!("ok {}", field(&fields, "result") == Value::Bool(true))
    } else {
        format!("error {}", text(&fields, "error").split('\n').next().unwrap_or_default())
    };
    if got == expected {
        Verdict::Right
    } else {
        Verdict::Wrong { expected: format!("{condition} => {expected}"), got }
    }
}
