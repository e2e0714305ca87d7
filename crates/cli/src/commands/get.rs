//! `get`: one run, its node tree and its record.
//! It must never change anything.

use super::nodes;
use crate::exit_codes::Done;
use crate::follow::{Output, print_object};
use crate::render::plain::plain;
use crate::render::progress::{colors_wanted, whole};
use crate::render::time::{bytes, date, duration};
use crate::render::tree::Detail;
use crate::render::written;
use crate::runs::{Going, Runs, UNKNOWN, held};
use crate::wire::Place;
use clap::Args;
use driver::clock::now;
use std::fmt::Write as _;
use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use views::{History, Names};

/// Show a run: its nodes with phases, durations and messages, and its record
#[derive(Args)]
#[command(before_help = "Example: towpath get @")]
pub struct GetArgs {
    /// Name, id, unique prefix; @ is the latest, @2 the one before
    #[arg(value_name = "RUN", default_value = "@")]
    run: String,
    /// Print the Workflow object with its status, or the tree
    #[arg(short, long, default_value = "tree")]
    output: GetOutput,
    /// Show every child of long loops
    #[arg(long)]
    all: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum GetOutput {
    Tree,
    Json,
    Yaml,
}

pub fn run(args: &GetArgs, place: &Place) -> Done {
    let runs = Runs::open(place)?;
    let found = runs.find(&args.run)?;
    let history = runs.history(&found.id)?;
    match args.output {
        GetOutput::Json => print_object(&history, Output::Json)?,
        GetOutput::Yaml => print_object(&history, Output::Yaml)?,
        GetOutput::Tree => {
            let going = history.ended_at.map_or_else(|| held(place).going(&found.id), |_| Going::On);
            let mut text = record(&history, going);
            let color = std::io::stdout().is_terminal() && colors_wanted();
            let detail = if args.all { Detail::All } else { Detail::Loops };
            for line in whole(&history, detail, color, now()) {
                text.push_str(&line);
                text.push('\n');
            }
            nodes::artifacts(&history, &mut text);
            written::section(&history, &executor::kept::attempts(place.home.executor(), &found.id), &mut text);
            std::io::stdout().write_all(text.as_bytes())?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// What was run, by whom, from what.
fn record(history: &History, going: Going) -> String {
    let mut out = String::new();
    let Some(record) = history.record.as_deref() else { return out };
    let mut put = |name: &str, value: &str| {
        if !value.is_empty() {
            let _ = writeln!(out, "{:<13}{}", format!("{name}:"), plain(value));
        }
    };
    put("Name", &record.name);
    put("Id", &record.id.0);
    put("Namespace", &record.plan.metadata.namespace);
    let state = match going {
        Going::On => history.state().as_str(),
        Going::Interrupted => "interrupted",
        Going::Unknown => "unknown",
    };
    let phase = history.phase.map_or("", model::RunPhase::as_str);
    put("State", &format!("{state} (phase {phase})"));
    match going {
        Going::On => {}
        Going::Interrupted => put("", &format!("`towpath resume {}` goes on", record.name)),
        Going::Unknown => put("", UNKNOWN),
    }
    put("Message", &Names::of(history).tell(&history.message));
    put("Started", &date(record.created_at));
    if let Some(ended) = history.ended_at {
        put("Duration", &duration(ended.since_us(record.created_at)));
    }
    let parameters: Vec<String> = record.parameters.iter().map(|p| format!("{}={}", p.name, p.value)).collect();
    put("Given", &parameters.join(" "));
    let outputs: Vec<String> = history.globals.parameters.iter().map(|p| format!("{}={}", p.name, p.value)).collect();
    put("Outputs", &outputs.join(" "));
    put("Trigger", &record.trigger);
    put("Files", &record.source.files.join(" "));
    put("Source", &record.source.tree.map(|tree| tree.to_string()).unwrap_or_default());
    let dirty = match record.source.git_dirty {
        Some(true) => " (with changes that are not committed)",
        _ => "",
    };
    put(
        "Git commit",
        &record.source.git_commit.as_deref().map(|commit| format!("{commit}{dirty}")).unwrap_or_default(),
    );
    put("Profile", &format!("{:?}", record.profile).to_lowercase());
    put("Towpath", &record.version);
    for lock in &history.environments {
        let lines = lock.lock.lines().filter(|line| !line.trim_start().starts_with(['#', '-'])).count();
        put(
            "Environment",
            &format!("{} ({lines} packages locked, Python {})", lock.requirements.join(" "), lock.interpreter),
        );
    }
    let leaves = history.nodes.iter().flat_map(|node| &node.attempts);
    let (cpu, peak) = leaves.fold((0, 0), |(cpu, peak), a| (cpu + a.usage.cpu_us, a.usage.memory_peak_bytes.max(peak)));
    if cpu > 0 {
        put("Used", &format!("{} cpu time, at most {} in one task", duration(cpu as i64), bytes(peak)));
    }
    out.push('\n');
    out
}
