//! Attempts whose start is decided before they have a place: the next places are theirs.
//! It must never promise what the end of any other attempt of the run would not be room for.

use super::queue::Shape;
use super::{Admission, Part, Placed};
use alloc::vec::Vec;
use model::attempt::Amounts;
use model::{AttemptKey, RunId};

/// What an attempt has whose start is decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    Placed,
    /// One of the next places that become free is its own.
    Ahead,
}

impl Admission {
    /// The next wish of the run that alone has or wants places.
    pub fn first_of_alone(&self) -> Option<&AttemptKey> {
        let mut active = self.runs.values().filter(|of_run| of_run.is_active());
        active.next().filter(|_| active.next().is_none())?.heads().next().map(|(_, _, key)| key)
    }

    /// Promises one of the next places, if the wish is for what every placed attempt has: any end is room for it then. Only for
    /// `first_of_alone`.
    pub fn promise(&mut self, key: &AttemptKey) -> bool {
        let Some(wish) = self.wishes.get(key) else { return false };
        let part = wish.shape.part(&self.capacity());
        let mut parts = self.placed.values().map(|placed| &placed.part).chain(self.ahead.iter().map(|(_, part)| part));
        let alike = !self.placed.is_empty() && part.gpus == 0 && parts.all(|other| *other == part);
        if alike {
            self.withdraw(key);
            self.ahead.push_back((key.clone(), part));
        }
        alike
    }

    /// How many have a promise.
    pub fn promised(&self) -> usize {
        self.ahead.len()
    }

    /// Those that now have what was promised to them.
    pub fn promote(&mut self) -> Vec<AttemptKey> {
        let mut promoted = Vec::new();
        // One that does not fit, or whose run has as many as it may, holds up none behind it: there are few, and all of them go first.
        let mut at = 0;
        while let Some((key, part)) = self.ahead.get(at) {
            if self.has_room(&key.run, part)
                && let Some((key, part)) = self.ahead.remove(at)
            {
                self.put(key.clone(), Placed { part, gpus: Vec::new() });
                promoted.push(key);
            } else {
                at += 1;
            }
        }
        promoted
    }

    /// One that had a promise runs in the place of another, which has ended.
    pub fn pass(&mut self, from: &AttemptKey, to: &AttemptKey) {
        let Some((_, part)) = self.ahead.iter().find(|(key, _)| key == to) else { return };
        let part = *part;
        self.release(from);
        self.withdraw(to);
        self.put(to.clone(), Placed { part, gpus: Vec::new() });
    }

    /// The place of an attempt whose start was decided before: it has one, takes one if there is room or if devices are its own,
    /// or has the promise of one.
    pub fn settle(&mut self, key: &AttemptKey, requests: &Amounts, gpus: &[u32]) -> Settled {
        let part = Shape::of(requests).part(&self.capacity());
        if self.placed.contains_key(key) || !gpus.is_empty() || self.has_room(&key.run, &part) {
            self.occupy(key, requests, gpus);
            return Settled::Placed;
        }
        if !self.is_ahead(key) {
            self.withdraw(key);
            self.ahead.push_back((key.clone(), part));
        }
        Settled::Ahead
    }

    pub(super) fn is_ahead(&self, key: &AttemptKey) -> bool {
        self.ahead.iter().any(|(other, _)| other == key)
    }

    /// Attempts that have a place.
    pub fn placed(&self) -> usize {
        self.placed.len()
    }

    fn has_room(&self, run: &RunId, part: &Part) -> bool {
        let (placed, jobs) = self.runs.get(run).map_or((0, None), |of_run| (of_run.placed, of_run.jobs));
        placed < jobs.unwrap_or(self.own.slots) && self.fits(&self.capacity(), part)
    }
}
