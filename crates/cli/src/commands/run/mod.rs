//! `run`: compiles workflow files, submits the run, and follows it.
//! It must never decide what a workflow means.

mod machine;
mod parameters;
mod provenance;

use super::{sources, variables};
use crate::exit_codes::{Done, Fault, unread};
use crate::follow::{CtrlC, Followed, Output};
use crate::render::summary::quoted;
use crate::runs::Runs;
use crate::settings::{self, Settings};
use crate::wire::Place;
use clap::Args;
use driver::Client;
use driver::clock::{now, random};
use driver::identity::{generated_name, run_id};
use driver::protocol::{Reply, Request};
use executor::variables::Variables;
use model::attempt::Profile;
use model::{Plan, RunRecord};
use spec::{Compiled, Options, Severity};
use std::collections::BTreeSet;
use std::io::Write;
use std::process::ExitCode;
use store::Durability;
use views::History;

/// Says where the code of a workflow is: then it is needed.
const SOURCE_ANNOTATION: &str = "towpath.dev/source";

/// Names that are tried before we give up: each has one chance in fourteen million to be taken.
const NAMES_MAX: usize = 8;

/// Run a workflow and show its progress
#[derive(Args)]
#[command(before_help = "Example: towpath run pipeline.yaml -p epochs=3 --name first-try")]
pub struct RunArgs {
    /// Workflow files, one Workflow among them; - is standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<String>,
    /// Value of a workflow parameter
    #[arg(short, long = "parameter", value_name = "NAME=VALUE")]
    parameters: Vec<String>,
    /// YAML or JSON file with a mapping of parameters; -p wins over it
    #[arg(long, value_name = "FILE")]
    parameter_file: Option<String>,
    /// Template to start with, instead of spec.entrypoint
    #[arg(long, value_name = "TEMPLATE")]
    entrypoint: Option<String>,
    /// Name of the run, instead of the file's
    #[arg(long)]
    name: Option<String>,
    /// Namespace of the run
    #[arg(long)]
    namespace: Option<String>,
    /// Tasks of this run at once, at most; more than there are cpus makes places for them [default: the number of cpus]
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    jobs: Option<u32>,
    /// Return as soon as the run is recorded
    #[arg(long)]
    no_watch: bool,
    /// How much tasks are kept apart from this machine: trusted, standard, or strict (no network, and nothing of other people's)
    #[arg(long, value_parser = ["trusted", "standard", "strict"])]
    profile: Option<String>,
    /// Print the finished Workflow object on standard output, and nothing else there
    #[arg(short, long)]
    output: Option<Output>,
}

pub fn run(args: RunArgs, settings: &Settings) -> Done {
    if let Some(name) = args.name.as_deref().filter(|name| !spec::validate::is_workflow_name(name)) {
        return Err(Fault::usage(format!(
            "'{name}' cannot be the name of a run; {}, at most 63",
            spec::validate::OBJECT_WORDS
        )));
    }
    let files = sources::read(&args.files)?;
    let parameters = parameters::read(&args.parameters, args.parameter_file.as_deref())?;
    let options = Options {
        entrypoint: args.entrypoint.clone(),
        name: args.name.clone(),
        namespace: args.namespace.clone(),
        parameters: parameters.iter().map(|p| (p.name.clone(), p.value.clone())).collect(),
        ..Options::default()
    };
    let compiled = spec::compile(&files, &options);
    // Notices are in the plan, and told when the run begins.
    let errors = sources::show(&compiled, &files, Severity::Warning)?;
    if errors > 0 {
        return Err(Fault::usage(format!("{}; nothing was run", sources::errors(errors))));
    }
    let secrets = compiled.secrets.clone();
    let mut plan = one(compiled, &args.files)?;
    plan.notices.extend(machine::notices(&plan, &executor::machine()));
    let place = Place::new(settings)?;
    let starting = place.start()?;
    // The holder starts while we look at the source.
    let source = provenance::source(&place, &args.files, plan.metadata.annotations.contains_key(SOURCE_ANNOTATION))?;
    let profile = args.profile.as_deref().and_then(settings::profile).or(settings.profile).unwrap_or(Profile::Standard);
    let at = now();
    let mut record = RunRecord {
        id: run_id(at, random()?),
        name: String::new(),
        plan,
        parameters,
        artifacts: Vec::new(),
        created_at: at,
        version: env!("CARGO_PKG_VERSION").into(),
        trigger: super::by(),
        profile,
        source,
        environments: Vec::new(),
        jobs: args.jobs.or(settings.jobs),
    };
    let mut client = place.finish(starting)?;
    check_holder(&mut client, settings)?;
    let ctrl_c = CtrlC::listen()?;
    let mut variables = variables(profile)?;
    for (name, data) in &secrets {
        data.iter().for_each(|(key, value)| executor::variables::add_secret(&mut variables, name, key, value));
    }
    submit(&mut client, &mut record, &variables)?;
    if args.no_watch {
        return leave(&place, &record, args.output);
    }
    // The very words, so that nothing that was said is lost.
    let words = std::env::args_os().skip(1).map(|word| quoted(&word.to_string_lossy()));
    let again = ["towpath".to_string()].into_iter().chain(words).collect::<Vec<_>>().join(" ");
    let followed = Followed { place: &place, run: record.id, output: args.output, again };
    followed.to_the_end(client, ctrl_c, History::default())
}

