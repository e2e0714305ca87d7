//! The commands, one file each, and the list of them.
//! It must never do a command's work.

mod approve;
mod cp;
mod delete;
mod env;
mod events;
mod explain;
mod get;
mod lint;
mod list;
mod logs;
mod nodes;
mod resume;
mod run;
mod shutdown;
mod sources;
mod version;

use crate::exit_codes::{Done, Fault, unread};
use crate::render::plain::plain_lines;
use crate::settings::Settings;
use crate::wire::Place;
use clap::{Args, Parser, Subcommand};
use executor::variables::{Own, Variables};
use model::attempt::Profile;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

/// Runs Argo workflows on this machine, durably.
#[derive(Parser)]
#[command(name = "towpath", version, disable_help_subcommand = true, max_term_width = 100)]
#[command(before_help = "Example: towpath run examples/hello.yaml")]
struct Cli {
    #[command(flatten)]
    place: PlaceArgs,
    #[command(subcommand)]
    command: Verb,
}

/// Where runs are kept.
#[derive(Args)]
struct PlaceArgs {
    /// Directory that holds runs, artifacts and environments [env: TOWPATH_HOME; default: the XDG data directory]
    #[arg(long, global = true, value_name = "DIR")]
    home: Option<PathBuf>,
}

#[derive(Subcommand)]
enum Verb {
    Run(run::RunArgs),
    Lint(lint::LintArgs),
    List(list::ListArgs),
    Get(get::GetArgs),
    Logs(logs::LogsArgs),
    Cp(cp::CpArgs),
    Explain(explain::ExplainArgs),
    Events(events::EventsArgs),
    Approve(approve::ApproveArgs),
    Resume(resume::ResumeArgs),
    Stop(shutdown::StopArgs),
    Terminate(shutdown::TerminateArgs),
    Delete(delete::DeleteArgs),
    Env(env::EnvArgs),
    Version(version::VersionArgs),
}

/// Parses the command line and does what it says.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help goes to standard output and is no fault.
            let _ = error.print();
            return ExitCode::from(error.exit_code().clamp(0, 2) as u8);
        }
    };
    match act(cli) {
        Ok(code) => code,
        Err(fault) => {
            if !fault.text.is_empty() {
                let _ = writeln!(std::io::stderr(), "towpath: {}", plain_lines(&fault.text));
            }
            ExitCode::from(fault.code)
        }
    }
}

fn act(cli: Cli) -> Done {
    let settings = || Settings::load(cli.place.home.as_deref());
    let place = || -> Result<Place, Fault> { Place::new(&settings()?) };
    match cli.command {
        Verb::Run(args) => run::run(args, &settings()?),
        Verb::Lint(args) => lint::run(&args),
        Verb::List(args) => list::run(&args, &place()?),
        Verb::Get(args) => get::run(&args, &place()?),
        Verb::Logs(args) => logs::run(&args, &place()?),
        Verb::Cp(args) => cp::run(&args, &place()?),
        Verb::Explain(args) => explain::run(&args, &place()?),
        Verb::Events(args) => events::run(&args, &place()?),
        Verb::Approve(args) => approve::run(&args, &place()?),
        Verb::Resume(args) => resume::run(&args, &place()?),
        Verb::Stop(args) => shutdown::stop(&args, &place()?),
        Verb::Terminate(args) => shutdown::terminate(&args, &place()?),
        Verb::Delete(args) => delete::run(&args, &place()?),
        Verb::Env(args) => env::run(&args, &place()?),
        Verb::Version(args) => version::run(&args),
    }
}

/// The part of our environment that tasks get; what cannot travel is said.
pub fn variables(profile: Profile) -> Result<Variables, Fault> {
    let Own { variables, left_out } = executor::variables::own(profile);
    for name in left_out {
        let text = format!("notice: tasks do not get the variable {name}, which is no UTF-8");
        unread(writeln!(std::io::stderr(), "{}", plain_lines(&text)))?;
    }
    Ok(variables)
}

/// Who asks, for the record: `cli:<user>`.
pub fn by() -> String {
    let user = std::env::var("USER").or_else(|_| std::env::var("LOGNAME"));
    let user = user.unwrap_or_else(|_| format!("uid-{}", rustix::process::getuid().as_raw()));
    format!("cli:{user}")
}
