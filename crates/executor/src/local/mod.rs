//! The local executor as the holder of a home sees it: worker threads that stage and collect, and a connection to the runner.
//! It must never fork (the holder has threads and is large), nor wait for an attempt.

pub(crate) mod command;
pub(crate) mod layout;
pub(crate) mod scratch;
mod secrets;
pub(crate) mod view;

mod collect;
mod connection;
mod held;
mod keeper;
mod reconnect;
mod stage;
mod turns;
mod written;

use crate::environment::Workshop;
use crate::home::Home;
use crate::images::Catalogue;
use crate::machine::Machine;
use crate::variables::{self, Variables};
use crate::{Executor, ExecutorEvent, Prepared, Progress, environment};
use collect::collect;
use command::Python;
use connection::Link;
use layout::{Layout, Site};
use model::attempt::{Launch, Outcome, Profile};
use model::input::Epoch;
use model::runner::{Ended, Spawn, ToRunner};
use model::{AttemptKey, Content, Exit, RunId, Time};
use stage::{Stage, Staged};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Threads that stage and collect. Hashing a large output must not hold up the others.
const WORKERS: usize = 4;
/// Outputs are as deep as a path can be long.
const STACK_BYTES: usize = 16 << 20;

/// Profile `strict` is not weakened: where it cannot be had, nothing is run.
pub(crate) const NO_STRICT: &str =
    "profile strict needs sandboxes, and this machine makes none; use --profile standard";

pub struct LocalSettings {
    pub home: PathBuf,
    /// The command line that starts a runner: our own binary and `__runner`, and what it needs to know the home. Its first
    /// word is also the program that tasks see as `towpath`.
    pub runner: Vec<OsString>,
    pub artifacts: artifacts::Store,
    pub images: Catalogue,
    /// How long what attempts wrote and nobody declared is kept; zero: not at all.
    pub keep: Duration,
}

/// Attempts on this machine. Dropping it hangs up; the runner keeps what runs.
pub struct Local {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    home: Home,
    store: artifacts::Store,
    images: Catalogue,
    program: PathBuf,
    runner: Vec<OsString>,
    python: Python,
    variables: variables::Kept,
    machine: Machine,
    state: Mutex<State>,
    events: Box<dyn Fn(ExecutorEvent) + Send + Sync>,
    /// `None`: nothing is kept.
    keeper: Option<keeper::Keeper>,
    jobs: Mutex<VecDeque<Job>>,
    job_is_there: Condvar,
}

#[derive(Default)]
struct State {
    link: Option<Link>,
    attempts: BTreeMap<AttemptKey, Attempt>,
    /// Outcomes of attempts that nobody has launched since this holder began.
    stashed: BTreeMap<AttemptKey, Ended>,
    /// Attempts that were acknowledged while the runner still ran them: at their ends there is nobody to ask.
    unwanted: BTreeMap<AttemptKey, Option<Arc<Launch>>>,
    /// Launches that came while there was no runner.
    unsent: Vec<(Launch, Epoch)>,
    /// Those of them that were killed meanwhile. Whether they run is known when there is a runner.
    unsent_kills: BTreeMap<AttemptKey, (u32, Exit)>,
    noticed: BTreeSet<(RunId, String)>,
    sandboxes: bool,
    turns: turns::Turns,
    stopping: bool,
}

struct Attempt {
    launch: Arc<Launch>,
    epoch: Epoch,
    at: Progressed,
    came: Instant,
    /// It has no place yet.
    waits: bool,
    /// It may have files of its own, which are removed when it is acknowledged.
    litter: bool,
}

/// How far an attempt is.
enum Progressed {
    /// There are no sandboxes, and another attempt has a path that it declares; or it has no place, and the runner cannot hold it.
    Held,
    Staging,
    Running,
    Collecting,
    Done(Box<Outcome>),
}

enum Job {
    Stage(AttemptKey),
    Collect(AttemptKey, Ended),
    /// Of an attempt that starts nothing.
    CollectAgain(AttemptKey),
    CleanUp(AttemptKey, Option<Arc<Launch>>),
    Stop,
}

