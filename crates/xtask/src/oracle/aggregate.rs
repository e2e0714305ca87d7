//! The outputs of a loop's children together.

use super::{Row, Verdict, of};
use engine::Kept;
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
    if row["children"].as_array().is_none_or(Vec::is_empty) {
        return json!({});
    }
    let mut children: Vec<&Value> = row["children"].as_array().into_iter().flatten().filter(|c| counts(c)).collect();
    let indexes: Result<Vec<i64>, String> =
        children.iter().map(|child| index(child["name"].as_str().unwrap_or_default())).collect();
    match indexes {
        Ok(_) => children.sort_by_key(|child| index(child["name"].as_str().unwrap_or_default()).unwrap_or_default()),
        // Nothing is compared with a single child.
        Err(error) if children.len() > 1 => return json!({ "error": error }),
        Err(_) => {}
    }
    let outputs: Vec<Kept> = children.iter().map(|child| Kept::from(&outputs(child))).collect();
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
fn index(name: &str) -> Result<i64, String> {
    let Some((_, inside)) = name.rsplit_once('(') else { return Ok(0) };
    let digits = inside.split(':').next().unwrap_or_default();
    let invalid =
        |_| format!("panic: failed to parse '{digits}' as int: strconv.Atoi: parsing {digits:?}: invalid syntax");
    digits.parse().map_err(invalid)
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
