//! `version`: which build this is.
//! It must never need a home.

use crate::exit_codes::Done;
use clap::Args;
use std::io::Write;
use std::process::ExitCode;

/// Print the version of Towpath
#[derive(Args)]
#[command(before_help = "Example: towpath version")]
pub struct VersionArgs {}

pub fn run(_: &VersionArgs) -> Done {
    writeln!(
        std::io::stdout(),
        "towpath {} (plan {}, events {}, semantics {})",
        env!("CARGO_PKG_VERSION"),
        model::plan::PLAN_VERSION,
        model::event::EVENT_VERSION,
        model::plan::SEMANTICS
    )?;
    Ok(ExitCode::SUCCESS)
}