impl Local {
    /// Starts the threads; the runner is started or found by one of them, which then tells `Connected`.
    ///
    /// # Errors
    /// The home cannot be used.
    pub fn start(settings: LocalSettings, events: Box<dyn Fn(ExecutorEvent) + Send + Sync>) -> io::Result<Self> {
        let home = Home::new(&settings.home);
        for dir in [home.attempts(), home.cache(), home.trash()] {
            crate::home::make_dir(&dir)?;
        }
        let program = settings.runner.first().map(PathBuf::from).unwrap_or_default();
        let program = program.canonicalize().unwrap_or(program);
        let keeper = (!settings.keep.is_zero()).then(|| keeper::Keeper::start(&home, settings.keep)).transpose()?;
        let inner = Arc::new(Inner {
            keeper,
            home,
            store: settings.artifacts,
            images: settings.images,
            program,
            runner: settings.runner,
            python: Python::default(),
            variables: variables::Kept::default(),
            machine: crate::machine::machine(),
            state: Mutex::default(),
            events,
            jobs: Mutex::default(),
            job_is_there: Condvar::new(),
        });
        for number in 0..WORKERS {
            let inner = Arc::clone(&inner);
            thread::Builder::new()
                .name(format!("executor-{number}"))
                .stack_size(STACK_BYTES)
                .spawn(move || inner.work())?;
        }
        let connecting = Arc::clone(&inner);
        thread::Builder::new().name("runner-link".into()).spawn(move || connection::keep_up(&connecting))?;
        Ok(Self { inner })
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        let mut state = self.inner.state();
        state.stopping = true;
        if let Some(link) = &state.link {
            link.hang_up();
        }
        (0..WORKERS).for_each(|_| self.inner.job(Job::Stop));
    }
}

impl Executor for Local {
    fn launch(&self, launch: Launch, epoch: &Epoch, waits: bool) {
        self.inner.launch(launch, epoch.clone(), waits);
    }

    fn start(&self, key: &AttemptKey) {
        self.inner.start(&mut self.inner.state(), key);
    }

    fn kill(&self, key: &AttemptKey, grace_s: u32, why: Exit) {
        if self.inner.gives_turn_up(key, &why) {
            return;
        }
        let mut state = self.inner.state();
        match &mut state.link {
            Some(link) => {
                link.send(&ToRunner::Kill { key: key.clone(), grace_s, reason: why });
                link.flush();
            }
            None => {
                if state.unsent.iter().any(|(launch, _)| launch.key == *key) {
                    state.unsent_kills.insert(key.clone(), (grace_s, why));
                }
            }
        }
    }

    fn acknowledge(&self, key: &AttemptKey) {
        let launch = {
            let mut state = self.inner.state();
            if state.acknowledge(key) {
                return;
            }
            let attempt = state.attempts.remove(key);
            if attempt.as_ref().is_some_and(|attempt| !attempt.litter) {
                drop(state);
                return self.inner.leaves_turn(key);
            }
            attempt.map(|attempt| attempt.launch)
        };
        self.inner.job(Job::CleanUp(key.clone(), launch));
    }

    fn disown(&self, key: &AttemptKey) {
        self.inner.disown(key);
    }

    fn flush(&self) {
        self.inner.state().flush();
    }

