//! `resume`: lets an interrupted run go on, attaches to one that does, and reopens one whose outputs can be collected now.
//! It must never run again what succeeded.

mod reopen;

use crate::exit_codes::{Done, Fault, unread};
use crate::follow::{CtrlC, Followed, Output, code, print_object};
use crate::render::summary::quoted;
use crate::runs::{RunLine, Runs};
use crate::wire::Place;
use clap::Args;
use driver::protocol::{Reply, Request};
use model::attempt::Profile;
use model::{Refusal, RunRecord};
use std::io::Write;
use std::process::ExitCode;

/// Go on with an interrupted run, attach to a running one, or collect what a failed one wrote elsewhere
#[derive(Args)]
#[command(before_help = "Example: towpath resume @")]
pub struct ResumeArgs {
    /// Name, id, unique prefix; @ is the latest, @2 the one before
    #[arg(value_name = "RUN", default_value = "@")]
    run: String,
    /// Corrected workflow files of a run that failed for missing outputs [default: the files that it was started with]
    #[arg(value_name = "FILE")]
    files: Vec<String>,
    /// Return as soon as it goes on
    #[arg(long)]
    no_watch: bool,
    /// Print the finished Workflow object on standard output, and nothing else there
    #[arg(short, long)]
    output: Option<Output>,
}

pub fn run(args: &ResumeArgs, place: &Place) -> Done {
    let runs = Runs::open(place)?;
    let found = runs.find(&args.run)?;
    if found.ended_at.is_some() {
        return reopen::ended(args, place, &runs, &found);
    }
    if !args.files.is_empty() {
        return Err(Fault::usage(format!("{} has not ended: it goes on by the plan that it has", found.name)));
    }
    let mut client = place.client()?;
    let ctrl_c = CtrlC::listen()?;
    let record = runs.record(&found.id)?;
    let variables = super::variables(record.map_or(Profile::Standard, |record| record.profile))?;
    match client.ask(&Request::Resume { run: found.id.clone(), by: super::by(), variables })? {
        Reply::Done => {}
        // It ended just now.
        Reply::Refused(Refusal::NoRun | Refusal::Ended) => return told(args, &runs, &found),
        Reply::Refused(refusal) => return Err(Fault::refused(refusal)),
        Reply::Store(why) => return Err(Fault::store(&why)),
        other => return Err(Fault::machine(format!("the holder of this home answered {other:?}"))),
    }
    let mut state = engine::State::default();
    runs.events(&found.id, |event| engine::evolve(&mut state, &event))?;
    if state.is_held() || !engine::waiting(&state).is_empty() {
        let name = &found.name;
        unread(writeln!(
            std::io::stderr(),
            "{name} waits for a person: `towpath approve {name}` lets it go on, nothing else does"
        ))?;
    }
    follow(args, place, &runs, &found, client, ctrl_c)
}

/// It has ended already.
fn told(args: &ResumeArgs, runs: &Runs, found: &RunLine) -> Done {
    let history = runs.history(&found.id)?;
    let phase = history.phase.map_or("", model::RunPhase::as_str);
    unread(writeln!(std::io::stderr(), "{} has ended already: {phase}", found.name))?;
    if let Some(output) = args.output {
        print_object(&history, output)?;
    }
    Ok(code(&history))
}

fn follow(
    args: &ResumeArgs,
    place: &Place,
    runs: &Runs,
    found: &RunLine,
    client: driver::Client,
    ctrl_c: CtrlC,
) -> Done {
    if args.no_watch {
        unread(writeln!(std::io::stdout(), "{} goes on; `towpath get {}` shows it", found.name, found.name))?;
        return Ok(ExitCode::SUCCESS);
    }
    let history = runs.history(&found.id)?;
    let again = history.record.as_deref().map(again).unwrap_or_default();
    Followed { place, run: found.id.clone(), output: args.output, again }.to_the_end(client, ctrl_c, history)
}

/// The command that runs the same again.
fn again(record: &RunRecord) -> String {
    let mut words: Vec<String> =
        ["towpath".to_string(), "run".into()].into_iter().chain(record.source.files.clone()).collect();
    words.extend(record.parameters.iter().flat_map(|p| ["-p".to_string(), format!("{}={}", p.name, p.value)]));
    if record.profile != Profile::Standard {
        words.extend(["--profile".to_string(), format!("{:?}", record.profile).to_lowercase()]);
    }
    words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ")
}
