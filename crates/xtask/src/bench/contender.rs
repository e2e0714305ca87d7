//! Runs each contender once and tells how long it took, in seconds.
//! It must never compare: it returns times.

use crate::checkout;
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::cell::Cell;
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

/// The modes of `floor.c` that have a counterpart among the rows.
#[derive(Clone, Copy, Debug)]
pub enum Floor {
    Plain,
    Sandbox,
    Dirty,
}

/// Where the files of the work lie, below the folder.
const WORK: &str = "work";
/// Where commands run whose every commit is synced: its `towpath.toml` says so.
const FULL: &str = "full";

/// A folder with the work, and the programs that do it.
pub struct Bench {
    binary: PathBuf,
    folder: PathBuf,
    /// `floor.c` compiled, where its source and a C compiler are there.
    floor: Option<PathBuf>,
    ninja: bool,
    homes: Cell<usize>,
}

impl Bench {
    pub fn new(binary: PathBuf, folder: PathBuf) -> Result<Self> {
        let floor = compile_floor(&folder)?;
        // Apart: the folder of a workflow file is snapshotted.
        std::fs::create_dir_all(folder.join(WORK))?;
        std::fs::create_dir_all(folder.join(FULL))?;
        std::fs::write(folder.join(FULL).join("towpath.toml"), "durability = \"full\"\n")?;
        let ninja = there("ninja");
        if !ninja {
            println!("ninja is not installed: its column is left out");
        }
        Ok(Self { binary, folder, floor, ninja, homes: Cell::new(0) })
    }

    pub fn binary(&self) -> &Path {
        &self.binary
    }

    /// Writes a file of the work. Gives its path.
    pub fn write(&self, name: &str, text: &str) -> Result<PathBuf> {
        let path = self.folder.join(WORK).join(name);
        std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(path)
    }

    /// A new empty home.
    pub fn home(&self) -> Result<PathBuf> {
        self.homes.set(self.homes.get() + 1);
        let home = self.folder.join(format!("home-{}", self.homes.get()));
        std::fs::create_dir(&home)?;
        Ok(home)
    }

    /// One run in an empty home.
    pub fn towpath(&self, workflow: &Path, profile: &str, width: usize, tasks: usize) -> Result<f64> {
        self.towpath_in(&self.home()?, workflow, profile, width, tasks)
    }

    /// The same with every commit synced.
    pub fn towpath_synced(&self, workflow: &Path, profile: &str, width: usize, tasks: usize) -> Result<f64> {
        self.run(FULL, &self.home()?, workflow, profile, width, tasks)
    }

    /// One run, from the start of the process to its end. That all `tasks` ran is checked afterwards.
    pub fn towpath_in(&self, home: &Path, workflow: &Path, profile: &str, width: usize, tasks: usize) -> Result<f64> {
        self.run(WORK, home, workflow, profile, width, tasks)
    }

    fn run(&self, place: &str, home: &Path, workflow: &Path, profile: &str, width: usize, tasks: usize) -> Result<f64> {
        let printed = self.folder.join("printed.json");
        let mut command = Command::new(&self.binary);
        command.arg("run").arg(workflow).args(["--profile", profile, "-j", &width.to_string(), "-o", "json", "--home"]);
        command.arg(home).stdout(File::create(&printed)?);
        let seconds = self.time(command.current_dir(self.folder.join(place)))?;
        let workflow: Value = serde_json::from_reader(BufReader::new(File::open(&printed)?))
            .with_context(|| format!("{} printed no JSON", self.binary.display()))?;
        let (progress, expected) = (&workflow["status"]["progress"], format!("{tasks}/{tasks}"));
        if *progress != expected {
            bail!("{} did the work of {progress} instead of {expected}", self.binary.display());
        }
        Ok(seconds)
    }

    pub fn make(&self) -> Result<f64> {
        self.time(self.at_work("make").args(["-j2", "--silent"]).stdout(Stdio::null()))
    }

    /// `None` where ninja is not installed.
    pub fn ninja(&self) -> Result<Option<f64>> {
        if !self.ninja {
            return Ok(None);
        }
        self.time(self.at_work("ninja").arg("-j2").stdout(Stdio::null())).map(Some)
    }

    /// `None` where there is no floor. It prints milliseconds a task, its preparation and its cleaning left out.
    pub fn floor(&self, mode: Floor, tasks: usize, width: usize) -> Result<Option<f64>> {
        let Some(program) = &self.floor else { return Ok(None) };
        let mode = match mode {
            Floor::Plain => "plain",
            Floor::Sandbox => "sandbox",
            Floor::Dirty => "dirty",
        };
        let output = Command::new(program)
            .args([mode, &tasks.to_string(), &width.to_string()])
            .env("TMPDIR", &self.folder)
            .output()
            .context("cannot run the floor")?;
        let printed = String::from_utf8_lossy(&output.stdout);
        match printed.split_whitespace().nth(1).and_then(|number| number.parse::<f64>().ok()) {
            Some(ms) if output.status.success() => Ok(Some(ms * tasks as f64 / 1000.0)),
            // It needs root and namespaces; without them there is nothing to compare with.
            _ => {
                println!("floor {mode}: {}", String::from_utf8_lossy(&output.stderr).trim());
                Ok(None)
            }
        }
    }

    fn at_work(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.current_dir(self.folder.join(WORK));
        command
    }

    fn time(&self, command: &mut Command) -> Result<f64> {
        let name = command.get_program().to_string_lossy().into_owned();
        command.stdin(Stdio::null()).stderr(Stdio::piped());
        let start = Instant::now();
        let child = command.spawn().with_context(|| format!("cannot run {name}"))?;
        let output = child.wait_with_output()?;
        let seconds = start.elapsed().as_secs_f64();
        if !output.status.success() {
            bail!("{name}: {}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(seconds)
    }
}

/// Compiles the floor, `None` (said so) where its source or a compiler is missing.
fn compile_floor(folder: &Path) -> Result<Option<PathBuf>> {
    let source = checkout::beside("bench").join("floor.c");
    if !source.is_file() {
        println!("there is no {}: its columns are left out", source.display());
        return Ok(None);
    }
    let program = folder.join("floor");
    let compiled = Command::new("cc").args(["-O2", "-o"]).arg(&program).arg(&source).status();
    match compiled {
        Ok(status) if status.success() => Ok(Some(program)),
        Ok(status) => bail!("cc {}: {status}", source.display()),
        Err(error) => {
            println!("cc cannot be run ({error}): the floor's columns are left out");
            Ok(None)
        }
    }
}

/// Whether a program can be started.
fn there(program: &str) -> bool {
    Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
}

/// What absolute times are quoted with: processor and number of cpus.
pub fn machine() -> String {
    let cpus = std::thread::available_parallelism().map_or(1, |cpus| cpus.get());
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find(|line| line.starts_with("model name")).and_then(|line| line.split(':').nth(1));
    format!("{cpus} × {}", model.map_or("a processor of unknown name", str::trim))
}
