//! The pump: inputs, commit results and the executor's events go in; batches to append, commands and answers come out. It decides
//! when something may leave: a command, an answer or a publication only after the events it follows from are durable.
//! It must never do I/O, read a clock or keep anything that a restart could not make again.

mod ahead;
mod locks;
mod places;
mod reopen;
mod run;
mod worker;

pub use ahead::WINDOW_US;

use ahead::Handed;
use engine::admission::{Admission, Capacity};
use engine::locks::Locks;
use model::command::{KillReason, Place};
use model::event::Recorded;
use model::input::{Epoch, Reopen, Report, ReportKind, Stamped};
use model::planted::{self, Bug};
use model::record::EnvironmentLock;
use model::row::RowChange;
use model::{AttemptKey, Command, Exit, Input, Launch, Outcome, Refusal, RunId, Time};
pub use run::Folded;
use run::Run;
use std::collections::{BTreeMap, BTreeSet};

/// A wish's number, chosen by the shell; its answer carries it.
pub type Ticket = u64;
/// A batch's number: batches are appended in this order.
pub type BatchId = u64;

/// What is said of a run that waits to be folded again.
pub(crate) const AWAY: &str =
    "the store could not be written just now, and the run is being read again; try again in a moment";

/// What goes in.
#[derive(Clone, Debug)]
pub enum In {
    /// A run's log, after a start or a failed append; without events if that was its first. `resumed`: it may start attempts.
    Load {
        run: RunId,
        log: Box<Folded>,
        resumed: bool,
    },
    /// A run whose log this build cannot read: it is left alone, and so is what runs of it.
    Unreadable {
        run: RunId,
        why: String,
    },
    /// Somebody wants something of a run.
    Wish {
        ticket: Ticket,
        run: RunId,
        input: Input,
    },
    /// Somebody wants an ended run to go on. `log`: for a run that is not in memory.
    Reopen {
        ticket: Ticket,
        run: RunId,
        log: Box<Folded>,
        wish: Box<Reopen>,
    },
    /// The executor has a worker: everything that another epoch started and that is not known is lost.
    Connected {
        epoch: Epoch,
        known: Vec<AttemptKey>,
    },
    /// The worker is gone; nothing is placed until the next `Connected`.
    Disconnected,
    /// The worker has started an attempt that waited in the place of one that ended and is reported hereafter.
    Passed {
        from: AttemptKey,
        to: AttemptKey,
    },
    /// An attempt ended. Repeated until it is acknowledged.
    Ended {
        key: AttemptKey,
        outcome: Box<Outcome>,
    },
    /// An environment is ready, or cannot be built.
    Prepared {
        run: RunId,
        requirements: Vec<String>,
        result: Result<Box<EnvironmentLock>, String>,
    },
    /// Of the time before this step, so much was not the runs'.
    Slept {
        us: i64,
    },
    Committed(BatchId),
    /// The batch is not in the log and never will be: a short reason for whoever waits.
    NotCommitted(BatchId, String),
}

impl In {
    /// The run whose log this is.
    pub fn loaded(&self) -> Option<&RunId> {
        match self {
            Self::Load { run, .. } | Self::Unreadable { run, .. } => Some(run),
            _ => None,
        }
    }
}

/// What comes out, in the order in which it may be done.
#[derive(Clone, Debug)]
pub enum Out {
    Append(Batch),
    /// `waits`: it has no place yet, and starts when another of its run ends, or with `Start`.
    Launch {
        launch: Box<Launch>,
        epoch: Epoch,
        waits: bool,
    },
    /// An attempt that waits has a place now.
    Start(AttemptKey),
    Kill {
        key: AttemptKey,
        why: KillReason,
    },
    Acknowledge(AttemptKey),
    /// Its run cannot be read: it goes on, and nobody says what it is.
    Disown(AttemptKey),
    Prepare {
        run: RunId,
        requirements: Vec<String>,
    },
    Return {
        run: RunId,
        parent: model::NodeId,
        n: u32,
        name: String,
        counter: u32,
        child: model::NodeId,
    },
    Answer {
        ticket: Ticket,
        result: Result<(), Denied>,
    },
    /// Durable events of a run, for those who watch it: the number of the first, and the events.
    Publish {
        run: RunId,
        first: u64,
        events: Vec<Recorded>,
    },
    /// The state of this run ran ahead of a log that did not follow: load it again.
    Reload(RunId),
    /// The run owes nothing more and left memory.
    Forget(RunId),
}

