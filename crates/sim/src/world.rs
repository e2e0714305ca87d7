//! The world of one seed: virtual time, the processes, the disk, the faults, the clients; first unsafe, then calm.
//! It must never read a clock, and never let anything but the seed decide.

use crate::checker::{self, Start, Violation};
use crate::clients::Client;
use crate::disk::Disk;
use crate::happening::{Ask, Fault, Happening, Life, LinkId, Queue, Side, Trace};
use crate::holder::{Holder, is_over};
use crate::options::{MS, Options, SECOND};
use crate::plans;
use crate::rng::Rng;
use crate::runner::Runner;
use model::attempt::Profile;
use model::record::RunRecord;
use model::{AttemptKey, Event, Exit, RunId, Time};
use std::collections::BTreeSet;

/// When the world begins.
const EPOCH_US: i64 = 1_790_000_000 * SECOND;
/// How long the calm may last before every run has ended.
const CALM_US: i64 = 4 * 3600 * SECOND;
/// How long everything is given to go away after the last run's end.
const SETTLE_US: i64 = 90 * SECOND;
/// Happenings of one seed, at most.
const HAPPENINGS_MAX: u64 = 400_000;

pub struct World {
    pub(crate) seed: u64,
    pub(crate) options: Options,
    pub(crate) rng: Rng,
    /// Microseconds since the beginning; the wall clock is this, an offset that jumps, and the beginning.
    pub(crate) clock: i64,
    pub(crate) wall_offset: i64,
    pub(crate) queue: Queue,
    pub(crate) disk: Disk,
    pub(crate) life: Life,
    pub(crate) holder: Option<Holder>,
    pub(crate) runner: Option<Runner>,
    /// Processes that outlive their runner until the next one sweeps.
    pub(crate) lingering: BTreeSet<AttemptKey>,
    /// The connection over which frames pass.
    pub(crate) live_link: Option<LinkId>,
    pub(crate) last_to_runner: i64,
    pub(crate) last_to_holder: i64,
    pub(crate) clients: Vec<Client>,
    pub(crate) starts: Vec<Start>,
    pub(crate) violations: Vec<Violation>,
    pub(crate) steps: u64,
    pub(crate) calm: bool,
    pub(crate) trace: Trace,
    numbers: u64,
}

/// What a seed came to.
pub struct Report {
    pub seed: u64,
    pub options: Options,
    pub violations: Vec<Violation>,
    pub happenings: u64,
    pub events: u64,
    pub starts: u64,
    /// Attempts that were recorded as lost.
    pub lost: u64,
    /// Of all logs, event by event.
    pub hash: u64,
    pub trace: Trace,
}

/// Plays one seed.
pub fn play(seed: u64, trace: Trace) -> Report {
    play_with(seed, None, trace)
}

/// Plays one seed, with one of `options::FAULTS` on whether it was drawn or not.
pub fn play_with(seed: u64, fault: Option<&str>, trace: Trace) -> Report {
    let mut world = World::new(seed, fault, trace);
    let played = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| world.run()));
    let happenings = played.unwrap_or_else(|_| {
        world.violate("I11", "a machine panicked; its message stands above".into());
        0
    });
    let (mut hash, mut events, mut lost) = (Hash::default(), 0, 0);
    for log in world.disk.logs.values() {
        for recorded in &log.events {
            events += 1;
            lost += u64::from(is_loss(&recorded.event));
            let _ = std::fmt::write(&mut hash, format_args!("{recorded:?}"));
        }
    }
    Report {
        seed,
        options: world.options,
        violations: world.violations,
        happenings,
        events,
        starts: world.starts.len() as u64,
        lost,
        hash: hash.0,
        trace: world.trace,
    }
}

fn is_loss(event: &Event) -> bool {
    matches!(event, Event::AttemptEnded(ended) if matches!(ended.exit, Exit::Lost(_)))
}

struct Hash(u64);

