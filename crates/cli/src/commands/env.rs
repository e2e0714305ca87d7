//! `env`: the Python environments of this home: what there is, their locks, and how they go.
//! It must never remove one that a run needs, unless told so.

use crate::exit_codes::{Done, Fault, unread};
use crate::render::plain::plain;
use crate::render::table::table;
use crate::render::time::{bytes, date};
use crate::runs::{RunLine, Runs};
use crate::wire::Place;
use clap::{Args, Subcommand};
use executor::environment::kept::{self, Kept, RemoveError};
use model::RunId;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Write;
use std::process::ExitCode;
use views::stamp::rfc3339;

/// Characters of a key that a list shows.
const KEY_SHOWN: usize = 8;
const WORDS_MAX: usize = 3;

/// List, show and remove the Python environments of this home
#[derive(Args)]
#[command(before_help = "Example: towpath env list")]
pub struct EnvArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// List them: size, Python, packages, last use, runs
    List {
        /// Print JSON
        #[arg(short, long, value_parser = ["json"])]
        output: Option<String>,
    },
    /// Show one: its requirements, and the lock with every package
    Show {
        /// Its key, or the beginning of it
        #[arg(value_name = "KEY")]
        key: String,
        /// Print JSON
        #[arg(short, long, value_parser = ["json"])]
        output: Option<String>,
    },
    /// Remove some: the next run that asks for the same locks and builds anew
    Rm {
        /// Their keys, or the beginnings of them
        #[arg(value_name = "KEY", required = true)]
        keys: Vec<String>,
        /// Also those that a run needs which has not ended; the lock is kept, so that the same is built again
        #[arg(long)]
        force: bool,
    },
}

pub fn run(args: &EnvArgs, place: &Place) -> Done {
    let all = kept::list(place.home.executor());
    let known = Known::of(place)?;
    match &args.what {
        What::List { output } => list(&all, &known, output.is_some(), place)?,
        What::Show { key, output } => show(find(&all, key)?, &known, output.is_some())?,
        What::Rm { keys, force } => {
            // All are found before one is removed.
            let found: Vec<&Kept> = keys.iter().map(|key| find(&all, key)).collect::<Result<_, _>>()?;
            found.into_iter().try_for_each(|one| remove(one, &known, *force, place))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The runs that environments name.
struct Known(BTreeMap<RunId, RunLine>);

impl Known {
    fn of(place: &Place) -> Result<Self, Fault> {
        let Some(runs) = Runs::open_any(place)? else { return Ok(Self(BTreeMap::new())) };
        Ok(Self(runs.list(None, 0)?.into_iter().map(|run| (run.id.clone(), run)).collect()))
    }

    /// Names, the latest first; those that were deleted are left out.
    fn names(&self, one: &Kept) -> Vec<&str> {
        one.runs.iter().rev().filter_map(|run| Some(self.0.get(run)?.name.as_str())).collect()
    }

    /// Those that have not ended.
    fn needed_by(&self, one: &Kept) -> Vec<&str> {
        let runs = one.runs.iter().filter_map(|run| self.0.get(run));
        runs.filter(|run| run.ended_at.is_none()).map(|run| run.name.as_str()).collect()
    }
}

fn find<'a>(all: &'a [Kept], key: &str) -> Result<&'a Kept, Fault> {
    let matching: Vec<&Kept> = all.iter().filter(|one| !key.is_empty() && one.key.starts_with(key)).collect();
    match matching[..] {
        [one] => Ok(one),
        [] => Err(Fault::usage(format!("no environment '{key}' in this home; `towpath env list` shows what there is"))),
        _ => {
            let keys: Vec<&str> = matching.iter().map(|one| one.key.as_str()).collect();
            Err(Fault::usage(format!("'{key}' begins {} environments: {}", keys.len(), keys.join(", "))))
        }
    }
}

/// Packages of a lock: `name==version`, as pip and uv write them.
fn packages(lock: &str) -> Vec<&str> {
    let begins = lock.lines().filter(|line| !line.is_empty() && !line.starts_with([' ', '#', '-']));
    begins.map(|line| line.split(" --hash").next().unwrap_or(line).trim_end_matches([' ', '\\'])).collect()
}

fn state(one: &Kept) -> &'static str {
    match &one.made {
        Some(_) => "ready",
        None if one.is_being_built => "being built",
        None => "not built",
    }
}

