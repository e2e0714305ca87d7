//! The disk: logs that are appended to all or nothing behind a fence, and the outcomes that a runner keeps. It survives every crash.
//! It must never know what an event means.

use driver::pump::Batch;
use engine::{State, evolve};
use model::event::Recorded;
use model::runner::Ended;
use model::{AttemptKey, RunId};
use std::collections::BTreeMap;

#[derive(Debug, Default)]
pub(crate) struct Disk {
    pub logs: BTreeMap<RunId, Log>,
    /// No space is left.
    pub full: bool,
    pub outcomes: BTreeMap<AttemptKey, Ended>,
}

/// A log and the fold of it, kept beside it so that nothing is folded twice.
#[derive(Debug, Default)]
pub(crate) struct Log {
    pub events: Vec<Recorded>,
    pub state: State,
}

impl Disk {
    /// Appends a batch, or tells why not: all of it or nothing.
    pub fn append(&mut self, batch: &Batch) -> Result<(), String> {
        if self.full {
            return Err("no space left on device".into());
        }
        for append in &batch.appends {
            let length = self.logs.get(&append.run).map_or(0, |log| log.events.len() as u64);
            if length != append.expect {
                return Err(format!("the log of {} has {length} events, not {}", append.run, append.expect));
            }
        }
        for append in &batch.appends {
            let log = self.logs.entry(append.run.clone()).or_default();
            for event in &append.events {
                evolve(&mut log.state, event);
            }
            log.events.extend(append.events.iter().cloned());
        }
        Ok(())
    }

    pub fn state(&self, run: &RunId) -> Option<&State> {
        self.logs.get(run).map(|log| &log.state)
    }

    pub fn events(&self, run: &RunId) -> &[Recorded] {
        self.logs.get(run).map_or(&[], |log| &log.events)
    }
}
