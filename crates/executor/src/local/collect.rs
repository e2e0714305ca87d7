//! Outputs of an attempt that has ended: from its layers into values and the artifact store, once, whatever its exit.
//! It must never fail as a whole: what cannot be collected is told, and the rest is collected.

use super::held::{Opened, Place};
use super::layout::{Layout, Site};
use super::view::{Found, View};
use super::written;
use crate::kept;
use model::attempt::{Launch, Outcome, Wanted, WantedArtifact, WantedParameter};
use model::limits::VALUE_BYTES_MAX;
use model::node::{NamedArtifact, Parameter};
use model::runner::Ended;
use model::{ArtifactRef, AttemptKey, Content, Exit, Time};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// There from before the first output is moved into the store until after `COLLECTED` is.
const COLLECTING: &str = "collecting";

/// The outcome of an attempt, with what it left in its files.
pub(crate) fn collect(site: &Site, launch: &Launch, layout: &Layout, end: Ended) -> Outcome {
    let Ended { exit, started_at, ended_at, usage, kept } = end;
    let exit = match exit {
        Exit::NotStarted(why) if why.starts_with("failed to find name in PATH") => {
            Exit::NotStarted(super::stage::not_found(&why, &launch.image))
        }
        other => other,
    };
    let wanted = &launch.outputs;
    let mut outcome = Outcome { started_at, usage, ..Outcome::bare(exit, ended_at) };
    outcome.result = wanted.result.then(|| result(&site.stdout(&launch.key)));
    if !matches!(outcome.exit, Exit::Exited(_) | Exit::Signalled(_) | Exit::Oom | Exit::Deadline | Exit::Cancelled) {
        outcome.result = None;
        return outcome;
    }
    let wrote = kept && layout.sandboxed;
    if wanted.parameters.is_empty() && wanted.artifacts.is_empty() && !wrote {
        return outcome;
    }
    if let Some(collected) = before(site, launch, layout, wrote) {
        return collected;
    }
    // An earlier collection was cut off: what is missing now may have been moved into the store by it.
    let again = !wanted.artifacts.is_empty() && mark(&layout.scratch.join(COLLECTING)).unwrap_or(false);
    let view = View::new(layout, site.home.root());
    let taken = take_all(&view, wanted, &|found| adopt(site, layout, &view, found));
    if again && (!taken.problems.is_empty() || taken.artifacts.iter().any(|artifact| artifact.artifact.is_none())) {
        return Outcome::bare(Exit::Lost("Towpath was killed while it collected its outputs".into()), ended_at);
    }
    outcome.written = wrote.then(|| written::list(&view, &taken.stayed)).flatten();
    taken.put(&mut outcome);
    let is_worth_it = outcome.written.is_some() || !wanted.parameters.is_empty() || !wanted.artifacts.is_empty();
    if is_worth_it && let Err(error) = kept::write_record(layout, &outcome) {
        // What was moved into the store would be missing the next time: only a crash right now would show that.
        let note = format!("{}: {error}", layout.scratch.join(kept::COLLECTED).display());
        outcome.collect_error =
            Some(outcome.collect_error.take().map_or(note.clone(), |text| format!("{text}; {note}")));
    }
    outcome
}

/// What an earlier collection came to, whose report was lost with the holder. It may have put away what the attempt wrote.
fn before(site: &Site, launch: &Launch, layout: &Layout, wrote: bool) -> Option<Outcome> {
    if let Some(record) = kept::record(&layout.scratch) {
        return Some(record.outcome);
    }
    if !wrote || fs::symlink_metadata(&layout.scratch).is_ok() {
        return None;
    }
    kept::record(&kept::find(&site.home, &launch.key)?.dir).map(|record| record.outcome)
}

/// What became of the outputs that were wanted.
struct Taken {
    parameters: Vec<Parameter>,
    artifacts: Vec<NamedArtifact>,
    /// Real paths of files that were read and not moved.
    stayed: BTreeSet<PathBuf>,
    /// Paths that were not there.
    missing: Vec<String>,
    problems: Vec<String>,
}

impl Taken {
    fn put(self, outcome: &mut Outcome) {
        outcome.parameters = self.parameters;
        outcome.artifacts = self.artifacts;
        if !self.problems.is_empty() {
            let hint = written::hint(outcome.written.as_deref(), &self.missing);
            outcome.collect_error = Some(self.problems.join("; ") + &hint);
        }
    }
}

