//! The holder's process: the real pump, and around it what its shell does: the store's writer, timers, reloads, answers.
//! It must never decide: what may happen, and when, is the pump's.

use crate::happening::{Ask, Happening, Side};
use crate::local::Local;
use crate::options::{MS, SECOND};
use crate::world::World;
use driver::pump::{Batch, Denied, Folded, In, Out, Pump, Ticket};
use driver::steady::Steady;
use engine::admission::Capacity;
use model::{AttemptKey, Command, Event, RunId};
use std::collections::{BTreeMap, BTreeSet};

pub(crate) struct Holder {
    pub pump: Pump,
    inbox: Vec<In>,
    step_planned: bool,
    wake_at: Option<i64>,
    /// SIGSTOP until then.
    pub paused_until: i64,
    pub steady: Steady,
    /// Since the clocks were last looked at.
    pub paused_us: i64,
    /// What the writer has been given and has not committed.
    writes: Vec<Batch>,
    pub local: Local,
    pub tickets: BTreeMap<Ticket, Ask>,
    next_ticket: Ticket,
    /// Runs that wait to be folded again, and whether they may start attempts.
    reloading: BTreeMap<RunId, bool>,
}

impl World {
    pub(crate) fn start_holder(&mut self) {
        if self.holder.is_some() {
            return;
        }
        self.life += 1;
        let capacity = self.capacity();
        self.tell(|| "holder starts".to_string());
        self.holder = Some(Holder {
            pump: Pump::new(capacity, self.options.window_us),
            inbox: Vec::new(),
            step_planned: false,
            wake_at: None,
            paused_until: 0,
            steady: Steady::start(self.wall(), self.clock),
            paused_us: 0,
            writes: Vec::new(),
            local: Local::default(),
            tickets: BTreeMap::new(),
            next_ticket: self.life << 32,
            reloading: BTreeMap::new(),
        });
        let unfinished = self.disk.logs.iter().filter(|(_, log)| !is_over(&log.state));
        let runs: Vec<RunId> = unfinished.map(|(run, _)| run.clone()).collect();
        let loads: Vec<In> = runs
            .iter()
            .map(|run| In::Load {
                run: run.clone(),
                log: Box::new(Folded::of(self.disk.events(run))),
                resumed: self.options.server,
            })
            .collect();
        let last = runs.iter().filter_map(|run| Some(self.disk.events(run).last()?.at)).max();
        if let (Some(at), Some(holder)) = (last, &mut self.holder) {
            holder.steady.not_before(at);
        }
        self.step_pump(loads);
        self.connect();
        for run in runs {
            self.run_interrupted(&run);
        }
    }

    pub(crate) fn capacity(&self) -> Capacity {
        let options = &self.options;
        Capacity { slots: options.slots, cpu_millis: options.cpu_millis, memory_bytes: 8 << 30, gpus: 2 }
    }

    /// The process dies. What its writer had may have become durable.
    pub(crate) fn crash_holder(&mut self, why: &str) {
        let Some(mut holder) = self.holder.take() else { return };
        self.tell(|| format!("holder dies: {why}"));
        let landed = self.rng.below(holder.writes.len() as u64 + 1) as usize;
        for batch in holder.writes.drain(..).take(landed) {
            // A group of which the answer is never heard.
            let _ = self.commit_one(&batch);
        }
        let link = holder.local.greeting.or(holder.local.link.map(|link| link.id));
        if let Some(link) = link {
            self.break_link(link, Side::Runner);
        }
        let at = self.clock + self.rng.skewed(10 * MS, 4 * SECOND);
        self.queue.at(at, Happening::StartHolder);
        for ask in holder.tickets.into_values() {
            self.ask_lost(ask);
        }
    }

    pub(crate) fn deliver(&mut self, input: In) {
        let at = self.clock + self.rng.below(self.options.batching_us as u64) as i64;
        let life = self.life;
        let Some(holder) = &mut self.holder else { return };
        holder.inbox.push(input);
        if !holder.step_planned {
            holder.step_planned = true;
            self.queue.at(at.max(holder.paused_until), Happening::Step(life));
        }
    }

    pub(crate) fn wish(&mut self, run: RunId, input: model::Input, ask: Ask) {
        let Some(holder) = &mut self.holder else { return };
        // A submission of what is in the store already is the shell's to answer.
        let is_there = self.disk.state(&run).is_some() && holder.pump.state(&run).is_none();
        if is_there && matches!(ask, Ask::Submit(_)) {
            return self.answered(ask, Err(Denied::Refused(model::Refusal::Exists)));
        }
        let ticket = holder.next_ticket;
        holder.next_ticket += 1;
        holder.tickets.insert(ticket, ask);
        self.deliver(In::Wish { ticket, run, input });
    }

    pub(crate) fn step_holder(&mut self) {
        let Some(holder) = &mut self.holder else { return };
        holder.step_planned = false;
        let inputs = std::mem::take(&mut holder.inbox);
        self.step_pump(inputs);
        self.watch_states();
    }

