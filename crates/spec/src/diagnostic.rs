//! What is wrong with a document, where, and what would be right.
//! It must never know how it is shown.

/// A fault or a remark about the documents given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Stable: `E` or `W` or `N` and four digits.
    pub code: &'static str,
    pub severity: Severity,
    /// The name of the source file, as given.
    pub file: String,
    pub span: Span,
    pub message: String,
    /// What would be right.
    pub help: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Nothing of the document runs.
    Error,
    Warning,
    Notice,
}

/// A place in a source file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// Byte offsets; `end` is behind the last byte.
    pub start: usize,
    pub end: usize,
    /// From 1.
    pub line: u32,
    /// From 1, in characters.
    pub column: u32,
}

impl Span {
    pub fn at_start() -> Self {
        Self { start: 0, end: 0, line: 1, column: 1 }
    }

    /// The character that begins at byte `at`.
    pub(crate) fn at_byte(text: &str, at: usize) -> Self {
        let before = &text[..at];
        let line_start = before.rfind('\n').map_or(0, |i| i + 1);
        let width = text[at..].chars().next().map_or(0, char::len_utf8);
        Self {
            start: at,
            end: at + width,
            line: before.bytes().filter(|b| *b == b'\n').count() as u32 + 1,
            column: text[line_start..at].chars().count() as u32 + 1,
        }
    }

    pub(crate) fn shifted(self, bytes: usize, lines: u32) -> Self {
        Self { start: self.start + bytes, end: self.end + bytes, line: self.line + lines, column: self.column }
    }

    /// From the start of `self` to the end of `end`.
    pub(crate) fn until(self, end: Self) -> Self {
        Self { end: self.end.max(end.end), ..self }
    }
}
