//! The environments of a home as people see them: what is there, who used it, and how it goes.
//! It must never remove one that is being built.

use super::{COMPLETE, Site};
use crate::home::Home;
use crate::local::command::Interpreter;
use model::{RunId, Time};
use rustix::fs::FlockOperation;
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// What the marker of a complete environment says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Made {
    pub recipe: String,
    pub requirements: Vec<String>,
    /// Like "3.11.7".
    pub python: String,
    pub interpreter: PathBuf,
    pub made_at: Time,
}

/// An environment, or what a build that was killed left of it.
#[derive(Clone, Debug)]
pub struct Kept {
    pub key: String,
    pub dir: PathBuf,
    /// `None`: it is not complete.
    pub made: Option<Made>,
    pub is_being_built: bool,
    /// "" before there is one.
    pub lock: String,
    /// Space on the disk.
    pub bytes: u64,
    /// To the minute.
    pub used_at: Option<Time>,
    /// Runs that asked for it, the first one first.
    pub runs: Vec<RunId>,
}

#[derive(Debug, thiserror::Error)]
pub enum RemoveError {
    #[error("it is being built")]
    IsBeingBuilt,
    #[error("{0}")]
    Io(#[from] io::Error),
}

impl Made {
    pub(super) fn now(recipe: &str, requirements: &[String], interpreter: &Interpreter) -> Self {
        Self {
            recipe: recipe.into(),
            requirements: requirements.to_vec(),
            python: interpreter.version.clone(),
            interpreter: interpreter.path.clone(),
            made_at: time(SystemTime::now()),
        }
    }
}

/// All of them, by key.
pub fn list(home: &Home) -> Vec<Kept> {
    let entries = fs::read_dir(home.environments()).into_iter().flatten().flatten();
    let mut keys: Vec<String> = entries
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let key = name.strip_suffix(".txt").unwrap_or(&name);
            (key.len() == 32 && key.bytes().all(|byte| byte.is_ascii_hexdigit())).then(|| key.to_string())
        })
        .collect();
    keys.sort();
    keys.dedup();
    keys.iter().map(|key| look(home, key)).collect()
}

fn look(home: &Home, key: &str) -> Kept {
    let site = Site::of_key(home, key);
    let marker = site.dir.join(COMPLETE);
    // An older build wrote only its version.
    let made = fs::read(&marker).ok().map(|text| serde_json::from_slice(&text).unwrap_or_default());
    let used_at = marker.metadata().and_then(|meta| meta.modified()).ok().map(time);
    let runs = fs::read_to_string(&site.runs).unwrap_or_default();
    Kept {
        key: key.into(),
        is_being_built: made.is_none() && locked(&site.flock).is_none(),
        made,
        lock: fs::read_to_string(&site.lock).unwrap_or_default(),
        bytes: space(&site.dir),
        used_at,
        runs: runs.lines().map(|line| RunId(line.into())).collect(),
        dir: site.dir,
    }
}

/// Removes an environment, and its lock unless it is to be made again exactly so.
///
/// # Errors
/// It is being built, or a file cannot be removed.
pub fn remove(home: &Home, key: &str, keep_lock: bool) -> Result<(), RemoveError> {
    let site = Site::of_key(home, key);
    let _locked = locked(&site.flock).ok_or(RemoveError::IsBeingBuilt)?;
    let gone = |result: io::Result<()>| match result {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    };
    // From here on it is not complete, whatever becomes of us.
    gone(fs::remove_file(site.dir.join(COMPLETE)))?;
    gone(fs::remove_dir_all(&site.dir))?;
    if !keep_lock {
        gone(fs::remove_file(&site.lock))?;
        gone(fs::remove_file(&site.runs))?;
    }
    Ok(())
}

/// The locked file; `None`: somebody builds.
fn locked(path: &Path) -> Option<Option<File>> {
    let Ok(file) = File::open(path) else { return Some(None) };
    rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).ok()?;
    Some(Some(file))
}

fn space(dir: &Path) -> u64 {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(meta) if meta.is_dir() => meta.blocks() * 512 + space(&entry.path()),
            Ok(meta) => meta.blocks() * 512,
            Err(_) => 0,
        })
        .sum()
}

fn time(at: SystemTime) -> Time {
    Time(at.duration_since(UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_micros()).unwrap_or(i64::MAX)))
}
