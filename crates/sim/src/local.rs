//! Stands for `executor::Local`, which is threads: attempts between the pump and the runner, staged, sent, collected, told again.
//! It must never be cleverer than the real one: what it does not do, that does not do either.

use crate::happening::{Happening, LinkId};
use crate::rng::Rng;
use crate::world::World;
use driver::pump::In;
use model::attempt::{Amounts, Launch, Outcome, Profile};
use model::command::KillReason;
use model::input::Epoch;
use model::limits::GRACE_SECONDS;
use model::node::Parameter;
use model::runner::{Ended, FromRunner, RUNNER_PROTOCOL, Spawn, ToRunner};
use model::{AttemptKey, Exit, Time};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Default)]
pub(crate) struct Local {
    /// A connection that was not greeted yet.
    pub greeting: Option<LinkId>,
    pub link: Option<Link>,
    attempts: BTreeMap<AttemptKey, Attempt>,
    stashed: BTreeMap<AttemptKey, Ended>,
    /// Acknowledged while the runner still ran them.
    unwanted: BTreeSet<AttemptKey>,
    unsent: Vec<(Launch, Epoch)>,
    unsent_kills: BTreeMap<AttemptKey, (u32, Exit)>,
}

pub(crate) struct Link {
    pub id: LinkId,
    epoch: Epoch,
    known: BTreeSet<AttemptKey>,
}

struct Attempt {
    launch: Launch,
    epoch: Epoch,
    at: At,
    /// It has no place yet.
    waits: bool,
}

enum At {
    Staging,
    Running,
    Collecting,
    Done(Box<Outcome>),
}

impl World {
    fn local(&mut self) -> Option<&mut Local> {
        self.holder.as_mut().map(|holder| &mut holder.local)
    }

    pub(crate) fn local_launch(&mut self, launch: Launch, epoch: Epoch, waits: bool) {
        let (life, now) = (self.life, self.wall());
        let stage_us = self.rng.skewed(self.options.disk_work_us.0, self.options.disk_work_us.1);
        let at = self.clock + stage_us;
        let Some(local) = self.local() else { return };
        let key = launch.key.clone();
        if let Some(attempt) = local.attempts.get(&key) {
            if let At::Done(outcome) = &attempt.at {
                let outcome = outcome.clone();
                self.deliver(In::Ended { key, outcome });
            } else if !waits {
                self.local_start(key);
            }
            return;
        }
        let Some(link) = &local.link else {
            if waits {
                return;
            }
            local.unsent.push((launch, epoch));
            return;
        };
        let known = link.known.contains(&key) || local.stashed.contains_key(&key);
        if !known && link.epoch != epoch {
            let lost = Box::new(Outcome::bare(Exit::Lost("its runner is gone".into()), now));
            return self.deliver(In::Ended { key, outcome: lost });
        }
        let epoch = link.epoch.clone();
        let state = if known { At::Running } else { At::Staging };
        local.attempts.insert(key.clone(), Attempt { launch, epoch, at: state, waits });
        if !known {
            self.queue.at(at, Happening::Staged(life, key));
        } else if let Some(ended) = local.stashed.remove(&key) {
            self.local_ended(key, ended);
        }
    }

    pub(crate) fn local_staged(&mut self, key: AttemptKey) {
        let fails = !self.calm && self.rng.per_mille(self.options.stage_fails);
        let now = self.wall();
        let Some(local) = self.local() else { return };
        let Some(attempt) = local.attempts.get_mut(&key) else { return };
        if fails {
            let outcome = Outcome::bare(Exit::NotStarted("cannot be staged".into()), now);
            return self.local_done(key, outcome);
        }
        attempt.at = At::Running;
        let spawn = Spawn { waits: attempt.waits, ..spawn(&attempt.launch) };
        let epoch = attempt.epoch.clone();
        if let Some(link) = local.link.as_ref().filter(|link| link.epoch == epoch) {
            let id = link.id;
            self.send_to_runner(id, ToRunner::Spawn(Box::new(spawn)));
        }
    }

    /// An attempt that waits has a place now.
    pub(crate) fn local_start(&mut self, key: AttemptKey) {
        let Some(local) = self.local() else { return };
        let Some(attempt) = local.attempts.get_mut(&key).filter(|attempt| attempt.waits) else { return };
        attempt.waits = false;
        if let (At::Running, Some(link)) = (&attempt.at, &local.link) {
            let id = link.id;
            self.send_to_runner(id, ToRunner::Start { key });
        }
    }

    fn local_passed(&mut self, from: AttemptKey, to: AttemptKey) {
        let Some(local) = self.local() else { return };
        if let Some(attempt) = local.attempts.get_mut(&to) {
            attempt.waits = false;
        }
        self.deliver(In::Passed { from, to });
    }

