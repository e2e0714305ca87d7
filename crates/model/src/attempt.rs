//! One attempt as it goes over the wire: what is needed to launch it, and what became of it.
//! It must never refer to the plan: a launch is self-contained.

use crate::artifact::{ArtifactRef, Digest};
use crate::ids::AttemptKey;
use crate::node::{NamedArtifact, Parameter};
use crate::plan::{SecretKey, VolumeSource};
use crate::time::Time;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// All that an executor needs to run one attempt. Texts are resolved; values are data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Launch {
    pub key: AttemptKey,
    /// The run's name, for people and for `TOWPATH_RUN`.
    pub run_name: String,
    /// Argo's node name, for people and for `TOWPATH_NODE`.
    pub node_name: String,
    pub template: String,
    pub image: String,
    /// Empty: the image's entrypoint.
    pub command: Vec<String>,
    pub args: Vec<String>,
    /// Written to a file whose path is appended to the arguments.
    pub script: Option<String>,
    /// `None`: the source snapshot under `standard`, the user's own directory under `trusted`.
    pub working_dir: Option<String>,
    pub env: Vec<(String, String)>,
    /// Variables whose values are Secrets': opened when the attempt is staged, and masked in what it prints.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<(String, SecretKey)>,
    pub mounts: Vec<Mount>,
    pub inputs: Vec<InputFile>,
    pub outputs: Wanted,
    pub requests: Amounts,
    pub limits: Amounts,
    /// Devices of the machine that are its own until it ends, by index.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gpus: Vec<u32>,
    /// Wall-clock seconds that the process may run (`activeDeadlineSeconds`); less than the node's age where `timeout` counts.
    pub deadline_s: Option<i64>,
    /// What is left of the template's `timeout`, to which the wait for a start belongs: counted from this launch.
    #[serde(default)]
    pub timeout_s: Option<i64>,
    pub grace_s: u32,
    pub python_requirements: Vec<String>,
    pub profile: Profile,
    /// The source snapshot of the run.
    pub source: Option<Digest>,
    /// The user's directory, for `trusted`.
    pub directory: Option<String>,
    /// Nothing is started: the outputs are collected from what this attempt of the node wrote, and the rest is as it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collects: Option<u32>,
}

/// How much the attempt is kept apart from the machine (DESIGN §5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Profile {
    Trusted,
    #[default]
    Standard,
    Strict,
}

/// A volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    pub volume: String,
    pub path: String,
    pub sub_path: String,
    pub read_only: bool,
    #[serde(default, skip_serializing_if = "VolumeSource::is_empty_dir")]
    pub source: VolumeSource,
}

/// An input artifact to lay at `path` before the start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputFile {
    pub name: String,
    pub path: String,
    pub artifact: ArtifactRef,
    /// A path below the artifact that is meant; "" for all of it.
    pub sub_path: String,
    pub mode: Option<u32>,
    pub recurse_mode: bool,
}

/// Outputs to collect after the end.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wanted {
    /// Whether standard output is kept as the node's result.
    #[serde(default)]
    pub result: bool,
    pub parameters: Vec<WantedParameter>,
    pub artifacts: Vec<WantedArtifact>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WantedParameter {
    pub name: String,
    pub path: String,
    pub default: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WantedArtifact {
    pub name: String,
    pub path: String,
    pub optional: bool,
}

/// Amounts of a machine. `None`: not said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Amounts {
    pub cpu_millis: Option<u64>,
    pub memory_bytes: Option<u64>,
    pub gpus: Option<u32>,
}

/// How an attempt ended: one of these, recorded exactly once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Exit {
    Exited(i32),
    Signalled(i32),
    /// Killed by the kernel for its memory.
    Oom,
    /// It ran longer than `deadline_s`.
    Deadline,
    /// Killed because the run was stopped or terminated, or the node timed out.
    Cancelled,
    /// Provably dead, and its outcome unknown: the reason.
    Lost(String),
    /// It could not be started: the reason (command not found, no such image, an environment that cannot be built).
    NotStarted(String),
}

/// What an attempt used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    pub cpu_us: u64,
    pub memory_peak_bytes: u64,
}

/// Everything that is known after the end of an attempt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    pub exit: Exit,
    pub started_at: Option<Time>,
    pub ended_at: Time,
    pub usage: Usage,
    /// Standard output, its last `RESULT_BYTES_MAX` bytes, one trailing newline removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parameters: Vec<Parameter>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub artifacts: Vec<NamedArtifact>,
    /// Why declared outputs could not be collected, in the words for the node's message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collect_error: Option<String>,
    /// What it wrote and nobody declared, where it ran in a sandbox.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub written: Option<Box<Written>>,
}

/// Files that an attempt wrote and no output declares. They are kept for a while.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Written {
    /// The largest of them, at most `WRITTEN_FILES_MAX`, the largest first.
    pub files: Vec<WrittenFile>,
    /// Of all of them.
    pub count: u64,
    pub bytes: u64,
    /// There are so many that counting was given up: there are more.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub more: bool,
}

/// A regular file or a link, by its path as the task saw it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WrittenFile {
    pub path: String,
    pub bytes: u64,
}

impl Outcome {
    /// An outcome without outputs.
    pub fn bare(exit: Exit, ended_at: Time) -> Self {
        Self {
            exit,
            started_at: None,
            ended_at,
            usage: Usage::default(),
            result: None,
            parameters: Vec::new(),
            artifacts: Vec::new(),
            collect_error: None,
            written: None,
        }
    }
}
