//! `delete`: removes ended runs with their rows and logs.
//! It must never remove a run that has not ended, unless told so.

use super::shutdown;
use crate::exit_codes::{Done, Fault, unread};
use crate::runs::{RunLine, Runs};
use crate::wire::Place;
use clap::Args;
use driver::protocol::{Reply, Request};
use model::input::Shutdown;
use std::io::Write;
use std::process::ExitCode;

/// Remove ended runs: their record, rows and logs
#[derive(Args)]
#[command(before_help = "Example: towpath delete hello-x7k2p")]
pub struct DeleteArgs {
    /// Names, ids, unique prefixes; @ is the latest, @2 the one before
    #[arg(value_name = "RUN", required = true)]
    runs: Vec<String>,
    /// Terminate those that have not ended
    #[arg(long)]
    force: bool,
}

pub fn run(args: &DeleteArgs, place: &Place) -> Done {
    let runs = Runs::open(place)?;
    // All are found before one is removed: `@2` must not change its meaning on the way.
    let found: Vec<RunLine> = args.runs.iter().map(|run| runs.find(run)).collect::<Result<_, _>>()?;
    for run in found {
        if run.ended_at.is_none() && args.force {
            end(place, &run)?;
        }
        remove(place, &run)?;
        unread(writeln!(std::io::stdout(), "{} deleted", run.name))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn remove(place: &Place, run: &RunLine) -> Result<(), Fault> {
    let mut client = place.client()?;
    match client.ask(&Request::Delete { run: run.id.clone() })? {
        Reply::Done => Ok(()),
        Reply::NotEnded => Err(Fault::refused(format!(
            "{} has not ended; `towpath stop {}` first, or delete it with --force",
            run.name, run.name
        ))),
        Reply::Store(why) => Err(Fault::store(&why)),
        other => Err(Fault::machine(format!("the holder of this home answered {other:?}"))),
    }
}

/// Terminates a run and waits for its end.
fn end(place: &Place, run: &RunLine) -> Result<(), Fault> {
    shutdown::request(place, run, Shutdown::Terminate)?;
    let mut client = place.client()?;
    client.watch(&run.id, 0)?;
    while let Some(reply) = client.hear()? {
        if let Reply::Events { events, .. } = reply
            && events.iter().any(|recorded| matches!(recorded.event, model::Event::RunEnded(_)))
        {
            return Ok(());
        }
    }
    Err(Fault::machine(format!("the holder of this home ended; {} may still run", run.name)))
}
