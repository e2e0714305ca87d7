//! Events: the recorded facts of a run, and the only truth about it. Rich, so that a replay never decides again.
//! It must never be changed in meaning: a new meaning is a new event or a new `EVENT_VERSION`.

use crate::attempt::{Exit, Usage, Written};
use crate::ids::{NodeId, TemplateId};
use crate::input::{Epoch, Shutdown};
use crate::node::{Inputs, NodeKind, Outputs, Phase, RunPhase};
use crate::plan::Plan;
use crate::record::{EnvironmentLock, RunRecord};
use crate::time::Time;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// Version of this shape, written with every log.
pub const EVENT_VERSION: u32 = 2;

/// An event with its time. Its position in the log is its number.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Recorded {
    pub at: Time,
    pub event: Event,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Event {
    /// Always the first.
    RunCreated(Box<RunRecord>),
    NodeAdded(Box<NodeAdded>),
    /// A place was granted; from here on the attempt may have been started in this epoch.
    AttemptStarted {
        node: NodeId,
        n: u32,
        epoch: Epoch,
        /// Devices that are its own until it ends.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        gpus: Vec<u32>,
    },
    AttemptEnded(Box<AttemptEnded>),
    /// A lost attempt is launched again, or a reopened node has another.
    AttemptAdded {
        node: NodeId,
        n: u32,
        /// It computes nothing: its outputs are collected from what this attempt of the node wrote.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        collects: Option<u32>,
    },
    /// The node has its last phase.
    NodeEnded(Box<NodeEnded>),
    /// A loop of a call site was expanded: its children come into being one by one, as indices of these items.
    LoopOpened(Box<LoopOpened>),
    /// A Retry node waits before its next try (back-off), until the given time.
    RetryDelayed {
        node: NodeId,
        until: Time,
        message: String,
    },
    /// An environment of the run was locked.
    EnvironmentLocked(Box<EnvironmentLock>),
    ShutdownRequested {
        strategy: Shutdown,
        by: String,
    },
    /// The run passed its deadline.
    DeadlineExceeded,
    /// So much of the time just before was not the run's: the machine slept, or its clock was set forward. Deadlines and timeouts
    /// that count are later by it. (Since version 2.)
    Slept {
        us: i64,
    },
    RunResumed {
        by: String,
    },
    /// The ended run goes on, by another plan.
    RunReopened(Box<RunReopened>),
    /// A dynamic node's call; the child is the node that the next `NodeAdded` with this call adds.
    CallAdded(Box<CallAdded>),
    /// A person let a suspended node go on, or (`None`) the run that was to wait.
    Approved {
        node: Option<NodeId>,
        by: String,
    },
    /// The node, or (`None`) the run, has the locks that it waited for.
    LocksGranted {
        node: Option<NodeId>,
    },
    RunEnded(Box<RunEnded>),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunEnded {
    pub phase: RunPhase,
    pub message: String,
    pub outputs: Outputs,
}

/// What becomes of the nodes of a run that goes on after its end. Those that are not named keep what they came to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunReopened {
    pub by: String,
    /// The plan from here on. It has the templates, tasks and groups of the one before, in the same order.
    pub plan: Box<Plan>,
    /// Nodes that are open again, those above others first.
    pub open: Vec<NodeId>,
    /// Nodes that belong to an earlier generation from here on: whatever calls them makes new ones.
    pub reset: Vec<Reset>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reset {
    pub node: NodeId,
    /// For people: why it is not kept.
    pub why: String,
}

/// A node came into being: it waits or runs, or it never will (`phase` is then its last).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeAdded {
    /// Always the number of nodes before it.
    pub node: NodeId,
    /// Argo's node name, unique in the run.
    pub name: String,
    pub display_name: String,
    pub kind: NodeKind,
    pub phase: Phase,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// The template invoked; `None` for step groups.
    pub template: Option<TemplateId>,
    /// The steps or DAG node that it was called in; `None` for the root.
    pub boundary: Option<NodeId>,
    pub place: Placement,
    /// The call site in the boundary's template: task index of a DAG, (group, step) of steps; with the index in a loop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site: Option<Site>,
    #[serde(default, skip_serializing_if = "Inputs::is_empty")]
    pub inputs: Inputs,
    /// A try of a Retry node (Argo's `nodeFlag.retried`).
    #[serde(default)]
    pub retried: bool,
    /// Invoked by a hook (Argo's `nodeFlag.hooked`): under the node that it is a hook of, or the exit handler of the run.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub hooked: bool,
}

/// Where a node hangs in the tree; Argo's `children` follow from it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Placement {
    Root,
    /// A child of this node: a step of its group, a try of its Retry node, a loop's child of its group, a root task of its DAG.
    Under(NodeId),
    /// A child of the outbound nodes of these: a step group after the one before, a task after its dependencies.
    After(Vec<NodeId>),
}

/// A call site within a boundary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Site {
    /// DAG: 0. Steps: index of the group.
    pub group: u32,
    /// DAG: index of the task. Steps: index of the step in its group.
    pub task: u32,
    /// Index in the loop, if the site is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item: Option<u32>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AttemptEnded {
    pub node: NodeId,
    pub n: u32,
    pub exit: Exit,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    pub ended_at: Time,
    pub usage: Usage,
    /// What it wrote and nobody declared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub written: Option<Box<Written>>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeEnded {
    pub node: NodeId,
    pub phase: Phase,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    #[serde(default, skip_serializing_if = "Outputs::is_empty")]
    pub outputs: Outputs,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoopOpened {
    /// The TaskGroup node, or the StepGroup that holds the step.
    pub node: NodeId,
    /// Index of the step in its group; 0 for a TaskGroup.
    pub task: u32,
    pub items: Items,
}

/// What a loop runs over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Items {
    /// Each item as JSON text, numbers as they were written.
    List(Vec<String>),
    /// `first`, `first + step`, ...: `count` numbers, through a printf format ("" for `%d`).
    Sequence { first: i64, step: i64, count: u32, format: String },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallAdded {
    pub parent: NodeId,
    pub name: String,
    pub counter: u32,
    pub fingerprint: String,
    pub child: NodeId,
}

impl Items {
    pub fn len(&self) -> u32 {
        match self {
            Self::List(items) => items.len() as u32,
            Self::Sequence { count, .. } => *count,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Event {
    /// The variant's name, for people, coverage tables and checkers.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::RunCreated(_) => "RunCreated",
            Self::NodeAdded(_) => "NodeAdded",
            Self::AttemptStarted { .. } => "AttemptStarted",
            Self::AttemptEnded(_) => "AttemptEnded",
            Self::AttemptAdded { .. } => "AttemptAdded",
            Self::NodeEnded(_) => "NodeEnded",
            Self::LoopOpened(_) => "LoopOpened",
            Self::RetryDelayed { .. } => "RetryDelayed",
            Self::EnvironmentLocked(_) => "EnvironmentLocked",
            Self::ShutdownRequested { .. } => "ShutdownRequested",
            Self::DeadlineExceeded => "DeadlineExceeded",
            Self::Slept { .. } => "Slept",
            Self::RunResumed { .. } => "RunResumed",
            Self::RunReopened(_) => "RunReopened",
            Self::CallAdded(_) => "CallAdded",
            Self::Approved { .. } => "Approved",
            Self::LocksGranted { .. } => "LocksGranted",
            Self::RunEnded(_) => "RunEnded",
        }
    }
}
