//! Python environments: requirements are locked once, built once at their final path, and shared by tasks and runs (DESIGN §5).
//! It must never change an environment that is complete, nor take a half-built one for complete.
//!
//! `environments/KEY/` is the environment, `KEY.txt` its lock, `KEY.runs` the runs that asked for it, `KEY.flock` is locked while it
//! is built, also by the tool that builds: a build that outlives its holder is waited for.

mod build;
pub(crate) mod interpreter;
pub mod kept;
mod lock;
mod words;

use crate::home::{Home, at};
use crate::local::command::{Interpreter, Python};
use crate::variables::Variables;
use build::Build;
use interpreter::Wish;
use model::RunId;
use model::record::EnvironmentLock;
use rustix::fs::FlockOperation;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

/// Written last: what it is made of, as JSON.
const COMPLETE: &str = "towpath-complete";
/// Version of how environments are made; a new one makes new environments.
const RECIPE: &str = "2";
/// How exactly it is known when an environment was last used.
const USE_KNOWN_TO: Duration = Duration::from_secs(60);

/// What a tool says, for the person who waits.
pub(crate) type Tell<'a> = &'a dyn Fn(&str);

/// Where environments are made, by which Python, and with which settings of pip and uv.
#[derive(Clone, Copy)]
pub(crate) struct Workshop<'a> {
    pub home: &'a Home,
    pub python: &'a Python,
    /// Those of the command that started the run.
    pub variables: &'a Variables,
    pub tell: Tell<'a>,
}

impl Workshop<'_> {
    /// Locks and builds for a run what is not there yet, and answers the lock.
    ///
    /// # Errors
    /// The package that failed and the tool's last lines, or the remedy.
    pub fn prepare(&self, run: &RunId, wanted: &[String]) -> Result<EnvironmentLock, String> {
        let interpreter = interpreter_for(self.python, wanted)?;
        let site = Site::new(self.home, &interpreter, wanted);
        self.at(&site, &interpreter, wanted)?;
        site.used_by(run).map_err(|error| format!("python environment: {error}"))?;
        let lock = fs::read_to_string(&site.lock).map_err(|error| at(&site.lock, error).to_string())?;
        Ok(EnvironmentLock { requirements: wanted.to_vec(), interpreter: interpreter.version, lock })
    }

    /// The directory of the environment, built if it is not there yet.
    ///
    /// # Errors
    /// As `prepare`.
    pub fn ensure(&self, wanted: &[String]) -> Result<PathBuf, String> {
        let interpreter = interpreter_for(self.python, wanted)?;
        let site = Site::new(self.home, &interpreter, wanted);
        self.at(&site, &interpreter, wanted)?;
        Ok(site.dir)
    }

    fn at(&self, site: &Site, interpreter: &Interpreter, wanted: &[String]) -> Result<(), String> {
        if !site.is_complete() {
            let flock = site.lock_out_others(self.tell).map_err(|error| format!("python environment: {error}"))?;
            if !site.is_complete() {
                (self.tell)(&format!("building the Python environment for {}", wanted.join(", ")));
                Build { site, workshop: *self, interpreter, flock: &flock }.run(wanted)?;
                (self.tell)("the Python environment is ready");
            }
        }
        site.is_used();
        Ok(())
    }
}

/// Where the environment is or will be.
///
/// # Errors
/// There is no Python that satisfies the requirements.
pub(crate) fn directory(home: &Home, python: &Python, wanted: &[String]) -> Result<PathBuf, String> {
    Ok(Site::new(home, &interpreter_for(python, wanted)?, wanted).dir)
}

/// The machine's Python, or the one that an entry `python==3.11` asks for.
fn interpreter_for(python: &Python, wanted: &[String]) -> Result<Interpreter, String> {
    let wish = wanted.iter().find_map(|line| Wish::of_requirement(line));
    wish.map_or_else(|| python.find(), |wish| interpreter::find(python, &wish?))
}

/// What pip is asked for: without the interpreter.
fn packages(wanted: &[String]) -> impl Iterator<Item = &str> {
    wanted.iter().map(|line| line.trim()).filter(|line| Wish::of_requirement(line).is_none())
}

struct Site {
    dir: PathBuf,
    lock: PathBuf,
    runs: PathBuf,
    flock: PathBuf,
}

impl Site {
    fn new(home: &Home, interpreter: &Interpreter, wanted: &[String]) -> Self {
        let mut sorted: Vec<&str> = packages(wanted).collect();
        sorted.sort_unstable();
        sorted.dedup();
        let fields = [RECIPE, &interpreter.version, &interpreter.platform, &interpreter.path.to_string_lossy()];
        let text = fields.into_iter().chain(sorted).collect::<Vec<_>>().join("\n");
        Self::of_key(home, &blake3::hash(text.as_bytes()).to_hex()[..32])
    }

    fn of_key(home: &Home, key: &str) -> Self {
        let file = |extension: &str| home.environments().join(format!("{key}.{extension}"));
        let dir = home.environments().join(key);
        Self { dir, lock: file("txt"), runs: file("runs"), flock: file("flock") }
    }

    fn is_complete(&self) -> bool {
        self.dir.join(COMPLETE).is_file()
    }

    /// Notes the time, for people who look what can go.
    fn is_used(&self) {
        let Ok(file) = File::open(self.dir.join(COMPLETE)) else { return };
        let known = file.metadata().and_then(|meta| meta.modified());
        let now = SystemTime::now();
        if known.is_ok_and(|known| now.duration_since(known).is_ok_and(|age| age > USE_KNOWN_TO)) {
            // Only for people.
            let _ = file.set_modified(now);
        }
    }

    fn used_by(&self, run: &RunId) -> io::Result<()> {
        if run.0.contains('\n') {
            return Ok(());
        }
        let known = fs::read_to_string(&self.runs).unwrap_or_default();
        if known.lines().any(|line| line == run.0) {
            return Ok(());
        }
        let file = OpenOptions::new().create(true).append(true).open(&self.runs);
        file.and_then(|mut file| writeln!(file, "{run}")).map_err(|error| at(&self.runs, error))
    }

    fn lock_out_others(&self, tell: Tell<'_>) -> io::Result<File> {
        self.flock.parent().map_or(Ok(()), fs::create_dir_all)?;
        let open = || OpenOptions::new().create(true).truncate(false).read(true).write(true).open(&self.flock);
        let file = open().map_err(|error| at(&self.flock, error))?;
        if rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
            tell("waiting for another process that builds the same Python environment");
            rustix::fs::flock(&file, FlockOperation::LockExclusive)?;
        }
        Ok(file)
    }
}

#[cfg(test)]
mod tests;