/// Why a wish was not granted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Denied {
    Refused(Refusal),
    /// The store could not confirm it. It may have taken effect if the text says so: look again before repeating.
    Store(String),
}

/// Events of one or more runs that become durable together.
#[derive(Clone, Debug)]
pub struct Batch {
    pub id: BatchId,
    pub appends: Vec<RunAppend>,
}

#[derive(Clone, Debug)]
pub struct RunAppend {
    pub run: RunId,
    /// How many events the log has before these: the fence against another writer.
    pub expect: u64,
    pub events: Vec<Recorded>,
    pub rows: Vec<RowChange>,
}

pub struct Pump {
    runs: BTreeMap<RunId, Run>,
    admission: Admission,
    locks: Locks,
    epoch: Option<Epoch>,
    /// Attempts that the worker has started, or knew when it connected, and whose ends are not durable yet.
    known: BTreeSet<AttemptKey>,
    /// Runs that left memory because their log did not follow: they come back by `Load`.
    away: BTreeSet<RunId>,
    /// Those of them that cannot be read at all, with the reason.
    unreadable: BTreeMap<RunId, String>,
    /// Places of attempts that wait for their calls.
    lent: BTreeMap<AttemptKey, model::attempt::Amounts>,
    /// Attempts that are to have the next places.
    ahead: BTreeMap<AttemptKey, Handed>,
    window_us: i64,
    /// Places that wait for an environment, by run and requirements; and environments that a run has been given.
    preparing: BTreeMap<(RunId, Vec<String>), Vec<Place>>,
    ready: BTreeMap<(RunId, Vec<String>), Box<EnvironmentLock>>,
    next_batch: BatchId,
    /// Runs whose events are in each batch that is under way.
    in_flight: BTreeMap<BatchId, Vec<RunId>>,
    /// Reports whose events are not durable yet: they are acknowledged then, and given again after a reload.
    unacknowledged: BTreeMap<AttemptKey, Box<Outcome>>,
    timers: BTreeSet<(Time, RunId)>,
    now: Time,
    seed: u64,
}

impl Pump {
    /// `window_us`: attempts that will have a place within this time are handed to the worker ahead of it.
    pub fn new(capacity: Capacity, window_us: i64) -> Self {
        Self {
            runs: BTreeMap::new(),
            admission: Admission::new(capacity),
            locks: Locks::default(),
            epoch: None,
            known: BTreeSet::new(),
            away: BTreeSet::new(),
            unreadable: BTreeMap::new(),
            lent: BTreeMap::new(),
            ahead: BTreeMap::new(),
            window_us,
            preparing: BTreeMap::new(),
            ready: BTreeMap::new(),
            next_batch: 0,
            in_flight: BTreeMap::new(),
            unacknowledged: BTreeMap::new(),
            timers: BTreeSet::new(),
            now: Time::default(),
            seed: 0,
        }
    }

    /// Takes what arrived since the last step. `seed` feeds random functions of templates; it is recorded with what it made.
    pub fn step(&mut self, now: Time, seed: u64, inputs: Vec<In>) -> Vec<Out> {
        self.now = now.max(self.now);
        self.seed = seed;
        let mut out = Vec::new();
        let mut reports: BTreeMap<RunId, Vec<Report>> = BTreeMap::new();
        for input in inputs {
            match input {
                In::Ended { key, outcome } => self.ended(key, outcome, &mut reports, &mut out),
                other => self.take(other, &mut out),
            }
        }
        for (run, reports) in reports {
            // What arrived after a report in this step may have taken its place again.
            for Report { node, n, what } in &reports {
                let cancelled = matches!(what, ReportKind::Ended(outcome) if outcome.exit == Exit::Cancelled);
                if !(planted::is(Bug::PlaceNotReleasedOnTerminate) && cancelled) {
                    self.give_back(&AttemptKey { run: run.clone(), node: *node, n: *n });
                }
            }
            let _ = self.decide(&run, Input::Reports(reports), None, &mut out);
        }
        self.wake(&mut out);
        self.grant_locks(&mut out);
        self.place(&mut out);
        self.append(&mut out);
        out
    }

    /// When the pump next wants a step without other cause.
    pub fn next_wake(&self) -> Option<Time> {
        self.timers.first().map(|(at, _)| *at)
    }

    /// Nothing runs, nothing is under way, and nothing is owed that may be done.
    pub fn is_idle(&self) -> bool {
        self.in_flight.is_empty() && self.unacknowledged.is_empty() && self.runs.values().all(Run::is_idle)
    }

