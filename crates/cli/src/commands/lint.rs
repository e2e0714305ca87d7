//! `lint`: all faults of workflow files at once.
//! It must never run anything.

use super::sources;
use crate::exit_codes::{Done, Fault};
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
    if compiled.documents.is_empty() {
        return Err(Fault::usage("no workflow document in the files given"));
    }
    let mut out = std::io::stdout().lock();
    for document in &compiled.documents {
        writeln!(out, "{}:{}: {} {} is valid", document.file, document.line, document.kind, document.name)?;
    }
    Ok(ExitCode::SUCCESS)
}
