//! Places: granted, taken, lent to the calls of an attempt, given back; and what waits for an environment before it asks for one.
//! It must never weigh who comes first: that is the admission's.

use super::{Out, Pump};
use crate::protocol::{Amount, HolderOfPlaces, Places};
use engine::admission::{Grant, Part};
use model::attempt::Amounts;
use model::command::Place;
use model::input::ReportKind;
use model::record::EnvironmentLock;
use model::{AttemptKey, Command, Exit, Input, Outcome, RunId};

impl Pump {
    /// Takes the place of an attempt that runs; one that waits for its calls holds none.
    pub(super) fn occupy(&mut self, key: &AttemptKey, requests: &Amounts, gpus: &[u32]) {
        self.ahead.remove(key);
        self.admission.occupy(key, requests, gpus);
        self.lend_place(key);
    }

    pub(super) fn lend_place(&mut self, key: &AttemptKey) {
        if self.runs.get(&key.run).is_some_and(|run| run.waits_for_calls(key.node)) {
            if let Some(requests) = self.requests_of(key) {
                self.lent.insert(key.clone(), requests);
            }
            self.admission.release(key);
        }
    }

    fn requests_of(&self, key: &AttemptKey) -> Option<Amounts> {
        let owed = engine::outstanding(&self.runs.get(&key.run)?.state);
        owed.into_iter().find_map(|command| match command {
            Command::Launch { launch, .. } if launch.key == *key => Some(launch.requests),
            _ => None,
        })
    }

    /// An attempt ended: its place is free.
    pub(super) fn give_back(&mut self, key: &AttemptKey) {
        self.lent.remove(key);
        self.ahead.remove(key);
        self.admission.release(key);
    }

    pub(super) fn wants_place(&mut self, place: Place, out: &mut Vec<Out>) {
        if place.python_requirements.is_empty() {
            self.admission.wish(&place);
            return;
        }
        let wanted = (place.key.run.clone(), place.python_requirements.clone());
        if let Some(lock) = self.ready.get(&wanted).cloned() {
            self.is_ready(&place, lock, out);
            return;
        }
        if !self.preparing.contains_key(&wanted) {
            let (run, requirements) = wanted.clone();
            out.push(Out::Prepare { run, requirements });
        }
        self.preparing.entry(wanted).or_default().push(place);
    }

    pub(super) fn prepared(
        &mut self,
        wanted: (RunId, Vec<String>),
        result: Result<Box<EnvironmentLock>, String>,
        out: &mut Vec<Out>,
    ) {
        let waiting = self.preparing.remove(&wanted).unwrap_or_default();
        if let Ok(lock) = &result {
            // Of a run that is over nobody asks again.
            if self.runs.contains_key(&wanted.0) {
                self.ready.insert(wanted, lock.clone());
            }
        }
        for place in waiting {
            match &result {
                Ok(lock) => self.is_ready(&place, lock.clone(), out),
                Err(reason) => {
                    let outcome = Outcome::bare(Exit::NotStarted(reason.clone()), self.now);
                    self.report(&place.key, ReportKind::Ended(Box::new(outcome)), out);
                }
            }
        }
    }

    /// The environment of a wish is there: the run records its lock (once), and the wish stands.
    fn is_ready(&mut self, place: &Place, lock: Box<EnvironmentLock>, out: &mut Vec<Out>) {
        // A run that is being read again wishes anew when it is back.
        if self.decide(&place.key.run, Input::Environment(lock), None, out).is_ok() {
            self.admission.wish(place);
        }
    }

    /// Who holds what, for people.
    pub fn places(&self) -> Places {
        let has = self.admission.capacity();
        let amount = |part: Part| Amount {
            slots: part.slots,
            cpu_millis: part.cpu_millis,
            memory_bytes: part.memory_bytes,
            gpus: part.gpus,
        };
        let holders = self.admission.holders().map(|(run, part, slots_max)| HolderOfPlaces {
            run: run.clone(),
            holds: amount(part),
            slots_max: slots_max.into(),
        });
        Places {
            has: Amount {
                slots: has.slots.into(),
                cpu_millis: has.cpu_millis,
                memory_bytes: has.memory_bytes,
                gpus: has.gpus.into(),
            },
            holders: holders.collect(),
            held_for: self.admission.held_for().cloned(),
            preparing: self.preparing.keys().map(|(_, requirements)| requirements.clone()).collect(),
        }
    }

    /// Grants places while there are any: the attempt is recorded as started before it may start.
    pub(super) fn place(&mut self, out: &mut Vec<Out>) {
        let Some(epoch) = self.epoch.clone() else { return };
        self.promote(out);
        loop {
            let granted = self.admission.grant();
            if granted.is_empty() {
                return self.hand_ahead(&epoch, out);
            }
            for Grant { key, gpus } in granted {
                self.report(&key, ReportKind::Placed(epoch.clone(), gpus), out);
                if !self.runs.get(&key.run).is_some_and(|run| run.awaits(&key)) {
                    self.admission.release(&key);
                }
            }
        }
    }
}
