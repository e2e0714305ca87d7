//! `list`: the runs of this home, newest first.
//! It must never read a log: the rows have all that a list needs.

use crate::exit_codes::Done;
use crate::render::plain::plain;
use crate::render::table::table;
use crate::render::time::{date, duration};
use crate::runs::{Going, RunLine, Runs, UNKNOWN, held};
use crate::wire::Place;
use clap::Args;
use driver::clock::now;
use std::io::Write;
use std::process::ExitCode;
use views::stamp::rfc3339;

/// List the runs of this home, newest first
#[derive(Args)]
#[command(before_help = "Example: towpath list --limit 5")]
pub struct ListArgs {
    /// Print JSON
    #[arg(short, long, value_parser = ["json"])]
    output: Option<String>,
    /// So many runs at most
    #[arg(long, default_value_t = 50, value_name = "N", value_parser = at_least_one)]
    limit: u64,
}

pub fn run(args: &ListArgs, place: &Place) -> Done {
    let mut runs = match Runs::open_any(place)? {
        Some(runs) => runs.list(Some(args.limit), 0)?,
        None => Vec::new(),
    };
    if runs.iter().any(|run| run.ended_at.is_none()) {
        let held = held(place);
        for run in runs.iter_mut().filter(|run| run.ended_at.is_none()) {
            match held.going(&run.id) {
                Going::On => {}
                Going::Interrupted => run.state = "interrupted".into(),
                Going::Unknown => {
                    run.state = "unknown".into();
                    run.message = UNKNOWN.into();
                }
            }
        }
    }
    let mut out = std::io::stdout().lock();
    if args.output.is_some() {
        let list: Vec<_> = runs.iter().map(object).collect();
        let text = serde_json::to_string_pretty(&list).map_err(crate::exit_codes::Fault::machine)?;
        writeln!(out, "{text}")?;
    } else if runs.is_empty() {
        writeln!(
            std::io::stderr(),
            "no run in {} yet; start one with `towpath run FILE`",
            place.home.root().display()
        )?;
    } else {
        let rows: Vec<Vec<String>> = runs.iter().map(row).collect();
        out.write_all(table(&["NAME", "STATE", "STARTED", "DURATION", "DONE", "MESSAGE"], &rows).as_bytes())?;
    }
    Ok(ExitCode::SUCCESS)
}

fn at_least_one(text: &str) -> Result<u64, String> {
    text.parse().ok().filter(|count| *count > 0).ok_or_else(|| "it takes a number from 1 on".to_string())
}

fn row(run: &RunLine) -> Vec<String> {
    let spent = if matches!(&*run.state, "interrupted" | "unknown") {
        "-".into()
    } else {
        duration(run.ended_at.unwrap_or_else(now).since_us(run.created_at))
    };
    let message = match &*run.state {
        "interrupted" => format!("`towpath resume {}` goes on", run.name),
        _ if holds_id(&run.message) => format!("a step failed: `towpath explain {}` tells why", run.name),
        _ => run.message.clone(),
    };
    vec![
        plain(&run.name).into_owned(),
        run.state.clone(),
        date(run.created_at),
        spent,
        format!("{}/{}", run.leaves_done, run.leaves),
        plain(message.lines().next().unwrap_or_default()).into_owned(),
    ]
}

/// Argo's message of failed steps tells a node by its id, and a row does not know what it is called.
fn holds_id(message: &str) -> bool {
    message.starts_with("child '") && message.ends_with("' failed")
}

fn object(run: &RunLine) -> serde_json::Value {
    serde_json::json!({
        "name": run.name,
        "id": run.id.0,
        "phase": run.phase,
        "state": run.state,
        "message": run.message,
        "createdAt": rfc3339(run.created_at),
        "finishedAt": run.ended_at.map(rfc3339),
        "progress": format!("{}/{}", run.leaves_done, run.leaves),
        "trigger": run.trigger,
    })
}
