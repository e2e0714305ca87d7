//! `explain`: why nodes are not running, in the engine's words.
//! It must never guess.

use super::nodes;
use crate::exit_codes::{Done, Fault};
use crate::render::plain::plain;
use crate::runs::{Going, Runs, UNKNOWN, held};
use crate::wire::Place;
use clap::Args;
use model::NodeId;
use std::io::Write;
use std::process::ExitCode;
use views::History;

/// Say why a node is not running, or how it ended
#[derive(Args)]
#[command(before_help = "Example: towpath explain @ train")]
pub struct ExplainArgs {
    /// Name, id, unique prefix; @ is the latest, @2 the one before
    #[arg(value_name = "RUN", default_value = "@")]
    run: String,
    /// Only this node; without it every node that has not ended or failed
    #[arg(value_name = "NODE")]
    node: Option<String>,
}

pub fn run(args: &ExplainArgs, place: &Place) -> Done {
    let runs = Runs::open(place)?;
    let found = runs.find(&args.run)?;
    let events = runs.events(&found.id)?;
    let history = History::fold(&events);
    let state = engine::fold(&events);
    let mut out = std::io::stdout().lock();
    let wanted: Vec<NodeId> = match &args.node {
        Some(name) => vec![nodes::find(&history, name)?.id],
        None => {
            let interesting =
                history.nodes.iter().filter(|node| !node.phase.is_fulfilled() || node.phase.is_failed_or_error());
            interesting.map(|node| node.id).collect()
        }
    };
    if history.ended_at.is_none() {
        let name = plain(history.name());
        match held(place).going(&found.id) {
            Going::On => {}
            Going::Interrupted => writeln!(out, "{name}: interrupted; starts nothing until `towpath resume {name}`")?,
            Going::Unknown => writeln!(out, "{name}: {UNKNOWN}")?,
        }
    }
    for id in &wanted {
        writeln!(out, "{}", plain(&engine::explain(&state, *id).line(&history.node(*id).name)))?;
    }
    if wanted.is_empty() {
        let phase = history.phase.map_or("", model::RunPhase::as_str);
        writeln!(out, "{}: ended {phase}; no node failed or waits", history.name())?;
    }
    if state.nodes().len() != history.nodes.len() {
        return Err(Fault::machine("the log was read while it grew; try again"));
    }
    Ok(ExitCode::SUCCESS)
}
