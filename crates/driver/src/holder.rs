//! The holder of a home: the process that takes its lock, writes its store, and does what the pump says until it is idle.
//! It must never decide: what may happen, and when, is the pump's.

mod logs;

use crate::clock::{self, Seeds};
use crate::connection::{self, Asked, Desk, Door, Wish};
use crate::encode::encode;
use crate::full;
use crate::home::{Home, HomeLock};
use crate::protocol::{Held, Reply, Status};
use crate::pump::{AWAY, Batch, BatchId, Denied, In, Out, Pump, RunAppend, Ticket, WINDOW_US};
use crate::reload::Reloads;
use crate::rows_again;
use crate::steady::Steady;
use crate::watch::Board;
use engine::State;
use engine::admission::Capacity;
use executor::variables::{self, Variables};
use executor::{Executor, ExecutorEvent};
use model::command::KillReason;
use model::input::Reopen;
use model::limits::GRACE_SECONDS;
use model::row::{Cell, RowChange};
use model::{Event, Exit, Input, RunId, RunPhase, Time};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;
use store::{Append, Durability, Filter, LogId, Reader, StoreError, Writer};
use views::rows::{REFS, RUNS, TABLES};

/// What a holder prints on standard output when it can be connected to.
pub const READY: &str = "ready";
/// What it prints when the home has a holder already.
pub const BUSY: &str = "busy";

/// Inputs of one step, at most: a bound on how long others wait for it.
const STEP_INPUTS_MAX: usize = 4096;
/// A holder with nothing to do and no client leaves after this time.
const IDLE: Duration = Duration::from_secs(3);
/// While something is due the clock is looked at this often.
const LOOK: Duration = Duration::from_secs(1);

/// The executor's events go here, from any thread.
pub type Events = Box<dyn Fn(ExecutorEvent) + Send + Sync>;

/// Opens the artifacts of a home and starts its executor.
pub type StartExecutor = Box<dyn FnOnce(&Home, Events) -> Result<Started, String>>;

/// What a started executor comes with.
pub struct Started {
    pub executor: Box<dyn Executor>,
    pub artifacts: artifacts::Store,
}

/// What a holder is made of.
pub struct Parts {
    pub home: Home,
    pub durability: Durability,
    pub capacity: Capacity,
    /// Its error is for a person.
    pub start_executor: StartExecutor,
}

/// What reaches the loop.
enum Job {
    In(In),
    /// A batch that the store did not take.
    Failed(BatchId, StoreError),
    Asked(Asked),
    /// The store deleted a log, or not.
    Deleted(Sender<Reply>, Result<(), StoreError>),
    /// What this machine lacks.
    Notices(Vec<String>),
    /// For those who watch this run, or all of them.
    Notice(Option<RunId>, String),
}

/// The body of `towpath __holder`. Prints `ready`, `busy`, or why it cannot hold the home, as one line on standard output.
pub fn main(parts: Parts) -> ExitCode {
    // It may be that it leads a group already; then it is as far from its terminal as it can be.
    let _ = rustix::process::setsid();
    match hold(parts) {
        Ok(code) => code,
        Err(why) => {
            announce(&why.replace('\n', " "));
            executor::own_log::say(format!("holder: {why}"));
            ExitCode::from(3)
        }
    }
}

fn announce(line: &str) {
    let mut stdout = std::io::stdout();
    // Nobody may be listening any more.
    let _ = writeln!(stdout, "{line}").and_then(|()| stdout.flush());
}

