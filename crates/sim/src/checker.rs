//! The history checker: what must hold of every run's log, whoever made it (the simulator, or a real home after kill -9).
//! It must never look at anything but the log and, where somebody watched them, the starts of processes.

mod limits;
mod replay;

use model::event::Recorded;
use model::input::Epoch;
use model::{AttemptKey, Event};
use replay::Replay;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// Something that may not be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// `I1` to `I9` (durability, exactly one outcome, ...), or `durable-first`: something left before its event was in the log.
    pub invariant: &'static str,
    /// The event that breaks it: its number in the log.
    pub position: Option<u64>,
    pub what: String,
}

/// A process was started for this attempt, in this life of its runner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Start {
    pub key: AttemptKey,
    pub epoch: Epoch,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.position {
            Some(position) => write!(f, "{} at event {position}: {}", self.invariant, self.what),
            None => write!(f, "{}: {}", self.invariant, self.what),
        }
    }
}

/// Checks the log of one run, which may still go on. `starts`: the processes of this run that were seen to start, in any order.
pub fn check(log: &[Recorded], starts: &[Start]) -> Vec<Violation> {
    let mut replay = Replay::default();
    for (position, recorded) in log.iter().enumerate() {
        replay.take(position as u64, recorded);
    }
    let mut violations = replay.violations;
    violations.extend(check_starts(log, starts));
    // Whoever reads the log from a disk asks this before folding it: it may refuse nothing that we write.
    if let Err(unsound) = driver::soundness::check(log) {
        violations.push(Violation { invariant: "I8", position: Some(unsound.number), what: unsound.what });
    }
    // What is illegal may not even be foldable.
    if violations.is_empty() {
        violations.extend(check_fold(log));
    }
    violations
}

/// Checks that the run is over: it ended, and every attempt that was started has its outcome.
pub fn check_over(log: &[Recorded]) -> Vec<Violation> {
    let mut open = BTreeSet::new();
    let mut over = false;
    for recorded in log {
        match &recorded.event {
            Event::AttemptStarted { node, n, .. } => {
                open.insert((node.0, *n));
            }
            Event::AttemptEnded(ended) => {
                open.remove(&(ended.node.0, ended.n));
            }
            Event::RunEnded(_) => over = true,
            _ => {}
        }
    }
    let mut violations = Vec::new();
    if !over {
        violations.push(Violation { invariant: "I5", position: None, what: "the run has not ended".into() });
    }
    let no_outcome = |(node, n)| Violation {
        invariant: "I4",
        position: None,
        what: format!("attempt {n} of node {node} was started and has no outcome"),
    };
    violations.extend(open.into_iter().map(no_outcome));
    violations
}

/// Every process stands for an attempt that the log says was started, in the epoch that the log says, and for no other.
fn check_starts(log: &[Recorded], starts: &[Start]) -> Vec<Violation> {
    let mut recorded = BTreeMap::new();
    for event in log {
        if let Event::AttemptStarted { node, n, epoch, .. } = &event.event {
            recorded.insert((*node, *n), epoch);
        }
    }
    let mut seen = BTreeSet::new();
    let mut violations = Vec::new();
    for start in starts {
        let key = &start.key;
        let mut violate = |invariant, what: String| violations.push(Violation { invariant, position: None, what });
        if !seen.insert((key.node, key.n)) {
            violate("I3", format!("attempt {key} started more than once"));
        }
        match recorded.get(&(key.node, key.n)) {
            None => violate("durable-first", format!("attempt {key} started, and the log knows nothing of it")),
            Some(epoch) if **epoch != start.epoch => {
                violate("I3", format!("attempt {key} of {} started in {}", epoch.0, start.epoch.0));
            }
            Some(_) => {}
        }
    }
    violations
}

/// Folding a prefix and going on gives what folding the whole gives, and what is owed depends on nothing else.
fn check_fold(log: &[Recorded]) -> Vec<Violation> {
    let whole = engine::fold(log);
    let mut violations = Vec::new();
    let mut violate = |what: &str| {
        violations.push(Violation { invariant: "I8", position: None, what: what.into() });
    };
    let mut state = engine::fold(&log[..log.len() / 2]);
    log[log.len() / 2..].iter().for_each(|event| engine::evolve(&mut state, event));
    if state != whole {
        violate("a fold that was interrupted differs from one that was not");
    }
    if engine::outstanding(&state) != engine::outstanding(&whole) {
        violate("equal states owe different commands");
    }
    violations
}

#[cfg(test)]
mod tests;