    pub(crate) fn wake_holder(&mut self) {
        let wall = self.wall();
        let Some(holder) = &mut self.holder else { return };
        let now = holder.steady.at(wall);
        holder.wake_at = None;
        if holder.pump.next_wake().is_some_and(|at| at <= now) {
            self.step_holder();
        } else {
            self.plan_wake();
        }
    }

    /// Plans the pump's next timer; also after the wall clock jumped.
    pub(crate) fn plan_wake(&mut self) {
        let (clock, offset, life) = (self.clock, self.wall_offset, self.life);
        let Some(holder) = &mut self.holder else { return };
        let Some(due) = holder.pump.next_wake() else { return };
        let ahead = holder.steady.at(model::Time(0)).0;
        let at = (due.0 - offset - ahead).max(clock + 1);
        if holder.wake_at.is_none_or(|planned| planned > at) {
            holder.wake_at = Some(at);
            self.queue.at(at.max(holder.paused_until), Happening::Wake(life));
        }
    }

    fn step_pump(&mut self, mut inputs: Vec<In>) {
        let (wall, clock) = (self.wall(), self.clock);
        let seed = self.rng.draw();
        let Some(holder) = &mut self.holder else { return };
        let busy_us = clock - holder.steady.looked_us() - std::mem::take(&mut holder.paused_us);
        let us = holder.steady.look(wall, clock, busy_us);
        if us > 0 {
            inputs.insert(0, In::Slept { us });
        }
        let now = holder.steady.at(wall);
        let resumed: BTreeSet<RunId> = holder.pump.runs().filter(|run| holder.pump.is_resumed(run)).cloned().collect();
        for input in &inputs {
            self.trace.line(self.clock, || format!("pump <- {}", input_line(input)));
        }
        let outs = holder.pump.step(now, seed, inputs);
        let crash = !self.calm && self.rng.per_mille(self.options.crash_in_step);
        let crash_at = crash.then(|| self.rng.below(outs.len() as u64 + 1) as usize);
        for (index, out) in outs.into_iter().enumerate() {
            if crash_at == Some(index) {
                break;
            }
            self.perform_out(out, &resumed);
        }
        if crash_at.is_some() {
            return self.crash_holder("in the middle of a step");
        }
        self.plan_wake();
    }

    fn perform_out(&mut self, out: Out, resumed: &BTreeSet<RunId>) {
        self.trace.line(self.clock, || format!("pump -> {}", out_line(&out)));
        match out {
            Out::Append(batch) => self.write(batch),
            Out::Launch { launch, epoch, waits } => {
                self.watch_launch(&launch.key, &epoch);
                self.local_launch(*launch, epoch, waits);
            }
            Out::Start(key) => self.local_start(key),
            Out::Kill { key, why } => {
                self.watch_kill(&key, why);
                self.local_kill(key, why);
            }
            Out::Acknowledge(key) => {
                self.watch_acknowledge(&key);
                self.local_acknowledge(key);
            }
            // Its runs can always be read.
            Out::Prepare { .. } | Out::Disown(_) => {}
            Out::Return { run, parent, n, name, counter, child } => {
                self.watch_return(&run, child);
                self.return_call(&AttemptKey { run, node: parent, n }, &name, counter);
            }
            Out::Answer { ticket, result } => {
                let asked = self.holder.as_mut().and_then(|holder| holder.tickets.remove(&ticket));
                if let Some(ask) = asked {
                    self.answered(ask, result);
                }
            }
            Out::Publish { run, first, events } => self.watch_publish(&run, first, &events),
            Out::Reload(run) => {
                let may_start = resumed.contains(&run);
                let at = self.clock + self.rng.skewed(MS, SECOND);
                if let Some(holder) = &mut self.holder {
                    holder.reloading.insert(run.clone(), may_start);
                }
                self.queue.at(at, Happening::Load(self.life, run));
            }
            Out::Forget(_) => {}
        }
    }

    pub(crate) fn reload(&mut self, run: RunId) {
        let Some(holder) = &mut self.holder else { return };
        let Some(resumed) = holder.reloading.remove(&run) else { return };
        let log = Box::new(Folded::of(self.disk.events(&run)));
        self.step_pump(vec![In::Load { run, log, resumed }]);
    }

    fn write(&mut self, batch: Batch) {
        let at = self.clock + self.rng.skewed(self.options.commit_us.0, self.options.commit_us.1);
        let life = self.life;
        let Some(holder) = &mut self.holder else { return };
        if holder.writes.is_empty() {
            self.queue.at(at.max(holder.paused_until), Happening::Commit(life));
        }
        holder.writes.push(batch);
    }

    /// One group: everything that was written since the last.
    pub(crate) fn commit(&mut self) {
        if !self.calm && self.rng.per_mille(self.options.crash_at_commit) {
            // Unknown to everybody: the group is in the log, or it is not.
            return self.crash_holder("while it commits");
        }
        let Some(holder) = &mut self.holder else { return };
        let group = std::mem::take(&mut holder.writes);
        for batch in group {
            let input = match self.commit_one(&batch) {
                Ok(()) => In::Committed(batch.id),
                Err(reason) => In::NotCommitted(batch.id, reason),
            };
            self.deliver(input);
        }
    }