    fn local_ended(&mut self, key: AttemptKey, ended: Ended) {
        let life = self.life;
        let at = self.clock + self.rng.skewed(self.options.disk_work_us.0, self.options.disk_work_us.1);
        let Some(local) = self.local() else { return };
        if local.unwanted.remove(&key) {
            return self.local_acknowledge(key);
        }
        match local.attempts.get_mut(&key) {
            None => {
                local.stashed.insert(key, ended);
            }
            Some(attempt) if matches!(attempt.at, At::Staging | At::Running) => {
                attempt.at = At::Collecting;
                self.queue.at(at, Happening::Collected(life, key, ended));
            }
            Some(_) => {}
        }
    }

    pub(crate) fn local_collected(&mut self, key: AttemptKey, ended: Ended) {
        let seed = self.seed;
        let Some(local) = self.local() else { return };
        let Some(attempt) = local.attempts.get(&key) else { return };
        let outcome = outcome(seed, &attempt.launch, ended);
        self.local_done(key, outcome);
    }

    fn local_done(&mut self, key: AttemptKey, outcome: Outcome) {
        let Some(local) = self.local() else { return };
        let Some(attempt) = local.attempts.get_mut(&key) else { return };
        attempt.at = At::Done(Box::new(outcome.clone()));
        let report = In::Ended { key, outcome: Box::new(outcome) };
        if !self.calm && self.rng.per_mille(self.options.duplicate) {
            let at = self.clock + self.rng.skewed(10, 20_000_000);
            self.queue.at(at, Happening::Inbox(self.life, Box::new(report.clone())));
        }
        self.deliver(report);
    }

    pub(crate) fn local_kill(&mut self, key: AttemptKey, why: KillReason) {
        let (grace_s, reason) = match why {
            KillReason::Terminated => (0, Exit::Cancelled),
            KillReason::Stopped | KillReason::TimedOut => (GRACE_SECONDS, Exit::Cancelled),
            KillReason::Deadline => (GRACE_SECONDS, Exit::Deadline),
        };
        let Some(local) = self.local() else { return };
        if let Some(link) = &local.link {
            let id = link.id;
            return self.send_to_runner(id, ToRunner::Kill { key, grace_s, reason });
        }
        if local.unsent.iter().any(|(launch, _)| launch.key == key) {
            local.unsent_kills.insert(key, (grace_s, reason));
        }
    }

    pub(crate) fn local_acknowledge(&mut self, key: AttemptKey) {
        let Some(local) = self.local() else { return };
        let stashed = local.stashed.remove(&key).is_some();
        let attempt = local.attempts.remove(&key);
        if let Some(link) = &mut local.link {
            let runs = match attempt {
                Some(attempt) => matches!(attempt.at, At::Running),
                None => !stashed && link.known.contains(&key),
            };
            if runs {
                local.unwanted.insert(key.clone());
            }
            link.known.remove(&key);
            let id = link.id;
            self.send_to_runner(id, ToRunner::Acknowledge { key });
        }
    }

    /// The runner greets.
    fn local_connected(&mut self, id: LinkId, epoch: Epoch, mut known: Vec<AttemptKey>) {
        let (now, life) = (self.wall(), self.life);
        let at = self.clock + self.rng.skewed(self.options.disk_work_us.0, self.options.disk_work_us.1);
        let Some(local) = self.local() else { return };
        local.greeting = None;
        local.stashed.clear();
        local.unwanted.clear();
        let link = Link { id, epoch: epoch.clone(), known: known.iter().cloned().collect() };
        let over = |a: &Attempt| matches!(a.at, At::Collecting | At::Done(_));
        local.attempts.retain(|key, attempt| !attempt.waits || over(attempt) || link.known.contains(key));
        let gone = |a: &Attempt| a.epoch != epoch && matches!(a.at, At::Staging | At::Running);
        let lost: Vec<AttemptKey> = local
            .attempts
            .iter()
            .filter(|(key, attempt)| gone(attempt) && !link.known.contains(*key))
            .map(|(key, _)| key.clone())
            .collect();
        // A spawn that was lost with the connection: the runner of the same epoch does not know it, and it is sent again.
        let mut again = Vec::new();
        for (key, attempt) in local.attempts.iter_mut().filter(|(key, _)| !link.known.contains(key)) {
            match attempt.at {
                At::Running if attempt.epoch == epoch => {
                    attempt.at = At::Staging;
                    again.push(key.clone());
                }
                At::Collecting | At::Done(_) => known.push(key.clone()),
                _ => {}
            }
        }
        local.link = Some(link);
        let (unsent, kills) = (std::mem::take(&mut local.unsent), std::mem::take(&mut local.unsent_kills));
        let runs: BTreeSet<AttemptKey> = known.iter().cloned().collect();
        self.tell(|| format!("holder: connected to {}, which knows {} attempts", epoch.0, known.len()));
        self.deliver(In::Connected { epoch, known });
        for key in lost {
            self.local_done(key, Outcome::bare(Exit::Lost("its runner is gone".into()), now));
        }
        for key in again {
            self.queue.at(at, Happening::Staged(life, key));
        }
        for (launch, epoch) in unsent {
            let key = launch.key.clone();
            match kills.get(&key) {
                Some((_, why)) if !runs.contains(&key) => {
                    let outcome = Box::new(Outcome::bare(why.clone(), now));
                    self.deliver(In::Ended { key, outcome });
                }
                kill => {
                    self.local_launch(launch, epoch, false);
                    if let Some((grace_s, reason)) = kill {
                        self.send_to_runner(id, ToRunner::Kill { key, grace_s: *grace_s, reason: reason.clone() });
                    }
                }
            }
        }
    }

