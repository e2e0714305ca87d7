//! YAML as Go reads it: the loader of sigs.k8s.io/yaml v1.6 (goyaml.v2's resolver, then JSON), with spans.
//! It must never know what a document means.

mod expand;
mod json;
mod json_text;
mod load;
pub mod node;
mod number;
pub mod resolve;

pub use expand::{Duplicate, expand};
pub use json::{to_json, to_json_plain};
pub use json_text::load_json;
pub use load::{DEPTH_MAX, Document, NODES_MAX, load, load_first};
pub use node::{Entry, Node, Scalar, Style, Value};
pub use number::{float_json, float_plain};

use crate::diagnostic::Span;

/// Why a document cannot be read.
#[derive(Clone, Debug, PartialEq)]
pub struct YamlError {
    pub span: Span,
    pub message: String,
    pub help: Option<String>,
}

impl std::fmt::Display for YamlError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "line {}, column {}: {}", self.span.line, self.span.column, self.message)
    }
}

impl std::error::Error for YamlError {}

impl YamlError {
    pub(crate) fn with_help(span: Span, message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { span, message: message.into(), help: Some(help.into()) }
    }
}
