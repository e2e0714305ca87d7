//! The record of a run: everything that says what was run, by whom, from what. Written once, with the run's first event.
//! It must never change afterwards.

use crate::artifact::Digest;
use crate::attempt::Profile;
use crate::ids::RunId;
use crate::node::{NamedArtifact, Parameter};
use crate::plan::Plan;
use crate::time::Time;
use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunRecord {
    pub id: RunId,
    /// Argo's `metadata.name`, unique among the runs of a home.
    pub name: String,
    pub plan: Plan,
    /// Values given at the start; they win over the document's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parameters: Vec<Parameter>,
    /// Workflow-level artifact arguments, resolved.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub artifacts: Vec<NamedArtifact>,
    pub created_at: Time,
    /// Version of Towpath that started it.
    pub version: String,
    /// Who or what triggered it: `cli:<user>`, `cron:<name>`.
    pub trigger: String,
    pub profile: Profile,
    pub source: Source,
    /// Locks of the Python environments: (key of the requirements, digest of the lock).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub environments: Vec<EnvironmentLock>,
    /// Attempts of this run at once, at most (`-j`); `None`: nobody asked, the machine's own number holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jobs: Option<u32>,
}

/// Where the code came from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// Files that were compiled, as the user named them.
    pub files: Vec<String>,
    /// The directory that was snapshotted.
    pub directory: Option<String>,
    /// Its tree in the artifact store.
    pub tree: Option<Digest>,
    pub git_commit: Option<String>,
    pub git_dirty: Option<bool>,
}

/// A full transitive lock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvironmentLock {
    pub requirements: Vec<String>,
    pub interpreter: String,
    /// `name==version` with hashes, one a line.
    pub lock: String,
}