fn one(compiled: Compiled, files: &[String]) -> Result<Plan, Fault> {
    let count = compiled.plans.len();
    let mut plans = compiled.plans.into_iter();
    match (plans.next(), count) {
        (Some(plan), 1) => Ok(plan),
        (None, _) => {
            let others: BTreeSet<&str> = compiled.documents.iter().map(|document| document.kind.as_str()).collect();
            let others: Vec<&str> = others.into_iter().collect();
            let has = if others.is_empty() { String::new() } else { format!(" (only {})", others.join(", ")) };
            Err(Fault::usage(format!("no Workflow in {}{has}; give the file that has one too", files.join(", "))))
        }
        (Some(_), _) => {
            Err(Fault::usage(format!("{count} Workflows in {}; `run` takes one at a time", files.join(", "))))
        }
    }
}

/// A holder that lives already was started by somebody else's settings.
fn check_holder(client: &mut Client, settings: &Settings) -> Result<(), Fault> {
    if settings.durability == Durability::Normal {
        return Ok(());
    }
    let Reply::Status(status) = client.ask(&Request::Status)? else { return Ok(()) };
    if !status.full_durability {
        return Err(Fault::refused(
            "durability is set to full, and the process that holds this home was started without; try again when its runs have ended",
        ));
    }
    Ok(())
}

/// Submits the run under a free name.
fn submit(client: &mut Client, record: &mut RunRecord, variables: &Variables) -> Result<(), Fault> {
    let metadata = &record.plan.metadata;
    let fixed = !metadata.name.is_empty();
    let prefix = if metadata.generate_name.is_empty() { "run-" } else { &metadata.generate_name }.to_string();
    let given = metadata.name.clone();
    for _ in 0..NAMES_MAX {
        record.name = if fixed { given.clone() } else { generated_name(&prefix, random()?) };
        let request = Request::Submit { record: Box::new(record.clone()), variables: variables.clone() };
        match client.ask(&request)? {
            Reply::Done => return Ok(()),
            Reply::NameTaken(name) if fixed => {
                return Err(Fault::usage(format!(
                    "a run named '{name}' exists already; choose another with --name, or remove that one with `towpath delete {name}`"
                )));
            }
            Reply::NameTaken(_) => {}
            Reply::Refused(refusal) => return Err(Fault::usage(refusal)),
            Reply::Store(why) => return Err(Fault::store(&why)),
            other => return Err(Fault::machine(format!("the holder of this home answered {other:?}"))),
        }
    }
    Err(Fault::machine("no free name was found; give one with --name"))
}

/// `--no-watch`: says how to look.
fn leave(place: &Place, record: &RunRecord, output: Option<Output>) -> Done {
    if let Some(output) = output {
        crate::follow::print_object(&Runs::open(place)?.history(&record.id)?, output)?;
    } else {
        let name = &record.name;
        unread(writeln!(
            std::io::stdout(),
            "{name} started; `towpath resume {name}` attaches to it, `towpath get {name}` shows it"
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}
