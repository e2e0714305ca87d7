//! Objects as Go prints them again: fields in the order of the Go structs, empty ones left out.
//! It must never be used to run anything: it shows that a document was understood.

use super::faults::Faults;
use super::fields;
use super::schema::{Checker, Kind, Object};
use crate::typed::{IntOrString, any_string_of_json, number_json, quoted, raw_json};
use crate::yaml::{Node, Value};
use std::rc::Rc;

/// Fields that stand first, in Go's order, in any object that has them; others follow as they are written.
const ORDER: [&str; 46] = [
    "name",
    "template",
    "inline",
    "inputs",
    "default",
    "value",
    "valueFrom",
    "globalName",
    "outputs",
    "parameters",
    "artifacts",
    "arguments",
    "templateRef",
    "withItems",
    "withParam",
    "withSequence",
    "when",
    "continueOn",
    "onExit",
    "count",
    "start",
    "end",
    "format",
    "path",
    "parameter",
    "supplied",
    "metadata",
    "steps",
    "image",
    "command",
    "args",
    "workingDir",
    "env",
    "limits",
    "requests",
    "resources",
    "container",
    "script",
    "dag",
    "suspend",
    "resource",
    "http",
    "limit",
    "retryPolicy",
    "backoff",
    "duration",
];

/// Fields that Go prints even where they are empty: struct and not pointer, without `omitempty`.
fn always(object: &Object) -> &'static [&'static str] {
    match object.name {
        "a template" => &["inputs", "outputs", "metadata"],
        "a step" | "a task" => &["arguments"],
        "a container" | "a script" => &["name", "resources"],
        _ => &[],
    }
}

/// Whether JSON can be read as the Go type of this name (Template, Parameter, Steps, ParallelSteps, Sequence).
pub fn fits(name: &str, node: &Rc<Node>) -> Result<(), String> {
    let Some(kind) = kind(name) else { return Err(format!("no type {name}")) };
    let mut faults = Faults::new("");
    let mut checker = Checker::new(&mut faults, false);
    checker.check_json(node, &kind);
    faults.list.into_iter().next().map_or(Ok(()), |fault| Err(fault.message))
}

/// The JSON of the object read as that type.
pub fn remarshal(name: &str, node: &Rc<Node>) -> String {
    let mut out = String::new();
    if let Some(kind) = kind(name) {
        write(node, &kind, &mut out);
    }
    out
}

fn kind(name: &str) -> Option<Kind> {
    static STEP: Kind = Kind::Object(&fields::STEP);
    static GROUP: Kind = Kind::List(&STEP);
    Some(match name {
        "Template" => Kind::Object(&fields::TEMPLATE),
        "Parameter" => Kind::Object(&fields::PARAMETER),
        "Sequence" => Kind::Object(&fields::SEQUENCE),
        "ParallelSteps" => Kind::List(&STEP),
        "Steps" => Kind::List(&GROUP),
        _ => return None,
    })
}

fn write(node: &Node, kind: &Kind, out: &mut String) {
    match (kind, &node.value) {
        (Kind::List(item), Value::Sequence(items)) => {
            out.push('[');
            for (i, node) in items.iter().enumerate() {
                out.push_str(if i > 0 { "," } else { "" });
                write(node, item, out);
            }
            out.push(']');
        }
        (Kind::Map(item), Value::Mapping(entries)) => {
            let mut sorted: Vec<_> = entries.iter().collect();
            sorted.sort_by_key(|entry| entry.key.key_text());
            out.push('{');
            for (i, entry) in sorted.into_iter().enumerate() {
                out.push_str(if i > 0 { "," } else { "" });
                out.push_str(&quoted(entry.key.key_text().unwrap_or_default()));
                out.push(':');
                write(&entry.value, item, out);
            }
            out.push('}');
        }
        (Kind::Object(object), _) => write_object(node, object, out),
        (Kind::AnyText, _) => out.push_str(&quoted(&any_string_of_json(node).ok().flatten().unwrap_or_default())),
        (Kind::IntOrText, _) => out.push_str(&IntOrString::read(node).map(|v| v.json()).unwrap_or_default()),
        (Kind::Quantity, _) => out.push_str(&quoted(node.key_text().unwrap_or_default())),
        (Kind::Int, _) => out.push_str(&number_json(node).unwrap_or_default()),
        _ => out.push_str(&raw_json(node)),
    }
}

fn write_object(node: &Node, object: &Object, out: &mut String) {
    let mut names: Vec<&str> = object.fields.iter().map(|field| field.name).collect();
    names.sort_by_key(|name| ORDER.iter().position(|known| known == name).unwrap_or(ORDER.len()));
    let mut first = true;
    out.push('{');
    for name in names {
        let Some(field) = object.fields.iter().find(|field| field.name == name) else { continue };
        let value = node.get(name).filter(|value| !is_nothing(value, &field.kind));
        if value.is_none() && !always(object).contains(&name) {
            continue;
        }
        out.push_str(if first { "" } else { "," });
        first = false;
        out.push_str(&quoted(name));
        out.push(':');
        match value {
            Some(value) => write(value, &field.kind, out),
            None if matches!(field.kind, Kind::Text) => out.push_str("\"\""),
            None => out.push_str("{}"),
        }
    }
    out.push('}');
}

/// What `omitempty` leaves out. Pointers to texts (AnyString) stay where they are given.
fn is_nothing(node: &Node, kind: &Kind) -> bool {
    match kind {
        Kind::Text => node.is_null() || node.key_text() == Some(""),
        Kind::Bool => node.is_null() || node.key_text() == Some("false"),
        Kind::List(_) => node.sequence().is_none_or(<[_]>::is_empty),
        Kind::Map(_) => node.mapping().is_none_or(<[_]>::is_empty),
        _ => node.is_null(),
    }
}
