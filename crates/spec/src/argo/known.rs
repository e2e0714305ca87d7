//! Values of workflow parameters that are known before the run: those of the document, and those given for it.
//! It must never know values that only a run has.

use super::view::{any_text, field, parameters, text};
use crate::yaml::Node;
use std::collections::BTreeMap;

/// By tag: `workflow.parameters.x`.
#[derive(Clone, Debug, Default)]
pub struct Known(pub BTreeMap<String, String>);

impl Known {
    /// Of the arguments of `spec`; what is given wins.
    pub fn of(spec: &Node, given: &BTreeMap<String, String>) -> Self {
        let written = parameters(spec, "arguments")
            .iter()
            .filter_map(|node| Some((text(node, "name"), field(node, "value").and_then(|value| any_text(value))?)));
        let given = given.iter().map(|(name, value)| (name.clone(), value.clone()));
        let tag = |(name, value)| (format!("workflow.parameters.{name}"), value);
        Self(written.chain(given).map(tag).collect())
    }

    /// A text that is one such tag: the value.
    pub fn replaced(&self, text: &str) -> String {
        let tag = text.strip_prefix("{{").and_then(|rest| rest.strip_suffix("}}"));
        tag.and_then(|tag| self.0.get(tag.trim())).cloned().unwrap_or_else(|| text.to_owned())
    }
}
