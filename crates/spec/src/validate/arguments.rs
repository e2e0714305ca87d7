//! Arguments: what a workflow or a call site gives, and whether it is what the template asks for.
//! It must never resolve a value.

use super::names::{self, Rule};
use crate::argo::faults::Faults;
use crate::argo::view::{any_text, artifacts, field, parameters, text, word};
use crate::diagnostic::Span;
use crate::suggest;
use crate::yaml::Node;
use std::rc::Rc;

/// Where artifacts can come from.
const LOCATIONS: [&str; 10] = ["artifactory", "azure", "gcs", "git", "hdfs", "http", "oss", "plugin", "raw", "s3"];
/// Sources of a value that only outputs have.
const OUTPUT_SOURCES: [&str; 4] = ["path", "jsonPath", "parameter", "expression"];

/// Checks `arguments` below `node`. `given`: parameters that have a value from elsewhere.
pub fn check(node: &Node, may_be_empty: bool, given: &dyn Fn(&str) -> Option<String>, faults: &mut Faults) {
    let list = parameters(node, "arguments");
    names::check(list, "parameter", Rule::Value, faults);
    names::check(artifacts(node, "arguments"), "artifact", Rule::Value, faults);
    for parameter in list {
        value(parameter, may_be_empty, given(&text(parameter, "name")), faults);
    }
    for artifact in artifacts(node, "arguments") {
        source(artifact, faults);
    }
}

fn value(node: &Node, may_be_empty: bool, given: Option<String>, faults: &mut Faults) {
    let name = text(node, "name");
    let from = field(node, "valueFrom");
    let value = given.or_else(|| field(node, "value").and_then(|v| any_text(v)));
    if from.is_none() && value.is_none() && !may_be_empty {
        let help = Some(format!("add `value`, or give one with -p {name}=…"));
        faults.error("E0403", node.span, format!("the parameter `{name}` has no value"), help);
    }
    if let Some(from) = from {
        let has = |key: &str| field(from, key).is_some();
        let admitted = has("configMapKeyRef") || word(from, "event").is_some() || has("supplied");
        if !admitted || OUTPUT_SOURCES.iter().any(|key| word(from, key).is_some()) {
            let help = Some("an argument's `valueFrom` takes configMapKeyRef, supplied or event".to_owned());
            faults.error("E0406", from.span, format!("the parameter `{name}` cannot take its value from here"), help);
        }
    }
    let Some(allowed) = field(node, "enum") else { return };
    let allowed: Vec<String> = allowed.sequence().unwrap_or_default().iter().filter_map(|v| any_text(v)).collect();
    let span = field(node, "value").map_or(node.span, |v| v.span);
    match value {
        _ if allowed.is_empty() => {
            let help = Some("list the values that are admitted, or remove `enum`".to_owned());
            faults.error("E0404", span, format!("the `enum` of `{name}` admits nothing"), help);
        }
        None if may_be_empty => {}
        None => {
            let help = Some(format!("one of: {}", allowed.join(", ")));
            faults.error("E0403", node.span, format!("the parameter `{name}` has no value"), help);
        }
        Some(value) if !allowed.contains(&value) => {
            let help = Some(format!("one of: {}", allowed.join(", ")));
            faults.error("E0404", span, format!("`{value}` is not among the values of `{name}`"), help);
        }
        Some(_) => {}
    }
}

fn source(node: &Node, faults: &mut Faults) {
    let name = text(node, "name");
    let from = word(node, "from");
    if from.is_none() && !has_location(node) {
        let help = Some("add `from`, or a location such as `raw` or `s3`".to_owned());
        faults.error("E0403", node.span, format!("the artifact `{name}` comes from nowhere"), help);
    }
    if from.is_some() && word(node, "fromExpression").is_some() {
        let help = Some("remove one of them".to_owned());
        faults.error("E0407", node.span, format!("the artifact `{name}` has `from` and `fromExpression`"), help);
    }
}

pub fn has_location(node: &Node) -> bool {
    LOCATIONS.iter().any(|key| field(node, key).is_some())
}

/// Checks that the inputs of `template` are all given by the `arguments` of `call`, and tells what it does not take.
pub fn supplied(template: &Node, call: &Node, given: &dyn Fn(&str) -> bool, place: Span, faults: &mut Faults) {
    let named = |list: &[Rc<Node>], name: &str| list.iter().find(|node| text(node, "name") == name).cloned();
    let arguments = parameters(call, "arguments");
    let callee = text(template, "name");
    for input in parameters(template, "inputs") {
        let name = text(input, "name");
        let has = |node: &Node| ["value", "default", "valueFrom"].iter().any(|key| field(node, key).is_some());
        let argument = named(arguments, &name);
        let bound = argument.is_some_and(|a| field(&a, "value").is_some() || field(&a, "valueFrom").is_some());
        if !bound && !has(input) && !given(&name) {
            let help = suggest::nearest(&name, unbound(arguments, template, "inputs").iter().map(String::as_str))
                .map_or(
                    format!(
                        "add it to `arguments.parameters`, or give the input a default in line {}",
                        input.span.line
                    ),
                    |near| format!("did you mean `{near}`, which `{callee}` does not take?"),
                );
            faults.error("E0402", place, format!("`{callee}` needs the parameter `{name}`"), Some(help));
        }
    }
    for input in artifacts(template, "inputs") {
        let name = text(input, "name");
        let optional = crate::argo::view::flag(input, "optional").unwrap_or_default();
        if !optional && !has_location(input) && named(artifacts(call, "arguments"), &name).is_none() {
            let help = Some("add it to `arguments.artifacts`".to_owned());
            faults.error("E0402", place, format!("`{callee}` needs the artifact `{name}`"), help);
        }
    }
}

/// Arguments that the template has no input for.
fn unbound(arguments: &[Rc<Node>], template: &Node, section: &str) -> Vec<String> {
    let inputs = crate::argo::view::names(parameters(template, section));
    crate::argo::view::names(arguments).into_iter().filter(|name| !inputs.contains(name)).collect()
}

/// Tells arguments that a template takes no notice of.
pub fn superfluous(template: &Node, call: &Node, faults: &mut Faults) {
    for argument in parameters(call, "arguments") {
        let Some(name) = word(argument, "name") else { continue };
        let inputs = crate::argo::view::names(parameters(template, "inputs"));
        if !inputs.contains(&name.text) {
            let help = suggest::help(&name.text, inputs.iter().map(String::as_str), "remove it");
            let message = format!("`{}` takes no parameter `{}`", text(template, "name"), name.text);
            faults.warning("W0405", name.span, message, Some(help));
        }
    }
}