fn hold(parts: Parts) -> Result<ExitCode, String> {
    let home = parts.home;
    home.make().map_err(|error| error.to_string())?;
    let Some(lock) = home.lock().map_err(|error| error.to_string())? else {
        announce(BUSY);
        return Ok(ExitCode::SUCCESS);
    };
    store::refuse_network_file_system(home.root()).map_err(|error| error.to_string())?;
    let (jobs, inbox) = channel();
    let Started { executor, artifacts } = (parts.start_executor)(&home, executor_events(jobs.clone()))?;
    let opened = store::open(&home.store(), parts.durability, &TABLES).map_err(|error| error.to_string())?;
    rows_again::make(&opened).map_err(|error| error.to_string())?;
    let board = Arc::new(Board::default());
    let wishes = jobs.clone();
    let desk = Arc::new(Desk {
        home: home.clone(),
        reader: opened.reader.clone(),
        board: Arc::clone(&board),
        door: Door::default(),
        wishes: Box::new(move |asked| drop(wishes.send(Job::Asked(asked)))),
    });
    let mut holder = Holder {
        home: home.clone(),
        pump: Pump::new(parts.capacity, WINDOW_US),
        writer: opened.writer,
        reader: opened.reader,
        executor,
        artifacts,
        durability: parts.durability,
        board,
        jobs,
        seeds: Seeds::new().map_err(|error| error.to_string())?,
        tickets: BTreeMap::new(),
        next_ticket: 0,
        submitted: BTreeMap::new(),
        reloads: Reloads::default(),
        steady: Steady::start(clock::now(), clock::monotonic_us()),
        worked_us: 0,
        trouble: None,
    };
    holder.load_unfinished()?;
    let listener = home.listen(&lock).map_err(|error| error.to_string())?;
    desk.door.open();
    let at_desk = Arc::clone(&desk);
    let accepting = thread::Builder::new().name("accept".into()).spawn(move || connection::accept(&listener, &at_desk));
    accepting.map_err(|error| error.to_string())?;
    announce(READY);
    let code = holder.serve(&inbox, &desk);
    leave(holder, &home, &desk, lock);
    Ok(code)
}

/// The socket goes first, so that whoever comes now starts another holder; the lock goes last.
fn leave(holder: Holder, home: &Home, desk: &Desk, lock: HomeLock) {
    let _ = std::fs::remove_file(home.socket());
    desk.board.close();
    desk.door.close(Duration::from_millis(500));
    drop(holder.executor);
    holder.writer.close();
    drop(lock);
}

fn executor_events(jobs: Sender<Job>) -> Events {
    Box::new(move |event| {
        let job = match event {
            ExecutorEvent::Connected { epoch, known, notices } => {
                let _ = jobs.send(Job::Notices(notices));
                Job::In(In::Connected { epoch, known })
            }
            ExecutorEvent::Disconnected => Job::In(In::Disconnected),
            ExecutorEvent::Unreachable { why } => Job::Notices(vec![why]),
            ExecutorEvent::Passed { from, to } => Job::In(In::Passed { from, to }),
            ExecutorEvent::Ended { key, outcome } => Job::In(In::Ended { key, outcome: Box::new(outcome) }),
            ExecutorEvent::Notice { key, text } => Job::Notice(Some(key.run), text),
        };
        // After the loop's end nobody needs it: it comes again.
        let _ = jobs.send(job);
    })
}

struct Holder {
    home: Home,
    pump: Pump,
    writer: Writer,
    reader: Reader,
    executor: Box<dyn Executor>,
    artifacts: artifacts::Store,
    durability: Durability,
    board: Arc<Board>,
    jobs: Sender<Job>,
    seeds: Seeds,
    tickets: BTreeMap<Ticket, Sender<Reply>>,
    next_ticket: Ticket,
    /// Runs whose first events are not durable yet, with their names.
    submitted: BTreeMap<Ticket, (RunId, String)>,
    reloads: Reloads,
    steady: Steady,
    worked_us: i64,
    /// After this nothing can be written any more.
    trouble: Option<StoreError>,
}

impl Holder {
    fn serve(&mut self, inbox: &Receiver<Job>, desk: &Desk) -> ExitCode {
        loop {
            let mut inputs = Vec::new();
            let (patience, spent_us) = (self.patience(), clock::spent_us());
            let received = inbox.recv_timeout(patience);
            inputs.extend(self.look_at_the_clock(patience, spent_us));
            let began_us = clock::monotonic_us();
            match received {
                Ok(job) => {
                    self.take(job, &mut inputs);
                    for job in inbox.try_iter().take(STEP_INPUTS_MAX) {
                        self.take(job, &mut inputs);
                    }
                }
                Err(RecvTimeoutError::Timeout) if self.is_idle() && desk.door.close_if_empty() => {
                    return ExitCode::SUCCESS;
                }
                Err(_) => {}
            }
            self.step(inputs);
            self.reload_due();
            self.worked_us = clock::monotonic_us() - began_us;
            if let Some(error) = &self.trouble {
                executor::own_log::say(format!("holder: {error}"));
                self.board.note(None, error.to_string());
                return ExitCode::from(3);
            }
        }
    }

