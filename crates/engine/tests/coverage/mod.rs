//! What the scripts reached: every kind of event in every state that it can meet, every refusal, exit, command and reason.
//! It must never be content with silence: what is not reached is named impossible, with its reason, or the run fails.

mod impossible;

use engine::{Decided, Reason, State, evolve};
use impossible::IMPOSSIBLE;
use model::command::KillReason;
use model::event::Recorded;
use model::input::{Report, ReportKind};
use model::{Command, Event, Exit, Input, NodeId, NodeKind, Phase, Refusal};
use std::collections::BTreeMap;
use std::fmt::Write as _;

const RUN_STATES: &[&str] = &["none", "running", "stopping", "ended"];
/// A leaf waits, is placed, or was ended while its process may still run; others are open; then all have ended.
const NODE_STATES: &[&str] =
    &["absent", "waiting", "placed", "killed", "Steps", "StepGroup", "DAG", "TaskGroup", "Retry", "Suspend", "ended"];
const EVENTS: &[&str] = &[
    "RunCreated",
    "NodeAdded",
    "AttemptStarted",
    "AttemptEnded",
    "AttemptAdded",
    "NodeEnded",
    "LoopOpened",
    "RetryDelayed",
    "EnvironmentLocked",
    "ShutdownRequested",
    "DeadlineExceeded",
    "Slept",
    "RunResumed",
    "RunReopened",
    "CallAdded",
    "Approved",
    "LocksGranted",
    "RunEnded",
];
const NODE_EVENTS: &[&str] = &[
    "NodeAdded",
    "AttemptStarted",
    "AttemptEnded",
    "AttemptAdded",
    "NodeEnded",
    "LoopOpened",
    "RetryDelayed",
    "CallAdded",
];
const KINDS: &[&str] = &["Pod", "Steps", "StepGroup", "DAG", "TaskGroup", "Retry", "Skipped", "Suspend"];
const ADDED: &[&str] = &["Pending", "Running", "Succeeded", "Skipped", "Failed", "Error", "Omitted"];
const ENDED: &[&str] = &["Succeeded", "Skipped", "Failed", "Error", "Omitted"];
const INPUTS: &[&str] =
    &["Submit", "Reports", "Woke", "Slept", "Shutdown", "Resume", "Reopen", "Call", "Environment", "Approve", "Locked"];
const EXITS: &[&str] = &["Exited", "Signalled", "Oom", "Deadline", "Cancelled", "Lost", "NotStarted"];
const COMMANDS: &[&str] = &["Place", "Launch", "Kill", "WakeAt", "Return", "Acquire", "Release", "Ended"];
const KILLS: &[&str] = &["Stopped", "Terminated", "Deadline", "TimedOut"];
const REPORTS: &[&str] = &["Placed", "Ended", "Lost"];
const REFUSALS: &[&str] = &[
    "Exists",
    "NoRun",
    "Ended",
    "NoSuchAttempt",
    "MissingParameter",
    "NotAllowed",
    "UnknownParameter",
    "Diverged",
    "NotCalling",
    "UnknownTemplate",
    "ShuttingDown",
    "TooManyNodes",
    "NotEnded",
    "NotReopened",
    "Reshaped",
    "NothingToCollect",
    "NotWaiting",
    "WhichNode",
    "NotAsked",
];
const REASONS: &[&str] = &[
    "Ended",
    "Running",
    "WaitsForPlace",
    "BacksOff",
    "WaitsForChildren",
    "WaitsForRoom",
    "Suspended",
    "WaitsForLocks",
    "Stopping",
];

/// Tables: name, rows, columns.
const TABLES: &[(&str, &[&str], &[&str])] = &[
    ("event in a run", EVENTS, RUN_STATES),
    ("event of a node", NODE_EVENTS, NODE_STATES),
    ("node added", KINDS, ADDED),
    ("node ended", KINDS, ENDED),
    ("input to a run", INPUTS, RUN_STATES),
    ("report on a node", REPORTS, NODE_STATES),
    ("older report", REPORTS, &["waiting", "placed", "killed", "ended"]),
    ("refusal", REFUSALS, &["given"]),
    ("exit of an attempt", EXITS, &["counts", "history"]),
    ("command", COMMANDS, &["follows", "owed"]),
    ("kill", KILLS, &["follows", "owed"]),
    ("reason", REASONS, &["told"]),
];

#[derive(Default)]
pub struct Coverage {
    reached: BTreeMap<(&'static str, String, &'static str), u32>,
}

impl Coverage {
    fn reach(&mut self, table: &'static str, row: impl Into<String>, column: &'static str) {
        *self.reached.entry((table, row.into(), column)).or_default() += 1;
    }

