//! A runner comes or goes: which attempts are lost with it, which are given to it again, and whose directories nobody wants any more.
//! It must never start a runner.

use super::connection::Link;
use super::{Inner, Job, Progressed, State, scratch, wall};
use crate::ExecutorEvent;
use model::attempt::Outcome;
use model::runner::ToRunner;
use model::{AttemptKey, Exit};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::thread;

impl Inner {
    /// A runner is there.
    pub(super) fn connected(&self, link: Link, notices: Vec<String>, sandboxes: bool) {
        let epoch = link.epoch().clone();
        let mut known = link.known();
        let (unsent, kills, lost, again) = {
            let mut state = self.state();
            if state.stopping {
                link.hang_up();
                return;
            }
            state.sandboxes = sandboxes;
            // The runner tells of these again, and whoever gets `Connected` says again what it wants.
            state.stashed.clear();
            state.unwanted.clear();
            // What was given to an earlier runner and is not known to this one died with that one; what this one never got
            // is given to it again.
            // One that waited for a place is launched again by whoever knows whether it has one now.
            state.attempts.retain(|key, attempt| !attempt.waits || attempt.is_over() || link.knows(key));
            let (mut lost, mut again) = (Vec::new(), Vec::new());
            for (key, attempt) in state.attempts.iter_mut().filter(|(key, _)| !link.knows(key)) {
                match attempt.at {
                    Progressed::Running | Progressed::Staging | Progressed::Held if attempt.epoch != epoch => {
                        lost.push(key.clone())
                    }
                    Progressed::Running => {
                        attempt.at = Progressed::Staging;
                        again.push(key.clone());
                    }
                    _ => {}
                }
            }
            let strangers = known.iter().filter(|key| !state.attempts.contains_key(key)).cloned().collect();
            state.turns.meet(strangers);
            // An outcome that we have is as good as one that the runner keeps.
            let ours = state.attempts.iter().filter(|(key, attempt)| attempt.is_over() && !link.knows(key));
            known.extend(ours.map(|(key, _)| key.clone()));
            self.sweep(&known, &state);
            state.link = Some(link);
            (std::mem::take(&mut state.unsent), std::mem::take(&mut state.unsent_kills), lost, again)
        };
        let runs: BTreeSet<AttemptKey> = known.iter().cloned().collect();
        (self.events)(ExecutorEvent::Connected { epoch, known, notices });
        let why = "the runner that had it is gone, and everything it ran with it";
        for key in lost {
            self.done(key, Outcome::bare(Exit::Lost(why.into()), wall()));
        }
        again.into_iter().for_each(|key| self.job(Job::Stage(key)));
        for (launch, epoch) in unsent {
            let key = launch.key.clone();
            match kills.get(&key) {
                // It never ran, and never will.
                Some((_, why)) if !runs.contains(&key) => {
                    (self.events)(ExecutorEvent::Ended { key, outcome: Outcome::bare(why.clone(), wall()) });
                }
                kill => {
                    self.launch(launch, epoch, false);
                    if let (Some((grace_s, reason)), Some(link)) = (kill, &mut self.state().link) {
                        link.send(&ToRunner::Kill { key, grace_s: *grace_s, reason: reason.clone() });
                        link.flush();
                    }
                }
            }
        }
    }

    pub(super) fn disconnected(&self) {
        let stopping = {
            let mut state = self.state();
            state.link = None;
            state.stopping
        };
        if !stopping {
            (self.events)(ExecutorEvent::Disconnected);
        }
    }

    /// Removes the directories of attempts that nobody knows any more, in the background.
    fn sweep(&self, known: &[AttemptKey], state: &State) {
        let keep: BTreeSet<PathBuf> = known
            .iter()
            .chain(state.attempts.keys())
            .chain(state.unsent.iter().map(|(launch, _)| &launch.key))
            .map(|key| self.home.scratch(key))
            .collect();
        let trash = self.home.trash();
        let mut number = 0;
        for run in list(&self.home.attempts()) {
            let dirs = list(&run);
            for dir in dirs.iter().filter(|dir| !keep.contains(*dir)) {
                number += 1;
                let _ = std::fs::rename(dir, trash.join(format!("{}-{number}", std::process::id())));
            }
            // Only if nothing is in it.
            let _ = std::fs::remove_dir(&run);
        }
        // Detached: it holds nothing but the path.
        thread::spawn(move || list(&trash).iter().for_each(|dir| scratch::remove(dir)));
    }
}

fn list(dir: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}