impl Default for Hash {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl std::fmt::Write for Hash {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        self.0 = text.bytes().fold(self.0, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        Ok(())
    }
}

impl World {
    fn new(seed: u64, fault: Option<&str>, trace: Trace) -> Self {
        let mut rng = Rng::new(seed);
        let mut options = Options::draw(&mut rng);
        if let Some(fault) = fault {
            options.turn_on(fault);
        }
        let clients = (0..options.runs).map(|number| Client::new(record(number, plans::draw(&mut rng)))).collect();
        let mut world = Self {
            seed,
            options,
            rng,
            clock: 0,
            wall_offset: EPOCH_US,
            queue: Queue::default(),
            disk: Disk::default(),
            life: 0,
            holder: None,
            runner: None,
            lingering: BTreeSet::new(),
            live_link: None,
            last_to_runner: 0,
            last_to_holder: 0,
            clients,
            starts: Vec::new(),
            violations: Vec::new(),
            steps: 0,
            calm: false,
            trace,
            numbers: 0,
        };
        world.plan_beginning();
        world
    }

    fn plan_beginning(&mut self) {
        self.queue.at(0, Happening::StartHolder);
        for index in 0..self.clients.len() {
            let at = self.rng.skewed(MS, 20 * SECOND);
            self.queue.at(at, Happening::Ask(Ask::Submit(index)));
        }
        for fault in FAULTS {
            self.plan_fault(fault);
        }
        self.queue.at(self.options.safety_us, Happening::Calm);
    }

    pub(crate) fn next_number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    pub(crate) fn tell(&mut self, text: impl FnOnce() -> String) {
        self.trace.line(self.clock, text);
    }

    /// Plays until everything has ended, or something is wrong. Gives the number of happenings.
    fn run(&mut self) -> u64 {
        let mut happenings = 0;
        let mut over_at = None;
        while let Some((at, what)) = self.queue.pop() {
            self.clock = self.clock.max(at);
            happenings += 1;
            self.happen(what);
            if !self.violations.is_empty() {
                return happenings;
            }
            if self.calm && over_at.is_none() && happenings.is_multiple_of(8) && self.all_over() {
                over_at = Some(self.clock);
            }
            if over_at.is_some_and(|at| self.clock > at + SETTLE_US) {
                break;
            }
            if self.clock > self.options.safety_us + CALM_US || happenings > HAPPENINGS_MAX {
                self.tell_unfinished();
                return happenings;
            }
        }
        if !self.all_over() {
            self.tell_unfinished();
            return happenings;
        }
        self.check_end();
        happenings
    }

    fn all_over(&self) -> bool {
        self.clients.iter().all(|c| c.acknowledged && self.disk.state(&c.record.id).is_some_and(is_over))
    }

    fn tell_unfinished(&mut self) {
        let mut lines = Vec::new();
        for client in &self.clients {
            let run = &client.record.id;
            let Some(state) = self.disk.state(run) else {
                lines.push(format!("{run} was never created"));
                continue;
            };
            let open = state.nodes().iter().enumerate().filter(|(_, node)| !node.phase.is_fulfilled());
            for (index, _) in open.take(6) {
                let id = model::NodeId(index as u32);
                lines.push(engine::explain(state, id).line(&state.name(id)));
            }
            if state.is_ended() && !is_over(state) {
                lines.push(format!("{run} has ended and still owes {:?}", engine::outstanding(state)));
            }
        }
        self.violate("I5", format!("the faults are over and not every run has ended: {}", lines.join("; ")));
    }

