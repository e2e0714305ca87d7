//! Diagnostics as text for people, in the form of cargo's: what, where, the line itself, and the remedy.
//! It must never judge.

use crate::SourceFile;
use crate::diagnostic::{Diagnostic, Severity};
use std::fmt::Write as _;

/// Widest excerpt, in characters.
const LINE_MAX: usize = 160;

/// One diagnostic with its excerpt; it ends with a newline.
pub fn render(diagnostic: &Diagnostic, files: &[SourceFile], color: bool) -> String {
    let paint = |code: &str, text: &str| if color { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() };
    let (name, tint) = match diagnostic.severity {
        Severity::Error => ("error", "1;31"),
        Severity::Warning => ("warning", "1;33"),
        Severity::Notice => ("notice", "1;36"),
    };
    let mut out = paint(tint, &format!("{name}[{}]", diagnostic.code));
    let _ = writeln!(out, ": {}", paint("1", &diagnostic.message));
    let span = diagnostic.span;
    let number = span.line.to_string();
    let margin = " ".repeat(number.len());
    let bar = paint("1;34", "|");
    let _ = writeln!(out, "{margin}{} {}:{}:{}", paint("1;34", "-->"), diagnostic.file, span.line, span.column);
    let text = files.iter().find(|file| file.name == diagnostic.file).map(|file| file.text.as_str());
    if let Some((line, lead, carets)) = text.and_then(|text| excerpt(text, diagnostic)) {
        let _ = writeln!(out, "{margin} {bar}");
        let _ = writeln!(out, "{} {bar} {line}", paint("1;34", &number));
        let _ = writeln!(out, "{margin} {bar} {lead}{}", paint(tint, &carets));
    }
    if let Some(help) = &diagnostic.help {
        let _ = writeln!(out, "{margin} {} {}: {help}", paint("1;34", "="), paint("1", "help"));
    }
    out
}

/// The line, the blanks before the carets, the carets.
fn excerpt(text: &str, diagnostic: &Diagnostic) -> Option<(String, String, String)> {
    let span = diagnostic.span;
    let line = text.lines().nth((span.line as usize).checked_sub(1)?)?;
    let column = (span.column as usize).saturating_sub(1);
    // A long line is cut around the fault.
    let skip = column.saturating_sub(LINE_MAX / 2);
    let shown: String = line.chars().skip(skip).take(LINE_MAX).map(|c| if c == '\t' { ' ' } else { c }).collect();
    let covered = text.get(span.start..span.end).unwrap_or_default();
    let width = covered.lines().next().unwrap_or_default().chars().count();
    let room = shown.chars().count().saturating_sub(column - skip);
    let carets = "^".repeat(width.min(room).max(1));
    Some((shown, " ".repeat(column - skip), carets))
}
