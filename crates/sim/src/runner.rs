//! The runner's process: the real machine, and around it what its shell does with signals, files and processes.
//! It must never hold a rule of the protocol.

use crate::happening::{Happening, LinkId, Side};
use crate::options::{MS, SECOND};
use crate::task::{self, Process};
use crate::world::World;
use executor::runner::machine::{Identity, Input, Machine, Now, Output, Signal};
use model::input::Epoch;
use model::runner::{Ended, FromRunner, Spawn, ToRunner};
use model::{AttemptKey, Exit, Time, Usage};
use std::collections::BTreeMap;

pub(crate) struct Runner {
    pub number: u64,
    pub epoch: Epoch,
    machine: Machine,
    born_us: i64,
    pub link: Option<LinkId>,
    pub processes: BTreeMap<AttemptKey, Process>,
    tick_at: Option<i64>,
}

impl World {
    pub(crate) fn start_runner(&mut self) {
        let number = self.next_number();
        let epoch = Epoch(format!("epoch-{number}"));
        // The sweep of what escaped an earlier runner comes before anything else.
        self.lingering.clear();
        let identity = Identity { epoch: epoch.clone(), build: "sim".into(), notices: Vec::new(), sandboxes: true };
        let persisted = self.disk.outcomes.iter().map(|(key, end)| (key.clone(), end.clone())).collect();
        self.tell(|| format!("runner {number} starts"));
        self.runner = Some(Runner {
            number,
            epoch,
            machine: Machine::new(identity, persisted),
            born_us: self.clock,
            link: None,
            processes: BTreeMap::new(),
            tick_at: None,
        });
    }

    /// The runner dies: its processes with it, at once or when the next runner sweeps.
    pub(crate) fn crash_runner(&mut self, why: &str) {
        let Some(runner) = self.runner.take() else { return };
        self.tell(|| format!("runner {} dies: {why}", runner.number));
        if self.rng.flip() {
            self.lingering.extend(runner.processes.into_keys());
        }
        if let Some(link) = runner.link {
            self.break_link(link, Side::Holder);
        }
    }

    /// A connection ends: what was on its way may still arrive until each side sees it.
    pub(crate) fn break_link(&mut self, link: LinkId, seen_by: Side) {
        if self.live_link == Some(link) {
            self.live_link = None;
        }
        let at = self.clock + self.rng.skewed(10, 300 * MS);
        self.queue.at(at, Happening::LinkBroken(link, seen_by));
    }

    pub(crate) fn runner_sees_break(&mut self, link: LinkId) {
        if self.runner.as_ref().is_some_and(|runner| runner.link == Some(link)) {
            self.tell(|| "runner: the holder is gone".to_string());
            if let Some(runner) = &mut self.runner {
                runner.link = None;
            }
            self.step_runner(Input::HolderLost);
        }
    }

    /// A holder connects, by a link of this number. An older connection is a dead one's.
    pub(crate) fn connect_runner(&mut self, link: LinkId) {
        let old = self.runner.as_mut().and_then(|runner| runner.link.take());
        if let Some(old) = old {
            self.step_runner(Input::HolderLost);
            if self.live_link == Some(old) {
                self.live_link = None;
            }
        }
        if self.runner.is_none() {
            self.start_runner();
        }
        if let Some(runner) = &mut self.runner {
            runner.link = Some(link);
        }
        self.live_link = Some(link);
        self.step_runner(Input::HolderConnected);
    }

    pub(crate) fn runner_receives(&mut self, link: LinkId, frame: ToRunner) {
        if self.runner.as_ref().is_some_and(|runner| runner.link == Some(link)) {
            self.tell(|| format!("runner <- {}", to_runner(&frame)));
            self.step_runner(Input::Frame(frame));
        }
    }

    pub(crate) fn tick_runner(&mut self, number: u64) {
        let Some(runner) = self.runner.as_mut().filter(|runner| runner.number == number) else { return };
        runner.tick_at = None;
        self.step_runner(Input::Tick);
    }

