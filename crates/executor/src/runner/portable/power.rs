//! What may be done by whatever the runner starts: what it may itself.
//! It must never be asked for less.

use super::program::{Failure, Program, Setting};
use super::sandbox::Sandboxes;
use super::sys::start::{Child, start};

pub struct Power;

impl Power {
    pub fn new() -> Self {
        Self
    }

    /// Starts a task.
    ///
    /// # Errors
    /// The stage and the errno.
    pub fn begin_plain(&self, program: Program, setting: &Setting<'_>) -> Result<Child, Failure> {
        start(&program, setting)
    }

    /// # Errors
    /// None: there are no sandboxes.
    pub fn begin_pooled(&mut self, _: Program, _: Setting<'_>, sandboxes: &Sandboxes) -> Result<Child, Failure> {
        match sandboxes.filter() {
            [] => Err((super::program::Stage::Clone, std::io::ErrorKind::Unsupported.into())),
            [never, ..] => match *never {},
        }
    }
}
