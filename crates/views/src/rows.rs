//! The rows that are kept beside the logs: `runs` for lists, `refs` for what holds which digest.
//! It must never be read as the truth: folding the logs again makes the same rows.

use crate::history::RunState;
use alloc::collections::BTreeSet;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use model::artifact::{ArtifactRef, Content};
use model::event::{Recorded, Reset};
use model::plan::Metadata;
use model::row::{Cell, ColumnDef, ColumnKind, RowChange, TableDef};
use model::{Event, NodeKind, Phase, RunId, RunPhase, RunRecord, Time};

const fn text(name: &'static str) -> ColumnDef {
    ColumnDef { name, kind: ColumnKind::Text }
}

const fn integer(name: &'static str) -> ColumnDef {
    ColumnDef { name, kind: ColumnKind::Integer }
}

/// One row a run. `owes`: 1 while the run goes on, or has attempts that were started and have no outcome; a holder loads these.
pub static RUNS: TableDef = TableDef {
    name: "runs",
    columns: &[
        text("id"),
        text("name"),
        text("workflow"),
        text("namespace"),
        text("phase"),
        text("state"),
        text("message"),
        integer("created_at"),
        integer("ended_at"),
        integer("leaves_done"),
        integer("leaves"),
        text("trigger"),
        integer("owes"),
    ],
    key_columns: 1,
    indexed: &["name", "created_at", "owes"],
    version: 2,
};

/// What holds which digest: (digest, holder).
pub static REFS: TableDef = TableDef {
    name: "refs",
    columns: &[text("digest"), text("holder")],
    key_columns: 2,
    indexed: &["holder"],
    version: 1,
};

pub static TABLES: [&TableDef; 2] = [&RUNS, &REFS];

/// The row of a run, folded without its nodes: what a list needs and no more.
#[derive(Clone, Debug, Default)]
pub struct RunRow {
    record: Option<Arc<Submitted>>,
    phase: Option<RunPhase>,
    message: String,
    ended_at: Option<Time>,
    cancelled: bool,
    leaves: u32,
    leaves_done: u32,
    /// Attempts that were started and have no outcome: (node, number). A run can end before they do.
    open: BTreeSet<(u32, u32)>,
    /// Which nodes are leaves: an end counts only for them.
    is_leaf: Vec<bool>,
}

/// What a list tells of a run's record. The plan, which may be large, is none of it.
#[derive(Clone, Debug)]
struct Submitted {
    id: RunId,
    name: String,
    metadata: Metadata,
    created_at: Time,
    trigger: String,
}

impl Submitted {
    fn of(record: &RunRecord) -> Self {
        Self {
            id: record.id.clone(),
            name: record.name.clone(),
            metadata: record.plan.metadata.clone(),
            created_at: record.created_at,
            trigger: record.trigger.clone(),
        }
    }
}

impl RunRow {
    pub fn apply(&mut self, recorded: &Recorded) {
        match &recorded.event {
            Event::RunCreated(record) => {
                self.record = Some(Arc::new(Submitted::of(record)));
                self.phase = Some(RunPhase::Running);
            }
            Event::NodeAdded(added) => {
                let leaf = added.kind == NodeKind::Pod;
                self.leaves += u32::from(leaf);
                self.is_leaf.push(leaf);
            }
            Event::NodeEnded(ended) if self.is_leaf[ended.node.index()] => {
                self.leaves_done += u32::from(ended.phase == Phase::Succeeded);
            }
            Event::AttemptStarted { node, n, .. } => {
                self.open.insert((node.0, *n));
            }
            Event::AttemptEnded(ended) => {
                self.open.remove(&(ended.node.0, ended.n));
            }
            Event::RunReopened(event) => {
                (self.phase, self.ended_at) = (Some(RunPhase::Running), None);
                self.message.clear();
                let is_leaf = |reset: &&Reset| self.is_leaf[reset.node.index()];
                self.leaves -= event.reset.iter().filter(is_leaf).count() as u32;
            }
            Event::ShutdownRequested { .. } => self.cancelled = true,
            Event::RunEnded(ended) => {
                self.phase = Some(ended.phase);
                self.message.clone_from(&ended.message);
                self.ended_at = Some(recorded.at);
            }
            _ => {}
        }
    }

