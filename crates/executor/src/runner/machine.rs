//! The runner's protocol as a machine: what it answers, starts, kills and keeps (DESIGN §5).
//! It must never do I/O, read a clock or depend on the order of a hash map: the simulator drives this very code.

use model::input::Epoch;
use model::planted::{self, Bug};
use model::runner::{Ended, FromRunner, RUNNER_PROTOCOL, RUNNER_PROTOCOL_MIN, Spawn, ToRunner};
use model::{AttemptKey, Exit, Time, Usage};
use std::collections::{BTreeMap, VecDeque};

/// What the world tells the machine.
#[derive(Clone, Debug)]
pub enum Input {
    Frame(ToRunner),
    HolderConnected,
    HolderLost,
    /// The attempt ended (or could not be started), as the shell saw it; the machine adds why it was killed.
    Exited {
        key: AttemptKey,
        end: Ended,
    },
    /// Time has passed.
    Tick,
}

/// When it is told. `clock_us` does not advance while the machine sleeps; `at` is wall-clock time and is only written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    pub at: Time,
    pub clock_us: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    Term,
    Kill,
}

/// What the machine wants done, in this order.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    Send(FromRunner),
    /// The other side speaks another protocol: hang up after what was sent.
    HangUp,
    StartProcess(Box<Spawn>),
    Signal(AttemptKey, Signal),
    /// Write it to disk and sync it.
    PersistOutcome(AttemptKey, Ended),
    ForgetOutcome(AttemptKey),
    ExitRunner,
}

#[derive(Clone, Debug)]
enum Attempt {
    /// Sent before it had a place. `timeout_us`: when its `timeout` is over.
    Waiting {
        spawn: Box<Spawn>,
        timeout_us: Option<i64>,
    },
    Running {
        grace_s: u32,
        deadline_us: Option<i64>,
        kill: Option<Kill>,
    },
    Ended {
        end: Ended,
        persisted: bool,
    },
}

#[derive(Clone, Debug)]
struct Kill {
    reason: Exit,
    hard_at_us: i64,
    hard_sent: bool,
}

/// What a runner says of itself.
#[derive(Clone, Debug)]
pub struct Identity {
    pub epoch: Epoch,
    pub build: String,
    pub notices: Vec<String>,
    /// Whether this machine lets it make sandboxes.
    pub sandboxes: bool,
}

/// The machine. Two of them that get the same inputs give the same outputs.
#[derive(Clone, Debug)]
pub struct Machine {
    epoch: Epoch,
    build: String,
    notices: Vec<String>,
    sandboxes: bool,
    connected: bool,
    greeted: bool,
    attempts: BTreeMap<AttemptKey, Attempt>,
    /// Those that wait, as they came.
    waiting: VecDeque<AttemptKey>,
    /// Kills that came before their launch. They last as long as the holder: its launches die with it.
    tombstones: BTreeMap<AttemptKey, Exit>,
}

impl Machine {
    /// `persisted`: outcomes that an earlier runner of this home left behind.
    pub fn new(who: Identity, persisted: Vec<(AttemptKey, Ended)>) -> Self {
        let Identity { epoch, build, notices, sandboxes } = who;
        let kept = |(key, end)| (key, Attempt::Ended { end, persisted: true });
        Self {
            epoch,
            build,
            notices,
            sandboxes,
            connected: false,
            greeted: false,
            attempts: persisted.into_iter().map(kept).collect(),
            waiting: VecDeque::new(),
            tombstones: BTreeMap::new(),
        }
    }

    /// Takes one input; what follows from it is appended to `out`.
    pub fn step(&mut self, now: Now, input: Input, out: &mut Vec<Output>) {
        match input {
            Input::HolderConnected => (self.connected, self.greeted) = (true, false),
            Input::HolderLost => self.holder_lost(out),
            Input::Frame(frame) if self.connected => self.frame(now, frame, out),
            // What was still on its way from a holder that is gone.
            Input::Frame(_) => {}
            Input::Exited { key, end } => self.exited(now, key, end, out),
            Input::Tick => self.tick(now, out),
        }
    }

    /// When (`clock_us`) the next `Tick` is due, if any.
    pub fn next_tick_us(&self) -> Option<i64> {
        self.attempts.values().filter_map(Attempt::next_us).min()
    }

    /// Attempts whose process runs.
    pub fn running(&self) -> impl Iterator<Item = &AttemptKey> {
        self.attempts.iter().filter(|(_, a)| matches!(a, Attempt::Running { .. })).map(|(key, _)| key)
    }

