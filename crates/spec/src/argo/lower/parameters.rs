//! Parameters and artifacts: inputs, outputs and arguments.
//! It must never resolve a value.

use super::Lowering;
use crate::argo::view::{any_text, field, flag, int, items, text, word};
use crate::yaml::{Node, Value};
use model::Text;
use model::plan::{
    Arguments, Artifact, Inputs, Location, OutputArtifact, OutputParameter, OutputSource, Outputs, Parameter,
};
use std::rc::Rc;

/// The object store of Argo's quick start: documents that name it mean the default repository.
const QUICK_START: (&str, &str) = ("minio:9000", "my-bucket");

impl Lowering<'_> {
    pub(super) fn arguments(&mut self, node: Option<&Rc<Node>>) -> Arguments {
        self.inputs(node)
    }

    pub(super) fn inputs(&mut self, node: Option<&Rc<Node>>) -> Inputs {
        let Some(node) = node else { return Inputs::default() };
        Inputs {
            parameters: items(node, "parameters").iter().map(|p| self.parameter(p)).collect(),
            artifacts: items(node, "artifacts").iter().map(|a| self.artifact(a)).collect(),
        }
    }

    fn parameter(&mut self, node: &Node) -> Parameter {
        let from = field(node, "valueFrom");
        let default = field(node, "default").or_else(|| from.and_then(|from| field(from, "default")));
        let excused = default.is_some() || self.given.contains(&text(node, "name"));
        let config_map = from.and_then(|from| self.key_ref(from, excused));
        Parameter {
            config_map,
            name: text(node, "name"),
            value: field(node, "value").and_then(|v| self.value(v)),
            default: default.and_then(|v| self.value(v)),
            expression: from.and_then(|from| word(from, "expression")).map(|w| w.text),
            allowed: items(node, "enum").iter().filter_map(|v| any_text(v)).collect(),
            description: text(node, "description"),
        }
    }

    /// A value as the text that upstream makes of it.
    fn value(&mut self, node: &Node) -> Option<Text> {
        if !matches!(node.value, Value::Scalar(_)) {
            let help = Some("write it as JSON text in quotes".to_owned());
            let message = format!("a parameter is a string, not {}", node.kind_name());
            self.faults.error("E0203", node.span, message, help);
        }
        any_text(node).map(Text)
    }

    fn artifact(&mut self, node: &Node) -> Artifact {
        Artifact {
            name: text(node, "name"),
            path: Text(text(node, "path")),
            from: word(node, "from").map(|w| Text(w.text)),
            from_expression: word(node, "fromExpression").map(|w| w.text),
            location: self.location(node),
            sub_path: Text(text(node, "subPath")),
            optional: flag(node, "optional").unwrap_or_default(),
            mode: int(node, "mode").and_then(|mode| u32::try_from(mode).ok()),
            recurse_mode: flag(node, "recurseMode").unwrap_or_default(),
        }
    }

    fn location(&mut self, node: &Node) -> Option<Location> {
        if let Some(raw) = field(node, "raw") {
            return Some(Location::Raw(Text(text(raw, "data"))));
        }
        let s3 = field(node, "s3")?;
        let (endpoint, bucket) = (text(s3, "endpoint"), text(s3, "bucket"));
        let is_default =
            (endpoint.is_empty() || endpoint == QUICK_START.0) && (bucket.is_empty() || bucket == QUICK_START.1);
        if !is_default {
            let message = format!("the bucket `{bucket}` is not the default repository: others are not supported yet");
            let help = Some("leave out everything but `key`, and the embedded repository is used".to_owned());
            self.faults.error("E0210", s3.span, message, help);
        }
        word(s3, "key").map(|w| Location::Key(Text(w.text)))
    }

    pub(super) fn outputs(&mut self, node: Option<&Rc<Node>>, is_leaf: bool) -> Outputs {
        let Some(node) = node else { return Outputs::default() };
        Outputs {
            parameters: items(node, "parameters").iter().map(|p| self.output_parameter(p, is_leaf)).collect(),
            artifacts: items(node, "artifacts").iter().map(|a| self.output_artifact(a)).collect(),
        }
    }

    fn output_parameter(&mut self, node: &Node, is_leaf: bool) -> OutputParameter {
        let from = field(node, "valueFrom");
        let part = |key| from.and_then(|from| word(from, key)).map(|w| w.text);
        let default = from.and_then(|from| field(from, "default")).or_else(|| field(node, "default"));
        let source = match (field(node, "value"), part("path"), part("parameter"), part("expression")) {
            (Some(value), ..) => OutputSource::Value(self.value(value).unwrap_or_default()),
            (None, Some(path), ..) => OutputSource::Path(Text(path)),
            (None, None, Some(parameter), _) => OutputSource::Parameter(Text(parameter)),
            (None, None, None, Some(expression)) => OutputSource::Expression(expression),
            _ if from.is_some_and(|from| field(from, "supplied").is_some()) => OutputSource::Supplied,
            _ if is_leaf => OutputSource::Path(Text::default()),
            _ => OutputSource::Value(Text::default()),
        };
        OutputParameter {
            name: text(node, "name"),
            source,
            default: default.and_then(|v| self.value(v)),
            global_name: text(node, "globalName"),
        }
    }

    fn output_artifact(&mut self, node: &Node) -> OutputArtifact {
        OutputArtifact {
            name: text(node, "name"),
            path: Text(text(node, "path")),
            from: word(node, "from").map(|w| Text(w.text)),
            from_expression: word(node, "fromExpression").map(|w| w.text),
            location: self.location(node),
            optional: flag(node, "optional").unwrap_or_default(),
            global_name: text(node, "globalName"),
        }
    }
}
