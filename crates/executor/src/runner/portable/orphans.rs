//! Attempts of a dead runner: their keepers end them, and this waits for that.
//! It must never let anything be started while one of them may still run.

use super::sys;
use crate::home::{Home, at};
use model::AttemptKey;
use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt;

/// Waits until what attempts of dead runners of this home left has ended. Called before anything is started.
pub fn sweep(home: &Home) {
    if let Err(error) = wait_for_keepers(home) {
        crate::own_log::say(format!("runner: attempts of an earlier one may still run: {error}"));
    }
}

/// Each keeper holds the lock that its runner had, until its task is dead.
fn wait_for_keepers(home: &Home) -> io::Result<()> {
    let path = home.root().join("runner.keepers");
    let mut options = OpenOptions::new();
    let file = options.create(true).truncate(false).write(true).mode(0o600).open(&path);
    let file = file.map_err(|error| at(&path, error))?;
    loop {
        match rustix::fs::flock(&file, rustix::fs::FlockOperation::LockExclusive) {
            Ok(()) => break,
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(at(&path, error.into())),
        }
    }
    sys::keepers_hold(file.into());
    Ok(())
}

/// What leaves its task's session is not seen any more.
pub fn end_children(_: &[i32], _: impl Fn(&AttemptKey) -> bool) -> bool {
    false
}
