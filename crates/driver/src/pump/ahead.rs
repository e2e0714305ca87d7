//! Attempts that are handed to the worker before they have a place, so that it can start the next one in the moment in which
//! another ends. Only while a run's attempts end so fast that the way to us and back would leave the machine idle.
//! It must never let more attempts run at once than there are places: an end starts one, `promote` counts it.

use super::run::Run;
use super::{Out, Pump};
use engine::admission::Settled;
use model::input::{Epoch, ReportKind};
use model::planted::{self, Bug};
use model::{AttemptKey, Launch, Outcome, TemplateId};
use std::collections::BTreeMap;

/// The window of a holder: on the way to it and back an attempt loses less than a tenth of this.
pub const WINDOW_US: i64 = 10_000;
/// At most so many are handed ahead.
const AHEAD_MAX: i64 = 32;
/// How much the last end counts for the pace of a run: one in so many.
const MEMORY: i64 = 8;

/// An attempt that has no place yet and whose start is decided.
pub(super) enum Handed {
    /// Its start is on the way to the log.
    Promised,
    /// The worker has it.
    Sent,
    /// Decided in the life of a holder that is gone, and not known to the worker: it goes when it has a place.
    Held(Box<Launch>, Epoch),
}

/// How long attempts of a run last, by template.
#[derive(Default)]
pub(super) struct Pace {
    mean_us: BTreeMap<TemplateId, i64>,
}

impl Pace {
    /// An attempt of this template ended.
    pub fn note(&mut self, template: TemplateId, outcome: &Outcome) {
        let Some(started_at) = outcome.started_at else { return };
        let lasted = outcome.ended_at.since_us(started_at).max(1);
        self.mean_us.entry(template).and_modify(|mean| *mean += (lasted - *mean) / MEMORY).or_insert(lasted);
    }

    /// How many attempts of this template end within this time if so many run at once; none as long as none has ended.
    pub fn ends(&self, template: TemplateId, at_once: usize, within_us: i64) -> usize {
        let within = |mean: &i64| at_once as i64 * within_us / mean.max(&1);
        self.mean_us.get(&template).map_or(0, |mean| within(mean).min(AHEAD_MAX)) as usize
    }
}

impl Pump {
    /// Those whose places are free now have them.
    pub(super) fn promote(&mut self, out: &mut Vec<Out>) {
        for key in self.admission.promote() {
            self.known.insert(key.clone());
            match self.ahead.remove(&key) {
                Some(Handed::Sent) => out.push(Out::Start(key)),
                Some(Handed::Held(launch, epoch)) => out.push(Out::Launch { launch, epoch, waits: false }),
                // Its launch is still to come.
                Some(Handed::Promised) | None => drop(self.known.remove(&key)),
            }
        }
    }

    /// The worker has started `to` when `from` ended.
    pub(super) fn passed(&mut self, from: &AttemptKey, to: &AttemptKey) {
        let is_counted = !planted::is(Bug::PassedPlaceCountedAsFree);
        let was_ahead = self.ahead.remove(to).is_some();
        if was_ahead && self.awaits(to) {
            self.known.insert(to.clone());
            if is_counted {
                self.admission.pass(from, to);
            }
        }
    }

    /// Promises the next places, where it pays.
    pub(super) fn hand_ahead(&mut self, epoch: &Epoch, out: &mut Vec<Out>) {
        if self.ahead.values().any(|handed| matches!(handed, Handed::Held(..))) {
            return;
        }
        while let Some(key) = self.admission.first_of_alone().cloned() {
            let ends = |run: &Run| run.ends(key.node, self.admission.placed(), self.window_us);
            if self.admission.promised() >= self.runs.get(&key.run).map_or(0, ends) || !self.admission.promise(&key) {
                return;
            }
            self.ahead.insert(key.clone(), Handed::Promised);
            self.report(&key, ReportKind::Placed(epoch.clone(), Vec::new()), out);
            if !self.awaits(&key) {
                self.give_back(&key);
            }
        }
    }

    /// Launches into the life of the present worker what that does not know.
    pub(super) fn launch_settled(&mut self, launch: Box<Launch>, epoch: Epoch, out: &mut Vec<Out>) {
        let key = launch.key.clone();
        match (self.settle(&launch), self.ahead.get_mut(&key)) {
            (Settled::Placed, _) => {
                self.known.insert(key);
                out.push(Out::Launch { launch, epoch, waits: false });
            }
            (Settled::Ahead, Some(handed @ (Handed::Promised | Handed::Sent))) => {
                *handed = Handed::Sent;
                out.push(Out::Launch { launch, epoch, waits: true });
            }
            (Settled::Ahead, _) => drop(self.ahead.insert(key, Handed::Held(launch, epoch))),
        }
    }

    /// Sees to the place of an attempt whose start is decided and that the worker does not know.
    pub(super) fn settle(&mut self, launch: &Launch) -> Settled {
        let settled = self.admission.settle(&launch.key, &launch.requests, &launch.gpus);
        if settled == Settled::Placed {
            self.ahead.remove(&launch.key);
            self.lend_place(&launch.key);
        }
        settled
    }
}