    /// How many attempts wait for a place.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Every attempt that runs or whose outcome is not acknowledged.
    pub fn known(&self) -> impl Iterator<Item = &AttemptKey> {
        self.attempts.keys()
    }

    pub fn epoch(&self) -> &Epoch {
        &self.epoch
    }

    fn frame(&mut self, now: Now, frame: ToRunner, out: &mut Vec<Output>) {
        match frame {
            ToRunner::Hello { protocol, .. } => self.hello(protocol, out),
            // A holder that does not greet is none.
            _ if !self.greeted => out.push(Output::HangUp),
            ToRunner::Spawn(spawn) => self.spawn(now, spawn, out),
            ToRunner::Start { key } => self.start(now, &key, out),
            ToRunner::Kill { key, grace_s, reason } => self.kill(now, key, grace_s, reason, out),
            ToRunner::Acknowledge { key } => self.acknowledge(key, out),
        }
    }

    fn hello(&mut self, protocol: u32, out: &mut Vec<Output>) {
        self.greeted = protocol >= RUNNER_PROTOCOL_MIN;
        out.push(Output::Send(FromRunner::Hello {
            protocol: if self.greeted { protocol.min(RUNNER_PROTOCOL) } else { RUNNER_PROTOCOL },
            build: self.build.clone(),
            epoch: self.epoch.clone(),
            known: self.attempts.keys().cloned().collect(),
            notices: self.notices.clone(),
            sandboxes: self.sandboxes,
        }));
        if !self.greeted {
            out.push(Output::HangUp);
            return;
        }
        for (key, attempt) in &self.attempts {
            if let Attempt::Ended { end, .. } = attempt {
                out.push(Output::Send(FromRunner::Ended { key: key.clone(), end: end.clone(), next: None }));
            }
        }
    }

    fn spawn(&mut self, now: Now, spawn: Box<Spawn>, out: &mut Vec<Output>) {
        let key = spawn.key.clone();
        if let Some(reason) = self.tombstones.remove(&key) {
            return self.never_started(now, key, reason, out);
        }
        match self.attempts.get(&key) {
            Some(_) if planted::is(Bug::DoubleSpawn) => {}
            Some(Attempt::Waiting { .. } | Attempt::Running { .. }) => return,
            Some(Attempt::Ended { end, .. }) => {
                out.push(Output::Send(FromRunner::Ended { key, end: end.clone(), next: None }));
                return;
            }
            None => {}
        }
        let timeout_us = spawn.timeout_s.map(|s| now.in_seconds(s));
        if spawn.waits {
            self.waiting.push_back(key.clone());
            self.attempts.insert(key, Attempt::Waiting { spawn, timeout_us });
        } else {
            self.run(now, spawn, timeout_us, out);
        }
    }

    fn run(&mut self, now: Now, spawn: Box<Spawn>, timeout_us: Option<i64>, out: &mut Vec<Output>) {
        let deadline_us = spawn.deadline_s.map(|s| now.in_seconds(s)).into_iter().chain(timeout_us).min();
        let running = Attempt::Running { grace_s: spawn.grace_s, deadline_us, kill: None };
        self.attempts.insert(spawn.key.clone(), running);
        out.push(Output::StartProcess(spawn));
    }

    /// Somebody's place is this one's now.
    fn start(&mut self, now: Now, key: &AttemptKey, out: &mut Vec<Output>) {
        let Some(at) = self.waiting.iter().position(|other| other == key) else { return };
        self.waiting.remove(at);
        if let Some(Attempt::Waiting { spawn, timeout_us }) = self.attempts.remove(key) {
            self.run(now, spawn, timeout_us, out);
        }
    }

    fn never_started(&mut self, now: Now, key: AttemptKey, reason: Exit, out: &mut Vec<Output>) {
        let end = Ended { exit: reason, started_at: None, ended_at: now.at, usage: Usage::default(), kept: false };
        self.attempts.insert(key.clone(), Attempt::Ended { end: end.clone(), persisted: false });
        out.push(Output::Send(FromRunner::Ended { key, end, next: None }));
    }

    fn kill(&mut self, now: Now, key: AttemptKey, grace_s: u32, reason: Exit, out: &mut Vec<Output>) {
        match self.attempts.get_mut(&key) {
            Some(Attempt::Running { kill, .. }) => begin_kill(now, &key, kill, grace_s, reason, out),
            Some(Attempt::Waiting { .. }) => {
                self.waiting.retain(|other| *other != key);
                self.never_started(now, key, reason, out);
            }
            Some(Attempt::Ended { .. }) => {}
            None => {
                self.tombstones.insert(key, reason);
            }
        }
    }

