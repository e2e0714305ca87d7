//! Locks between runs: wanted, granted, given back; and what a run wants that may not have anything yet.
//! It must never decide whose turn it is: that is `engine::locks`.

use super::{Out, Pump};
use engine::locks::Key;
use model::{Command, Input, RunId};

impl Pump {
    /// `Acquire` and `Release`; other commands are not its business.
    pub(super) fn lock_command(&mut self, id: &RunId, command: &Command) {
        match command {
            Command::Acquire { node, wants, priority, created_at } => {
                self.locks.wish(Key { run: id.clone(), node: *node }, wants, *priority, *created_at);
            }
            Command::Release { node } => self.locks.release(&Key { run: id.clone(), node: *node }),
            _ => {}
        }
    }

    /// A run that nobody resumed neither starts anything nor runs into a timer: what it wants is done when it is resumed.
    pub(super) fn keep_back(&mut self, id: &RunId, command: Command) {
        if let Some(run) = self.runs.get_mut(id) {
            run.kept_back.push(command);
        }
    }

    /// A run came back with its log: it holds what that says.
    pub(super) fn hold_locks(&mut self, id: &RunId) {
        self.locks.forget(id);
        let held = self.runs.get(id).map(|run| engine::held_locks(&run.state)).unwrap_or_default();
        for (node, wants) in held {
            self.locks.hold(Key { run: id.clone(), node }, &wants);
        }
    }

    /// Grants locks while there are any. The grant is recorded before anything follows from it.
    pub(super) fn grant_locks(&mut self, out: &mut Vec<Out>) {
        loop {
            let granted = self.locks.grant();
            if granted.is_empty() {
                return;
            }
            for key in granted {
                if self.decide(&key.run, Input::Locked { node: key.node }, None, out).is_err() {
                    self.locks.release(&key);
                }
            }
        }
    }
}
