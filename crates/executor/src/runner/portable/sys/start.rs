//! A started task, in the words that the rest of the runner knows.
//! It must never answer before the task is its program: there is nothing to be heard of later.

use crate::runner::program::{Failure, Program, Setting};
use rustix::fd::OwnedFd;

/// A task by its keeper.
pub struct Child {
    pub pid: i32,
    /// Can be read once it has ended.
    pub pidfd: OwnedFd,
}

/// Starts a program in a session of its own and waits until it is executed.
///
/// # Errors
/// The stage and the errno.
pub fn start(program: &Program, setting: &Setting<'_>) -> Result<Child, Failure> {
    super::start_keeper(program, setting).map(|(pid, pidfd)| Child { pid, pidfd })
}

impl Child {
    pub fn of(pid: i32, pidfd: OwnedFd) -> Self {
        Self { pid, pidfd }
    }

    pub fn has_left(&mut self) -> bool {
        true
    }

    pub fn failure(&self) -> Option<Failure> {
        None
    }

    pub fn is_dead(&self) {}
}
