//! The runner: a small single-threaded process of a home that starts attempts, reads their output and keeps their outcomes.
//! It must never know workflows, nor do anything that a task could make it wait for.

pub mod machine;

mod capture;
mod cgroup;
mod confine;
mod filter;
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

/// What this kernel lacks of what profile `strict` is made of, for notices.
pub(crate) fn missing_for_strict() -> Vec<String> {
    let parts = [("Landlock", sys::landlock::version() > 0), ("seccomp", filter::is_there())];
    let missing = parts.into_iter().filter(|(_, there)| !there);
    missing.map(|(name, _)| format!("profile strict runs without {name}: this kernel does not have it")).collect()
}

/// What a runner prints on standard output when it can be connected to.
pub(crate) const READY: &str = "ready";
/// What it prints when the home has a runner already.
pub(crate) const BUSY: &str = "busy";

/// Closes what the command that started this process had open besides the standard streams: it is none of ours, and no task's.
/// Call it before anything is opened.
pub fn close_inherited() {
    sys::close_from(3);
}

/// The body of `towpath __runner`. Prints one word on standard output: `ready` or `busy`.
pub fn main(home: &Path) -> ExitCode {
    close_inherited();
    match shell::run(&Home::new(home)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            crate::own_log::say(format!("runner: {error}"));
            ExitCode::from(3)
        }
    }
}
