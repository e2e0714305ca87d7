//! The `template` table: tags in strings and in JSON documents.
//! It must never know how a tag is replaced.

use std::collections::BTreeMap;

use ::expr::template::{Mode, replace, replace_json};
use ::expr::{Context, Value};

use super::expr::{field, text};
use super::{Row, Verdict};

/// Replaces the row's template and compares result, error text and whether a variable is missing.
pub fn check(row: &Row) -> Verdict {
    let Ok(fields) = Value::from_json(&row.text) else {
        return Verdict::Wrong { expected: "a JSON object".to_owned(), got: row.text.clone() };
    };
    let mut scope: BTreeMap<String, Value> = BTreeMap::new();
    if let Some(vars) = field(&fields, "vars").entries() {
        scope.extend(vars.iter().map(|(name, value)| (name.to_string(), value.clone())));
    }
    let mode = match text(&fields, "mode").as_str() {
        "strict" => Mode::Strict,
        "deps" => Mode::Prefixes(&["steps", "tasks"]),
        _ => Mode::Lenient,
    };
    let template = text(&fields, "template");
    let context = Context::default();
    let result = if field(&fields, "raw") == Value::Bool(true) {
        replace_json(&template, &scope, mode, &context)
    } else {
        replace(&template, &scope, mode, &context)
    };
    let got = match result {
        Ok(result) => format!("ok {result}"),
        Err(error) => {
            format!("error {} (missing: {})", error.message.lines().next().unwrap_or_default(), error.missing)
        }
    };
    let expected = if field(&fields, "ok") == Value::Bool(true) {
        format!("ok {}", text(&fields, "result"))
    } else {
        format!("error {} (missing: {})", text(&fields, "error"), field(&fields, "missing") == Value::Bool(true))
    };
    if got == expected {
        return Verdict::Right;
    }
    if nested_in_one_pass(&template, &scope, &got) {
        return Verdict::Deliberate("a nested tag is resolved in one pass, so that no value is scanned for tags");
    }
    Verdict::Wrong { expected: format!("{template} {mode:?} => {expected}"), got }
}

/// True if the template is a nested tag whose outer name is a variable and got its value at once.
fn nested_in_one_pass(template: &str, scope: &BTreeMap<String, Value>, got: &str) -> bool {
    let inner = |tag: &str| scope.get(tag).and_then(Value::as_str).map(str::to_owned);
    let Some((prefix, rest)) = template.strip_prefix("{{").and_then(|body| body.split_once("{{")) else {
        return false;
    };
    let Some(tag) = rest.strip_suffix("}}}}") else { return false };
    let outer = inner(tag).and_then(|name| inner(&format!("{prefix}{name}")));
    outer.is_some_and(|value| got == format!("ok {value}"))
}
