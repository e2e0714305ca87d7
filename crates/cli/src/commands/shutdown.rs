//! `stop` and `terminate`: end a run, cleanly or at once.
//! It must never wait longer than until the wish is recorded.

use crate::exit_codes::{Done, Fault, unread};
use crate::runs::{RunLine, Runs};
use crate::wire::Place;
use clap::Args;
use driver::protocol::{Reply, Request};
use model::Refusal;
use model::input::Shutdown;
use std::io::Write;
use std::process::ExitCode;

/// Stop a run cleanly: what runs gets SIGTERM and 30 seconds, nothing new starts
#[derive(Args)]
#[command(before_help = "Example: towpath stop @")]
pub struct StopArgs {
    /// Name, id, unique prefix; @ is the latest, @2 the one before
    #[arg(value_name = "RUN")]
    run: String,
}

/// End a run at once
#[derive(Args)]
#[command(before_help = "Example: towpath terminate @")]
pub struct TerminateArgs {
    /// Name, id, unique prefix; @ is the latest, @2 the one before
    #[arg(value_name = "RUN")]
    run: String,
}

pub fn stop(args: &StopArgs, place: &Place) -> Done {
    shut_down(place, &args.run, Shutdown::Stop)
}

pub fn terminate(args: &TerminateArgs, place: &Place) -> Done {
    shut_down(place, &args.run, Shutdown::Terminate)
}

fn shut_down(place: &Place, run: &str, strategy: Shutdown) -> Done {
    let runs = Runs::open(place)?;
    let found = runs.find(run)?;
    request(place, &found, strategy)?;
    let word = match strategy {
        Shutdown::Stop => "is being stopped",
        Shutdown::Terminate => "is being terminated",
    };
    unread(writeln!(std::io::stdout(), "{} {word}; `towpath get {}` shows it", found.name, found.name))?;
    Ok(ExitCode::SUCCESS)
}

/// Asks for the end of a run.
///
/// # Errors
/// It has ended, or is ending in this way already.
pub fn request(place: &Place, run: &RunLine, strategy: Shutdown) -> Result<(), Fault> {
    let ended = || Fault::refused(format!("{} has ended already", run.name));
    if run.ended_at.is_some() {
        return Err(ended());
    }
    let mut client = place.client()?;
    let request = Request::Shutdown { run: run.id.clone(), strategy, by: super::by() };
    match client.ask(&request)? {
        Reply::Done => Ok(()),
        Reply::Refused(Refusal::NoRun | Refusal::Ended) => Err(ended()),
        Reply::Refused(Refusal::ShuttingDown) => Ok(()),
        Reply::Refused(refusal) => Err(Fault::refused(refusal)),
        Reply::Store(why) => Err(Fault::store(&why)),
        other => Err(Fault::machine(format!("the holder of this home answered {other:?}"))),
    }
}
