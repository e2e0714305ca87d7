//! Wires the crates: what a holder and a runner are made of, and how a command finds them. The only file that does.
//! It must never parse the command line of a person.

use crate::exit_codes::{Fault, MACHINE};
use crate::settings::Settings;
use driver::client::{HolderCommand, Starting};
use driver::holder::{Events, Parts, Started};
use driver::{Client, Home};
use engine::admission::Capacity;
use executor::{Catalogue, Local, LocalSettings};
use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Once;
use std::time::Duration;
use store::{Durability, Reader, StoreError};

/// The body of `towpath __holder [--durability full] [--keep SECONDS]`. The home is in `TOWPATH_HOME`.
pub fn holder(args: impl Iterator<Item = OsString>) -> ExitCode {
    executor::close_inherited();
    let args: Vec<String> = args.map(|word| word.to_string_lossy().into_owned()).collect();
    let value = |flag: &str| args.iter().position(|word| word == flag).and_then(|at| args.get(at + 1));
    let durability =
        if value("--durability").is_some_and(|text| text == "full") { Durability::Full } else { Durability::Normal };
    let keep_s = value("--keep").and_then(|text| text.parse().ok());
    let keep = Duration::from_secs(keep_s.unwrap_or(u64::from(model::limits::KEEP_HOURS) * 3600));
    let Some(root) = home_of_environment() else { return ExitCode::from(MACHINE) };
    driver::holder::main(Parts {
        home: Home::new(&root),
        durability,
        capacity: capacity(),
        start_executor: Box::new(move |home, events| start_executor(home, events, keep)),
    })
}

/// The body of `towpath __runner`.
pub fn runner() -> ExitCode {
    home_of_environment().map_or(ExitCode::from(MACHINE), |root| executor::runner::main(&root))
}

fn home_of_environment() -> Option<PathBuf> {
    std::env::var_os("TOWPATH_HOME").map(PathBuf::from)
}

/// What this machine has, whoever starts the holder: `-j` is a run's own.
fn capacity() -> Capacity {
    let machine = executor::machine();
    Capacity {
        slots: machine.cpus.max(1),
        cpu_millis: u64::from(machine.cpus.max(1)) * 1000,
        memory_bytes: machine.memory_bytes,
        gpus: machine.gpus,
    }
}

fn start_executor(home: &Home, events: Events, keep: Duration) -> Result<Started, String> {
    let artifacts = artifacts::Store::open(&home.artifacts()).map_err(|error| error.to_string())?;
    let images = Catalogue::load(&home.executor().images_file()).map_err(|error| error.to_string())?;
    let program = std::env::current_exe().map_err(|error| format!("our own binary cannot be found: {error}"))?;
    let settings = LocalSettings {
        home: home.root().to_owned(),
        runner: vec![program.into(), "__runner".into()],
        artifacts: artifacts.clone(),
        images,
        keep,
    };
    let local = Local::start(settings, events).map_err(|error| error.to_string())?;
    Ok(Started { executor: Box::new(local), artifacts })
}

/// What a person can do about a holder that does not answer; the command waits on.
pub fn silence(holder: u32) -> String {
    format!(
        "the process that holds this home ({holder}) does not answer; if it is stopped, `kill -CONT {holder}` lets it go on"
    )
}

/// On standard error, once in the life of a command.
fn told_once(holder: u32) {
    static TOLD: Once = Once::new();
    TOLD.call_once(|| drop(writeln!(std::io::stderr(), "towpath: {}; waiting for it", silence(holder))));
}

/// A home as a command sees it.
pub struct Place {
    pub home: Home,
    command: HolderCommand,
}

impl Place {
    pub fn new(settings: &Settings) -> Result<Self, Fault> {
        let program = std::env::current_exe()
            .map_err(|error| Fault::machine(format!("our own binary cannot be found: {error}")))?;
        let mut argv = vec![program.into(), "__holder".into()];
        if settings.durability == Durability::Full {
            argv.extend(["--durability".into(), "full".into()]);
        }
        if settings.keep_s != u64::from(model::limits::KEEP_HOURS) * 3600 {
            argv.extend(["--keep".into(), settings.keep_s.to_string().into()]);
        }
        Ok(Self { home: Home::new(&settings.home), command: HolderCommand { argv, silent: told_once } })
    }

    /// Tells a holder to start, unless there is one.
    pub fn start(&self) -> Result<Starting, Fault> {
        Ok(self.command.start(&self.home)?)
    }

    /// Connects to the holder that was told to start.
    pub fn finish(&self, starting: Starting) -> Result<Client, Fault> {
        Ok(Client::finish(&self.home, &self.command, starting)?)
    }

    /// Connects to the holder, which is started if there is none.
    pub fn client(&self) -> Result<Client, Fault> {
        Ok(Client::open(&self.home, &self.command)?)
    }

    /// Reads the store without a holder; `None` if nothing was ever run in this home.
    pub fn reader(&self) -> Result<Option<Reader>, Fault> {
        match Reader::open(&self.home.store()) {
            Ok(reader) => Ok(Some(reader)),
            Err(StoreError::Missing { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    pub fn artifacts(&self) -> Result<artifacts::Store, Fault> {
        Ok(artifacts::Store::open(&self.home.artifacts())?)
    }
}
