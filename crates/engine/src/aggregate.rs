//! What the outputs of a loop's children are together (upstream `processAggregateNodeOutputs`).
//! It must never look at children that did not succeed.

use crate::json::Json;
use crate::kept::Kept;
use alloc::string::String;
use alloc::vec::Vec;
use expr::write_string;

/// `outputs.result` of the loop: a JSON list of the children's results, each parsed as JSON. A result that is no JSON fails it.
pub fn result<'a>(children: impl Iterator<Item = &'a Kept>) -> Result<String, String> {
    let parsed: Result<Vec<_>, _> = children.filter_map(Kept::result).map(Json::parse).collect();
    Ok(Json::List(parsed?).to_text())
}

/// `outputs.parameters` of the loop: a JSON list of maps; children without parameters are left out.
pub fn parameters<'a>(children: impl Iterator<Item = &'a Kept>) -> String {
    let map =
        |kept: &Kept| kept.parameters().map(|(name, value)| (name.into(), Json::text(String::from(value)))).collect();
    let maps = children.filter(|kept| kept.parameters().next().is_some()).map(|kept| Json::Map(map(kept)));
    Json::List(maps.collect()).to_text()
}

/// `outputs.parameters.NAME` of the loop: a JSON list of strings, or of the values themselves where every one is a JSON map or list.
/// `None` where no child has it.
pub fn parameter<'a>(children: impl Iterator<Item = &'a Kept>, name: &str) -> Option<String> {
    let values: Vec<&str> = children.filter_map(|kept| kept.parameter(name)).collect();
    if values.is_empty() {
        return None;
    }
    let parsed = values.iter().map(|value| Json::parse(value).ok()).map(|json| json.filter(is_structured));
    match parsed.collect::<Option<Vec<_>>>() {
        Some(items) => Some(Json::List(items.into_iter().map(plain).collect()).to_text()),
        None => Some(strings(&values)),
    }
}

/// As Go's `interface{}` keeps it: numbers are floats, texts have the usual spelling.
fn plain(json: Json) -> Json {
    match json {
        Json::Number(text) => match text.parse::<f64>() {
            Ok(number) => Json::Number(expr::Value::Float(number).to_json()),
            Err(_) => Json::Number(text),
        },
        Json::Text(text, _) => Json::text(text),
        Json::List(items) => Json::List(items.into_iter().map(plain).collect()),
        Json::Map(entries) => Json::Map(entries.into_iter().map(|(key, value)| (key, plain(value))).collect()),
        other => other,
    }
}

fn is_structured(json: &Json) -> bool {
    matches!(json, Json::Map(_) | Json::List(_))
}

fn strings(values: &[&str]) -> String {
    let mut out = String::from("[");
    for (i, value) in values.iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        write_string(value, true, &mut out);
    }
    out.push(']');
    out
}

/// The names of the parameters that any child has, in the order of their first appearance.
pub fn parameter_names<'a>(children: impl Iterator<Item = &'a Kept>) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for (name, _) in children.flat_map(Kept::parameters) {
        if !names.iter().any(|known| known == name) {
            names.push(name.into());
        }
    }
    names
}