/// Stores what was found.
type Store<'a> = &'a dyn Fn(&Found) -> Result<(Content, u64), String>;

fn take_all(view: &View<'_>, wanted: &Wanted, store: Store<'_>) -> Taken {
    let mut taken = Taken {
        parameters: Vec::new(),
        artifacts: Vec::new(),
        stayed: BTreeSet::new(),
        missing: Vec::new(),
        problems: Vec::new(),
    };
    for parameter in &wanted.parameters {
        match value(view, parameter, &mut taken.stayed) {
            Ok(value) => taken.parameters.push(Parameter { name: parameter.name.clone(), value }),
            Err(why) => {
                taken.missing.push(parameter.path.clone());
                taken.problems.push(format!("output parameter \"{}\": {why}", parameter.name));
            }
        }
    }
    for artifact in &wanted.artifacts {
        match take(view, artifact, store) {
            Ok(stored) => taken.artifacts.push(NamedArtifact {
                name: artifact.name.clone(),
                path: artifact.path.clone(),
                artifact: stored,
            }),
            Err(why) => {
                taken.missing.push(artifact.path.clone());
                taken.problems.push(format!("output artifact \"{}\": {why}", artifact.name));
            }
        }
    }
    taken
}

/// True if the mark was there before.
fn mark(path: &Path) -> io::Result<bool> {
    fs::create_dir_all(path.parent().unwrap_or(path))?;
    match File::options().write(true).create_new(true).open(path) {
        Ok(_) => Ok(false),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(true),
        Err(error) => Err(error),
    }
}

fn result(stdout: &Path) -> String {
    let bytes = fs::read(stdout).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    text.strip_suffix('\n').unwrap_or(&text).to_string()
}

fn value(view: &View<'_>, wanted: &WantedParameter, stayed: &mut BTreeSet<PathBuf>) -> Result<String, String> {
    let found = view.find(&wanted.path).map_err(|error| format!("open {}: {error}", wanted.path))?;
    let fail = |error: io::Error| format!("read {}: {error}", wanted.path);
    let is_a_directory = || format!("read {}: is a directory", wanted.path);
    let file = match found {
        Some(Found::Own(path) | Found::Foreign(path)) => {
            if !fs::symlink_metadata(&path).map_err(fail)?.is_file() {
                return Err(format!("read {}: is not a file", wanted.path));
            }
            let file = File::open(&path).map_err(fail)?;
            stayed.insert(path);
            file
        }
        Some(Found::Shared(place)) => match place.open().map_err(fail)? {
            Opened::File(file) => file,
            Opened::Dir(_) => return Err(is_a_directory()),
        },
        Some(Found::Scattered(_)) => return Err(is_a_directory()),
        None => {
            let missing = || format!("open {}: no such file or directory", wanted.path);
            return wanted.default.clone().ok_or_else(missing);
        }
    };
    let mut bytes = Vec::new();
    file.take(VALUE_BYTES_MAX as u64 + 2).read_to_end(&mut bytes).map_err(fail)?;
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
    }
    if bytes.len() > VALUE_BYTES_MAX {
        return Err(format!("{} has more than {VALUE_BYTES_MAX} bytes; use an artifact", wanted.path));
    }
    String::from_utf8(bytes).map_err(|_| format!("{} is not UTF-8 text; use an artifact", wanted.path))
}

fn take(view: &View<'_>, wanted: &WantedArtifact, store: Store<'_>) -> Result<Option<ArtifactRef>, String> {
    let found = view.find(&wanted.path).map_err(|error| format!("stat {}: {error}", wanted.path))?;
    let Some(found) = found else {
        if wanted.optional {
            return Ok(None);
        }
        return Err(format!("stat {}: no such file or directory", wanted.path));
    };
    let (content, bytes) = store(&found).map_err(|error| format!("{}: {error}", wanted.path))?;
    Ok(Some(ArtifactRef { content, bytes, metadata: BTreeMap::new() }))
}