    fn prepare(&self, run: &RunId, requirements: &[String], done: Prepared, progress: Progress) {
        let (inner, run, requirements) = (Arc::clone(&self.inner), run.clone(), requirements.to_vec());
        // A thread of its own: it may take minutes, and the others have attempts to stage.
        thread::spawn(move || {
            // Without them those of this process, which is said with the run's first attempt.
            let variables = inner.variables.of(&inner.home, &run);
            let variables = variables.unwrap_or_else(|_| Arc::new(variables::own(Profile::Standard).variables));
            let (home, python) = (&inner.home, &inner.python);
            let workshop = Workshop { home, python, variables: &variables, tell: &*progress };
            done(workshop.prepare(&run, &requirements));
        });
    }
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        // A thread that panicked left the maps whole: each change is one call.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn job(&self, job: Job) {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner).push_back(job);
        self.job_is_there.notify_one();
    }

    fn next_job(&self) -> Job {
        let mut jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(job) = jobs.pop_front() {
                return job;
            }
            jobs = self.job_is_there.wait(jobs).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn work(&self) {
        loop {
            match self.next_job() {
                Job::Stage(key) => {
                    self.stage(&key);
                    self.state().flush();
                }
                Job::Collect(key, ended) => self.collect(&key, ended),
                Job::CollectAgain(key) => self.collect_again(&key),
                Job::CleanUp(key, launch) => self.clean_up(&key, launch.as_deref()),
                Job::Stop => return,
            }
        }
    }

    fn site(&self, sandboxes: bool) -> Site {
        Site { home: self.home.clone(), store: self.store.clone(), program: self.program.clone(), sandboxes }
    }

    fn launch(&self, launch: Launch, epoch: Epoch, waits: bool) {
        let key = launch.key.clone();
        let mut state = self.state();
        if state.attempts.contains_key(&key) {
            // A repeated launch: what is known is told again, and what waited has a place by now.
            if !waits {
                self.start(&mut state, &key);
            }
            let at = state.attempts.get(&key).map(|attempt| &attempt.at);
            if let Some(Progressed::Done(outcome)) = at {
                let outcome = (**outcome).clone();
                drop(state);
                (self.events)(ExecutorEvent::Ended { key, outcome });
            }
            return;
        }
        if launch.collects.is_some() {
            // It needs neither a runner nor its place, and may as well be done at once.
            let at = Progressed::Collecting;
            let came = Instant::now();
            let attempt = Attempt { launch: Arc::new(launch), epoch, at, came, waits: false, litter: false };
            state.attempts.insert(key.clone(), attempt);
            return self.job(Job::CollectAgain(key));
        }
        let Some(link) = &state.link else {
            if waits {
                // Whoever gets `Connected` launches it again.
                return;
            }
            state.unsent.push((launch, epoch));
            return;
        };
        let known = link.knows(&key) || state.stashed.contains_key(&key);
        if !known && *link.epoch() != epoch {
            drop(state);
            self.lost(key);
            return;
        }
        let epoch = link.epoch().clone();
        let at = self.takes_turn(&mut state, &launch, known, waits);
        let held = matches!(at, Progressed::Held);
        let quick = self.is_quick(&launch);
        let came = Instant::now();
        let attempt = Attempt { launch: Arc::new(launch), epoch, at, came, waits, litter: true };
        state.attempts.insert(key.clone(), attempt);
        if held {
            return;
        }
        if !known && quick {
            drop(state);
            self.stage(&key);
        } else if !known {
            self.job(Job::Stage(key));
        } else if let Some(ended) = state.stashed.remove(&key) {
            drop(state);
            self.ended(key, ended);
        }
    }

    /// Whether staging writes and hashes nothing, so that another thread would cost more than the work.
    fn is_quick(&self, launch: &Launch) -> bool {
        launch.inputs.is_empty()
            && launch.mounts.is_empty()
            && launch.python_requirements.is_empty()
            && launch.script.is_none()
            && !self.images.is_python(&launch.image)
            && launch.source.is_none_or(|tree| !self.store.suspects(&Content::Tree(tree)))
    }

    fn lost(&self, key: AttemptKey) {
        let why = "the runner that had it is gone, and everything it ran with it";
        let outcome = Outcome::bare(Exit::Lost(why.into()), wall());
        (self.events)(ExecutorEvent::Ended { key, outcome });
    }

    fn stage(&self, key: &AttemptKey) {
        let (launch, epoch, sandboxes, unheeded) = {
            let state = self.state();
            let Some(attempt) = state.attempts.get(key) else { return };
            let (launch, epoch) = (Arc::clone(&attempt.launch), attempt.epoch.clone());
            let heeds = !state.sandboxes && launch.profile == Profile::Standard;
            (launch, epoch, state.sandboxes, heeds.then(|| state.turns.unheeded()).flatten())
        };
        let site = self.site(sandboxes);
        match self.staged(&site, &launch) {
            Ok(Staged { spawn, litter, mut notices }) => {
                notices.extend(turns::weakened(launch.profile, sandboxes).into_iter().chain(unheeded));
                self.notice(key, &notices);
                self.send(key, &epoch, spawn, litter);
            }
            Err(why) => {
                let now = wall();
                let mut log = artifacts::log::Writer::create(&site.home.log(key), 1 << 20).ok();
                if let Some(log) = &mut log {
                    why.lines().for_each(|line| log.line(now, artifacts::log::Stream::Err, line.as_bytes()));
                    log.flush(now);
                }
                self.done(key.clone(), Outcome::bare(Exit::NotStarted(why), now));
            }
        }
    }

    fn staged(&self, site: &Site, launch: &Launch) -> Result<Staged, String> {
        let (variables, notice) = self.variables(launch);
        let environment = self.environment(launch, &variables)?;
        let (images, python, machine) = (&self.images, &self.python, &self.machine);
        let stage = Stage { site, images, python, machine, environment, variables };
        let mut staged = stage.stage(launch)?;
        staged.notices.extend(notice);
        Ok(staged)
    }

    /// The environment of the command that started or resumed the run; without it, this process's own, which is said.
    fn variables(&self, launch: &Launch) -> (Arc<Variables>, Option<String>) {
        match self.variables.of(&self.home, &launch.key.run) {
            Ok(variables) => (variables, None),
            Err(error) => {
                let why =
                    "tasks get the environment of the process that holds the home: that of the command is not kept";
                (Arc::new(variables::own(launch.profile).variables), Some(format!("{why} ({error})")))
            }
        }
    }

    /// The directory of the launch's Python environment, built if `prepare` was not called before.
    fn environment(&self, launch: &Launch, variables: &Variables) -> Result<Option<PathBuf>, String> {
        if launch.python_requirements.is_empty() {
            return Ok(None);
        }
        let workshop = Workshop { home: &self.home, python: &self.python, variables, tell: &|_| {} };
        workshop.ensure(&launch.python_requirements).map(Some)
    }

    fn send(&self, key: &AttemptKey, epoch: &Epoch, mut spawn: Spawn, litter: bool) {
        let mut state = self.state();
        let Some(attempt) = state.attempts.get_mut(key) else { return };
        if !matches!(attempt.at, Progressed::Staging) {
            // Given up meanwhile.
            return;
        }
        attempt.at = Progressed::Running;
        attempt.litter = litter;
        spawn.waits = attempt.waits;
        // It may have waited for its turn.
        spawn.timeout_s = spawn.timeout_s.map(|s| s - attempt.came.elapsed().as_secs() as i64);
        match &mut state.link {
            Some(link) if link.epoch() == epoch => link.send(&ToRunner::Spawn(Box::new(spawn))),
            // Lost with the runner; told when the next one is there.
            _ => {}
        }
    }

    fn notice(&self, key: &AttemptKey, notices: &[String]) {
        for text in notices {
            let new = self.state().noticed.insert((key.run.clone(), text.clone()));
            if new {
                (self.events)(ExecutorEvent::Notice { key: key.clone(), text: text.clone() });
            }
        }
    }

    /// The runner has started one that waited in the place of one that ended.
    fn passed(&self, from: &AttemptKey, to: AttemptKey) {
        if let Some(attempt) = self.state().attempts.get_mut(&to) {
            attempt.waits = false;
        }
        (self.events)(ExecutorEvent::Passed { from: from.clone(), to });
    }

    /// The runner says that an attempt ended.
    fn ended(&self, key: AttemptKey, ended: Ended) {
        let mut state = self.state();
        if let Some(launch) = state.unwanted.remove(&key) {
            state.acknowledge(&key);
            state.flush();
            drop(state);
            return self.job(Job::CleanUp(key, launch));
        }
        match state.attempts.get_mut(&key) {
            None => {
                state.turns.stranger_ended(&key);
                state.stashed.insert(key, ended);
            }
            Some(attempt) => match &attempt.at {
                Progressed::Held | Progressed::Collecting | Progressed::Done(_) => {}
                Progressed::Staging | Progressed::Running => {
                    attempt.at = Progressed::Collecting;
                    attempt.litter |= ended.kept;
                    let wanted = &attempt.launch.outputs;
                    if wanted.parameters.is_empty() && wanted.artifacts.is_empty() && !ended.kept {
                        // Nothing to look at, to hash or to move: not worth another thread.
                        drop(state);
                        self.collect(&key, ended);
                    } else {
                        self.job(Job::Collect(key, ended));
                    }
                }
            },
        }
    }

    fn collect(&self, key: &AttemptKey, ended: Ended) {
        let (launch, sandboxes) = {
            let state = self.state();
            let Some(attempt) = state.attempts.get(key) else { return };
            (Arc::clone(&attempt.launch), state.sandboxes)
        };
        let site = self.site(sandboxes);
        let layout = self.layout(&site, &launch);
        let outcome = collect(&site, &launch, &layout, ended);
        if let Some(written) = &outcome.written
            && self.keeper.as_ref().is_some_and(|keeper| keeper.keep(&self.home, key, written.bytes))
            && let Some(attempt) = self.state().attempts.get_mut(key)
        {
            attempt.litter = launch.outputs.result;
        }
        self.done(key.clone(), outcome);
    }

    /// Collects what an earlier attempt wrote. It needs no runner, and a holder that dies meanwhile does it again.
    fn collect_again(&self, key: &AttemptKey) {
        let launch = {
            let state = self.state();
            let Some(attempt) = state.attempts.get(key) else { return };
            Arc::clone(&attempt.launch)
        };
        let from = AttemptKey { n: launch.collects.unwrap_or_default(), ..key.clone() };
        let outcome = collect::collect_again(&self.site(true), &launch, &from, wall());
        self.done(key.clone(), outcome);
    }

    fn layout(&self, site: &Site, launch: &Launch) -> Layout {
        let environment = (!launch.python_requirements.is_empty())
            .then(|| environment::directory(&self.home, &self.python, &launch.python_requirements).ok())
            .flatten();
        site.layout(launch, environment.as_deref())
    }

    fn done(&self, key: AttemptKey, outcome: Outcome) {
        {
            let mut state = self.state();
            let Some(attempt) = state.attempts.get_mut(&key) else { return };
            if matches!(attempt.at, Progressed::Done(_)) {
                return;
            }
            attempt.at = Progressed::Done(Box::new(outcome.clone()));
        }
        (self.events)(ExecutorEvent::Ended { key, outcome });
    }

    fn clean_up(&self, key: &AttemptKey, launch: Option<&Launch>) {
        let site = self.site(self.state().sandboxes);
        if let Some(launch) = launch.filter(|launch| !site.sandboxed(launch)) {
            stage::take_links_away(&self.layout(&site, launch));
        }
        let _ = std::fs::remove_file(site.stdout(key));
        scratch::remove(&site.scratch(key));
        self.leaves_turn(key);
    }
}