    pub fn runs(&self) -> impl Iterator<Item = &RunId> {
        self.runs.keys()
    }

    /// The state of a run in memory. It may run ahead of the log.
    pub fn state(&self, run: &RunId) -> Option<&engine::State> {
        self.runs.get(run).map(|run| &run.state)
    }

    /// Whether the run may start attempts.
    pub fn is_resumed(&self, run: &RunId) -> bool {
        self.runs.get(run).is_some_and(|run| run.resumed)
    }

    fn take(&mut self, input: In, out: &mut Vec<Out>) {
        match input {
            In::Load { run, log, resumed } => self.load(run, *log, resumed, out),
            In::Unreadable { run, why } => self.cannot_read(run, why, out),
            In::Wish { ticket, run, input } => self.wish(ticket, run, input, out),
            In::Reopen { ticket, run, log, wish } => self.reopen(ticket, run, *log, wish, out),
            In::Connected { epoch, known } => self.connected(epoch, &known, out),
            In::Disconnected => self.epoch = None,
            In::Passed { from, to } => self.passed(&from, &to),
            In::Prepared { run, requirements, result } => self.prepared((run, requirements), result, out),
            In::Slept { us } => {
                let runs: Vec<RunId> = self.runs.keys().cloned().collect();
                for run in runs {
                    // A run that has no deadline records nothing.
                    let _ = self.decide(&run, Input::Slept { us }, None, out);
                }
            }
            In::Committed(batch) => self.committed(batch, out),
            In::NotCommitted(batch, reason) => self.not_committed(batch, &reason, out),
            In::Ended { .. } => {}
        }
    }

    fn load(&mut self, id: RunId, log: Folded, resumed: bool, out: &mut Vec<Out>) {
        self.away.remove(&id);
        self.unreadable.remove(&id);
        self.admission.forget(&id);
        // What the worker has waits there still.
        self.ahead.retain(|key, handed| key.run != id || matches!(handed, Handed::Sent));
        let ahead: BTreeSet<AttemptKey> = self.ahead.keys().filter(|key| key.run == id).cloned().collect();
        if log.events() == 0 {
            // It was never created: there is nothing to go on with.
            return;
        }
        let run = Run::load(log, resumed);
        let mut owed = engine::outstanding(&run.state);
        self.put_in_order(&mut owed, &ahead);
        self.admission.set_jobs(&id, run.state.jobs());
        self.runs.insert(id.clone(), run);
        self.hold_locks(&id);
        for command in owed {
            if planted::is(Bug::TimerLostOnRestart) && matches!(command, Command::WakeAt(_)) {
                continue;
            }
            // What has an outcome is not launched, nor lost.
            let over =
                matches!(&command, Command::Launch { launch, .. } if self.unacknowledged.contains_key(&launch.key));
            if !over {
                self.follow(&id, command, out);
            }
        }
        self.acknowledge_over(&id, out);
        let again: Vec<AttemptKey> = self.unacknowledged.keys().filter(|key| key.run == id).cloned().collect();
        let mut reports = Vec::new();
        for key in again {
            let run = self.runs.get(&id);
            if !run.is_some_and(|run| run.awaits(&key)) {
                if !run.is_some_and(|run| run.is_ending(&key)) {
                    // Its end was in the log before.
                    self.unacknowledged.remove(&key);
                    out.push(Out::Acknowledge(key));
                }
                continue;
            }
            self.give_back(&key);
            if let Some(outcome) = self.unacknowledged.get(&key) {
                reports.push(Report { node: key.node, n: key.n, what: ReportKind::Ended(outcome.clone()) });
            }
        }
        if !reports.is_empty() {
            let _ = self.decide(&id, Input::Reports(reports), None, out);
        }
    }

