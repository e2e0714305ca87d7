//! What attempts wrote and nobody declared, kept for a while: where it lies, and how it is read again (DESIGN §5).
//! It must never change what is kept, nor show anything half-written: a directory is renamed in and out whole.
//!
//! `kept/RUN/NODE-N-BYTES-SECONDS` is the directory of attempt N of node NODE as its sandbox left it, less the outputs that were
//! collected; BYTES is what it holds, SECONDS when it was kept. `collected.json` in it says what was laid where.

use crate::home::Home;
use crate::local::layout::Layout;
use crate::local::view::{Found, View};
use model::attempt::Outcome;
use model::runner::Bind;
use model::{AttemptKey, RunId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// In the directory of an attempt: its outcome and layout, so that collecting again after a crash gives the same.
pub(crate) const COLLECTED: &str = "collected.json";

/// What `COLLECTED` holds. The outcome's fields stand beside the layout: an older build reads only them.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Record {
    #[serde(flatten)]
    pub outcome: Outcome,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub laid: Option<Laid>,
}

/// What of a layout cannot be seen in the directory itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Laid {
    /// Where the directory was.
    scratch: PathBuf,
    binds: Vec<Bind>,
    directory: String,
}

/// One directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub dir: PathBuf,
    pub bytes: u64,
    /// Seconds since 1970.
    pub at_s: i64,
}

/// Reads `COLLECTED` in the directory of an attempt.
pub(crate) fn record(dir: &Path) -> Option<Record> {
    serde_json::from_slice(&fs::read(dir.join(COLLECTED)).ok()?).ok()
}

/// Writes it, whole or not at all.
///
/// # Errors
/// It cannot be written.
pub(crate) fn write_record(layout: &Layout, outcome: &Outcome) -> io::Result<()> {
    let laid =
        Laid { scratch: layout.scratch.clone(), binds: layout.binds.clone(), directory: layout.directory.clone() };
    let record = Record { outcome: outcome.clone(), laid: Some(laid) };
    fs::create_dir_all(&layout.scratch)?;
    let half = layout.scratch.join("collected.half");
    fs::write(&half, serde_json::to_vec(&record)?)?;
    fs::rename(half, layout.scratch.join(COLLECTED))
}

/// Moves the directory of an attempt to what is kept.
///
/// # Errors
/// As rename(2).
pub(crate) fn keep(home: &Home, key: &AttemptKey, bytes: u64, at_s: i64) -> io::Result<Entry> {
    let of_run = home.kept_of(&key.run);
    let dir = of_run.join(format!("{}-{}-{bytes}-{at_s}", key.node.0, key.n));
    // The directory of the run may go with the last that was in it, just now.
    for _ in 0..16 {
        match fs::rename(home.scratch(key), &dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => crate::home::make_private_dir(&of_run)?,
            other => return other.map(|()| Entry { dir, bytes, at_s }),
        }
    }
    Err(io::ErrorKind::NotFound.into())
}

/// What is kept of an attempt.
pub(crate) fn find(home: &Home, key: &AttemptKey) -> Option<Entry> {
    let prefix = format!("{}-{}-", key.node.0, key.n);
    entries_in(&home.kept_of(&key.run)).into_iter().find(|entry| name(&entry.dir).starts_with(&prefix))
}

/// All that is kept in a home.
pub(crate) fn entries(home: &Home) -> Vec<Entry> {
    let runs = fs::read_dir(home.kept()).into_iter().flatten().flatten();
    runs.flat_map(|run| entries_in(&run.path())).collect()
}

fn entries_in(run: &Path) -> Vec<Entry> {
    let dirs = fs::read_dir(run).into_iter().flatten().flatten().map(|entry| entry.path());
    let entry = |dir: PathBuf| {
        let numbers: Vec<u64> = name(&dir).split('-').map(str::parse).collect::<Result<_, _>>().ok()?;
        let [_, _, bytes, at_s] = numbers[..] else { return None };
        Some(Entry { bytes, at_s: i64::try_from(at_s).ok()?, dir })
    };
    dirs.filter_map(entry).collect()
}

fn name(dir: &Path) -> &str {
    dir.file_name().and_then(|name| name.to_str()).unwrap_or_default()
}

