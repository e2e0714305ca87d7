//! What a node is and how it can end. The words are Argo's (`NodeType`, `NodePhase`), the meaning too.
//! It must never hold a rule.

use crate::artifact::ArtifactRef;
use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// The message of steps and DAGs whose template stops after a failure (`failFast` of the template).
pub const FAIL_FAST: &str = "template has failed or errored children and failFast enabled";

/// Argo's node type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum NodeKind {
    Pod,
    Steps,
    StepGroup,
    #[serde(rename = "DAG")]
    Dag,
    TaskGroup,
    Retry,
    /// Never ran: a false `when`, an unmet `depends`, an empty loop, or arguments that could not be resolved.
    Skipped,
    Suspend,
}

impl NodeKind {
    /// The spelling in Argo's status.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pod => "Pod",
            Self::Steps => "Steps",
            Self::StepGroup => "StepGroup",
            Self::Dag => "DAG",
            Self::TaskGroup => "TaskGroup",
            Self::Retry => "Retry",
            Self::Skipped => "Skipped",
            Self::Suspend => "Suspend",
        }
    }
}

/// Argo's node phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Phase {
    /// Waits for a place, an environment, a back-off or an answer.
    Pending,
    Running,
    Succeeded,
    Skipped,
    /// The user's process failed.
    Failed,
    /// The engine, the executor or a template failed.
    Error,
    /// `depends` was not met.
    Omitted,
}

impl Phase {
    /// Ended, whichever way (upstream `Fulfilled`).
    pub fn is_fulfilled(self) -> bool {
        !matches!(self, Self::Pending | Self::Running)
    }

    /// Ended after having run (upstream `Completed`): neither skipped nor omitted.
    pub fn is_completed(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Error)
    }

    pub fn is_failed_or_error(self) -> bool {
        matches!(self, Self::Failed | Self::Error)
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Running => "Running",
            Self::Succeeded => "Succeeded",
            Self::Skipped => "Skipped",
            Self::Failed => "Failed",
            Self::Error => "Error",
            Self::Omitted => "Omitted",
        }
    }
}

/// Argo's workflow phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum RunPhase {
    Pending,
    Running,
    Succeeded,
    Failed,
    Error,
}

impl RunPhase {
    pub fn is_ended(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Error)
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Running => "Running",
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
            Self::Error => "Error",
        }
    }
}

/// A named value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parameter {
    pub name: String,
    pub value: String,
}

/// A named artifact. `path`: where it lay or will lie in the attempt; empty for outputs of steps and DAGs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamedArtifact {
    pub name: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub path: String,
    /// `None`: declared optional and not there.
    pub artifact: Option<ArtifactRef>,
}

/// What a node was given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inputs {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parameters: Vec<Parameter>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub artifacts: Vec<NamedArtifact>,
}

/// What a node handed out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outputs {
    /// Standard output of the main process, one trailing newline removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parameters: Vec<Parameter>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub artifacts: Vec<NamedArtifact>,
    /// Which of them the whole run sees, and under which name (`globalName`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub globals: Vec<Global>,
}

/// An output that the whole run sees as `workflow.outputs.…`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Global {
    pub name: String,
    /// The name of the output.
    pub of: String,
    #[serde(default)]
    pub is_artifact: bool,
}

impl Inputs {
    pub fn is_empty(&self) -> bool {
        self.parameters.is_empty() && self.artifacts.is_empty()
    }

    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|p| p.name == name).map(|p| p.value.as_str())
    }
}

impl Outputs {
    pub fn is_empty(&self) -> bool {
        self.result.is_none() && self.exit_code.is_none() && self.parameters.is_empty() && self.artifacts.is_empty()
    }

    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|p| p.name == name).map(|p| p.value.as_str())
    }
}
