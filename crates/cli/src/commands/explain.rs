//! `explain`: why nodes are not running, in the engine's words.
//! It must never guess.

use super::nodes;
use crate::exit_codes::{Done, Fault};
use crate::render::plain::plain;
use crate::render::waiting::why;
use crate::runs::places_of;
use crate::runs::{Going, Heard, Runs, UNKNOWN, held};
use crate::wire::Place;
use clap::Args;
use engine::Reason;
use model::{Command, NodeId, RunId};
use std::collections::BTreeMap;
use std::io::Write;
use std::process::ExitCode;
use views::{History, Names};

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
    let (mut history, mut state) = (History::default(), engine::State::default());
    runs.events(&found.id, |event| {
        history.apply(&event);
        engine::evolve(&mut state, &event);
    })?;
    let mut out = std::io::stdout().lock();
    let wanted: Vec<NodeId> = match &args.node {
        Some(name) => vec![nodes::find(&history, name)?.id],
        None => {
            let interesting =
                history.current().filter(|node| !node.phase.is_fulfilled() || node.phase.is_failed_or_error());
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
    let names = Names::of(&history);
    let waiting = waiting(&runs, place, &state);
    let mut waits = false;
    // Of a template that calls itself every level waits for the next one, or failed with it.
    let mut following = 0;
    for id in &wanted {
        let reason = engine::explain(&state, *id);
        following += usize::from(follows(&history, *id, &reason));
        if following > FOLLOWING_MAX && follows(&history, *id, &reason) {
            continue;
        }
        waits |= matches!(reason, Reason::WaitsForPlace(_));
        let line = match waiting.get(id).filter(|_| matches!(reason, Reason::WaitsForPlace(_))) {
            Some(why) => format!("{}: waits for a place: {why}", history.node(*id).name),
            None => reason.line(&history.node(*id).name),
        };
        writeln!(out, "{}", plain(&names.tell(&line)))?;
    }
    if following > FOLLOWING_MAX {
        writeln!(out, "and {} more, for what is in them", following - FOLLOWING_MAX)?;
    }
    if waits && history.ended_at.is_none() {
        for line in places(&runs, place)? {
            writeln!(out, "{}", plain(&line))?;
        }
    }
    if wanted.is_empty() {
        let phase = history.phase.map_or("", model::RunPhase::as_str);
        writeln!(out, "{}: ended {phase}; no node failed or waits", history.name())?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Nodes that are told of though their reason is that of another node.
const FOLLOWING_MAX: usize = 40;

fn follows(history: &History, id: NodeId, reason: &Reason) -> bool {
    match reason {
        Reason::WaitsForChildren(..) => true,
        Reason::Ended(_, message) => !history.node(id).is_leaf() && message.starts_with("child '"),
        _ => false,
    }
}

/// What each node that waits for a place asks for, and who has it; nothing where no holder says so.
fn waiting(runs: &Runs, place: &Place, state: &engine::State) -> BTreeMap<NodeId, String> {
    let owed = engine::outstanding(state).into_iter().filter_map(|command| match command {
        Command::Place(wish) => Some(wish),
        _ => None,
    });
    let Some(places) = places_of(place) else { return BTreeMap::new() };
    let name = |run: &RunId| runs.record(run).ok().flatten().map_or_else(|| run.0.clone(), |record| record.name);
    let mut names: BTreeMap<RunId, String> =
        places.holders.iter().map(|holder| (holder.run.clone(), name(&holder.run))).collect();
    names.extend(places.held_for.iter().map(|key| (key.run.clone(), name(&key.run))));
    let name = |run: &RunId| names.get(run).cloned().unwrap_or_else(|| run.0.clone());
    owed.map(|wish| (wish.key.node, why(&wish, &places, &name))).collect()
}

/// Who holds the places that others wait for, a line a run: the attempts that were started and have not ended.
fn places(runs: &Runs, place: &Place) -> Result<Vec<String>, Fault> {
    const NAMES_MAX: usize = 5;
    let Heard::Runs(running) = held(place) else { return Ok(Vec::new()) };
    let mut lines = Vec::new();
    for run in running {
        let state = runs.state(&run.run)?;
        let names: Vec<_> = engine::placed(&state).map(|id| state.name(id)).collect();
        let (shown, rest) = names.split_at(names.len().min(NAMES_MAX));
        let more = if rest.is_empty() { String::new() } else { format!(" and {} more", rest.len()) };
        if !shown.is_empty() {
            lines.push(format!("places are taken by {}{more}", shown.join(", ")));
        }
    }
    Ok(lines)
}