impl Attempt {
    fn is_over(&self) -> bool {
        matches!(self.at, Progressed::Collecting | Progressed::Done(_))
    }
}

impl State {
    fn start(&mut self, key: &AttemptKey) {
        let Some(attempt) = self.attempts.get_mut(key).filter(|attempt| attempt.waits) else { return };
        attempt.waits = false;
        if let (Progressed::Running, Some(link)) = (&attempt.at, &mut self.link) {
            link.send(&ToRunner::Start { key: key.clone() });
        }
    }

    /// Tells the runner. True if the attempt still runs there: that is told again at its end.
    fn acknowledge(&mut self, key: &AttemptKey) -> bool {
        let stashed = self.stashed.remove(key).is_some();
        let Some(link) = &mut self.link else { return false };
        let runs = match self.attempts.get(key) {
            Some(attempt) => matches!(attempt.at, Progressed::Running),
            None => !stashed && link.knows(key),
        };
        link.send(&ToRunner::Acknowledge { key: key.clone() });
        if runs {
            let launch = self.attempts.remove(key).map(|attempt| attempt.launch);
            self.unwanted.insert(key.clone(), launch);
        }
        runs
    }

    fn flush(&mut self) {
        if let Some(link) = &mut self.link {
            link.flush();
        }
    }
}

fn wall() -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Time(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}