    fn check_end(&mut self) {
        let live = self.runner.as_ref().map_or(Vec::new(), |runner| runner.processes.keys().cloned().collect());
        if let Some(key) = live.first() {
            self.violate("I6", format!("process {key} lives after its run"));
        }
        if let Some(key) = self.machine_knows().first() {
            self.violate("I4", format!("the runner still keeps {key}"));
        }
        let held: Vec<RunId> = self.holder.as_ref().map_or(Vec::new(), |holder| holder.pump.runs().cloned().collect());
        if let Some(run) = held.first() {
            self.violate("I5", format!("{run} is over and still in memory"));
        }
        if self.holder.as_ref().is_some_and(|holder| !holder.pump.is_idle()) {
            self.violate("I5", "the pump is not idle, and nothing is left".to_string());
        }
        for client in &self.clients {
            let run = &client.record.id;
            let of_run: Vec<Start> = self.starts.iter().filter(|start| start.key.run == *run).cloned().collect();
            let log = self.disk.events(run);
            self.violations.extend(checker::check(log, &of_run));
            self.violations.extend(checker::check_over(log));
        }
    }

    fn happen(&mut self, what: Happening) {
        match what {
            Happening::StartHolder => self.start_holder(),
            Happening::Ask(ask) => self.ask(ask),
            Happening::Fault(fault) => self.fault(fault),
            Happening::Calm => self.begin_calm(),
            Happening::LookIn => self.look_in(),
            Happening::DiskFree => {
                self.tell(|| "the disk has space again".to_string());
                self.disk.full = false;
            }
            Happening::Inbox(life, _)
            | Happening::Step(life)
            | Happening::Wake(life)
            | Happening::Commit(life)
            | Happening::Load(life, _)
            | Happening::Connect(life)
            | Happening::Staged(life, _)
            | Happening::Collected(life, _, _) => self.happen_in_holder(life, what),
            Happening::ToHolder(link, frame) => match self.paused_until() {
                Some(until) => {
                    // Nothing that is sent later may overtake it, should the pause end early.
                    self.last_to_holder = self.last_to_holder.max(until);
                    self.queue.at(until, Happening::ToHolder(link, frame));
                }
                None => self.holder_receives(link, *frame),
            },
            Happening::LinkBroken(link, Side::Holder) => match self.paused_until() {
                Some(until) => self.queue.at(until, Happening::LinkBroken(link, Side::Holder)),
                None => self.holder_sees_break(link),
            },
            Happening::LinkBroken(link, Side::Runner) => self.runner_sees_break(link),
            Happening::ToRunner(link, frame) => self.runner_receives(link, *frame),
            Happening::RunnerTick(number) => self.tick_runner(number),
            Happening::TaskEnds(number, key, version, exit) => self.task_ends(number, key, version, exit),
            Happening::Call { key, index } => self.call(key, index),
            Happening::Returned { key, index } => self.call_returned(&key, index),
            Happening::CallRefused { key } => self.call_refused(&key),
        }
    }

    fn paused_until(&self) -> Option<i64> {
        self.holder.as_ref().map(|holder| holder.paused_until).filter(|until| *until > self.clock)
    }

    fn happen_in_holder(&mut self, life: Life, what: Happening) {
        if life != self.life || self.holder.is_none() {
            return;
        }
        if let Some(until) = self.paused_until() {
            return self.queue.at(until, what);
        }
        match what {
            Happening::Inbox(_, input) => self.deliver(*input),
            Happening::Step(_) => self.step_holder(),
            Happening::Wake(_) => self.wake_holder(),
            Happening::Commit(_) => self.commit(),
            Happening::Load(_, run) => self.reload(run),
            Happening::Connect(_) => self.connect(),
            Happening::Staged(_, key) => self.local_staged(key),
            Happening::Collected(_, key, ended) => self.local_collected(key, ended),
            _ => {}
        }
    }

    fn plan_fault(&mut self, fault: Fault) {
        let options = &self.options;
        let mean = match fault {
            Fault::HolderCrash => options.holder_crash_us,
            Fault::RunnerCrash => options.runner_crash_us,
            Fault::Reboot => options.reboot_us,
            Fault::Disconnect => options.disconnect_us,
            Fault::DiskFull => options.disk_full_us,
            Fault::ClockJump => options.clock_jump_us,
            Fault::Pause => options.pause_us,
            Fault::StrayKill => options.stray_kill_us,
        };
        if mean > 0 && !self.calm {
            let at = self.clock + self.rng.between(mean / 20, 2 * mean);
            self.queue.at(at, Happening::Fault(fault));
        }
    }