    /// A frame of the runner reaches the holder.
    pub(crate) fn holder_receives(&mut self, id: LinkId, frame: FromRunner) {
        let Some(local) = self.local() else { return };
        let greeted = local.link.as_ref().is_some_and(|link| link.id == id);
        match frame {
            FromRunner::Hello { epoch, known, .. } if local.greeting == Some(id) => {
                self.local_connected(id, epoch, known);
            }
            FromRunner::Ended { key, end, next } if greeted => {
                self.tell(|| format!("holder <- {key} ended: {:?}", end.exit));
                if let Some(to) = next {
                    self.local_passed(key.clone(), to);
                }
                self.local_ended(key, end);
            }
            _ => {}
        }
    }

    pub(crate) fn holder_sees_break(&mut self, id: LinkId) {
        let Some(local) = self.local() else { return };
        if local.greeting == Some(id) {
            local.greeting = None;
        } else if local.link.as_ref().is_some_and(|link| link.id == id) {
            local.link = None;
            self.tell(|| "holder: the runner is gone".to_string());
            self.deliver(In::Disconnected);
        } else {
            return;
        }
        self.plan_connect();
    }

    pub(crate) fn plan_connect(&mut self) {
        let at = self.clock + self.rng.skewed(100, 1_000_000);
        self.queue.at(at, Happening::Connect(self.life));
    }

    pub(crate) fn connect(&mut self) {
        let number = self.next_number();
        let Some(local) = self.local() else { return };
        if local.link.is_some() || local.greeting.is_some() {
            return;
        }
        local.greeting = Some(number);
        self.connect_runner(number);
        self.send_to_runner(number, ToRunner::Hello { protocol: RUNNER_PROTOCOL, build: "sim".into() });
    }

    fn send_to_runner(&mut self, id: LinkId, frame: ToRunner) {
        if self.live_link != Some(id) {
            return;
        }
        let delay = self.rng.skewed(self.options.link_us.0, self.options.link_us.1);
        let at = (self.clock + delay).max(self.last_to_runner);
        self.last_to_runner = at;
        let twice =
            !matches!(frame, ToRunner::Hello { .. }) && !self.calm && self.rng.per_mille(self.options.duplicate);
        if twice {
            self.queue.at(at, Happening::ToRunner(id, Box::new(frame.clone())));
        }
        self.queue.at(at, Happening::ToRunner(id, Box::new(frame)));
    }
}

fn spawn(launch: &Launch) -> Spawn {
    Spawn {
        key: launch.key.clone(),
        argv: vec![launch.template.clone()],
        env: Vec::new(),
        directory: "/".into(),
        profile: Profile::Standard,
        binds: Vec::new(),
        open: Vec::new(),
        scratch: String::new(),
        laid: false,
        log: String::new(),
        stdout: String::new(),
        limits: Amounts::default(),
        waits: false,
        deadline_s: launch.deadline_s,
        timeout_s: launch.timeout_s,
        grace_s: launch.grace_s,
        log_bytes_max: 1,
        masked: Vec::new(),
    }
}

/// What was collected: outputs that are the node's own, whichever attempt made them.
fn outcome(seed: u64, launch: &Launch, ended: Ended) -> Outcome {
    let mut rng = Rng::named(seed, &format!("outputs of {}/{}", launch.key.run, launch.key.node.0));
    let done = ended.exit == Exit::Exited(0);
    let value = |rng: &mut Rng| rng.below(5).to_string();
    Outcome {
        started_at: ended.started_at,
        usage: ended.usage,
        result: done.then(|| (*rng.pick(&["[1,2,3]", "[\"a\",\"b\"]", "[]", "[0]"])).to_string()),
        parameters: if done {
            let names = launch.outputs.parameters.iter();
            names.map(|wanted| Parameter { name: wanted.name.clone(), value: value(&mut rng) }).collect()
        } else {
            Vec::new()
        },
        ..Outcome::bare(ended.exit, ended.ended_at)
    }
}

impl World {
    pub(crate) fn wall(&self) -> Time {
        Time(self.clock + self.wall_offset)
    }
}
