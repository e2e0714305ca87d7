//! Workflow files as they are read for `run` and `lint`, and their diagnostics as they are shown.
//! It must never judge a file.

use crate::exit_codes::{Fault, unread};
use crate::render::progress::colors_wanted;
use spec::{Compiled, Severity, SourceFile};
use std::io::{ErrorKind, IsTerminal, Read, Write};

/// The name that standard input has in diagnostics.
pub const STDIN: &str = "<stdin>";

/// Reads the files; `-` is standard input.
///
/// # Errors
/// One cannot be read, or is too large: which.
pub fn read(names: &[String]) -> Result<Vec<SourceFile>, Fault> {
    names.iter().map(|name| if name == "-" { read_stdin() } else { read_file(name) }).collect()
}

fn read_stdin() -> Result<SourceFile, Fault> {
    let mut bytes = Vec::new();
    std::io::stdin().read_to_end(&mut bytes).map_err(|error| Fault::usage(format!("standard input: {error}")))?;
    source(STDIN, bytes)
}

fn read_file(name: &str) -> Result<SourceFile, Fault> {
    let bytes = std::fs::read(name).map_err(|error| unreadable(name, &error))?;
    source(name, bytes)
}

/// Why a file that was named on the command line cannot be read, and what to do.
pub fn unreadable(name: &str, error: &std::io::Error) -> Fault {
    Fault::usage(match error.kind() {
        ErrorKind::NotFound => format!("there is no file {name}"),
        ErrorKind::IsADirectory => format!("{name} is a folder; give the files in it"),
        ErrorKind::PermissionDenied => format!("{name} may not be read by this user"),
        _ => format!("{name}: {error}"),
    })
}

fn source(name: &str, bytes: Vec<u8>) -> Result<SourceFile, Fault> {
    let max = model::limits::SOURCE_BYTES_MAX;
    if bytes.len() > max {
        return Err(Fault::usage(format!("{name} has {} bytes; a workflow file has at most {max}", bytes.len())));
    }
    let text = String::from_utf8(bytes).map_err(|_| Fault::usage(format!("{name} is not UTF-8 text")))?;
    Ok(SourceFile { name: name.into(), text })
}

/// Prints the diagnostics on standard error and answers how many are errors. `from`: what is less severe is not shown.
pub fn show(compiled: &Compiled, files: &[SourceFile], least: Severity) -> Result<usize, Fault> {
    let mut stderr = std::io::stderr().lock();
    let color = stderr.is_terminal() && colors_wanted();
    for diagnostic in compiled.diagnostics.iter().filter(|diagnostic| diagnostic.severity <= least) {
        unread(writeln!(stderr, "{}", spec::render(diagnostic, files, color)))?;
    }
    Ok(compiled.diagnostics.iter().filter(|diagnostic| diagnostic.severity == Severity::Error).count())
}

/// `1 error`, `3 errors`.
pub fn errors(count: usize) -> String {
    if count == 1 { "1 error".into() } else { format!("{count} errors") }
}
