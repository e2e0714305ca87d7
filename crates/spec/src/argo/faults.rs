//! The list of diagnostics that grows while a document is read.
//! It must never decide what a fault is.

use crate::diagnostic::{Diagnostic, Severity, Span};
use std::collections::BTreeSet;

/// Diagnostics of one document that are kept; nobody reads more.
const KEPT_MAX: usize = 1000;

/// Diagnostics of one file.
#[derive(Debug)]
pub struct Faults {
    pub file: String,
    pub list: Vec<Diagnostic>,
    /// A template that is looked at twice has its faults once.
    told: BTreeSet<(String, usize, String)>,
}

impl Faults {
    pub fn new(file: &str) -> Self {
        Self { file: file.to_owned(), list: Vec::new(), told: BTreeSet::new() }
    }

    pub fn error(&mut self, code: &'static str, span: Span, message: impl Into<String>, help: Option<String>) {
        self.push(code, Severity::Error, span, message.into(), help);
    }

    pub fn warning(&mut self, code: &'static str, span: Span, message: impl Into<String>, help: Option<String>) {
        self.push(code, Severity::Warning, span, message.into(), help);
    }

    pub fn notice(&mut self, code: &'static str, span: Span, message: impl Into<String>, help: Option<String>) {
        self.push(code, Severity::Notice, span, message.into(), help);
    }

    pub fn has_errors(&self) -> bool {
        self.list.iter().any(|d| d.severity == Severity::Error)
    }

    fn push(&mut self, code: &'static str, severity: Severity, span: Span, message: String, help: Option<String>) {
        // An error is kept always, so that a document with faults never counts as sound.
        let full = self.list.len() >= KEPT_MAX && (severity != Severity::Error || self.has_errors());
        if !full && self.told.insert((self.file.clone(), span.start, message.clone())) {
            self.list.push(Diagnostic { code, severity, file: self.file.clone(), span, message, help });
        }
    }
}
