//! Oracle table `typed`: JSON into Argo's Go types, and out again.
//! It must never know other tables.

use super::{Row, Verdict};
use serde_json::Value;
use spec::argo::{fits, remarshal};
use spec::typed::{IntOrString, ItemKind, amount, any_string_of_json, item_text, quoted, raw_json, time};
use spec::yaml::{Node, load_json};

type Columns = Vec<(&'static str, Value)>;

pub fn check(row: &Row) -> Verdict {
    let Ok(Value::Object(columns)) = serde_json::from_str(&row.text) else {
        return Verdict::Wrong { expected: "a JSON object".into(), got: row.text.clone() };
    };
    let text = |name: &str| columns.get(name).and_then(Value::as_str).unwrap_or_default();
    let expected = columns.get("result").cloned().unwrap_or(Value::Null);
    let ok = columns.get("ok").and_then(Value::as_bool).unwrap_or_default();
    let answer = answer(text("type"), text("json"));
    let right = match &answer {
        Ok(got) => ok && got.iter().all(|(name, value)| agrees(expected.get(name), value)),
        Err(_) => !ok,
    };
    if right {
        return Verdict::Right;
    }
    let got = match answer {
        Ok(got) => Value::Object(got.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()).to_string(),
        Err(error) => format!("error: {error}"),
    };
    Verdict::Wrong { expected: format!("{expected} {}", text("error")), got }
}

/// Floats are compared as floats (serde_json reads them to within one unit in the last place), everything else as it is.
fn agrees(expected: Option<&Value>, got: &Value) -> bool {
    match (expected, got) {
        (Some(Value::Number(a)), Value::Number(b)) => match (a.as_f64(), b.as_f64()) {
            (Some(a), Some(b)) => (a - b).abs() <= a.abs() * 2.0 * f64::EPSILON,
            _ => false,
        },
        (expected, Value::Null) => expected.is_none_or(Value::is_null),
        (expected, got) => expected == Some(got),
    }
}

fn answer(kind: &str, json: &str) -> Result<Columns, String> {
    let node = load_json(json).map_err(|error| error.message)?;
    let remarshalled = |text: String| ("remarshal", Value::from(text));
    Ok(match kind {
        "AnyString" => {
            let text = any_string_of_json(&node).map_err(|e| e.0)?.unwrap_or_default();
            vec![remarshalled(quoted(&text)), ("string", text.into())]
        }
        "IntOrString" => int_or_string(&node)?,
        "Item" => item(&node, json),
        "Items" => {
            let items = node.sequence().ok_or("not a list")?;
            let texts: Vec<String> = items.iter().map(|node| item_text(&unescaped(&raw_json(node)))).collect();
            vec![("fmt_v", format!("[{}]", texts.join(" ")).into()), remarshalled(raw_json(&node))]
        }
        "Amount" => vec![("float", amount(&node).map_or(Value::Null, Value::from)), remarshalled(raw_json(&node))],
        "Time" => time_of(&node)?,
        "Plugin" => {
            let keys = node.mapping().ok_or("not an object")?.len();
            if keys != 1 {
                return Err(format!("expected exactly one key, got {keys}"));
            }
            vec![remarshalled(raw_json(&node))]
        }
        "Parameter" => {
            fits("Parameter", &node)?;
            let value = node.get("value").map(|node| any_string_of_json(node)).transpose().map_err(|e| e.0)?.flatten();
            vec![("string", value.map_or(Value::Null, Value::from)), remarshalled(remarshal("Parameter", &node))]
        }
        "ParallelSteps" => {
            fits(kind, &node)?;
            let steps = node.sequence().map_or(0, <[_]>::len);
            vec![("steps", steps.into()), remarshalled(remarshal(kind, &node))]
        }
        "Steps" => {
            fits(kind, &node)?;
            vec![("groups", node.sequence().map_or(0, <[_]>::len).into()), remarshalled(remarshal(kind, &node))]
        }
        _ => {
            fits(kind, &node)?;
            vec![remarshalled(remarshal(kind, &node))]
        }
    })
}

fn int_or_string(node: &Node) -> Result<Columns, String> {
    let value = IntOrString::read(node).map_err(|e| e.0)?;
    let kind = if matches!(value, IntOrString::Int(_)) { "int" } else { "string" };
    Ok(vec![
        ("string", value.text().into()),
        ("kind", kind.into()),
        ("int", value.int().map_or(Value::Null, Value::from)),
        ("int_or_variable", value.is_int_or_variable().into()),
        ("remarshal", value.json().into()),
    ])
}

fn item(node: &Node, json: &str) -> Columns {
    let kind = ItemKind::of(node).map_or(Value::Null, |kind| kind.words().into());
    let string = match (ItemKind::of(node), node.scalar()) {
        (Some(ItemKind::String), Some(scalar)) if json.trim().starts_with('"') => scalar.text.to_string(),
        _ => String::new(),
    };
    let raw = item_text(json.trim());
    vec![
        ("kind", kind),
        ("string", raw.clone().into()),
        ("fmt_v", raw.into()),
        ("str_val", string.into()),
        ("remarshal", raw_json(node).into()),
    ]
}

/// Texts of items are as they were given, before Go made them safe for HTML.
fn unescaped(json: &str) -> String {
    json.replace("\\u003c", "<").replace("\\u003e", ">").replace("\\u0026", "&")
}

fn time_of(node: &Node) -> Result<Columns, String> {
    const ZERO: &str = "0001-01-01T00:00:00";
    let (clock, fraction) = match node.is_null() {
        true => (ZERO.to_owned(), String::new()),
        false => time(node.key_text().unwrap_or_default()).map_err(|e| e.0)?,
    };
    let dot = if fraction.is_empty() { "" } else { "." };
    let remarshal = if clock == ZERO { "null".to_owned() } else { format!("\"{clock}Z\"") };
    Ok(vec![("string", format!("{clock}{dot}{fraction}Z").into()), ("remarshal", remarshal.into())])
}
