//! What the pump and the executor's worker owe each other: attempts that are launched, killed, known, or lost.
//! It must never start an attempt whose start is not durable: it is called with what the log has released.

use super::{Handed, Out, Pump};
use model::command::KillReason;
use model::input::{Epoch, ReportKind};
use model::{AttemptKey, Command, Exit, Launch, Outcome, RunId};
use std::collections::BTreeSet;

impl Pump {
    /// A launch: into this epoch it goes out; what another epoch had is lost unless it was reported as known.
    pub(super) fn launch(&mut self, id: &RunId, launch: Box<Launch>, epoch: Epoch, out: &mut Vec<Out>) {
        let key = launch.key.clone();
        let known = self.known.contains(&key);
        match &self.epoch {
            // It runs, or its outcome is kept: the worker is told what it is, so that its outputs are collected.
            _ if known => {
                self.occupy(&key, &launch.requests, &launch.gpus);
                out.push(Out::Launch { launch, epoch, waits: false });
            }
            Some(current) if *current == epoch => {
                if self.is_resumed(id) {
                    self.launch_settled(launch, epoch, out);
                } else {
                    self.settle(&launch);
                    self.keep_back(id, Command::Launch { launch, epoch });
                }
            }
            Some(_) => {
                self.give_back(&key);
                let lost = Outcome::bare(Exit::Lost("the process that ran it is gone".to_string()), self.now);
                self.report(&key, ReportKind::Ended(Box::new(lost)), out);
            }
            // Known when a worker connects.
            None => {}
        }
    }

    /// What runs has its place before what waits for one (`ahead`), and a kill finds what it is to end.
    pub(super) fn put_in_order(&self, owed: &mut [Command], ahead: &BTreeSet<AttemptKey>) {
        owed.sort_by_key(|command| match command {
            Command::Launch { launch, .. } if self.known.contains(&launch.key) => 0,
            Command::Launch { launch, .. } if ahead.contains(&launch.key) => 2,
            Command::Launch { .. } => 1,
            Command::Kill { .. } => 3,
            _ => 0,
        });
    }

    /// An attempt whose launch is kept back never ran in this epoch: it is over without a process.
    pub(super) fn kill(&mut self, id: &RunId, key: AttemptKey, why: KillReason, out: &mut Vec<Out>) {
        let launches = |command: &Command| matches!(command, Command::Launch { launch, .. } if launch.key == key);
        let kept = self.runs.get_mut(id).and_then(|run| {
            let at = run.kept_back.iter().position(launches)?;
            Some(run.kept_back.remove(at))
        });
        let held = matches!(self.ahead.get(&key), Some(Handed::Held(..)));
        if kept.is_none() && !held {
            return out.push(Out::Kill { key, why });
        }
        self.give_back(&key);
        let outcome = Outcome::bare(Exit::Cancelled, self.now);
        self.report(&key, ReportKind::Ended(Box::new(outcome)), out);
    }

    /// A worker connected: attempts of runs in memory are its own, known, or lost.
    pub(super) fn connected(&mut self, epoch: Epoch, known: &[AttemptKey], out: &mut Vec<Out>) {
        self.epoch = Some(epoch);
        self.known = known.iter().cloned().collect();
        let ids: Vec<RunId> = self.runs.keys().cloned().collect();
        let mut unknown = Vec::new();
        for id in &ids {
            let Some(run) = self.runs.get_mut(id) else { continue };
            run.kept_back.retain(|command| !matches!(command, Command::Launch { .. }));
            run.unchecked = true;
            let owed = engine::outstanding(&run.state);
            // Places are taken at once, so that nobody else is given them.
            for command in owed {
                let Command::Launch { launch, epoch } = command else { continue };
                if self.known.contains(&launch.key) {
                    self.occupy(&launch.key, &launch.requests, &launch.gpus);
                } else if Some(&epoch) == self.epoch.as_ref() {
                    unknown.push(launch);
                }
            }
        }
        for launch in unknown {
            self.settle(&launch);
        }
        for id in ids {
            self.recheck(&id, out);
        }
        for key in known {
            match self.runs.get(&key.run) {
                Some(run) if run.awaits(key) || run.is_ending(key) => {}
                Some(_) => out.push(Out::Acknowledge(key.clone())),
                None if self.unreadable.contains_key(&key.run) => out.push(Out::Disown(key.clone())),
                None if self.away.contains(&key.run) => {}
                None => {
                    out.push(Out::Kill { key: key.clone(), why: KillReason::Terminated });
                    out.push(Out::Acknowledge(key.clone()));
                }
            }
        }
    }

    /// A run is back: what the worker keeps of it and nobody waits for any more can be forgotten. When the worker came, nobody knew.
    pub(super) fn acknowledge_over(&mut self, id: &RunId, out: &mut Vec<Out>) {
        let Some(run) = self.runs.get(id) else { return };
        let is_over = |key: &&AttemptKey| key.run == *id && !run.awaits(key) && !run.is_ending(key);
        let over: Vec<AttemptKey> = self.known.iter().filter(is_over).cloned().collect();
        for key in over {
            self.known.remove(&key);
            self.unacknowledged.remove(&key);
            out.push(Out::Acknowledge(key));
        }
    }

    /// A run is left alone, and so is what runs of it.
    pub(super) fn cannot_read(&mut self, run: RunId, why: String, out: &mut Vec<Out>) {
        out.extend(self.known.iter().filter(|key| key.run == run).map(|key| Out::Disown(key.clone())));
        self.away.insert(run.clone());
        self.unreadable.insert(run, why);
    }

    /// Tells a new worker what it owes to a run, as soon as everything decided is durable: what is not releases its own commands.
    pub(super) fn recheck(&mut self, id: &RunId, out: &mut Vec<Out>) {
        let Some(run) = self.runs.get_mut(id) else { return };
        if !run.is_durable() || !std::mem::take(&mut run.unchecked) {
            return;
        }
        for command in engine::outstanding(&run.state) {
            if matches!(command, Command::Launch { .. } | Command::Kill { .. }) {
                self.follow(id, command, out);
            }
        }
    }
}