    /// How long there is nothing to do without a job.
    fn patience(&self) -> Duration {
        let now = self.now();
        let due = self.pump.next_wake().into_iter().chain(self.reloads.next_due()).min();
        due.map_or(IDLE, |due| Duration::from_micros(due.since_us(now) as u64).min(LOOK))
    }

    fn now(&self) -> Time {
        self.steady.at(clock::now())
    }

    /// After a step and a wait of at most `patience`; `spent_us`: the processor time of this process before it.
    fn look_at_the_clock(&mut self, patience: Duration, spent_us: i64) -> Option<In> {
        let busy_us = self.worked_us + patience.as_micros() as i64 + clock::spent_us() - spent_us;
        let us = self.steady.look(clock::now(), clock::monotonic_us(), busy_us);
        (us > 0).then_some(In::Slept { us })
    }

    fn is_idle(&self) -> bool {
        self.pump.next_wake().is_none() && self.reloads.is_empty() && self.tickets.is_empty() && self.pump.is_idle()
    }

    fn take(&mut self, job: Job, inputs: &mut Vec<In>) {
        match job {
            Job::In(input) => {
                if matches!(input, In::Committed(_)) && self.reloads.succeeded() {
                    self.board.note(None, "the store can be written again; work goes on".into());
                }
                inputs.push(input);
            }
            Job::Failed(batch, error) => {
                if self.reloads.failed() {
                    self.board.note(None, error.to_string());
                }
                inputs.push(In::NotCommitted(batch, error.to_string()));
                if matches!(error, StoreError::Poisoned { .. } | StoreError::Closed) {
                    self.trouble = Some(error);
                }
            }
            Job::Asked((wish, answer)) => self.asked(wish, answer, inputs),
            Job::Deleted(answer, result) => {
                let reply = result.map_or_else(|error| Reply::Store(error.to_string()), |()| Reply::Done);
                let _ = answer.send(reply);
            }
            Job::Notices(notices) => self.board.set_machine_notices(notices),
            Job::Notice(run, text) => {
                // What was known before the run started is in its plan.
                let state = run.as_ref().and_then(|run| self.pump.state(run));
                if !state.is_some_and(|state| state.notices().contains(&text)) {
                    self.board.note(run, text);
                }
            }
        }
    }

    fn asked(&mut self, wish: Wish, answer: Sender<Reply>, inputs: &mut Vec<In>) {
        let (run, input) = match wish {
            Wish::Submit { record, variables } => {
                match self.has_name(&record.name) {
                    Ok(false) => {}
                    Ok(true) => return reply(&answer, Reply::NameTaken(record.name)),
                    Err(error) => return reply(&answer, Reply::Store(error.to_string())),
                }
                if let Err(error) = variables::keep(self.home.executor(), &record.id, &variables) {
                    let why = format!("the environment of the command cannot be kept with the run: {error}");
                    return reply(&answer, Reply::Store(why));
                }
                self.submitted.insert(self.next_ticket, (record.id.clone(), record.name.clone()));
                (record.id.clone(), Input::Submit(record))
            }
            Wish::Shutdown { run, strategy, by } => {
                inputs.extend(self.reload_now(&run));
                (run, Input::Shutdown { strategy, by })
            }
            Wish::Approve(run, wish) => {
                inputs.extend(self.reload_now(&run));
                (run, Input::Approve(wish))
            }
            Wish::Resume { run, by, variables } => {
                self.replace_variables(&run, &variables);
                inputs.extend(self.reload_now(&run));
                (run, Input::Resume { by })
            }
            Wish::Reopen { run, by, plan, variables } => {
                return self.reopen(
                    run,
                    Box::new(Reopen { by, plan: *plan, kept: BTreeSet::new() }),
                    &variables,
                    answer,
                    inputs,
                );
            }
            Wish::Delete(run) => return self.delete(&run, answer),
            Wish::Status => return reply(&answer, Reply::Status(self.status())),
            Wish::Places => return reply(&answer, Reply::Places(self.pump.places())),
        };
        let ticket = self.ticket(answer);
        inputs.push(In::Wish { ticket, run, input });
    }

    fn ticket(&mut self, answer: Sender<Reply>) -> Ticket {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.tickets.insert(ticket, answer);
        ticket
    }