    fn commit_one(&mut self, batch: &Batch) -> Result<(), String> {
        self.disk.append(batch)?;
        for append in &batch.appends {
            for recorded in &append.events {
                self.trace.line(self.clock, || format!("  log {} {}", append.run, event_line(&recorded.event)));
                self.watch_event(&append.run, &recorded.event);
            }
        }
        Ok(())
    }

    /// Whether nothing of this run is on its way to the log.
    pub(crate) fn has_writes(&self) -> bool {
        self.holder.as_ref().is_some_and(|holder| !holder.writes.is_empty())
    }
}

impl Holder {
    /// The wall clock jumped: the planned wake is void.
    pub fn forget_wake(&mut self) {
        self.wake_at = None;
    }

    /// Nothing has been put in and not been taken.
    pub fn is_quiet(&self) -> bool {
        self.inbox.is_empty() && self.writes.is_empty() && self.reloading.is_empty()
    }
}

/// Nothing is owed any more.
pub(crate) fn is_over(state: &engine::State) -> bool {
    state.is_ended() && engine::outstanding(state).iter().all(|command| matches!(command, Command::Ended))
}

fn input_line(input: &In) -> String {
    match input {
        In::Slept { us } => format!("slept {us} us"),
        In::Load { run, log, resumed } => format!("load {run} of {} events, resumed {resumed}", log.events()),
        In::Wish { ticket, run, input } => {
            let what = match input {
                model::Input::Submit(_) => "submit".into(),
                other => format!("{other:?}"),
            };
            format!("wish {ticket} {run}: {what}")
        }
        In::Reopen { ticket, run, log, .. } => format!("reopen {ticket} {run} of {} events", log.events()),
        In::Connected { epoch, known } => {
            let known: Vec<String> = known.iter().map(ToString::to_string).collect();
            format!("connected {} knows [{}]", epoch.0, known.join(" "))
        }
        In::Disconnected => "disconnected".into(),
        In::Passed { from, to } => format!("{to} runs in the place of {from}"),
        In::Ended { key, outcome } => format!("ended {key}: {:?}", outcome.exit),
        In::Prepared { .. } => "prepared".into(),
        In::Committed(batch) => format!("committed {batch}"),
        In::NotCommitted(batch, reason) => format!("not committed {batch}: {reason}"),
        In::Unreadable { run, why } => format!("cannot read {run}: {why}"),
    }
}

fn out_line(out: &Out) -> String {
    match out {
        Out::Append(batch) => {
            let appends = batch.appends.iter();
            let lines: Vec<String> = appends
                .map(|append| {
                    let kinds: Vec<String> = append.events.iter().map(|event| event_line(&event.event)).collect();
                    format!("{} at {}: {}", append.run, append.expect, kinds.join(", "))
                })
                .collect();
            format!("append {}: {}", batch.id, lines.join("; "))
        }
        Out::Launch { launch, epoch, waits: false } => format!("launch {} in {}", launch.key, epoch.0),
        Out::Launch { launch, epoch, waits: true } => {
            format!("launch {} in {} when it has a place", launch.key, epoch.0)
        }
        Out::Start(key) => format!("start {key}"),
        Out::Kill { key, why } => format!("kill {key}: {why:?}"),
        Out::Acknowledge(key) => format!("acknowledge {key}"),
        Out::Disown(key) => format!("disown {key}"),
        Out::Prepare { .. } => "prepare".into(),
        Out::Return { run, parent, n, name, counter, child } => {
            format!("return {name}({counter}) = node {} to {run}/{}/{n}", child.0, parent.0)
        }
        Out::Answer { ticket, result } => format!("answer {ticket}: {result:?}"),
        Out::Publish { run, first, events } => format!("publish {run} {first}+{}", events.len()),
        Out::Reload(run) => format!("reload {run}"),
        Out::Forget(run) => format!("forget {run}"),
    }
}

/// An event in a few words.
pub(crate) fn event_line(event: &Event) -> String {
    match event {
        Event::NodeAdded(added) => format!("NodeAdded {} {} {}", added.node.0, added.name, added.phase.as_str()),
        Event::AttemptStarted { node, n, epoch, .. } => format!("AttemptStarted {}/{n} {}", node.0, epoch.0),
        Event::AttemptEnded(ended) => format!("AttemptEnded {}/{} {:?}", ended.node.0, ended.n, ended.exit),
        Event::AttemptAdded { node, n, .. } => format!("AttemptAdded {}/{n}", node.0),
        Event::NodeEnded(ended) => format!("NodeEnded {} {} {}", ended.node.0, ended.phase.as_str(), ended.message),
        Event::RetryDelayed { node, until, .. } => format!("RetryDelayed {} until {}", node.0, until.0),
        Event::CallAdded(call) => format!("CallAdded {}.{}({})", call.parent.0, call.name, call.counter),
        Event::ShutdownRequested { strategy, .. } => format!("ShutdownRequested {}", strategy.as_str()),
        Event::RunEnded(end) => format!("RunEnded {} {}", end.phase.as_str(), end.message),
        other => other.kind().to_string(),
    }
}
