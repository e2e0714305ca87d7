//! `logs`: what tasks printed, merged in the order of time, or of one node.
//! It must never need a holder to read what is there.

use super::nodes;
use crate::exit_codes::{Done, Fault};
use crate::render::summary::log_key;
use crate::runs::Runs;
use crate::wire::Place;
use artifacts::log::{Reader, Record, Stream, merge};
use clap::Args;
use driver::Client;
use driver::protocol::{Reply, Request};
use model::{AttemptKey, RunId};
use std::collections::BTreeSet;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;
use views::{History, NodeView};

/// How often the logs are looked at while we follow.
const LOOK: Duration = Duration::from_millis(100);

/// Print what the tasks of a run printed, in the order of time
#[derive(Args)]
#[command(before_help = "Example: towpath logs @ train -f")]
pub struct LogsArgs {
    /// Name, id, unique prefix; @ is the latest, @2 the one before
    #[arg(value_name = "RUN", default_value = "@")]
    run: String,
    /// Only this node (and what is below it)
    #[arg(value_name = "NODE")]
    node: Option<String>,
    /// Go on until the run ends
    #[arg(short, long)]
    follow: bool,
    /// Print the time of each line
    #[arg(short, long)]
    timestamps: bool,
}

pub fn run(args: &LogsArgs, place: &Place) -> Done {
    let runs = Runs::open(place)?;
    let found = runs.find(&args.run)?;
    let history = runs.history(&found.id)?;
    if args.follow && history.ended_at.is_none() {
        return follow(args, place, &runs, &found.id, history);
    }
    let top = args.node.as_deref().map(|name| nodes::find(&history, name)).transpose()?;
    let leaves = nodes::leaves(&history, top);
    let keys: Vec<(&NodeView, AttemptKey)> = leaves.iter().flat_map(|node| attempts(&history, node)).collect();
    let readers = keys.iter().map(|(_, key)| Reader::open(&place.home.executor().log(key))).collect();
    let single = leaves.len() == 1 && args.node.is_some();
    let mut out = io::BufWriter::new(io::stdout().lock());
    for record in merge(readers) {
        let (index, record) = record?;
        print(&mut out, args, (!single).then_some(&*keys[index].0.name), &record)?;
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

/// All attempts of a leaf, oldest first.
fn attempts<'a>(history: &History, node: &'a NodeView) -> Vec<(&'a NodeView, AttemptKey)> {
    let Some(last) = log_key(history, node) else { return Vec::new() };
    node.attempts.iter().map(|attempt| (node, AttemptKey { n: attempt.n, ..last.clone() })).collect()
}

fn print(out: &mut impl Write, args: &LogsArgs, name: Option<&str>, record: &Record) -> Result<(), Fault> {
    if args.timestamps {
        write!(out, "{} ", views::stamp::rfc3339(record.time))?;
    }
    if let Some(name) = name {
        write!(out, "{name}: ")?;
    }
    if record.stream == Stream::Note {
        out.write_all(b"[towpath] ")?;
    }
    out.write_all(&record.text)?;
    if !record.goes_on {
        out.write_all(b"\n")?;
    }
    Ok(())
}

/// Prints as it comes until the run ends. An interrupted run is followed as long as somebody may resume it.
fn follow(args: &LogsArgs, place: &Place, runs: &Runs, run: &RunId, mut history: History) -> Done {
    let mut known: BTreeSet<AttemptKey> = BTreeSet::new();
    let mut open: Vec<(String, Reader)> = Vec::new();
    let mut single = false;
    loop {
        // What was written before the end is read after the end was seen.
        let ended = history.ended_at.is_some();
        let top = match &args.node {
            Some(name) => nodes::find(&history, name).ok(),
            None => None,
        };
        if args.node.is_none() || top.is_some() {
            let leaves = nodes::leaves(&history, top);
            single |= args.node.is_some() && leaves.len() == 1;
            for (node, key) in leaves.iter().flat_map(|node| attempts(&history, node)) {
                if node.started_at.is_some() && known.insert(key.clone()) {
                    open.push((node.name.to_string(), Reader::open(&place.home.executor().log(&key))));
                }
            }
        }
        let mut new: Vec<(usize, Record)> = Vec::new();
        for (index, (_, reader)) in open.iter_mut().enumerate() {
            new.extend(reader.read_more()?.into_iter().map(|record| (index, record)));
        }
        // Stable: within one log the order is its own.
        new.sort_by_key(|(_, record)| record.time);
        let mut out = io::stdout().lock();
        for (index, record) in &new {
            print(&mut out, args, (!single).then_some(open[*index].0.as_str()), record)?;
        }
        out.flush()?;
        drop(out);
        if ended {
            return Ok(ExitCode::SUCCESS);
        }
        std::thread::sleep(LOOK);
        for event in driver::encode::decode(
            &run.0,
            history.events,
            &runs.reader.read_log(&store::LogId::run(run.0.clone()), history.events, usize::MAX)?,
        )? {
            history.apply(&event);
        }
        if history.ended_at.is_none() && !is_held(place, run) {
            writeln!(io::stderr(), "the run is interrupted; `towpath resume {}` goes on", history.name())?;
            return Ok(ExitCode::SUCCESS);
        }
    }
}

/// Whether a living holder has the run, resumed or not: what still runs goes on writing.
fn is_held(place: &Place, run: &RunId) -> bool {
    let Ok(Some(mut client)) = Client::connect(&place.home) else { return false };
    match client.ask(&Request::Status) {
        Ok(Reply::Status(status)) => status.runs.iter().any(|held| held.run == *run),
        _ => true,
    }
}