    /// Attaching to a run that goes on is not a reason: its tasks keep what they began with.
    fn replace_variables(&self, run: &RunId, variables: &Variables) {
        let away = self.reloads.runs().find(|(away, _)| *away == run).map(|(_, resumed)| resumed);
        let interrupted = match (away, self.pump.state(run)) {
            (Some(resumed), _) => !resumed,
            (None, state) => state.is_some_and(|state| !state.is_ended()) && !self.pump.is_resumed(run),
        };
        if !interrupted {
            return;
        }
        let mut variables = variables.clone();
        if let Ok(before) = variables::kept(self.home.executor(), run) {
            variables::take_secrets(&mut variables, &before);
        }
        if let Err(error) = variables::keep(self.home.executor(), run, &variables) {
            self.board.note(Some(run.clone()), format!("tasks keep the environment that they had before: {error}"));
        }
    }

    fn has_name(&self, name: &str) -> Result<bool, StoreError> {
        if self.submitted.values().any(|(_, taken)| taken == name) {
            return Ok(true);
        }
        let filter = Filter { equals: vec![("name", Cell::Text(name.into()))], limit: Some(1), ..Filter::default() };
        Ok(!self.reader.select(&RUNS, &filter)?.is_empty())
    }

    fn status(&self) -> Status {
        let runs = self.pump.runs().filter(|run| self.pump.state(run).is_some_and(|state| !state.is_ended()));
        let held = runs.map(|run| Held { run: run.clone(), resumed: self.pump.is_resumed(run) });
        let held = held.chain(self.reloads.runs().map(|(run, resumed)| Held { run: run.clone(), resumed }));
        Status {
            pid: std::process::id(),
            build: env!("CARGO_PKG_VERSION").into(),
            full_durability: self.durability == Durability::Full,
            runs: held.collect(),
        }
    }

    fn delete(&mut self, run: &RunId, answer: Sender<Reply>) {
        if self.is_away(run) {
            return reply(&answer, Reply::Store(AWAY.into()));
        }
        if self.pump.state(run).is_some() {
            return reply(&answer, Reply::NotEnded);
        }
        let of_run = vec![("holder", Cell::Text(run.0.clone()))];
        let named = match self.reader.select(&REFS, &Filter { equals: of_run, ..Filter::default() }) {
            Ok(named) => named,
            Err(error) => return reply(&answer, Reply::Store(error.to_string())),
        };
        let mut rows: Vec<RowChange> = vec![RowChange::Delete { table: &RUNS, key: vec![Cell::Text(run.0.clone())] }];
        rows.extend(named.into_iter().map(|key| RowChange::Delete { table: &REFS, key }));
        let jobs = self.jobs.clone();
        let done = move |result| drop(jobs.send(Job::Deleted(answer, result)));
        self.writer.delete_log(LogId::run(run.0.clone()), rows, Box::new(done));
    }

    fn step(&mut self, inputs: Vec<In>) {
        let failed = inputs.iter().any(|input| matches!(input, In::NotCommitted(..)));
        let all = failed.then(|| self.pump.runs().filter(|run| self.pump.is_resumed(run)).cloned().collect());
        let resumed: BTreeSet<RunId> = all.unwrap_or_default();
        let seed = self.seeds.draw();
        for out in self.pump.step(self.now(), seed, inputs) {
            self.perform(out, &resumed);
        }
        self.executor.flush();
    }