/// Moves what is the attempt's own into the store, and copies the rest.
fn adopt(site: &Site, layout: &Layout, view: &View<'_>, found: &Found) -> Result<(Content, u64), String> {
    let store = &site.store;
    let stored = match found {
        Found::Own(path) if path.is_dir() => {
            store.adopt_tree(path).map(|(digest, bytes)| (Content::Tree(digest), bytes))
        }
        Found::Own(path) => store.adopt_file(path).map(|(digest, bytes)| (Content::Blob(digest), bytes)),
        Found::Foreign(path) if path.is_dir() => {
            store.copy_tree(path, &|_, _| true).map(|(digest, bytes)| (Content::Tree(digest), bytes))
        }
        Found::Foreign(path) => store.copy_file(path).map(|(digest, bytes)| (Content::Blob(digest), bytes)),
        Found::Shared(place) => return adopt_copy(store, place, &layout.scratch.join("shared")),
        Found::Scattered(path) => {
            let to = layout.scratch.join("assembled");
            super::scratch::remove(&to);
            view.assemble(path, &to, true).map_err(|error| error.to_string())?;
            store.adopt_tree(&to).map(|(digest, bytes)| (Content::Tree(digest), bytes))
        }
    };
    stored.map_err(|error| error.to_string())
}

/// Stores a copy that is made at `to`, of what others may be writing.
fn adopt_copy(store: &artifacts::Store, place: &Place, to: &Path) -> Result<(Content, u64), String> {
    super::scratch::remove(to);
    fs::create_dir_all(to.parent().unwrap_or(to)).and_then(|()| place.copy(to)).map_err(|error| error.to_string())?;
    let stored = if to.is_dir() {
        store.adopt_tree(to).map(|(digest, bytes)| (Content::Tree(digest), bytes))
    } else {
        store.adopt_file(to).map(|(digest, bytes)| (Content::Blob(digest), bytes))
    };
    super::scratch::remove(to);
    stored.map_err(|error| error.to_string())
}

/// The outcome of an attempt that collects what an earlier one, `from`, wrote. Nothing of that is moved: this may be done again.
pub(crate) fn collect_again(site: &Site, launch: &Launch, from: &AttemptKey, now: Time) -> Outcome {
    let read = |entry: kept::Entry| {
        let record = kept::record(&entry.dir)?;
        Some((kept::layout(&entry, &record)?, record.outcome))
    };
    let Some((layout, before)) = kept::find(&site.home, from).and_then(read) else {
        let why = "what it wrote was kept for a day at most, while there was room, and is gone: run the workflow again";
        return Outcome::bare(Exit::NotStarted(why.into()), now);
    };
    let view = View::new(&layout, site.home.root());
    let mut taken = take_all(&view, &launch.outputs, &|found| copy(site, &launch.key, &view, found));
    // What is declared now is not told as undeclared, though it stays where it is.
    let paths = launch.outputs.artifacts.iter().map(|artifact| &artifact.path);
    for found in paths.filter_map(|path| view.find(path).ok().flatten()) {
        if let Found::Own(real) = found {
            taken.stayed.insert(real);
        }
    }
    let written = written::list(&view, &taken.stayed);
    let result = before.result.filter(|_| launch.outputs.result);
    let mut outcome =
        Outcome { started_at: before.started_at, result, written, ..Outcome::bare(before.exit, before.ended_at) };
    taken.put(&mut outcome);
    outcome
}

/// Stores a copy of what was found.
fn copy(site: &Site, key: &AttemptKey, view: &View<'_>, found: &Found) -> Result<(Content, u64), String> {
    let store = &site.store;
    let stored = match found {
        Found::Own(path) | Found::Foreign(path) if path.is_dir() => {
            store.copy_tree(path, &|_, _| true).map(|(digest, bytes)| (Content::Tree(digest), bytes))
        }
        Found::Own(path) | Found::Foreign(path) => {
            store.copy_file(path).map(|(digest, bytes)| (Content::Blob(digest), bytes))
        }
        Found::Shared(place) => {
            let stored = adopt_copy(store, place, &site.scratch(key).join("shared"));
            super::scratch::remove(&site.scratch(key));
            return stored;
        }
        Found::Scattered(path) => {
            let to = site.scratch(key).join("assembled");
            super::scratch::remove(&to);
            let assembled = view.assemble(path, &to, false).map_err(|error| error.to_string());
            let stored = assembled.map(|()| store.adopt_tree(&to));
            super::scratch::remove(&site.scratch(key));
            stored?.map(|(digest, bytes)| (Content::Tree(digest), bytes))
        }
    };
    stored.map_err(|error| error.to_string())
}
