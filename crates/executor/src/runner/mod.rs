//! The runner: a small single-threaded process of a home that starts attempts, reads their output and keeps their outcomes.
//! It must never know workflows, nor do anything that a task could make it wait for.

pub mod machine;

mod capture;
mod cgroup;
mod keep;
mod pool;
mod root;
mod shell;
mod sys;
mod task;
mod traces;

pub(crate) mod mounts;
pub(crate) mod orphans;
pub(crate) mod sandbox;

use crate::home::Home;
use std::path::Path;
use std::process::ExitCode;

/// What a runner prints on standard output when it can be connected to.
pub(crate) const READY: &str = "ready";
/// What it prints when the home has a runner already.
pub(crate) const BUSY: &str = "busy";

/// The body of `towpath __runner`. Prints one word on standard output: `ready` or `busy`.
pub fn main(home: &Path) -> ExitCode {
    match shell::run(&Home::new(home)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("runner: {error}");
            ExitCode::from(3)
        }
    }
}
