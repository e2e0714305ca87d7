//! Oracle table `yaml`: text to JSON as sigs.k8s.io/yaml does it, lenient and strict.
//! It must never know other tables.

use super::{Row, Verdict};
use serde_json::Value;

pub fn check(row: &Row) -> Verdict {
    let Ok(Value::Object(columns)) = serde_json::from_str(&row.text) else {
        return Verdict::Wrong { expected: "a JSON object".into(), got: row.text.clone() };
    };
    let text = |name: &str| columns.get(name).and_then(Value::as_str).unwrap_or_default();
    let flag = |name: &str| columns.get(name).and_then(Value::as_bool).unwrap_or_default();
    let answer = read(text("yaml"));
    let expected = if flag("ok") {
        format!("{} strict {}", text("json"), flag("strict_ok"))
    } else {
        format!("error strict {}", flag("strict_ok"))
    };
    let got = match &answer {
        Ok((json, strict_ok)) => format!("{json} strict {strict_ok}"),
        Err(_) => "error strict false".to_owned(),
    };
    if got == expected {
        return Verdict::Right;
    }
    let detail = answer.err().map(|message| format!(": {message}")).unwrap_or_default();
    Verdict::Wrong { expected: format!("{expected} {}", text("error")), got: got + &detail }
}

/// The JSON, and whether no key is there twice.
fn read(yaml: &str) -> Result<(String, bool), String> {
    let Some(document) = spec::yaml::load_first(yaml).map_err(|error| error.message)? else {
        return Ok(("null".to_owned(), true));
    };
    let json = spec::yaml::to_json(&document.root).map_err(|error| error.message)?;
    Ok((json, document.duplicates.is_empty()))
}
