//! Stands for sandboxes that are used again: there are none.
//! It must never be taken for them.

use super::sandbox::Sandboxes;
use crate::runner::sys::Never;
use model::runner::Spawn;
use rustix::fd::BorrowedFd;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

pub struct Pool(Never);

pub struct Sandbox(Never);

impl Pool {
    /// # Errors
    /// Always: there is no sandbox that could be used again.
    pub fn new(_: PathBuf) -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub fn take(&mut self, _: &Sandboxes, _: &Spawn) -> Option<Sandbox> {
        match self.0 {}
    }

    pub fn put_back(&mut self, _: Sandbox) {
        match self.0 {}
    }

    pub fn throw_away(&mut self, _: Sandbox) {
        match self.0 {}
    }

    pub fn was_dirty(&mut self, _: u64) {
        match self.0 {}
    }

    pub fn own_pids(&self) -> BorrowedFd<'_> {
        match self.0 {}
    }

    pub fn fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        std::iter::empty()
    }

    pub fn pids(&self) -> impl Iterator<Item = i32> {
        std::iter::empty()
    }

    pub fn is_restless(&self) -> bool {
        match self.0 {}
    }

    pub fn tend(&mut self, _: &Sandboxes) {
        match self.0 {}
    }

    pub fn close(&mut self) {
        match self.0 {}
    }
}

impl Sandbox {
    pub fn pid(&self) -> i32 {
        match self.0 {}
    }

    pub fn pidfd(&self) -> BorrowedFd<'_> {
        match self.0 {}
    }

    pub fn null(&self) -> BorrowedFd<'_> {
        match self.0 {}
    }

    pub fn shape(&self) -> u64 {
        match self.0 {}
    }

    pub fn spent_us(&self) -> Option<u64> {
        match self.0 {}
    }

    pub fn is_clean(&mut self, _: SystemTime) -> bool {
        match self.0 {}
    }

    pub fn spent_by_orphans(&mut self, _: Option<u64>) -> u64 {
        match self.0 {}
    }

    pub fn kill(&self) {
        match self.0 {}
    }

    /// # Errors
    /// None.
    pub fn hand_over(&self, _: &Path) -> io::Result<()> {
        match self.0 {}
    }
}
