//! Outputs: where each kind of template can take them from.
//! It must never read a value.

use super::names::{self, Rule};
use super::template::{Type, clean_path};
use crate::argo::faults::Faults;
use crate::argo::view::{artifacts, field, parameters, text, word};
use crate::yaml::Node;

const SOURCES: [&str; 5] = ["path", "jqFilter", "jsonPath", "parameter", "expression"];

pub fn check(template: &Node, kind: Type, faults: &mut Faults) {
    names::check(parameters(template, "outputs"), "output parameter", Rule::Value, faults);
    names::check(artifacts(template, "outputs"), "output artifact", Rule::Value, faults);
    for node in artifacts(template, "outputs") {
        if kind.is_leaf() {
            clean_path(node, faults);
        } else if let Some(path) = word(node, "path") {
            let help = Some("say with `from` which step's artifact it is".to_owned());
            faults.error("E0702", path.span, "only containers and scripts write artifacts to a path", help);
        }
        global_name(node, faults);
    }
    for node in parameters(template, "outputs") {
        parameter(node, kind, faults);
        global_name(node, faults);
    }
}

fn global_name(node: &Node, faults: &mut Faults) {
    let Some(name) = word(node, "globalName") else { return };
    if !is_parameter(&name.text) && !Rule::Value.accepts(&name.text) {
        let help = Some("use letters, digits, `_` and `-`".to_owned());
        faults.error("E0304", name.span, format!("`{}` cannot be a global name", name.text), help);
    }
}

/// `{{[-a-zA-Z0-9]+(\.[-a-zA-Z0-9_]+)*}}` somewhere in the text.
pub fn is_parameter(text: &str) -> bool {
    text.split("{{").skip(1).any(|part| {
        part.split_once("}}").is_some_and(|(tag, _)| {
            tag.split('.').enumerate().all(|(i, word)| {
                let fits = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || (i > 0 && b == b'_');
                !word.is_empty() && word.bytes().all(fits)
            })
        })
    })
}

fn parameter(node: &Node, kind: Type, faults: &mut Faults) {
    let name = text(node, "name");
    let from = field(node, "valueFrom");
    let value = field(node, "value");
    let choose = || Some(format!("choose one of: {}", SOURCES.join(", ")));
    let Some(from) = from else {
        if value.is_none() {
            let help = Some("add `valueFrom`".to_owned());
            faults.error("E0703", node.span, format!("the output `{name}` comes from nowhere"), help);
        }
        return;
    };
    if value.is_some() {
        let help = Some("remove one of them".to_owned());
        faults.error("E0703", node.span, format!("the output `{name}` has both `value` and `valueFrom`"), help);
        return;
    }
    let has = |key: &str| word(from, key).is_some();
    let count = SOURCES.iter().filter(|key| has(key)).count() + usize::from(field(from, "supplied").is_some());
    if count != 1 {
        let how = if count == 0 { "no" } else { "more than one" };
        faults.error("E0703", from.span, format!("the output `{name}` has {how} source"), choose());
        return;
    }
    let (fits, wanted) = match kind {
        Type::Container | Type::Script | Type::ContainerSet => (has("path"), "`path`, the file that it is written to"),
        Type::Resource => (has("jqFilter") || has("jsonPath"), "`jqFilter` or `jsonPath`"),
        Type::Steps | Type::Dag => (has("parameter") || has("expression"), "`parameter` or `expression`"),
        _ => (true, ""),
    };
    if !fits {
        let message = format!("an output of {} cannot come from here", kind.words());
        faults.error("E0703", from.span, message, Some(format!("take it from {wanted}")));
    }
}

#[cfg(test)]
mod tests {
    use super::is_parameter;

    #[test]
    fn a_tag_may_stand_for_a_name() {
        assert!(is_parameter("a-{{inputs.parameters.x_1}}"));
        assert!(!is_parameter("{{ inputs }}"));
        assert!(!is_parameter("plain"));
    }
}
