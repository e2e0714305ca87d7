//! Ended runs that go on: they come back into memory with the wish, and leave again if it is refused.
//! It must never take a log for the state of a run that is in memory: that may be ahead of it.

use super::run::{Folded, Run};
use super::{Denied, Out, Pump, Ticket};
use model::input::Reopen;
use model::{Input, Refusal, RunId};

impl Pump {
    pub(super) fn reopen(&mut self, ticket: Ticket, id: RunId, log: Folded, wish: Box<Reopen>, out: &mut Vec<Out>) {
        let deny = |refusal| Out::Answer { ticket, result: Err(Denied::Refused(refusal)) };
        let comes_back = !self.runs.contains_key(&id);
        if comes_back {
            if self.away.contains(&id) {
                let why = self.unreadable.get(&id).cloned().unwrap_or_else(|| super::AWAY.into());
                return out.push(Out::Answer { ticket, result: Err(Denied::Store(why)) });
            }
            if log.events() == 0 {
                return out.push(deny(Refusal::NoRun));
            }
            let run = Run::load(log, true);
            self.admission.set_jobs(&id, run.state.jobs());
            self.runs.insert(id.clone(), run);
        }
        match self.decide(&id, Input::Reopen(wish), Some(ticket), out) {
            Ok(()) => {
                if let Some(run) = self.runs.get_mut(&id) {
                    run.resumed = true;
                }
            }
            Err(refusal) => {
                if comes_back {
                    self.runs.remove(&id);
                    self.admission.forget(&id);
                }
                out.push(deny(refusal));
            }
        }
    }
}
