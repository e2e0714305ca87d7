//! `approve`: lets a node go on that waits for a person, with the values that it asks for.
//! It must never start anything else: a run that was interrupted goes on as after `resume`.

use super::nodes;
use crate::exit_codes::{Done, Fault, unread};
use crate::render::plain::plain;
use crate::runs::Runs;
use crate::wire::Place;
use clap::Args;
use driver::protocol::{Reply, Request};
use model::Refusal;
use model::node::Parameter;
use std::io::Write;
use std::process::ExitCode;

/// Let a node go on that waits for a person
#[derive(Args)]
#[command(before_help = "Example: towpath approve @ -p verdict=yes")]
pub struct ApproveArgs {
    /// Name, id, unique prefix; @ is the latest, @2 the one before
    #[arg(value_name = "RUN")]
    run: String,
    /// The node, where several wait
    #[arg(value_name = "NODE")]
    node: Option<String>,
    /// A value that the node asks for
    #[arg(short, long = "parameter", value_name = "NAME=VALUE")]
    parameters: Vec<String>,
}

pub fn run(args: &ApproveArgs, place: &Place) -> Done {
    let runs = Runs::open(place)?;
    let found = runs.find(&args.run)?;
    let parameters: Vec<Parameter> = args.parameters.iter().map(|text| pair(text)).collect::<Result<_, Fault>>()?;
    let node = match &args.node {
        Some(name) => Some(nodes::find(&runs.history(&found.id)?, name)?.id),
        None => None,
    };
    let name = plain(&found.name).into_owned();
    let mut client = place.client()?;
    let request = Request::Approve { run: found.id.clone(), node, parameters, by: super::by() };
    match client.ask(&request)? {
        Reply::Done => {}
        Reply::Refused(Refusal::NoRun | Refusal::Ended) => {
            return Err(Fault::refused(format!("{name} has ended already")));
        }
        Reply::Refused(refusal) => return Err(Fault::refused(refusal)),
        Reply::Store(why) => return Err(Fault::store(&why)),
        other => return Err(Fault::machine(format!("the holder of this home answered {other:?}"))),
    }
    unread(writeln!(std::io::stdout(), "{name} goes on; `towpath get {name}` shows it"))?;
    Ok(ExitCode::SUCCESS)
}

fn pair(text: &str) -> Result<Parameter, Fault> {
    let (name, value) = text.split_once('=').ok_or_else(|| Fault::usage(format!("-p {text} is not NAME=VALUE")))?;
    Ok(Parameter { name: name.into(), value: value.into() })
}
