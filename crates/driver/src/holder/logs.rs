//! The holder reads logs: of the runs of a dead holder, of those whose appends failed, and of one that is to go on after its end.
//! It must never write one.

use super::{Holder, reply};
use crate::encode::read_log;
use crate::protocol::Reply;
use crate::pump::{AWAY, Folded, In};
use executor::variables::{self, Variables};
use model::input::Reopen;
use model::row::Cell;
use model::{Refusal, RunId};
use std::sync::mpsc::Sender;
use store::Filter;
use views::rows::RUNS;

impl Holder {
    /// Runs of a dead holder: what still runs is attached to, and nothing is started until somebody resumes them. A run that has
    /// ended is among them until each of its attempts has its outcome.
    pub(super) fn load_unfinished(&mut self) -> Result<(), String> {
        let mut loads = Vec::new();
        let filter = Filter { equals: vec![("owes", Cell::Integer(1))], ..Filter::default() };
        for row in self.reader.select(&RUNS, &filter).map_err(|error| error.to_string())? {
            let Some(Cell::Text(id)) = row.into_iter().next() else { continue };
            let run = RunId(id);
            // One log that cannot be read does not keep the others from going on.
            match self.read(&run) {
                Ok(log) => {
                    self.steady.not_before(log.at());
                    loads.push(In::Load { run, log, resumed: false });
                }
                Err(why) => {
                    executor::own_log::say(format!("run {run} is left alone: {why}"));
                    loads.push(In::Unreadable { run, why });
                }
            }
        }
        let unfinished: Vec<&RunId> = loads.iter().filter_map(In::loaded).collect();
        variables::sweep(self.home.executor(), unfinished.into_iter());
        self.step(loads);
        Ok(())
    }

    fn read(&self, run: &RunId) -> Result<Box<Folded>, String> {
        let mut log = Box::new(Folded::default());
        read_log(&self.reader, run, |event| log.apply(&event)).map_err(|error| error.to_string())?;
        Ok(log)
    }

    /// An ended run comes back with its log; its tasks get a new environment, and what they wrote is looked for.
    pub(super) fn reopen(
        &mut self,
        run: RunId,
        mut wish: Box<Reopen>,
        variables: &Variables,
        answer: Sender<Reply>,
        inputs: &mut Vec<In>,
    ) {
        if self.is_away(&run) {
            return reply(&answer, Reply::Store(AWAY.into()));
        }
        if self.pump.state(&run).is_some_and(|state| !state.is_ended()) {
            return reply(&answer, Reply::Refused(Refusal::NotEnded));
        }
        let kept = variables::keep(self.home.executor(), &run, variables).map_err(|error| error.to_string());
        match kept.and_then(|()| self.read(&run)) {
            Ok(log) => {
                wish.kept = executor::kept::attempts(self.home.executor(), &run);
                let ticket = self.ticket(answer);
                // If it is refused, the environment goes again.
                self.submitted.insert(ticket, (run.clone(), String::new()));
                inputs.push(In::Reopen { ticket, run, log, wish });
            }
            Err(why) => reply(&answer, Reply::Store(why)),
        }
    }

    /// Somebody wants something of a run that waits to be folded again: on a full disk that may be what frees it.
    pub(super) fn reload_now(&mut self, run: &RunId) -> Option<In> {
        let resumed = self.reloads.take(run)?;
        match self.read(run) {
            Ok(log) => Some(self.load_again(run.clone(), log, resumed)),
            Err(why) => {
                if self.reloads.put_back(run.clone(), resumed, self.now()) {
                    self.tell_unreadable(run.clone(), why);
                }
                None
            }
        }
    }

    /// Whether nobody knows how far this run is, not even after another look.
    pub(super) fn is_away(&mut self, run: &RunId) -> bool {
        if let Some(load) = self.reload_now(run) {
            self.step(vec![load]);
        }
        self.reloads.contains(run)
    }

    /// It waits and is tried again; meanwhile nothing waits for it, and whoever asks is told why.
    fn tell_unreadable(&mut self, run: RunId, why: String) {
        executor::own_log::say(format!("holder: {why}"));
        self.board
            .note(Some(run.clone()), format!("{why}; what runs goes on, and the run is read again every few seconds"));
        self.step(vec![In::Unreadable { run, why }]);
    }

    fn load_again(&mut self, run: RunId, log: Box<Folded>, resumed: bool) -> In {
        if log.events() == 0 {
            // It was never created.
            variables::forget(self.home.executor(), &run);
        }
        self.reloads.was_read(&run);
        In::Load { run, log, resumed }
    }

    /// Folds runs again whose logs did not follow.
    pub(super) fn reload_due(&mut self) {
        let now = self.now();
        for (run, resumed) in self.reloads.take_due(now) {
            match self.read(&run) {
                Ok(log) => {
                    let load = self.load_again(run, log, resumed);
                    self.step(vec![load]);
                }
                Err(why) => {
                    if self.reloads.put_back(run.clone(), resumed, now) {
                        self.tell_unreadable(run, why);
                    }
                }
            }
        }
    }
}