fn list(all: &[Kept], known: &Known, as_json: bool, place: &Place) -> Result<(), Fault> {
    let mut out = std::io::stdout().lock();
    if as_json {
        let all: Vec<Value> = all.iter().map(|one| object(one, known)).collect();
        let text = serde_json::to_string_pretty(&all).map_err(Fault::machine)?;
        return Ok(unread(writeln!(out, "{text}"))?);
    }
    if all.is_empty() {
        let home = place.home.root().display();
        return Ok(writeln!(
            std::io::stderr(),
            "no environment in {home} yet; a template with the annotation towpath.dev/python-requirements makes one"
        )?);
    }
    let heading = ["KEY", "PYTHON", "SIZE", "PACKAGES", "STATE", "LAST USED", "RUNS", "REQUIREMENTS"];
    let rows: Vec<Vec<String>> = all.iter().map(|one| row(one, known)).collect();
    Ok(unread(out.write_all(table(&heading, &rows).as_bytes()))?)
}

fn row(one: &Kept, known: &Known) -> Vec<String> {
    let made = one.made.clone().unwrap_or_default();
    vec![
        one.key[..KEY_SHOWN].to_string(),
        made.python,
        bytes(one.bytes),
        packages(&one.lock).len().to_string(),
        state(one).to_string(),
        one.used_at.map(date).unwrap_or_default(),
        some(known.names(one)),
        plain(&some(made.requirements.iter().map(String::as_str).collect())).into_owned(),
    ]
}

fn some(words: Vec<&str>) -> String {
    let (shown, rest) = words.split_at(words.len().min(WORDS_MAX));
    let more = if rest.is_empty() { String::new() } else { format!(" and {} more", rest.len()) };
    format!("{}{more}", shown.join(", "))
}

fn object(one: &Kept, known: &Known) -> Value {
    let made = one.made.as_ref();
    json!({
        "key": one.key,
        "path": one.dir,
        "state": state(one),
        "python": made.map(|made| &made.python),
        "interpreter": made.map(|made| &made.interpreter),
        "requirements": made.map(|made| &made.requirements),
        "packages": packages(&one.lock),
        "bytes": one.bytes,
        "madeAt": made.map(|made| rfc3339(made.made_at)),
        "lastUsedAt": one.used_at.map(rfc3339),
        "runs": known.names(one),
        "neededBy": known.needed_by(one),
    })
}

fn show(one: &Kept, known: &Known, as_json: bool) -> Result<(), Fault> {
    let mut out = std::io::stdout().lock();
    if as_json {
        let mut object = object(one, known);
        object["lock"] = Value::String(one.lock.clone());
        let text = serde_json::to_string_pretty(&object).map_err(Fault::machine)?;
        return Ok(unread(writeln!(out, "{text}"))?);
    }
    let made = one.made.clone().unwrap_or_default();
    let mut text = String::new();
    for (name, value) in [
        ("Key", one.key.clone()),
        ("Path", one.dir.display().to_string()),
        ("State", state(one).to_string()),
        ("Python", format!("{} ({})", made.python, made.interpreter.display())),
        ("Size", bytes(one.bytes)),
        ("Made", if one.made.is_some() { date(made.made_at) } else { String::new() }),
        ("Last used", one.used_at.map(date).unwrap_or_default()),
        ("Runs", known.names(one).join(", ")),
        ("Requirements", made.requirements.join("; ")),
    ] {
        if !value.is_empty() {
            text.push_str(&format!("{:<14}{}\n", format!("{name}:"), plain(&value)));
        }
    }
    Ok(unread(write!(out, "{text}\n{}", one.lock))?)
}

fn remove(one: &Kept, known: &Known, force: bool, place: &Place) -> Result<(), Fault> {
    let key = &one.key[..KEY_SHOWN];
    let needed_by = known.needed_by(one);
    if let (Some(run), false) = (needed_by.first(), force) {
        return Err(Fault::refused(format!(
            "environment {key} is needed by {}, which has not ended; `towpath stop {run}` first, or remove it with --force",
            some(needed_by.clone())
        )));
    }
    kept::remove(place.home.executor(), &one.key, !needed_by.is_empty()).map_err(|error| match error {
        RemoveError::IsBeingBuilt => Fault::refused(format!("environment {key} is being built; try again when it is")),
        RemoveError::Io(error) => Fault::machine(format!("environment {key}: {error}")),
    })?;
    Ok(unread(writeln!(std::io::stdout(), "{key} removed"))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_of_both_kinds_of_lock() {
        let pip = "attrs==23.1 --hash=sha256:ab\nmine @ git+https://h/mine@c0ffee\n";
        assert_eq!(packages(pip), ["attrs==23.1", "mine @ git+https://h/mine@c0ffee"]);
        let uv = "attrs==23.1 \\\n    --hash=sha256:ab\n    # via x\nsix==1.16.0\n";
        assert_eq!(packages(uv), ["attrs==23.1", "six==1.16.0"]);
    }
}