    fn perform(&mut self, out: Out, resumed: &BTreeSet<RunId>) {
        match out {
            Out::Append(batch) => self.append(batch),
            Out::Launch { launch, epoch, waits } => self.executor.launch(*launch, &epoch, waits),
            Out::Start(key) => self.executor.start(&key),
            Out::Kill { key, why } => {
                let (grace_s, exit) = match why {
                    KillReason::Terminated => (0, Exit::Cancelled),
                    KillReason::Stopped | KillReason::TimedOut => (GRACE_SECONDS, Exit::Cancelled),
                    KillReason::Deadline => (GRACE_SECONDS, Exit::Deadline),
                };
                self.executor.kill(&key, grace_s, exit);
            }
            Out::Acknowledge(key) => self.executor.acknowledge(&key),
            Out::Disown(key) => self.executor.disown(&key),
            Out::Prepare { run, requirements } => self.prepare(run, requirements),
            // No executor carries calls yet: dynamic nodes come with the Python front end.
            Out::Return { .. } => {}
            Out::Answer { ticket, result } => self.answer(ticket, result),
            Out::Publish { run, first, events } => {
                let ended = events.iter().any(|recorded| matches!(recorded.event, Event::RunEnded(_)));
                let succeeded = matches!(
                    events.last().map(|recorded| &recorded.event),
                    Some(Event::RunEnded(end)) if end.phase == RunPhase::Succeeded
                );
                self.board.publish(&run, first + events.len() as u64, ended);
                if succeeded {
                    executor::remove_directory(&self.home.executor().volumes(&run));
                }
            }
            Out::Reload(run) => {
                let may_start = resumed.contains(&run);
                self.reloads.put(run, may_start, self.now());
            }
            Out::Forget(run) => {
                variables::forget(self.home.executor(), &run);
                self.board.forget(run);
            }
        }
    }

    fn append(&mut self, batch: Batch) {
        let jobs = self.jobs.clone();
        let id = batch.id;
        if self.durability == Durability::Full
            && let Err(what) = full::sync_artifacts(&self.artifacts, &batch)
        {
            let error = StoreError::Io { path: self.artifacts_path(), what };
            return drop(jobs.send(Job::Failed(id, error)));
        }
        let urgent = batch.appends.iter().any(|append| self.is_urgent(append));
        let mut appends = Vec::with_capacity(batch.appends.len());
        for append in batch.appends {
            let entries: Result<Vec<_>, _> = append.events.iter().map(encode).collect();
            match entries {
                Ok(entries) => appends.push(Append {
                    log: LogId::run(append.run.0),
                    expect: append.expect,
                    entries,
                    rows: append.rows,
                }),
                Err(what) => return drop(jobs.send(Job::Failed(id, StoreError::Refused { what }))),
            }
        }
        let done = move |result: Result<(), StoreError>| {
            let job = match result {
                Ok(()) => Job::In(In::Committed(id)),
                Err(error) => Job::Failed(id, error),
            };
            let _ = jobs.send(job);
        };
        if urgent {
            self.writer.append_urgent(appends, Box::new(done));
        } else {
            self.writer.append(appends, Box::new(done));
        }
    }

    /// What a person needs on a full disk: that a run is resumed, shut down, and then ends.
    fn is_urgent(&self, append: &RunAppend) -> bool {
        append.events.iter().any(|recorded| matches!(recorded.event, Event::RunResumed { .. }))
            || self.pump.state(&append.run).is_some_and(State::is_shutting_down)
    }

    fn artifacts_path(&self) -> std::path::PathBuf {
        self.artifacts.tree_path(&model::Digest([0; 32])).parent().map(Into::into).unwrap_or_default()
    }

    fn prepare(&self, run: RunId, requirements: Vec<String>) {
        let jobs = self.jobs.clone();
        let progress = self.jobs.clone();
        let (wanted, of, for_run) = (requirements.clone(), run.clone(), run.clone());
        let done = move |result: Result<model::record::EnvironmentLock, String>| {
            let _ = jobs.send(Job::In(In::Prepared { run: of, requirements: wanted, result: result.map(Box::new) }));
        };
        let tell = move |line: &str| drop(progress.send(Job::Notice(Some(for_run.clone()), line.to_string())));
        self.executor.prepare(&run, &requirements, Box::new(done), Box::new(tell));
    }

    fn answer(&mut self, ticket: Ticket, result: Result<(), Denied>) {
        if let Some((run, _)) = self.submitted.remove(&ticket)
            && matches!(result, Err(Denied::Refused(_)))
            // Somebody else's wish may have been granted: then they are its own.
            && self.pump.state(&run).is_none_or(State::is_ended)
        {
            variables::forget(self.home.executor(), &run);
        }
        let Some(answer) = self.tickets.remove(&ticket) else { return };
        match result {
            Ok(()) => reply(&answer, Reply::Done),
            Err(Denied::Refused(refusal)) => reply(&answer, Reply::Refused(refusal)),
            Err(Denied::Store(why)) => reply(&answer, Reply::Store(why)),
        }
    }
}

fn reply(answer: &Sender<Reply>, reply: Reply) {
    // Its connection may be gone.
    let _ = answer.send(reply);
}