    fn step_runner(&mut self, input: Input) {
        let mut inputs = std::collections::VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            let Some(runner) = &mut self.runner else { return };
            let now = Now { at: Time(self.clock + self.wall_offset), clock_us: self.clock - runner.born_us };
            let mut outputs = Vec::new();
            runner.machine.step(now, input, &mut outputs);
            for output in outputs {
                inputs.extend(self.perform(output));
            }
        }
        self.plan_tick();
    }

    fn plan_tick(&mut self) {
        let Some(runner) = &mut self.runner else { return };
        let Some(due) = runner.machine.next_tick_us().map(|due| (runner.born_us + due).max(self.clock)) else { return };
        if runner.tick_at.is_none_or(|at| at > due) {
            runner.tick_at = Some(due);
            self.queue.at(due, Happening::RunnerTick(runner.number));
        }
    }

    fn perform(&mut self, output: Output) -> Option<Input> {
        match output {
            Output::Send(frame) => self.send_to_holder(frame),
            Output::HangUp => {
                let link = self.runner.as_mut().and_then(|runner| runner.link.take());
                if let Some(link) = link {
                    self.break_link(link, Side::Holder);
                }
                return Some(Input::HolderLost);
            }
            Output::StartProcess(spawn) => return self.start_process(*spawn),
            Output::Signal(key, signal) => self.signal(&key, signal),
            Output::PersistOutcome(key, end) => {
                self.disk.outcomes.insert(key, end);
            }
            Output::ForgetOutcome(key) => {
                self.disk.outcomes.remove(&key);
            }
            Output::ExitRunner => {
                // A holder that connects at this very moment sees the end of the connection.
                self.tell(|| "runner leaves".to_string());
                self.runner = None;
            }
        }
        None
    }

    fn send_to_holder(&mut self, frame: FromRunner) {
        let Some(link) = self.runner.as_ref().and_then(|runner| runner.link) else { return };
        if self.live_link != Some(link) {
            return;
        }
        let delay = self.rng.skewed(self.options.link_us.0, self.options.link_us.1);
        let at = (self.clock + delay).max(self.last_to_holder);
        self.last_to_holder = at;
        self.queue.at(at, Happening::ToHolder(link, Box::new(frame)));
    }

    fn start_process(&mut self, spawn: Spawn) -> Option<Input> {
        let key = spawn.key;
        let plan = self.plan_of(&key.run);
        // The template travels in `argv`.
        let template = spawn.argv.first().map(String::as_str).unwrap_or_default();
        let script = task::script(self.seed, &self.options, plan, template, &key);
        self.watch_start(&key, script.dynamic);
        let at = Time(self.clock + self.wall_offset);
        if let Exit::NotStarted(_) = &script.exit {
            return Some(Input::Exited { key, end: self.end_of(script.exit.clone(), at, None) });
        }
        self.tell(|| format!("process {key} starts: {:?}", script.exit));
        let mut process = Process::new(script, at);
        let calls = process.next_calls();
        let runner = self.runner.as_mut()?;
        if calls.is_empty() {
            if !process.script.hangs || self.calm {
                let exit = process.script.exit.clone();
                let ends = Happening::TaskEnds(runner.number, key.clone(), 0, exit);
                self.queue.at(self.clock + process.script.work_us, ends);
            }
        } else {
            self.plan_calls(&key, &calls);
        }
        let runner = self.runner.as_mut()?;
        runner.processes.insert(key, process);
        self.watch_places();
        None
    }

    pub(crate) fn plan_calls(&mut self, key: &AttemptKey, calls: &[usize]) {
        for index in calls {
            let at = self.clock + self.rng.skewed(MS, SECOND);
            self.queue.at(at, Happening::Call { key: key.clone(), index: *index });
        }
    }

    fn end_of(&self, exit: Exit, ended_at: Time, started_at: Option<Time>) -> Ended {
        Ended { exit, started_at, ended_at, usage: Usage::default(), kept: false }
    }

    fn signal(&mut self, key: &AttemptKey, signal: Signal) {
        let dying = Process::dying_us(&mut self.rng);
        let Some(runner) = &mut self.runner else { return };
        let Some(process) = runner.processes.get_mut(key) else { return };
        let exit = match signal {
            Signal::Term if process.script.ignores_term => return,
            Signal::Term => Exit::Signalled(15),
            Signal::Kill => Exit::Signalled(9),
        };
        process.version += 1;
        let ends = Happening::TaskEnds(runner.number, key.clone(), process.version, exit);
        self.queue.at(self.clock + dying, ends);
    }

    /// A process is gone.
    pub(crate) fn task_ends(&mut self, number: u64, key: AttemptKey, version: u32, exit: Exit) {
        let Some(runner) = self.runner.as_mut().filter(|runner| runner.number == number) else { return };
        if runner.processes.get(&key).is_none_or(|process| process.version != version) {
            return;
        }
        let Some(process) = runner.processes.remove(&key) else { return };
        self.tell(|| format!("process {key} ends: {exit:?}"));
        let end = self.end_of(exit, Time(self.clock + self.wall_offset), Some(process.started_at));
        self.step_runner(Input::Exited { key, end });
    }

    /// Ends what would hang for ever: the faults are over.
    pub(crate) fn end_hanging(&mut self) {
        let Some(runner) = &mut self.runner else { return };
        for (key, process) in &mut runner.processes {
            if process.script.hangs && !process.is_waiting() {
                process.version += 1;
                let exit = process.script.exit.clone();
                let ends = Happening::TaskEnds(runner.number, key.clone(), process.version, exit);
                self.queue.at(self.clock + process.script.work_us, ends);
            }
        }
    }

    /// Kills a process behind the runner's back.
    pub(crate) fn stray_kill(&mut self) {
        let Some(runner) = &mut self.runner else { return };
        let keys: Vec<AttemptKey> = runner.processes.keys().cloned().collect();
        if keys.is_empty() {
            return;
        }
        let key = self.rng.pick(&keys).clone();
        let (number, version) = (runner.number, runner.processes.get(&key).map_or(0, |process| process.version));
        self.tell(|| format!("stray SIGKILL for {key}"));
        self.task_ends(number, key, version, Exit::Signalled(9));
    }

    /// A call of this process returned.
    pub(crate) fn call_returned(&mut self, key: &AttemptKey, index: usize) {
        let Some(runner) = &mut self.runner else { return };
        let Some(process) = runner.processes.get_mut(key) else { return };
        if !process.issued.contains(&index) || !process.returned.insert(index) {
            return;
        }
        if process.is_waiting() {
            let calls = process.next_calls();
            self.plan_calls(key, &calls);
        } else {
            let exit = process.script.exit.clone();
            let ends = Happening::TaskEnds(runner.number, key.clone(), process.version, exit);
            self.queue.at(self.clock + process.script.work_us, ends);
        }
    }

    /// A call was refused: user code that does not catch it fails.
    pub(crate) fn call_refused(&mut self, key: &AttemptKey) {
        let Some(runner) = &mut self.runner else { return };
        let Some(process) = runner.processes.get_mut(key) else { return };
        process.version += 1;
        let ends = Happening::TaskEnds(runner.number, key.clone(), process.version, Exit::Exited(7));
        self.queue.at(self.clock + 10, ends);
    }

    pub(crate) fn machine_knows(&self) -> Vec<AttemptKey> {
        self.runner.as_ref().map_or(Vec::new(), |runner| runner.machine.known().cloned().collect())
    }
}

pub(crate) fn to_runner(frame: &ToRunner) -> String {
    match frame {
        ToRunner::Hello { .. } => "hello".into(),
        ToRunner::Start { key } => format!("start {key}"),
        ToRunner::Spawn(spawn) => format!("spawn {}", spawn.key),
        ToRunner::Kill { key, grace_s, reason } => format!("kill {key} after {grace_s} s: {reason:?}"),
        ToRunner::Acknowledge { key } => format!("acknowledge {key}"),
    }
}
