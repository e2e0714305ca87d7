//! The runner's platform by POSIX alone: process groups, pipes, waitpid, limits of processes (DESIGN §4).
//! It must never use what one system has and another has not, nor promise what it cannot keep: `LACKING` says what that is.

use super::{handover, program};

pub mod cgroup;
pub mod orphans;
pub mod pool;
pub mod power;
pub mod sandbox;
pub mod sys;

/// What this build does not give: for notices, and for people who ask.
pub const LACKING: &[&str] = &[
    "no sandboxes: a task of profile standard runs as one of profile trusted, on the machine's own files, and profile strict is refused",
    "files that were written and not declared are neither listed nor kept",
    "attempts whose declared paths overlap run one after the other",
    "cpu limits are not enforced, and memory limits only by RLIMIT_DATA, which not every system heeds",
    "a process that leaves its task's session is not ended with it",
];

/// Profile `strict` is refused as a whole.
pub fn missing_for_strict() -> Vec<String> {
    Vec::new()
}
