//! The outputs of a loop's children together.

use super::{Row, Verdict, of};
use model::Outputs;
use model::node::Parameter;
use serde_json::{Value, json};

pub fn check(row: &Row) -> Verdict {
    of(row, |row| (expected(row), got(row)))
}

fn expected(row: &Value) -> Value {
    if row["ok"] == true { row["scope"].clone() } else { json!({ "error": row["error"] }) }
}

fn got(row: &Value) -> Value {
    let mut children: Vec<&Value> = row["children"].as_array().into_iter().flatten().filter(|c| counts(c)).collect();
    children.sort_by_key(|child| index(child["name"].as_str().unwrap_or_default()));
    let outputs: Vec<Outputs> = children.iter().map(|child| outputs(child)).collect();
    let each = || outputs.iter();
    let result = match engine::aggregate::result(each()) {
        Ok(result) => result,
        Err(error) => return json!({ "error": error }),
    };
    let mut scope = serde_json::Map::new();
    scope.insert("tasks.t.outputs.result".into(), json!(result));
    scope.insert("tasks.t.outputs.parameters".into(), json!(engine::aggregate::parameters(each())));
    for name in engine::aggregate::parameter_names(each()) {
        let value = engine::aggregate::parameter(each(), &name);
        scope.insert(format!("tasks.t.outputs.parameters.{name}"), json!(value));
    }
    Value::Object(scope)
}

fn counts(child: &Value) -> bool {
    let flagged = child["nodeFlag"]["hooked"] == true || child["nodeFlag"]["retried"] == true;
    child["phase"] == "Succeeded" && !flagged
}

/// The index that stands in a child's name; the engine has it as a number.
fn index(name: &str) -> i64 {
    let inside = name.split_once('(').map_or("", |(_, rest)| rest);
    let digits: String = inside.chars().take_while(|c| c.is_ascii_digit() || *c == '-').collect();
    digits.parse().unwrap_or(0)
}

fn outputs(child: &Value) -> Outputs {
    let parameter =
        |p: &Value| Some(Parameter { name: p["name"].as_str()?.into(), value: p["value"].as_str()?.into() });
    Outputs {
        result: child["result"].as_str().map(String::from),
        parameters: child["parameters"].as_array().into_iter().flatten().filter_map(parameter).collect(),
        ..Outputs::default()
    }
}