    /// The run's id, "" before it was created.
    pub fn id(&self) -> RunId {
        self.record.as_deref().map_or_else(|| RunId(String::new()), |record| record.id.clone())
    }

    fn state(&self) -> &'static str {
        match self.phase {
            Some(RunPhase::Failed | RunPhase::Error) if self.cancelled => RunState::Cancelled.as_str(),
            Some(RunPhase::Failed | RunPhase::Error) => RunState::Failed.as_str(),
            Some(RunPhase::Succeeded) => RunState::Succeeded.as_str(),
            Some(RunPhase::Running) => RunState::Running.as_str(),
            None | Some(RunPhase::Pending) => RunState::Pending.as_str(),
        }
    }

    /// Whether something may still come to this log without anybody asking for it.
    fn owes(&self) -> bool {
        self.ended_at.is_none() || !self.open.is_empty()
    }

    /// The row as it is to be written; `None` before the run was created.
    pub fn change(&self) -> Option<RowChange> {
        let record = self.record.as_deref()?;
        let metadata = &record.metadata;
        let workflow =
            if metadata.name.is_empty() { metadata.generate_name.trim_end_matches('-') } else { &metadata.name };
        let cells = vec![
            Cell::Text(record.id.0.clone()),
            Cell::Text(record.name.clone()),
            Cell::Text(workflow.to_string()),
            Cell::Text(metadata.namespace.clone()),
            Cell::Text(self.phase.map_or("", RunPhase::as_str).to_string()),
            Cell::Text(self.state().to_string()),
            Cell::Text(self.message.clone()),
            Cell::Integer(record.created_at.0),
            self.ended_at.map_or(Cell::Null, |time| Cell::Integer(time.0)),
            Cell::Integer(i64::from(self.leaves_done)),
            Cell::Integer(i64::from(self.leaves)),
            Cell::Text(record.trigger.clone()),
            Cell::Integer(i64::from(self.owes())),
        ];
        Some(RowChange::Put { table: &RUNS, cells })
    }
}

/// The references that an event makes: written in the transaction that names the digest.
pub fn refs(run: &RunId, recorded: &Recorded) -> Vec<RowChange> {
    let mut digests: Vec<String> = Vec::new();
    let mut artifact = |artifact: Option<&ArtifactRef>| {
        if let Some(Content::Blob(digest) | Content::Tree(digest)) = artifact.map(|a| &a.content) {
            digests.push(digest.to_string());
        }
    };
    match &recorded.event {
        Event::RunCreated(record) => {
            record.artifacts.iter().for_each(|named| artifact(named.artifact.as_ref()));
            digests.extend(record.source.tree.map(|digest| digest.to_string()));
        }
        Event::NodeEnded(ended) => ended.outputs.artifacts.iter().for_each(|named| artifact(named.artifact.as_ref())),
        _ => {}
    }
    let row = |digest| RowChange::Put { table: &REFS, cells: vec![Cell::Text(digest), Cell::Text(run.0.clone())] };
    digests.into_iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::boxed::Box;
    use model::event::{AttemptEnded, RunEnded};
    use model::input::Epoch;
    use model::{Exit, NodeId, Outputs, Usage};

    #[test]
    fn an_ended_run_owes_until_its_attempts_have_their_outcomes() {
        let mut row = RunRow::default();
        let mut apply = |event| {
            row.apply(&Recorded { at: Time(1), event });
            row.owes()
        };
        let (node, n) = (NodeId(3), 1);
        assert!(apply(Event::AttemptStarted { node, n, epoch: Epoch("e".into()), gpus: Vec::new() }));
        assert!(apply(Event::RunEnded(Box::new(RunEnded {
            phase: RunPhase::Failed,
            message: String::new(),
            outputs: Outputs::default()
        }))));
        // One that was never started has no place in this.
        let ended = |n| {
            let exit = Exit::Cancelled;
            let ended = AttemptEnded {
                node,
                n,
                exit,
                started_at: None,
                ended_at: Time(1),
                usage: Usage::default(),
                written: None,
            };
            Event::AttemptEnded(Box::new(ended))
        };
        assert!(apply(ended(0)));
        assert!(!apply(ended(1)));
    }
}
