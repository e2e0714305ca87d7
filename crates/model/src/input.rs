//! Inputs: every wish and every report that can reach a run. Nothing else can change it.
//! It must never hold a command or a fact.

use crate::attempt::Outcome;
use crate::ids::NodeId;
use crate::plan::Plan;
use crate::record::{EnvironmentLock, RunRecord};
use crate::time::Time;
use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// An input with what the outside adds: the time (never decreasing; the engine raises a smaller one) and a seed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stamped {
    pub at: Time,
    pub seed: u64,
    pub input: Input,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Input {
    /// Creates the run. Only the first input of a log.
    Submit(Box<RunRecord>),
    /// Reports about attempts that arrived together; all of them count before anything follows from them.
    Reports(Vec<Report>),
    /// A timer that the state asked for (`Command::WakeAt`) is due. Early or stale ones change nothing.
    Woke,
    /// Of the time just before, so many microseconds were not the run's: nothing that has a deadline could have used them.
    Slept { us: i64 },
    /// Stop or terminate.
    Shutdown { strategy: Shutdown, by: String },
    /// A person or the server lets an interrupted run start attempts again.
    Resume { by: String },
    /// The run failed because tasks did not write what the plan declares: it goes on by a plan that declares it elsewhere.
    Reopen(Box<Reopen>),
    /// A dynamic node's attempt asks for a child node.
    Call(Call),
    /// An environment that the run needs was locked; recorded once.
    Environment(Box<EnvironmentLock>),
    /// A person lets a suspended node go on, or the run that was to wait.
    Approve(Approve),
    /// The locks that a node, or the whole run, waited for are its own.
    Locked { node: Option<NodeId> },
}

/// A person's word.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Approve {
    pub by: String,
    /// `None`: the one that waits.
    pub node: Option<NodeId>,
    /// Values for outputs that are `supplied`.
    pub parameters: Vec<crate::node::Parameter>,
}

/// A wish to go on with an ended run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reopen {
    pub by: String,
    pub plan: Plan,
    /// Attempts whose files are still there: (node, number).
    pub kept: BTreeSet<(u32, u32)>,
}

/// A report about the attempt `n` of `node`. Duplicates and reports about older attempts change nothing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    pub node: NodeId,
    pub n: u32,
    pub what: ReportKind,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ReportKind {
    /// A place was granted, with these devices: from here on the attempt may have been started, by this worker in this epoch.
    Placed(Epoch, Vec<u32>),
    Ended(Box<Outcome>),
}

/// One life of a worker: what it started is dead when the epoch is over.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Epoch(pub String);

/// Argo's shutdown strategies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Shutdown {
    /// Exit handlers run.
    Stop,
    /// Nothing runs any more.
    Terminate,
}

impl Shutdown {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stop => "Stop",
            Self::Terminate => "Terminate",
        }
    }
}

/// A request for a child node by a running attempt (DESIGN §2). Key: (parent, name at the call site, counter of that name).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    pub parent: NodeId,
    /// The attempt that calls; calls of an older one are refused.
    pub n: u32,
    pub name: String,
    pub counter: u32,
    /// Digest of template and arguments, never of code.
    pub fingerprint: String,
    pub template: String,
    pub arguments: Vec<crate::node::Parameter>,
}

/// Why an input is not admissible. The user's mistake, told in her words; the state is unchanged.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Refusal {
    /// The run exists already.
    Exists,
    /// The log has no run yet.
    NoRun,
    /// The run has ended; nothing can be asked of it.
    Ended,
    /// No such node, or it is of a kind that has no attempts.
    NoSuchAttempt,
    /// A parameter of the workflow has no value.
    MissingParameter(String),
    /// A value is not among those that the workflow admits: parameter, value.
    NotAllowed(String, String),
    /// A parameter that the workflow does not have.
    UnknownParameter(String),
    /// The same call key with another fingerprint.
    Diverged(String),
    /// The caller is not a running attempt of a dynamic node.
    NotCalling,
    /// A template that the plan does not have.
    UnknownTemplate(String),
    /// The shutdown that was asked for, or a stronger one, is under way.
    ShuttingDown,
    /// The run has as many nodes as a run may have.
    TooManyNodes,
    /// Only an ended run can be reopened.
    NotEnded,
    /// The run did not come to its own end, so it has none to go on from: why.
    NotReopened(String),
    /// The plan has other templates, tasks or arguments than the run: which.
    Reshaped(String),
    /// No node failed for its outputs alone that could be collected now: why.
    NothingToCollect(String),
    /// Nobody waits for a person, or not this node.
    NotWaiting,
    /// Several nodes wait: which.
    WhichNode(String),
    /// A value that the waiting node does not ask for.
    NotAsked(String),
}

impl core::fmt::Display for Refusal {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Exists => write!(f, "the run exists already"),
            Self::NoRun => write!(f, "there is no such run"),
            Self::Ended => write!(f, "the run has ended"),
            Self::NoSuchAttempt => write!(f, "there is no such attempt"),
            Self::MissingParameter(name) => write!(f, "parameter '{name}' has no value; give one with -p {name}=VALUE"),
            Self::NotAllowed(name, value) => {
                write!(f, "'{value}' is not among the values that parameter '{name}' admits")
            }
            Self::UnknownParameter(name) => write!(f, "the workflow has no parameter '{name}'"),
            Self::Diverged(what) => write!(f, "the call {what} was recorded with another template or other arguments"),
            Self::NotCalling => write!(f, "only a running attempt of a dynamic node may call"),
            Self::UnknownTemplate(name) => write!(f, "the workflow has no template '{name}'"),
            Self::ShuttingDown => write!(f, "the run is being shut down already"),
            Self::NotEnded => write!(f, "the run has not ended"),
            Self::NotReopened(why) => write!(f, "the run cannot go on: {why}; run the workflow again"),
            Self::Reshaped(what) => write!(
                f,
                "the file now has {what}: what was recorded does not fit it any more; start it as a new run with `towpath run`"
            ),
            Self::NothingToCollect(why) => write!(f, "there is nothing to collect: {why}"),
            Self::NotWaiting => write!(f, "nothing waits for a person there; `towpath explain` says what it waits for"),
            Self::WhichNode(names) => write!(f, "several nodes wait for a person, name one of them: {names}"),
            Self::NotAsked(name) => write!(f, "the node that waits asks for no value '{name}'"),
            Self::TooManyNodes => write!(f, "the run has reached the largest number of nodes"),
        }
    }
}
