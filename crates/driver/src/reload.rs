//! Runs whose logs did not follow and that wait to be folded again, and what arrived for them meanwhile.
//! It must never let an outcome pass while its run is not in the pump: the pump would take the run for over.

use crate::pump::In;
use model::{RunId, Time};
use std::collections::BTreeMap;

/// Between tries while the store refuses to write (a full disk), at first and at last.
const PAUSE_MIN_US: i64 = 200_000;
const PAUSE_MAX_US: i64 = 5 * Time::SECOND_US;

#[derive(Default)]
pub(crate) struct Reloads {
    waiting: BTreeMap<RunId, Waiting>,
    /// Failed appends since the last that did not.
    failures: u32,
}

struct Waiting {
    due: Time,
    resumed: bool,
    held: Vec<In>,
}

impl Reloads {
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub fn contains(&self, run: &RunId) -> bool {
        self.waiting.contains_key(run)
    }

    /// The runs that wait, and whether they may start attempts.
    pub fn runs(&self) -> impl Iterator<Item = (&RunId, bool)> {
        self.waiting.iter().map(|(run, waiting)| (run, waiting.resumed))
    }

    pub fn next_due(&self) -> Option<Time> {
        self.waiting.values().map(|waiting| waiting.due).min()
    }

    /// An append failed. True if it is the first in a row.
    pub fn failed(&mut self) -> bool {
        self.failures += 1;
        self.failures == 1
    }

    /// An append was done. True if the one before failed.
    pub fn succeeded(&mut self) -> bool {
        std::mem::take(&mut self.failures) > 0
    }

    pub fn put(&mut self, run: RunId, resumed: bool, now: Time) {
        let pause = PAUSE_MIN_US << self.failures.saturating_sub(1).min(8);
        let due = now.plus_us(pause.min(PAUSE_MAX_US));
        self.waiting.insert(run, Waiting { due, resumed, held: Vec::new() });
    }

    /// Tries again later.
    pub fn put_back(&mut self, run: RunId, resumed: bool, held: Vec<In>, now: Time) {
        self.waiting.insert(run, Waiting { due: now.plus_us(PAUSE_MAX_US), resumed, held });
    }

    /// Runs that are to be read now: (run, whether it may start attempts, what was held back).
    pub fn take_due(&mut self, now: Time) -> Vec<(RunId, bool, Vec<In>)> {
        let due: Vec<RunId> = self.waiting.iter().filter(|(_, w)| w.due <= now).map(|(run, _)| run.clone()).collect();
        let take = |run| {
            let waiting = self.waiting.remove(&run)?;
            Some((run, waiting.resumed, waiting.held))
        };
        due.into_iter().filter_map(take).collect()
    }

    /// Holds back what the pump may not see yet.
    pub fn filter(&mut self, input: In) -> Option<In> {
        match input {
            In::Ended { ref key, .. } => match self.waiting.get_mut(&key.run) {
                Some(waiting) => {
                    waiting.held.push(input);
                    None
                }
                None => Some(input),
            },
            // The pump would have attempts of runs that it does not know killed.
            In::Connected { epoch, known } => {
                let known = known.into_iter().filter(|key| !self.waiting.contains_key(&key.run)).collect();
                Some(In::Connected { epoch, known })
            }
            other => Some(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::input::Epoch;
    use model::{AttemptKey, Exit, NodeId, Outcome};

    #[test]
    fn an_outcome_waits_for_its_run_and_a_runner_keeps_its_attempts() {
        let run = RunId("r".into());
        let key = AttemptKey { run: run.clone(), node: NodeId(0), n: 0 };
        let mut reloads = Reloads::default();
        assert!(reloads.failed() && !reloads.failed());
        reloads.put(run.clone(), true, Time(0));
        let outcome = Box::new(Outcome::bare(Exit::Exited(0), Time(1)));
        assert!(reloads.filter(In::Ended { key: key.clone(), outcome }).is_none());
        let connected = reloads.filter(In::Connected { epoch: Epoch("e".into()), known: vec![key] });
        assert!(matches!(connected, Some(In::Connected { known, .. }) if known.is_empty()));
        assert!(reloads.take_due(Time(1)).is_empty());
        let due = reloads.take_due(reloads.next_due().expect("due"));
        assert!(matches!(&due[..], [(r, true, held)] if *r == run && held.len() == 1));
        assert!(reloads.succeeded() && !reloads.succeeded() && reloads.is_empty());
    }
}
