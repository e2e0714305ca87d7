//! The `expr` table: expr-lang in Argo's environment, and how its answers are written down.
//! It must never know how an expression is evaluated.

use std::collections::BTreeMap;

use ::expr::{AnyMapKind, Context, IntKind, Stage, Value};

use super::{Row, Verdict};

/// Evaluates the row's expression and compares stage, Go type and value. Texts of errors are not compared.
pub fn check(row: &Row) -> Verdict {
    let Ok(fields) = Value::from_json(&row.text) else {
        return Verdict::Wrong { expected: "a JSON object".to_owned(), got: row.text.clone() };
    };
    let mut scope: BTreeMap<String, Value> = BTreeMap::new();
    if let Some(env) = field(&fields, "env").entries() {
        scope.extend(env.iter().map(|(name, value)| (name.to_string(), value.clone())));
    }
    let source = text(&fields, "expr");
    let expected = expected(&fields);
    // The tables were made in 2026.
    let context = Context { now_us: 1_795_500_000_000_000, ..Context::default() };
    match ::expr::lang::evaluate(&source, &scope, &context) {
        Err(error) => {
            let stage = match error.stage {
                Stage::Compile => "compile",
                Stage::Run => "run",
            };
            let got = format!("{stage} error");
            if got == expected { Verdict::Right } else { wrong(&source, expected, format!("{got}: {}", error.message)) }
        }
        Ok(value) => {
            let written = field(&fields, "value");
            if written.entries().is_some_and(|entries| entries.contains_key("$unstable")) {
                return unstable(&source, &fields, &written, &value);
            }
            let got = format!("{} {}", value.go_type(), encode(&value));
            if got == expected { Verdict::Right } else { wrong(&source, expected, got) }
        }
    }
}

fn expected(fields: &Value) -> String {
    if field(fields, "ok") == Value::Bool(true) {
        // Floats of the table keep a `.` or an exponent, so reading and writing them keeps the difference.
        format!("{} {}", text(fields, "gotype"), encode_plain(&field(fields, "value")))
    } else {
        format!("{} error", text(fields, "stage"))
    }
}

/// Of random values only the type and the length are meant.
fn unstable(source: &str, fields: &Value, written: &Value, value: &Value) -> Verdict {
    let length = written.entries().and_then(|entries| entries.get("len").cloned());
    let same_type = text(fields, "gotype") == value.go_type();
    let same_length = match (length, value.as_str()) {
        (Some(Value::Int(length)), Some(got)) => usize::try_from(length).is_ok_and(|length| length == got.len()),
        _ => true,
    };
    // What is drawn from the clock has no fixed length.
    if same_type && (same_length || source.contains("ago")) {
        Verdict::Right
    } else {
        wrong(source, written.to_json(), encode(value))
    }
}

fn wrong(source: &str, expected: String, got: String) -> Verdict {
    Verdict::Wrong { expected: format!("{source} => {expected}"), got }
}

/// A column of a row.
pub fn field(fields: &Value, name: &str) -> Value {
    fields.entries().and_then(|entries| entries.get(name).cloned()).unwrap_or(Value::Null)
}

/// A column of a row that is text.
pub fn text(fields: &Value, name: &str) -> String {
    field(fields, name).as_str().unwrap_or_default().to_owned()
}

fn tagged(tag: &str, inner: &str) -> String {
    format!("{{\"{tag}\":{inner}}}")
}

fn string(text: &str) -> String {
    Value::str(text).to_json()
}

fn float(f: f64) -> String {
    if !f.is_finite() {
        let name = if f.is_nan() {
            "NaN"
        } else if f > 0.0 {
            "+Inf"
        } else {
            "-Inf"
        };
        return tagged("$float", &string(name));
    }
    format!("f{f:?}")
}

/// What JSON of the table itself looks like in the form that is compared.
fn encode_plain(value: &Value) -> String {
    match value {
        Value::Float(f) => float(*f),
        Value::List(items) => format!("[{}]", items.iter().map(encode_plain).collect::<Vec<_>>().join(",")),
        Value::Map(entries) => {
            let members: Vec<String> =
                entries.iter().map(|(key, item)| format!("{}:{}", string(key), encode_plain(item))).collect();
            format!("{{{}}}", members.join(","))
        }
        other => other.to_json(),
    }
}

/// A result in the encoding of the tables.
pub fn encode(value: &Value) -> String {
    match value {
        Value::Float(f) => float(*f),
        Value::Sized(IntKind::Uint64, n) => (*n as u64).to_string(),
        Value::Raw(bytes) | Value::Bytes(bytes) => tagged("$bytes", &string(&::expr::base64::encode(bytes))),
        Value::List(items) | Value::Slice(_, items) => {
            format!("[{}]", items.iter().map(encode).collect::<Vec<_>>().join(","))
        }
        Value::Map(entries) | Value::StrMap(entries) => {
            let members: Vec<String> =
                entries.iter().map(|(key, item)| format!("{}:{}", string(key), encode(item))).collect();
            format!("{{{}}}", members.join(","))
        }
        Value::AnyMap(AnyMapKind::Any | AnyMapKind::Groups, pairs) => {
            let mut members: Vec<String> =
                pairs.iter().map(|(key, item)| format!("[{},{}]", encode(key), encode(item))).collect();
            members.sort();
            tagged("$map", &format!("[{}]", members.join(",")))
        }
        Value::Time(time) => {
            let zone = match time.zone.name() {
                "" => String::new(),
                name => name.to_owned(),
            };
            format!("{{\"$time\":{},\"zone\":{}}}", string(&time.rfc3339_nano()), string(&zone))
        }
        Value::Duration(nanoseconds) => tagged("$duration", &nanoseconds.to_string()),
        Value::Func(_) => tagged("$func", "true"),
        Value::Location(_) | Value::Version(_) => tagged("$go", &string(&::expr::gofmt::value(value))),
        other => other.to_json(),
    }
}