/// Removes what is kept of a run.
pub fn forget(home: &Home, run: &RunId) {
    let dir = home.kept_of(run);
    if fs::symlink_metadata(&dir).is_ok() {
        // First out of sight, whole.
        let away = home.trash().join(format!("run-{}", crate::home::safe_name(&run.0)));
        let moved = crate::home::make_private_dir(&home.trash()).and_then(|()| fs::rename(&dir, &away));
        crate::local::scratch::remove(if moved.is_ok() { &away } else { &dir });
    }
}

/// What is kept of one attempt, as its task saw it.
pub struct Files {
    layout: Layout,
    home: PathBuf,
}

/// What a task left at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Thing {
    /// A file of the task's, and where it really is.
    File(PathBuf),
    Directory,
    /// It is there, and not by the task.
    OfMachine,
}

impl Files {
    /// `None`: nothing is kept of it, or not any more.
    pub fn of(home: &Home, key: &AttemptKey) -> Option<Self> {
        let entry = find(home, key)?;
        let layout = layout(&entry, &record(&entry.dir)?)?;
        Some(Self { layout, home: home.root().to_path_buf() })
    }

    /// What is at a path of the task; relative ones are below its working directory.
    ///
    /// # Errors
    /// Too many links.
    pub fn look(&self, path: &str) -> io::Result<Option<Thing>> {
        let view = View::new(&self.layout, &self.home);
        Ok(view.find(path)?.map(|found| match found {
            Found::Own(real) if real.is_dir() => Thing::Directory,
            Found::Own(real) => Thing::File(real),
            Found::Scattered(_) => Thing::Directory,
            Found::Foreign(_) | Found::Shared(_) => Thing::OfMachine,
        }))
    }

    /// Copies what the task wrote at or below a path to `to`, which must not exist. Answers how many things were left out because
    /// they are neither file, directory nor link.
    ///
    /// # Errors
    /// What could not be read or written.
    pub fn copy(&self, path: &str, to: &Path) -> io::Result<u64> {
        let view = View::new(&self.layout, &self.home);
        view.copy_found(path, to)
    }
}

/// The layout of a kept attempt: what was in its directory is where that is now.
pub(crate) fn layout(entry: &Entry, record: &Record) -> Option<Layout> {
    let laid = record.laid.clone()?;
    let moved = |bind: Bind| match Path::new(&bind.from).strip_prefix(&laid.scratch) {
        Ok(rest) => Bind { from: entry.dir.join(rest).to_string_lossy().into_owned(), ..bind },
        Err(_) => bind,
    };
    Some(Layout {
        scratch: entry.dir.clone(),
        sandboxed: true,
        strict: false,
        binds: laid.binds.into_iter().map(moved).collect(),
        directory: laid.directory,
        copies: Vec::new(),
        empty: Vec::new(),
    })
}

/// Attempts of a run of which something is kept.
pub fn attempts(home: &Home, run: &RunId) -> BTreeSet<(u32, u32)> {
    let entries = entries_in(&home.kept_of(run));
    let key = |entry: &Entry| {
        let mut numbers = name(&entry.dir).split('-').map_while(|word| word.parse().ok());
        Some((numbers.next()?, numbers.next()?))
    };
    entries.iter().filter_map(key).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::NodeId;

    #[test]
    fn what_is_kept_is_found_by_its_attempt_and_forgotten_with_its_run() {
        let dir = tempfile::tempdir().expect("dir");
        let home = Home::new(dir.path());
        let key = |node, n| AttemptKey { run: RunId("r".into()), node: NodeId(node), n };
        for (node, n) in [(1, 0), (11, 0), (1, 1)] {
            fs::create_dir_all(home.scratch(&key(node, n)).join("upper")).expect("layer");
            keep(&home, &key(node, n), u64::from(node), 5).expect("kept");
        }
        let found = find(&home, &key(1, 0)).expect("there");
        assert!(found.dir.ends_with("kept/r/1-0-1-5") && found.bytes == 1 && found.at_s == 5);
        assert_eq!(attempts(&home, &key(0, 0).run), [(1, 0), (1, 1), (11, 0)].into());
        assert!(find(&home, &key(2, 0)).is_none());
        fs::create_dir_all(home.kept().join("r/half")).expect("something else");
        assert_eq!(entries(&home).len(), 3);
        forget(&home, &key(0, 0).run);
        assert!(entries(&home).is_empty() && !home.kept_of(&key(0, 0).run).exists());
    }
}