    fn wish(&mut self, ticket: Ticket, id: RunId, input: Input, out: &mut Vec<Out>) {
        let resume = matches!(input, Input::Resume { .. });
        let goes_on = resume || matches!(input, Input::Shutdown { .. } | Input::Approve(_));
        let caller = match &input {
            Input::Call(call) => Some(AttemptKey { run: id.clone(), node: call.parent, n: call.n }),
            _ => None,
        };
        if matches!(input, Input::Submit(_)) && !self.runs.contains_key(&id) && !self.away.contains(&id) {
            self.runs.insert(id.clone(), Run::new());
        }
        let denied = |refusal| Out::Answer { ticket, result: Err(Denied::Refused(refusal)) };
        match self.runs.get_mut(&id) {
            None if self.away.contains(&id) => {
                let why = self.unreadable.get(&id).cloned().unwrap_or_else(|| AWAY.into());
                out.push(Out::Answer { ticket, result: Err(Denied::Store(why)) });
            }
            None => out.push(denied(Refusal::NoRun)),
            // Resuming a run that goes on anyway is attaching to it.
            Some(run) if resume && run.resumed && !run.state.is_ended() => run.answer(ticket, Ok(())),
            Some(_) => {
                if let Err(refusal) = self.decide(&id, input, Some(ticket), out) {
                    // What it says has to be durable as well.
                    match self.runs.get_mut(&id) {
                        Some(run) => run.answer(ticket, Err(refusal)),
                        None => out.push(denied(refusal)),
                    }
                } else if goes_on {
                    self.runs.get_mut(&id).into_iter().for_each(Run::resume_when_durable);
                } else if let Some(key) = caller {
                    self.lend_place(&key);
                }
            }
        }
    }

    /// From here on the run may start attempts: what was kept back is done now.
    fn resume(&mut self, id: &RunId, out: &mut Vec<Out>) {
        let Some(run) = self.runs.get_mut(id) else { return };
        run.resumed = true;
        for command in std::mem::take(&mut run.kept_back) {
            // It may have ended meanwhile, and been forgotten by the worker: a launch would start it again.
            let wanted = match &command {
                Command::Launch { launch, .. } => self.awaits(&launch.key),
                Command::Place(place) => self.awaits(&place.key),
                _ => true,
            };
            if wanted {
                self.follow(id, command, out);
            }
        }
    }

    /// Decides an input of a run. The events wait for the end of the step; commands and answer wait for the events.
    fn decide(&mut self, id: &RunId, input: Input, ticket: Option<Ticket>, out: &mut Vec<Out>) -> Result<(), Refusal> {
        let Some(run) = self.runs.get_mut(id) else { return Err(Refusal::NoRun) };
        let stamped = Stamped { at: self.now, seed: self.seed, input };
        let early = match run.decide(&stamped) {
            Ok(early) => {
                if matches!(stamped.input, Input::Submit(_)) {
                    self.admission.set_jobs(id, run.state.jobs());
                }
                early
            }
            Err(refusal) => {
                if !run.state.is_created() {
                    self.runs.remove(id);
                }
                return Err(refusal);
            }
        };
        if let Some(ticket) = ticket {
            if planted::is(Bug::AnswerBeforeCommit) {
                out.push(Out::Answer { ticket, result: Ok(()) });
            } else {
                run.answer(ticket, Ok(()));
            }
        }
        for command in early {
            self.follow(id, command, out);
        }
        Ok(())
    }

    fn awaits(&self, key: &AttemptKey) -> bool {
        self.runs.get(&key.run).is_some_and(|run| run.awaits(key))
    }

    fn ended(
        &mut self,
        key: AttemptKey,
        outcome: Box<Outcome>,
        reports: &mut BTreeMap<RunId, Vec<Report>>,
        out: &mut Vec<Out>,
    ) {
        let Some(run) = self.runs.get(&key.run) else {
            if self.away.contains(&key.run) {
                // Its run hears of it when it is back.
                self.unacknowledged.entry(key).or_insert(outcome);
            } else {
                // A run that is over or was deleted: nobody waits for this.
                out.push(Out::Acknowledge(key));
            }
            return;
        };
        if self.unacknowledged.contains_key(&key) {
            return;
        }
        if !run.awaits(&key) {
            if run.is_ending(&key) {
                // Its end is on the way to the log: it is acknowledged then.
                self.unacknowledged.insert(key, outcome);
            } else {
                out.push(Out::Acknowledge(key));
            }
            return;
        }
        if let Some(run) = self.runs.get_mut(&key.run) {
            run.note_pace(key.node, &outcome);
        }
        let report = Report { node: key.node, n: key.n, what: ReportKind::Ended(outcome.clone()) };
        reports.entry(key.run.clone()).or_default().push(report);
        if planted::is(Bug::AcknowledgedBeforeAppend) {
            out.push(Out::Acknowledge(key));
        } else {
            self.unacknowledged.insert(key, outcome);
        }
    }