    fn fault(&mut self, fault: Fault) {
        if self.calm {
            return;
        }
        match fault {
            Fault::HolderCrash => self.crash_holder("SIGKILL"),
            Fault::RunnerCrash => self.crash_runner("SIGKILL"),
            Fault::Reboot => {
                self.crash_runner("reboot");
                self.lingering.clear();
                self.crash_holder("reboot");
            }
            Fault::Disconnect => self.disconnect(),
            Fault::DiskFull => {
                self.tell(|| "the disk is full".to_string());
                self.disk.full = true;
                let at = self.clock + self.rng.skewed(MS, 10 * SECOND);
                self.queue.at(at, Happening::DiskFree);
            }
            Fault::ClockJump => {
                let us =
                    self.rng.between(-100, 100) * *self.rng.pick(&[SECOND, SECOND, SECOND, 36 * SECOND, 864 * SECOND]);
                self.tell(|| format!("the wall clock jumps by {us} us"));
                self.wall_offset += us;
                if let Some(holder) = &mut self.holder {
                    holder.forget_wake();
                }
                self.plan_wake();
                // Its loop looks at the clock once a second.
                self.queue.at(self.clock + SECOND, Happening::Step(self.life));
            }
            Fault::Pause => {
                let until = self.clock + self.rng.skewed(10 * MS, 60 * SECOND);
                if let Some(holder) = &mut self.holder {
                    holder.paused_us += until - holder.paused_until.max(self.clock).min(until);
                    holder.paused_until = until.max(holder.paused_until);
                    self.tell(|| format!("SIGSTOP of the holder until {}", until / SECOND));
                }
            }
            Fault::StrayKill => self.stray_kill(),
        }
        self.plan_fault(fault);
    }

    fn disconnect(&mut self) {
        let Some(link) = self.live_link.take() else { return };
        self.tell(|| "the connection between holder and runner breaks".to_string());
        self.break_link(link, Side::Holder);
        self.break_link(link, Side::Runner);
    }

    /// The faults are over: from here on everything must come to its end.
    fn begin_calm(&mut self) {
        if self.options.crash_last {
            self.crash_holder("a last time");
        }
        self.tell(|| "calm".to_string());
        self.calm = true;
        self.disk.full = false;
        if let Some(holder) = &mut self.holder {
            holder.paused_us -= (holder.paused_until - self.clock).clamp(0, holder.paused_us);
            holder.paused_until = 0;
        }
        self.end_hanging();
        self.look_in();
    }

    /// Somebody looks in now and then, and resumes what is interrupted.
    fn look_in(&mut self) {
        self.queue.at(self.clock + 20 * SECOND, Happening::LookIn);
        let held: Vec<RunId> = self.holder.as_ref().map_or(Vec::new(), |holder| {
            holder.pump.runs().filter(|run| !holder.pump.is_resumed(run)).cloned().collect()
        });
        for run in held {
            self.run_interrupted(&run);
        }
    }
}

const FAULTS: [Fault; 8] = [
    Fault::HolderCrash,
    Fault::RunnerCrash,
    Fault::Reboot,
    Fault::Disconnect,
    Fault::DiskFull,
    Fault::ClockJump,
    Fault::Pause,
    Fault::StrayKill,
];

fn record(number: usize, plan: model::Plan) -> RunRecord {
    RunRecord {
        id: RunId(format!("run-{number}")),
        name: format!("{}-{number}", plan.metadata.name),
        plan,
        parameters: Vec::new(),
        artifacts: Vec::new(),
        created_at: Time(EPOCH_US),
        version: "sim".into(),
        trigger: "sim".into(),
        profile: Profile::Standard,
        source: Default::default(),
        environments: Vec::new(),
        jobs: None,
    }
}