    /// Walks a whole log.
    pub fn log(&mut self, log: &[Recorded]) {
        let mut state = State::default();
        for (index, recorded) in log.iter().enumerate() {
            let event = &recorded.event;
            self.reach("event in a run", event.kind(), run_state(&log[..index]));
            if let Some(node) = subject(event) {
                self.reach("event of a node", event.kind(), node_state(&state, node));
            }
            match event {
                Event::NodeAdded(added) => self.reach("node added", added.kind.as_str(), phase_of(added.phase)),
                Event::NodeEnded(ended) => {
                    let kind = state.nodes()[ended.node.index()].kind;
                    self.reach("node ended", kind.as_str(), phase_of(ended.phase));
                }
                Event::AttemptEnded(ended) => {
                    let column = if node_state(&state, ended.node) == "killed" { "history" } else { "counts" };
                    self.reach("exit of an attempt", exit(&ended.exit), column);
                }
                _ => {}
            }
            evolve(&mut state, recorded);
        }
    }

    pub fn input(&mut self, state: &State, log: &[Recorded], input: &Input) {
        if let Input::Reports(reports) = input {
            reports.iter().for_each(|report| self.report_on(state, report));
        }
        let kind = match input {
            Input::Submit(_) => "Submit",
            Input::Reports(_) => "Reports",
            Input::Woke => "Woke",
            Input::Slept { .. } => "Slept",
            Input::Shutdown { .. } => "Shutdown",
            Input::Resume { .. } => "Resume",
            Input::Reopen(_) => "Reopen",
            Input::Call(_) => "Call",
            Input::Environment(_) => "Environment",
            Input::Approve(_) => "Approve",
            Input::Locked { .. } => "Locked",
        };
        self.reach("input to a run", kind, run_state(log));
    }

    fn report_on(&mut self, state: &State, report: &Report) {
        let newest = state.nodes().get(report.node.index()).is_none_or(|node| match &node.body {
            engine::Body::Leaf(attempt) => attempt.n == report.n,
            _ => true,
        });
        let row = match &report.what {
            ReportKind::Placed(..) => "Placed",
            ReportKind::Ended(outcome) if matches!(outcome.exit, Exit::Lost(_)) => "Lost",
            ReportKind::Ended(_) => "Ended",
        };
        let table = if newest { "report on a node" } else { "older report" };
        self.reach(table, row, node_state(state, report.node));
    }

    pub fn refusal(&mut self, refusal: &Refusal) {
        let name = match refusal {
            Refusal::Exists => "Exists",
            Refusal::NoRun => "NoRun",
            Refusal::Ended => "Ended",
            Refusal::NoSuchAttempt => "NoSuchAttempt",
            Refusal::MissingParameter(_) => "MissingParameter",
            Refusal::NotAllowed(..) => "NotAllowed",
            Refusal::UnknownParameter(_) => "UnknownParameter",
            Refusal::Diverged(_) => "Diverged",
            Refusal::NotCalling => "NotCalling",
            Refusal::UnknownTemplate(_) => "UnknownTemplate",
            Refusal::ShuttingDown => "ShuttingDown",
            Refusal::TooManyNodes => "TooManyNodes",
            Refusal::NotEnded => "NotEnded",
            Refusal::NotReopened(_) => "NotReopened",
            Refusal::Reshaped(_) => "Reshaped",
            Refusal::NothingToCollect(_) => "NothingToCollect",
            Refusal::NotWaiting => "NotWaiting",
            Refusal::WhichNode(_) => "WhichNode",
            Refusal::NotAsked(_) => "NotAsked",
        };
        self.reach("refusal", name, "given");
    }

    pub fn commands(&mut self, decided: &Decided, owed: &[Command]) {
        let follows = decided.commands.iter().map(|held| (&held.command, "follows"));
        for (command, column) in follows.chain(owed.iter().map(|command| (command, "owed"))) {
            let name = match command {
                Command::Place(_) => "Place",
                Command::Launch { .. } => "Launch",
                Command::Kill { .. } => "Kill",
                Command::WakeAt(_) => "WakeAt",
                Command::Return { .. } => "Return",
                Command::Acquire { .. } => "Acquire",
                Command::Release { .. } => "Release",
                Command::Ended => "Ended",
            };
            self.reach("command", name, column);
            if let Command::Kill { why, .. } = command {
                let why = match why {
                    KillReason::Stopped => "Stopped",
                    KillReason::Terminated => "Terminated",
                    KillReason::Deadline => "Deadline",
                    KillReason::TimedOut => "TimedOut",
                };
                self.reach("kill", why, column);
            }
        }
    }

    pub fn reason(&mut self, reason: &Reason) {
        let name = match reason {
            Reason::Ended(..) => "Ended",
            Reason::Running(_) => "Running",
            Reason::WaitsForPlace(_) => "WaitsForPlace",
            Reason::BacksOff(..) => "BacksOff",
            Reason::WaitsForChildren(..) => "WaitsForChildren",
            Reason::WaitsForRoom => "WaitsForRoom",
            Reason::Suspended => "Suspended",
            Reason::WaitsForLocks(_) => "WaitsForLocks",
            Reason::Stopping => "Stopping",
        };
        self.reach("reason", name, "told");
    }