    /// A command may go: it goes to where it belongs.
    fn follow(&mut self, id: &RunId, command: Command, out: &mut Vec<Out>) {
        let resumed = self.is_resumed(id);
        match command {
            Command::Place(_) | Command::WakeAt(_) | Command::Acquire { .. } if !resumed => self.keep_back(id, command),
            Command::Acquire { .. } | Command::Release { .. } => self.lock_command(id, &command),
            Command::Place(place) => self.wants_place(place, out),
            Command::Launch { launch, epoch } => self.launch(id, launch, epoch, out),
            Command::Kill { key, why } => self.kill(id, key, why, out),
            Command::WakeAt(at) => {
                self.timers.insert((at, id.clone()));
            }
            Command::Return { parent, n, name, counter, child } => {
                let key = AttemptKey { run: id.clone(), node: parent, n };
                if let Some(requests) = self.lent.remove(&key)
                    && self.awaits(&key)
                {
                    // It has no devices: it would have to give them back while it waits.
                    self.occupy(&key, &requests, &[]);
                }
                out.push(Out::Return { run: id.clone(), parent, n, name, counter, child });
            }
            // It may have been reopened meanwhile.
            Command::Ended if self.runs.get(id).is_some_and(|run| !run.state.is_ended()) => {}
            Command::Ended => self.forget(id, out),
        }
    }

    fn report(&mut self, key: &AttemptKey, what: ReportKind, out: &mut Vec<Out>) {
        let report = Report { node: key.node, n: key.n, what };
        let _ = self.decide(&key.run, Input::Reports(vec![report]), None, out);
    }

    fn wake(&mut self, out: &mut Vec<Out>) {
        while let Some((at, _)) = self.timers.first()
            && *at <= self.now
        {
            let Some((_, id)) = self.timers.pop_first() else { return };
            let _ = self.decide(&id, Input::Woke, None, out);
            if let Some(at) = self.runs.get(&id).and_then(|run| engine::next_wake(&run.state)) {
                // A timer that is due and did nothing must not spin.
                let at = if at <= self.now { self.now.plus_us(1000) } else { at };
                self.timers.insert((at, id));
            }
        }
    }

    /// One batch of everything that was decided in this step.
    fn append(&mut self, out: &mut Vec<Out>) {
        let mut appends = Vec::new();
        let mut released = Vec::new();
        for (id, run) in &mut self.runs {
            if let Some(append) = run.take_append(id) {
                appends.push(append);
            } else if run.is_durable() {
                released.extend(run.release_now(out).into_iter().map(|command| (id.clone(), command)));
            }
        }
        for (id, command) in released {
            self.follow(&id, command, out);
        }
        if !appends.is_empty() {
            let id = self.next_batch;
            self.next_batch += 1;
            self.in_flight.insert(id, appends.iter().map(|append| append.run.clone()).collect());
            out.push(Out::Append(Batch { id, appends }));
        }
    }

    fn committed(&mut self, batch: BatchId, out: &mut Vec<Out>) {
        for id in self.in_flight.remove(&batch).unwrap_or_default() {
            let Some(run) = self.runs.get_mut(&id) else { continue };
            let commands = run.committed(&id, out);
            for (node, n) in run.durable_ends() {
                let key = AttemptKey { run: id.clone(), node, n };
                // A worker that came with it while its end was under way would keep it for ever.
                if self.unacknowledged.remove(&key).is_some() | self.known.remove(&key) {
                    out.push(Out::Acknowledge(key));
                }
            }
            for command in commands {
                self.follow(&id, command, out);
            }
            if self.runs.get_mut(&id).is_some_and(Run::resumes_now) {
                self.resume(&id, out);
            }
            self.recheck(&id, out);
        }
    }

    /// The log did not follow: what was held is dropped, and the run is folded again from what is durable.
    fn not_committed(&mut self, batch: BatchId, reason: &str, out: &mut Vec<Out>) {
        for id in self.in_flight.remove(&batch).unwrap_or_default() {
            let Some(mut run) = self.runs.remove(&id) else { continue };
            run.deny_all(reason, out);
            self.in_flight.values_mut().for_each(|runs| runs.retain(|run| *run != id));
            // What runs keeps its place until the run is back.
            self.away.insert(id.clone());
            out.push(Out::Reload(id));
        }
    }

    fn forget(&mut self, id: &RunId, out: &mut Vec<Out>) {
        self.admission.forget(id);
        self.locks.forget(id);
        self.timers.retain(|(_, run)| run != id);
        self.lent.retain(|key, _| key.run != *id);
        self.ahead.retain(|key, _| key.run != *id);
        // Another run asks again: it may have been removed meanwhile.
        self.ready.retain(|(run, _), _| run != id);
        if self.runs.remove(id).is_some() {
            out.push(Out::Forget(id.clone()));
        }
    }
}
