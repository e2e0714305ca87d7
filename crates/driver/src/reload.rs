//! Runs whose logs did not follow and that wait to be folded again: which, and when they are due.
//! It must never hold what arrives for them: the pump knows that they come back.

use model::{RunId, Time};
use std::collections::{BTreeMap, BTreeSet};

/// Between tries while the store refuses to write (a full disk), at first and at last.
const PAUSE_MIN_US: i64 = 200_000;
const PAUSE_MAX_US: i64 = 5 * Time::SECOND_US;

#[derive(Default)]
pub(crate) struct Reloads {
    waiting: BTreeMap<RunId, Waiting>,
    /// Those that could not be read at the last try.
    unread: BTreeSet<RunId>,
    /// Failed appends since the last that did not.
    failures: u32,
}

struct Waiting {
    due: Time,
    resumed: bool,
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
        self.waiting.insert(run, Waiting { due, resumed });
    }

    /// It could not be read: tries again later. True if that is new.
    pub fn put_back(&mut self, run: RunId, resumed: bool, now: Time) -> bool {
        self.waiting.insert(run.clone(), Waiting { due: now.plus_us(PAUSE_MAX_US), resumed });
        self.unread.insert(run)
    }

    /// It could be read.
    pub fn was_read(&mut self, run: &RunId) {
        self.unread.remove(run);
    }

    /// This run is to be read at once, if it waits: whether it may start attempts.
    pub fn take(&mut self, run: &RunId) -> Option<bool> {
        self.waiting.remove(run).map(|waiting| waiting.resumed)
    }

    /// Runs that are to be read now: (run, whether it may start attempts).
    pub fn take_due(&mut self, now: Time) -> Vec<(RunId, bool)> {
        let due: Vec<RunId> = self.waiting.iter().filter(|(_, w)| w.due <= now).map(|(run, _)| run.clone()).collect();
        let take = |run| {
            let waiting = self.waiting.remove(&run)?;
            Some((run, waiting.resumed))
        };
        due.into_iter().filter_map(take).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_waits_longer_while_appends_fail() {
        let run = RunId("r".into());
        let mut reloads = Reloads::default();
        assert!(reloads.failed() && !reloads.failed());
        reloads.put(run.clone(), true, Time(0));
        assert_eq!(reloads.next_due(), Some(Time(2 * PAUSE_MIN_US)));
        assert!(reloads.take_due(Time(1)).is_empty());
        let due = reloads.take_due(Time(2 * PAUSE_MIN_US));
        assert!(matches!(&due[..], [(r, true)] if *r == run));
        assert!(reloads.succeeded() && !reloads.succeeded() && reloads.is_empty());
        // One that cannot be read is told of once.
        assert!(reloads.put_back(run.clone(), true, Time(0)) && !reloads.put_back(run.clone(), true, Time(0)));
        reloads.was_read(&run);
        assert!(reloads.put_back(run, true, Time(0)));
    }
}
