//! The runner: a small process of a home that starts attempts, reads their output and keeps their outcomes, in one thread (and one
//! more that `power` needs).
//! It must never know workflows, nor do anything that a task could make it wait for.

pub mod machine;

mod capture;
mod handover;
mod keep;
mod posix;
mod program;
mod shell;
mod task;

pub(crate) mod layers;

/// What only Linux has. The other platform has the same names, as far as the rest of the runner knows them.
#[cfg(all(target_os = "linux", not(feature = "portable")))]
#[path = "."]
mod platform {
    use super::{MARK, handover, layers, posix, program};

    pub mod cgroup;
    pub mod orphans;
    pub mod pool;
    pub mod power;
    pub mod sandbox;
    pub mod sys;

    mod confine;
    mod filter;
    mod mounts;
    mod root;
    mod traces;

    /// What this kernel lacks of what profile `strict` is made of, for notices.
    pub fn missing_for_strict() -> Vec<String> {
        let parts = [("Landlock", sys::landlock::version() > 0), ("seccomp", filter::is_there())];
        let missing = parts.into_iter().filter(|(_, there)| !there);
        missing.map(|(name, _)| format!("profile strict runs without {name}: this kernel does not have it")).collect()
    }

    /// What this build does not give: nothing, on a machine that allows it.
    pub const LACKING: &[&str] = &[];
}

/// What every POSIX system has.
#[cfg(not(all(target_os = "linux", not(feature = "portable"))))]
#[path = "portable/mod.rs"]
mod platform;

pub(crate) use platform::{LACKING, missing_for_strict};
use platform::{cgroup, orphans, pool, power, sandbox, sys};
pub(crate) use posix::memory_bytes;

use crate::home::Home;
use std::path::Path;
use std::process::ExitCode;

/// The variable that marks the processes of an attempt.
pub(crate) const MARK: &str = "TOWPATH_ATTEMPT";
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
