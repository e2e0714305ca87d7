//! `events`: the log of a run, as it is.
//! It must never leave anything out of the JSON form.

use crate::exit_codes::{Done, Fault};
use crate::render::plain::plain;
use crate::runs::Runs;
use crate::wire::Place;
use clap::Args;
use model::Event;
use model::event::Recorded;
use std::borrow::Cow;
use std::io::{self, Write};
use std::process::ExitCode;
use store::LogId;

/// Print the recorded facts of a run
#[derive(Args)]
#[command(before_help = "Example: towpath events @ -o json")]
pub struct EventsArgs {
    /// Name, id, unique prefix; @ is the latest, @2 the one before
    #[arg(value_name = "RUN", default_value = "@")]
    run: String,
    /// One JSON object a line, whole
    #[arg(short, long, value_parser = ["json"])]
    output: Option<String>,
}

pub fn run(args: &EventsArgs, place: &Place) -> Done {
    let runs = Runs::open(place)?;
    let found = runs.find(&args.run)?;
    let mut out = io::BufWriter::new(io::stdout().lock());
    if args.output.is_some() {
        let (log, mut number) = (LogId::run(found.id.0.clone()), 0);
        loop {
            let entries = runs.reader.read_log(&log, number, PIECE)?;
            for entry in &entries {
                out.write_all(entry)?;
                out.write_all(b"\n")?;
            }
            number += entries.len() as u64;
            if entries.len() < PIECE {
                break;
            }
        }
    } else {
        let (mut number, mut written) = (0, Ok(()));
        runs.events(&found.id, |recorded| {
            if written.is_ok() {
                written = line(&mut out, number, &recorded);
            }
            number += 1;
        })?;
        written?;
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

/// Entries that are in memory at once.
const PIECE: usize = 4096;

/// Names of what an attempt wrote that are printed: the largest.
const WRITTEN_MAX: usize = 3;

/// Without the long list of what was written; its counts stay.
fn short(event: &Event) -> Cow<'_, Event> {
    let Event::AttemptEnded(ended) = event else { return Cow::Borrowed(event) };
    let mut ended = ended.clone();
    if let Some(written) = &mut ended.written {
        written.files.truncate(WRITTEN_MAX);
    }
    Cow::Owned(Event::AttemptEnded(ended))
}

/// Number, time, kind, and the fact as JSON; a record is long and only named.
fn line(out: &mut impl Write, number: usize, recorded: &Recorded) -> Result<(), Fault> {
    let stamp = views::stamp::rfc3339(recorded.at);
    let fact = match &recorded.event {
        Event::RunCreated(record) => {
            serde_json::json!({ "id": record.id, "name": record.name, "trigger": record.trigger })
        }
        other => serde_json::to_value(short(other).as_ref()).map_err(Fault::machine)?,
    };
    // `{"NodeEnded": {…}}`: the kind stands before it already.
    let fact =
        fact.as_object().filter(|map| map.len() == 1).and_then(|map| map.get(recorded.event.kind())).unwrap_or(&fact);
    let fact = if fact.is_string() { String::new() } else { fact.to_string() };
    writeln!(out, "{number:>5} {stamp} {:<17} {}", recorded.event.kind(), plain(&fact))?;
    Ok(())
}
