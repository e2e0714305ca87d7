//! The frames between the holder of a home and its runner, the local process that owns attempts.
//! It must never speak of workflows: the runner knows processes, directories and keys.

use crate::attempt::{Amounts, Exit, Profile, Usage};
use crate::ids::AttemptKey;
use crate::input::Epoch;
use crate::time::Time;
use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// Version of these frames. The first frame on each side carries it: the runner answers with the smaller one, in which both then
/// speak. With 3 attempts can wait in the runner (`Start`, `Spawn::waits`, `Ended::next`).
pub const RUNNER_PROTOCOL: u32 = 3;
/// The oldest version that is still spoken: after an upgrade what an older holder's runner runs is gone on with.
pub const RUNNER_PROTOCOL_MIN: u32 = 2;

/// From the holder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ToRunner {
    Hello {
        protocol: u32,
        build: String,
    },
    /// Start it, or answer what became of it if the key is known.
    Spawn(alloc::boxed::Box<Spawn>),
    /// An attempt that waits (`Spawn::waits`) has a place now. Any other: nothing.
    Start {
        key: AttemptKey,
    },
    /// SIGTERM, SIGKILL after the grace time. Unknown: a tombstone.
    Kill {
        key: AttemptKey,
        grace_s: u32,
        reason: Exit,
    },
    /// The outcome was appended; the runner may forget it.
    Acknowledge {
        key: AttemptKey,
    },
}

/// From the runner.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum FromRunner {
    /// With every attempt that runs or whose outcome is not acknowledged. `sandboxes`: this machine lets it make them;
    /// without, `standard` is run as `trusted` and a notice says why.
    Hello { protocol: u32, build: String, epoch: Epoch, known: Vec<AttemptKey>, notices: Vec<String>, sandboxes: bool },
    /// `next`: one that waited and was started in its stead.
    Ended {
        key: AttemptKey,
        end: Ended,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        next: Option<AttemptKey>,
    },
}

/// A process to start: every path is a real path of this machine, every text is final.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Spawn {
    pub key: AttemptKey,
    pub argv: Vec<String>,
    /// The whole environment.
    pub env: Vec<(String, String)>,
    /// Inside the sandbox.
    pub directory: String,
    pub profile: Profile,
    /// Bind mounts inside the sandbox, in this order.
    pub binds: Vec<Bind>,
    /// Under `strict`: directories inside that the attempt may write in besides what is its own anyway. They are made.
    #[serde(default)]
    pub open: Vec<String>,
    /// The attempt's own directory outside, with what it was given and what it wrote (`Ended::kept`).
    pub scratch: String,
    /// Something lies in that directory that the attempt is to find: its sandbox is laid over it, and is no other's.
    #[serde(default)]
    pub laid: bool,
    /// Where the log segments go.
    pub log: String,
    /// Where standard output alone goes, for `outputs.result`; empty if nobody wants it.
    pub stdout: String,
    pub limits: Amounts,
    /// It has no place yet: it starts in the moment in which an attempt of its run ends (each end starts one, in the order of
    /// these frames), or with `Start`. Not without a holder: then it is forgotten.
    #[serde(default)]
    pub waits: bool,
    /// Counted from its start.
    pub deadline_s: Option<i64>,
    /// Counted from this frame: whoever waits loses it.
    #[serde(default)]
    pub timeout_s: Option<i64>,
    pub grace_s: u32,
    pub log_bytes_max: u64,
    /// Texts that must not appear in the log.
    pub masked: Vec<String>,
}

/// Something laid into the sandbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bind {
    /// A real path.
    pub from: String,
    /// Inside the sandbox; created if it is not there.
    pub to: String,
    pub how: BindKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BindKind {
    ReadOnly,
    Writable,
    /// A directory that is the lower layer of a private overlay: writable for the task, never written through.
    Overlay,
}

/// What the runner knows about an end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    pub exit: Exit,
    pub started_at: Option<Time>,
    pub ended_at: Time,
    pub usage: Usage,
    /// What it wrote lies in its directory outside (`Spawn::scratch`).
    #[serde(default)]
    pub kept: bool,
}
