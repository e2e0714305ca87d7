//! The clients: who submits, stops, terminates, resumes and calls, and what they make of the answers.
//! It must never know more than a client can: what it was told, and nothing of the pump.

use crate::happening::{Ask, Happening};
use crate::options::{MS, SECOND};
use crate::world::World;
use driver::pump::Denied;
use model::input::Shutdown;
use model::record::RunRecord;
use model::{AttemptKey, Input, Plan, Refusal, RunId};

pub(crate) struct Client {
    pub record: RunRecord,
    /// The run was promised.
    pub acknowledged: bool,
    /// Stop and terminate were planned.
    asked_to_end: bool,
}

impl Client {
    pub fn new(record: RunRecord) -> Self {
        Self { record, acknowledged: false, asked_to_end: false }
    }
}

impl World {
    pub(crate) fn plan_of(&self, run: &RunId) -> Option<&Plan> {
        self.clients.iter().find(|client| client.record.id == *run).map(|client| &client.record.plan)
    }

    fn run_of(&self, index: usize) -> RunId {
        self.clients[index].record.id.clone()
    }

    pub(crate) fn ask(&mut self, ask: Ask) {
        if self.holder.as_ref().is_none_or(|holder| holder.paused_until > self.clock) {
            let at = self.clock + 300 * MS;
            return self.queue.at(at, Happening::Ask(ask));
        }
        let (index, input) = match &ask {
            Ask::Submit(index) => {
                if !self.calm && self.rng.per_mille(self.options.duplicate) {
                    let at = self.clock + self.rng.skewed(10, 5 * SECOND);
                    self.queue.at(at, Happening::Ask(ask.clone()));
                }
                (*index, Input::Submit(Box::new(self.clients[*index].record.clone())))
            }
            Ask::Shutdown(index, strategy) => (*index, Input::Shutdown { strategy: *strategy, by: "sim".into() }),
            Ask::Resume(index) => (*index, Input::Resume { by: "sim".into() }),
            Ask::Call { .. } => return,
        };
        self.wish(self.run_of(index), input, ask);
    }

    /// An answer that will never come: its holder is dead.
    pub(crate) fn ask_lost(&mut self, ask: Ask) {
        if !matches!(ask, Ask::Call { .. }) {
            self.ask_again(ask);
        }
    }

    fn ask_again(&mut self, ask: Ask) {
        let at = self.clock + self.rng.skewed(100 * MS, 3 * SECOND);
        self.queue.at(at, Happening::Ask(ask));
    }

    pub(crate) fn answered(&mut self, ask: Ask, result: Result<(), Denied>) {
        if let Err(Denied::Refused(refusal)) = &result {
            self.watch_refusal(&ask, refusal);
        }
        match (ask, result) {
            (Ask::Call { .. }, Err(Denied::Store(_))) => {}
            (ask, Err(Denied::Store(_))) => self.ask_again(ask),
            (Ask::Submit(index), Ok(()) | Err(Denied::Refused(Refusal::Exists))) => self.submitted(index),
            (Ask::Submit(_), Err(Denied::Refused(refusal))) => {
                self.violate("I1", format!("a submission was refused: {refusal:?}"));
            }
            (Ask::Shutdown(index, strategy), Ok(())) => self.watch_shutdown(index, strategy),
            (Ask::Resume(_) | Ask::Shutdown(..), _) => {}
            (Ask::Call { key, index }, Ok(())) => self.watch_call(&key, index),
            (Ask::Call { key, .. }, Err(Denied::Refused(_))) => {
                let at = self.clock + self.rng.skewed(self.options.link_us.0, self.options.link_us.1);
                self.queue.at(at, Happening::CallRefused { key });
            }
        }
    }

    fn submitted(&mut self, index: usize) {
        self.watch_submitted(index);
        let client = &mut self.clients[index];
        client.acknowledged = true;
        if std::mem::replace(&mut client.asked_to_end, true) || self.calm {
            return;
        }
        for (chance, strategy) in [(self.options.stop, Shutdown::Stop), (self.options.terminate, Shutdown::Terminate)] {
            if self.rng.per_mille(chance) {
                let at = self.clock + self.rng.skewed(MS, 40 * SECOND);
                self.queue.at(at, Happening::Ask(Ask::Shutdown(index, strategy)));
            }
        }
    }

    /// A run was found by a new holder: somebody resumes it, mostly. One that is being stopped ends without.
    pub(crate) fn run_interrupted(&mut self, run: &RunId) {
        let Some(index) = self.clients.iter().position(|client| client.record.id == *run) else { return };
        let stopping = self.is_shutting_down(run);
        let wanted = if self.calm { !stopping } else { self.rng.per_mille(800) };
        if wanted && !self.options.server {
            let at = self.clock + self.rng.skewed(MS, 10 * SECOND);
            self.queue.at(at, Happening::Ask(Ask::Resume(index)));
        }
    }

    /// A process sends a call, again and again until it is answered.
    pub(crate) fn call(&mut self, key: AttemptKey, index: usize) {
        let Some(process) = self.runner.as_ref().and_then(|runner| runner.processes.get(&key)) else { return };
        if process.returned.contains(&index) {
            return;
        }
        let call = process.script.calls[index].clone();
        let again = Happening::Call { key: key.clone(), index };
        self.queue.at(self.clock + 3 * SECOND, again);
        if self.holder.is_some() {
            self.wish(key.run.clone(), Input::Call(call), Ask::Call { key, index });
        }
    }

    /// The pump says that a call's child has ended.
    pub(crate) fn return_call(&mut self, key: &AttemptKey, name: &str, counter: u32) {
        let process = self.runner.as_ref().and_then(|runner| runner.processes.get(key));
        let calls = process.map(|process| &process.script.calls);
        let index = calls.and_then(|calls| calls.iter().position(|call| call.name == name && call.counter == counter));
        if let Some(index) = index {
            let at = self.clock + self.rng.skewed(self.options.link_us.0, self.options.link_us.1);
            self.queue.at(at, Happening::Returned { key: key.clone(), index });
        }
    }
}
