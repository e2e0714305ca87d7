//! A piece of text written in a workflow document, in which `{{tags}}` are tags.
//! It must never hold a value that came from elsewhere: values are data and are never scanned.

use alloc::string::String;
use serde::{Deserialize, Serialize};

/// Text of the document. Whoever resolves it goes through `expr::template`; a value is a `String`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Text(pub String);

impl Text {
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// False for plain text: resolving it is copying it.
    pub fn has_tags(&self) -> bool {
        self.0.contains("{{")
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}
