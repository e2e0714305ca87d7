//! The front ends: text becomes a [`model::Plan`] and diagnostics.
//! It must never know the engine, the store or files: sources are given to it.

pub mod argo;
mod codes;
pub mod diagnostic;
mod render;
mod suggest;
pub mod typed;
pub mod validate;
pub mod yaml;

use std::collections::BTreeMap;

pub use argo::compile;
pub use codes::CODES;
pub use diagnostic::{Diagnostic, Severity, Span};
pub use render::render;

/// A text to compile. The name is only for diagnostics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceFile {
    pub name: String,
    pub text: String,
}

/// What is decided outside the documents.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Instead of `spec.entrypoint`.
    pub entrypoint: Option<String>,
    /// Instead of `metadata.name` and `generateName`.
    pub name: Option<String>,
    pub namespace: Option<String>,
    /// Over `metadata.labels`.
    pub labels: BTreeMap<String, String>,
    /// Values given at the start: they count as supplied, and must be among an `enum`.
    pub parameters: BTreeMap<String, String>,
    /// Values of the workflow's parameters may be missing.
    pub lint: bool,
}

/// What became of the documents.
#[derive(Clone, Debug, Default)]
pub struct Compiled {
    /// One a Workflow without errors, in the order of the documents.
    pub plans: Vec<model::Plan>,
    /// Every document of a known kind.
    pub documents: Vec<DocumentInfo>,
    /// The Secrets among the documents: name, key, value. No plan has them.
    pub secrets: BTreeMap<String, BTreeMap<String, String>>,
    /// All faults and remarks, by file and place.
    pub diagnostics: Vec<Diagnostic>,
}

impl Compiled {
    pub fn has_errors(&self) -> bool {
        self.diagnostics.iter().any(|d| d.severity == Severity::Error)
    }
}

/// A document that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DocumentInfo {
    pub kind: String,
    /// `metadata.name`, else `generateName`.
    pub name: String,
    pub file: String,
    pub line: u32,
    /// Of a kind that is checked; the others are only named.
    pub is_read: bool,
}
