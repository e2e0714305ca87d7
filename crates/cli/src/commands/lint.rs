//! `lint`: all faults of workflow files at once.
//! It must never run anything.

use super::sources;
use crate::exit_codes::{Done, Fault};
use crate::render::plain::plain;
use clap::Args;
use spec::{Options, Severity};
use std::io::Write;
use std::process::ExitCode;

/// Check workflow files and show all faults at once
#[derive(Args)]
#[command(before_help = "Example: towpath lint pipeline.yaml templates.yaml")]
pub struct LintArgs {
    /// Workflow files; - is standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<String>,
}

pub fn run(args: &LintArgs) -> Done {
    let files = sources::read(&args.files)?;
    let compiled = spec::compile(&files, &Options { lint: true, ..Options::default() });
    let errors = sources::show(&compiled, &files, Severity::Notice)?;
    if errors > 0 {
        return Err(Fault::usage(sources::errors(errors)));
    }
    let mut out = std::io::stdout().lock();
    let read = || compiled.documents.iter().filter(|document| document.is_read);
    for document in read() {
        let (kind, name) = (&document.kind, plain(&document.name));
        writeln!(out, "{}:{}: {kind} {name} is valid", document.file, document.line)?;
    }
    let unread: Vec<&str> =
        files.iter().map(|file| file.name.as_str()).filter(|name| read().all(|d| d.file != *name)).collect();
    if unread.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    Err(Fault::usage(format!("no workflow document in {}: nothing was checked there", unread.join(", "))))
}
