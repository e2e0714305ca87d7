//! Stands for sandboxes: there are none.
//! It must never be taken for one.

use super::handover::TaskFds;
use super::program::{Enter, Program};
use crate::home::Home;
use crate::runner::sys::{Instruction, Never};
use model::runner::Spawn;
use rustix::fd::{BorrowedFd, OwnedFd};
use std::io;

pub struct Sandboxes(Never);

pub struct Started {
    pub pid: i32,
    pub pidfd: OwnedFd,
    pub report: OwnedFd,
}

impl Sandboxes {
    /// # Errors
    /// Always: why there are none.
    pub fn prepare(_: &Home) -> Result<Self, String> {
        Err("this build is the portable one, which has none".into())
    }

    pub fn host(&self) -> Option<BorrowedFd<'_>> {
        match self.0 {}
    }

    pub fn filter(&self) -> &[Instruction] {
        match self.0 {}
    }

    /// # Errors
    /// None.
    pub fn null(&self) -> io::Result<OwnedFd> {
        match self.0 {}
    }

    pub fn notice(&self) -> Option<String> {
        match self.0 {}
    }

    /// # Errors
    /// None.
    pub fn start(&self, _: &Spawn, _: Program, _: &TaskFds<'_>) -> io::Result<Started> {
        match self.0 {}
    }

    pub fn enter<'a>(&self, _: BorrowedFd<'a>, _: BorrowedFd<'a>) -> Enter<'a> {
        match self.0 {}
    }
}