    fn acknowledge(&mut self, key: AttemptKey, out: &mut Vec<Output>) {
        self.tombstones.remove(&key);
        if let Some(Attempt::Ended { persisted, .. }) = self.attempts.get(&key) {
            if *persisted {
                out.push(Output::ForgetOutcome(key.clone()));
            }
            self.attempts.remove(&key);
        }
    }

    fn exited(&mut self, now: Now, key: AttemptKey, mut end: Ended, out: &mut Vec<Output>) {
        let Some(Attempt::Running { kill, .. }) = self.attempts.get_mut(&key) else { return };
        if let Some(kill) = kill.take() {
            end.exit = kill.reason;
        }
        let persisted = !self.connected;
        let next = self.waiting.iter().find(|next| next.run == key.run).cloned();
        if persisted {
            out.push(Output::PersistOutcome(key.clone(), end.clone()));
        } else if self.greeted {
            out.push(Output::Send(FromRunner::Ended { key: key.clone(), end: end.clone(), next: next.clone() }));
        }
        self.attempts.insert(key, Attempt::Ended { end, persisted });
        if let Some(next) = next {
            self.start(now, &next, out);
        }
        self.leave_if_done(out);
    }

    fn holder_lost(&mut self, out: &mut Vec<Output>) {
        (self.connected, self.greeted) = (false, false);
        self.tombstones.clear();
        for key in std::mem::take(&mut self.waiting) {
            self.attempts.remove(&key);
        }
        for (key, attempt) in &mut self.attempts {
            if let Attempt::Ended { end, persisted } = attempt
                && !*persisted
            {
                *persisted = true;
                out.push(Output::PersistOutcome(key.clone(), end.clone()));
            }
        }
        self.leave_if_done(out);
    }

    fn leave_if_done(&self, out: &mut Vec<Output>) {
        if !self.connected && self.running().next().is_none() {
            out.push(Output::ExitRunner);
        }
    }

    fn tick(&mut self, now: Now, out: &mut Vec<Output>) {
        for (key, attempt) in &mut self.attempts {
            let Attempt::Running { grace_s, deadline_us, kill } = attempt else { continue };
            if deadline_us.is_some_and(|due| due <= now.clock_us) {
                *deadline_us = None;
                begin_kill(now, key, kill, *grace_s, Exit::Deadline, out);
            }
            if let Some(kill) = kill
                && !kill.hard_sent
                && kill.hard_at_us <= now.clock_us
            {
                kill.hard_sent = true;
                out.push(Output::Signal(key.clone(), Signal::Kill));
            }
        }
        let is_over = |key: &&AttemptKey| {
            let due = self.attempts.get(key).and_then(Attempt::timeout_us);
            due.is_some_and(|due| due <= now.clock_us)
        };
        let over: Vec<AttemptKey> = self.waiting.iter().filter(is_over).cloned().collect();
        self.waiting.retain(|key| !over.contains(key));
        for key in over {
            self.never_started(now, key, Exit::Deadline, out);
        }
    }
}

impl Now {
    fn in_seconds(self, seconds: i64) -> i64 {
        self.clock_us.saturating_add(seconds.max(0).saturating_mul(Time::SECOND_US))
    }
}

impl Attempt {
    fn timeout_us(&self) -> Option<i64> {
        if let Self::Waiting { timeout_us, .. } = self { *timeout_us } else { None }
    }

    fn next_us(&self) -> Option<i64> {
        let Self::Running { deadline_us, kill, .. } = self else { return self.timeout_us() };
        let hard = kill.as_ref().filter(|kill| !kill.hard_sent).map(|kill| kill.hard_at_us);
        deadline_us.iter().copied().chain(hard).min()
    }
}

/// The first reason stands; a later kill can only shorten the grace time.
fn begin_kill(now: Now, key: &AttemptKey, kill: &mut Option<Kill>, grace_s: u32, reason: Exit, out: &mut Vec<Output>) {
    let hard_at_us = now.clock_us.saturating_add(i64::from(grace_s) * Time::SECOND_US);
    match kill {
        None => {
            out.push(Output::Signal(key.clone(), if grace_s == 0 { Signal::Kill } else { Signal::Term }));
            *kill = Some(Kill { reason, hard_at_us, hard_sent: grace_s == 0 });
        }
        Some(kill) if !kill.hard_sent && hard_at_us < kill.hard_at_us => {
            kill.hard_at_us = hard_at_us;
            if grace_s == 0 {
                kill.hard_sent = true;
                out.push(Output::Signal(key.clone(), Signal::Kill));
            }
        }
        Some(_) => {}
    }
}

#[cfg(test)]
#[path = "machine_tests.rs"]
mod tests;
