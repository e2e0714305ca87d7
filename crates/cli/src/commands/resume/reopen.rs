//! The ended run of `resume`: if tasks did not write what it declares and its file now says where they did, it goes on from there.
//! It must never decide what is kept: the engine does, and what it did is told node by node.

use super::{ResumeArgs, follow, told};
use crate::commands::sources;
use crate::exit_codes::{Done, Fault, unread};
use crate::follow::CtrlC;
use crate::render::plain::plain;
use crate::runs::{RunLine, Runs};
use crate::wire::Place;
use driver::protocol::{Reply, Request};
use model::event::RunReopened;
use model::{Event, NodeId, NodeKind, Phase, Plan, RunId, RunRecord};
use spec::{Options, Severity};
use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use views::History;

/// Nodes of a kind that are named; the others are counted.
const NAMES_MAX: usize = 10;

pub fn ended(args: &ResumeArgs, place: &Place, runs: &Runs, found: &RunLine) -> Done {
    let (mut history, mut state) = (History::default(), engine::State::default());
    runs.events(&found.id, |recorded| {
        history.apply(&recorded);
        engine::evolve(&mut state, &recorded);
    })?;
    let missing = engine::missing_outputs(&state);
    let (Some(record), false) = (history.record.as_deref(), missing.is_empty() || history.shutdown.is_some()) else {
        return told(args, runs, found);
    };
    let names: Vec<&str> = missing.iter().map(|id| &*history.node(*id).display_name).take(NAMES_MAX).collect();
    let names = plain(&names.join(", ")).into_owned();
    let files = files(args, record)?;
    let plan = compile(&files, record)?;
    if plan == record.plan {
        unread(writeln!(
            std::io::stderr(),
            "{names}: a declared output was not found, and {} is as it was; correct the path there and resume again",
            files.join(", ")
        ))?;
        return told(args, runs, found);
    }
    let mut client = place.client()?;
    let ctrl_c = CtrlC::listen()?;
    let variables = crate::commands::variables(record.profile)?;
    let (run, plan) = (found.id.clone(), Box::new(plan));
    match client.ask(&Request::Reopen { run, by: crate::commands::by(), plan, variables })? {
        Reply::Done => {}
        Reply::Refused(refusal) => return Err(Fault::refused(refusal)),
        Reply::Store(why) => return Err(Fault::store(&why)),
        other => return Err(Fault::machine(format!("the holder of this home answered {other:?}"))),
    }
    let text = report(&Reopening::last(runs, &found.id)?);
    let printed = if args.output.is_some() {
        std::io::stderr().write_all(text.as_bytes())
    } else {
        std::io::stdout().write_all(text.as_bytes())
    };
    unread(printed)?;
    follow(args, place, runs, found, client, ctrl_c)
}

/// The files to compile: those that are given, else those of the run where they were.
fn files(args: &ResumeArgs, record: &RunRecord) -> Result<Vec<String>, Fault> {
    if !args.files.is_empty() {
        return Ok(args.files.clone());
    }
    let there = |name: &String| -> Result<String, Fault> {
        if name == "-" {
            return Err(Fault::usage(format!(
                "the workflow came from standard input: give the corrected file, `towpath resume {} FILE`",
                record.name
            )));
        }
        let folder = record.source.directory.as_deref().map(PathBuf::from);
        let in_folder = folder.zip(Path::new(name).file_name()).map(|(folder, name)| folder.join(name));
        let path = in_folder.filter(|path| path.is_file()).unwrap_or_else(|| PathBuf::from(name));
        Ok(path.to_string_lossy().into_owned())
    };
    record.source.files.iter().map(there).collect()
}

/// The plan of the files as they are now, with what the command line of the run said.
fn compile(files: &[String], record: &RunRecord) -> Result<Plan, Fault> {
    let sources = sources::read(files)?;
    let old = &record.plan;
    let options = Options {
        entrypoint: Some(old.template(old.entrypoint).name.clone()).filter(|name| !name.is_empty()),
        parameters: record.parameters.iter().map(|p| (p.name.clone(), p.value.clone())).collect(),
        ..Options::default()
    };
    let compiled = spec::compile(&sources, &options);
    let errors = sources::show(&compiled, &sources, Severity::Warning)?;
    if errors > 0 {
        return Err(Fault::usage(format!("{}; nothing was resumed", sources::errors(errors))));
    }
    let mut plans = compiled.plans.into_iter();
    let (Some(mut plan), None) = (plans.next(), plans.next()) else {
        return Err(Fault::usage(format!("{} must hold one Workflow", files.join(", "))));
    };
    plan.metadata.clone_from(&old.metadata);
    plan.notices.clone_from(&old.notices);
    Ok(plan)
}

/// The last reopening of a run.
#[derive(Default)]
struct Reopening {
    /// What the run was before it.
    history: History,
    event: Option<Box<RunReopened>>,
    collected: BTreeSet<NodeId>,
}

impl Reopening {
    fn last(runs: &Runs, run: &RunId) -> Result<Self, Fault> {
        let (mut history, mut last) = (History::default(), Self::default());
        runs.events(run, |recorded| {
            match &recorded.event {
                Event::RunReopened(event) => {
                    last = Self { history: history.clone(), event: Some(event.clone()), collected: BTreeSet::new() };
                }
                Event::AttemptAdded { node, collects: Some(_), .. } => drop(last.collected.insert(*node)),
                _ => {}
            }
            history.apply(&recorded);
        })?;
        Ok(last)
    }
}

/// What became of each node.
fn report(reopening: &Reopening) -> String {
    let Reopening { history, event: Some(reopened), collected } = reopening else { return String::new() };
    let mut lines: Vec<String> = Vec::new();
    let name = |id: NodeId| plain(&history.node(id).name).into_owned();
    lines.extend(collected.iter().map(|id| format!("{}: collected from what it had written", name(*id))));
    lines.extend(again(reopened, history, collected));
    let shown = lines.len().min(2 * NAMES_MAX);
    let mut text = lines[..shown].iter().map(|line| format!("{line}\n")).collect::<String>();
    if shown < lines.len() {
        text.push_str(&format!("and {} more\n", lines.len() - shown));
    }
    let reset: BTreeSet<NodeId> = reopened.reset.iter().map(|reset| reset.node).collect();
    let kept = history.current().filter(|node| {
        node.is_leaf() && node.phase == Phase::Succeeded && !reset.contains(&node.id) && !collected.contains(&node.id)
    });
    match kept.count() {
        0 => {}
        count => text.push_str(&format!("kept: {count} that succeeded\n")),
    }
    text
}

/// Tasks that run again, each with the reason, and how many run for the first time.
fn again(reopened: &RunReopened, history: &History, collected: &BTreeSet<NodeId>) -> Vec<String> {
    let name = |id: NodeId| plain(&history.node(id).name).into_owned();
    let ran = |id: NodeId| history.node(id).is_leaf();
    let mut lines: Vec<String> = Vec::new();
    let reset = reopened.reset.iter().filter(|reset| ran(reset.node));
    lines.extend(reset.map(|reset| format!("{}: runs again: {}", name(reset.node), plain(&reset.why))));
    let open = reopened.open.iter().filter(|id| ran(**id) && !collected.contains(id));
    lines.extend(open.map(|id| format!("{}: runs again", name(*id))));
    let omitted = reopened.reset.iter().filter(|reset| history.node(reset.node).kind == NodeKind::Skipped).count();
    if omitted > 0 {
        lines.push(format!("{omitted} that had not run: now they may"));
    }
    lines
}