    /// The tables as text, and what is wrong with them.
    pub fn report(&self) -> (String, String) {
        let (mut text, mut gaps) = (String::new(), String::new());
        let (mut pairs, mut reached, mut impossible) = (0, 0, 0);
        for (table, rows, columns) in TABLES {
            let _ = writeln!(text, "\n{table:20}{}", columns.iter().map(|c| format!("{c:>11}")).collect::<String>());
            for row in *rows {
                let _ = write!(text, "  {row:18}");
                for column in *columns {
                    pairs += 1;
                    let count = self.reached.get(&(*table, row.to_string(), *column)).copied().unwrap_or_default();
                    let reason = why_impossible(table, row, column);
                    let cell = match (count, reason) {
                        (0, None) => "GAP".to_string(),
                        (0, Some(_)) => "-".to_string(),
                        (count, _) => count.to_string(),
                    };
                    let _ = write!(text, "{cell:>11}");
                    reached += u32::from(count > 0);
                    impossible += u32::from(count == 0 && reason.is_some());
                    match (count, reason) {
                        (0, None) => _ = writeln!(gaps, "not reached by a script: {table}: {row}, {column}"),
                        (0, Some(_)) | (_, None) => {}
                        (_, Some(reason)) => {
                            _ = writeln!(gaps, "reached, but named impossible ({reason}): {table}: {row}, {column}");
                        }
                    }
                }
                text.push('\n');
            }
        }
        for (table, row, column) in self.reached.keys() {
            let known = TABLES
                .iter()
                .any(|(t, rows, columns)| t == table && rows.contains(&&**row) && columns.contains(column));
            if !known {
                let _ = writeln!(gaps, "reached, but not in the table: {table}: {row}, {column}");
            }
        }
        let _ = writeln!(text, "\n{pairs} pairs: {reached} reached, {impossible} impossible, each for a reason");
        (text, gaps)
    }
}

fn why_impossible(table: &str, row: &str, column: &str) -> Option<&'static str> {
    let names = |names: &str, name: &str| names == "*" || names.split(' ').any(|each| each == name);
    let entry =
        IMPOSSIBLE.iter().find(|(t, rows, columns, _)| *t == table && names(rows, row) && names(columns, column));
    entry.map(|(.., reason)| *reason)
}

/// The run's state after a log.
fn run_state(log: &[Recorded]) -> &'static str {
    let again = log.iter().rposition(|recorded| matches!(recorded.event, Event::RunReopened(_)));
    let log = &log[again.unwrap_or(0)..];
    let any = |of: fn(&Event) -> bool| log.iter().any(|recorded| of(&recorded.event));
    if any(|event| matches!(event, Event::RunEnded(_))) {
        "ended"
    } else if any(|event| matches!(event, Event::ShutdownRequested { .. } | Event::DeadlineExceeded)) {
        "stopping"
    } else if log.is_empty() {
        "none"
    } else {
        "running"
    }
}

/// The node that an event is about.
fn subject(event: &Event) -> Option<NodeId> {
    match event {
        Event::NodeAdded(added) => Some(added.node),
        Event::AttemptStarted { node, .. } | Event::AttemptAdded { node, .. } | Event::RetryDelayed { node, .. } => {
            Some(*node)
        }
        Event::AttemptEnded(ended) => Some(ended.node),
        Event::NodeEnded(ended) => Some(ended.node),
        Event::LoopOpened(opened) => Some(opened.node),
        Event::CallAdded(call) => Some(call.parent),
        Event::RunCreated(_)
        | Event::EnvironmentLocked(_)
        | Event::ShutdownRequested { .. }
        | Event::DeadlineExceeded
        | Event::Slept { .. }
        | Event::Approved { .. }
        | Event::LocksGranted { .. }
        | Event::RunResumed { .. }
        | Event::RunReopened(_)
        | Event::RunEnded(_) => None,
    }
}

fn node_state(state: &State, id: NodeId) -> &'static str {
    let Some(node) = state.nodes().get(id.index()) else { return "absent" };
    match (&node.body, node.phase.is_fulfilled()) {
        (engine::Body::Leaf(attempt), true) if !attempt.ended => "killed",
        (engine::Body::Leaf(attempt), false) if attempt.epoch.is_some() => "placed",
        (engine::Body::Leaf(_), false) => "waiting",
        (_, true) => "ended",
        (_, false) => match node.kind {
            NodeKind::Steps => "Steps",
            NodeKind::StepGroup => "StepGroup",
            NodeKind::Dag => "DAG",
            NodeKind::TaskGroup => "TaskGroup",
            NodeKind::Retry => "Retry",
            NodeKind::Suspend => "Suspend",
            NodeKind::Pod | NodeKind::Skipped => "open without a body",
        },
    }
}

fn phase_of(phase: Phase) -> &'static str {
    phase.as_str()
}

fn exit(exit: &Exit) -> &'static str {
    match exit {
        Exit::Exited(_) => "Exited",
        Exit::Signalled(_) => "Signalled",
        Exit::Oom => "Oom",
        Exit::Deadline => "Deadline",
        Exit::Cancelled => "Cancelled",
        Exit::Lost(_) => "Lost",
        Exit::NotStarted(_) => "NotStarted",
    }
}
