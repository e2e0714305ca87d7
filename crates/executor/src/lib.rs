//! Runs one attempt: on this machine (with the runner), later in containers and pods; environments, images, source snapshots.
//! It must never know the engine, the store of events, or what a workflow is: a launch is self-contained.
#![warn(clippy::print_stderr)]

pub mod argosay;
pub mod environment;
pub mod home;
pub mod images;
pub mod kept;
pub mod local;
pub mod machine;
pub mod own_log;
mod resources;
pub mod runner;
pub mod source;
pub mod variables;

mod frame;

pub use images::Catalogue;
pub use local::scratch::remove as remove_directory;
pub use local::{Local, LocalSettings};
pub use machine::{Machine, lacking, machine};
pub use resources::lowered;
pub use runner::close_inherited;

use model::attempt::{Launch, Outcome};
use model::input::Epoch;
use model::record::EnvironmentLock;
use model::{AttemptKey, Exit, RunId};

/// What an executor reports. It comes from several threads of the executor, which wait until it is
/// taken.
#[derive(Clone, Debug, PartialEq)]
pub enum ExecutorEvent {
    /// There is a worker. `known`: attempts that it runs or whose outcome it keeps, from before this connection too.
    /// `notices`: what this machine does not offer, for every run.
    Connected { epoch: Epoch, known: Vec<AttemptKey>, notices: Vec<String> },
    /// What a person should know about this attempt and that changes nothing: an image that was not run, say.
    Notice { key: AttemptKey, text: String },
    /// An attempt that waited was started in the place of one that ended (whose `Ended` follows).
    Passed { from: AttemptKey, to: AttemptKey },
    /// It comes again after a restart until it is acknowledged.
    Ended { key: AttemptKey, outcome: Outcome },
    /// The worker is gone. What it ran is dead, unless `Connected` names it.
    Disconnected,
    /// There is none yet, for a reason that a person should know: until `Connected` nothing starts.
    Unreachable { why: String },
}

/// What happens when `prepare` is done.
pub type Prepared = Box<dyn FnOnce(Result<EnvironmentLock, String>) + Send>;
/// Lines that tell how far `prepare` is.
pub type Progress = Box<dyn Fn(&str) + Send>;

/// Where attempts run. No call waits for an attempt, and each may be repeated: the key says what is meant.
///
/// | call | a process | a container | a pod |
/// |---|---|---|---|
/// | `launch` | stage files, the runner starts it in a sandbox | create with the key as its name, inputs in a volume, start | create with the key as its name, the agent injected; a conflict of names is a re-attach |
/// | `launch`, known key | the runner answers | inspect by name | get by name |
/// | `launch`, other epoch | lost: everything died with the runner | never lost: containers outlive the daemon's clients | lost if the pod is gone, by its finalizer |
/// | `launch` that waits, `start` | the runner starts it when another of its run ends | created ahead, started when another ends | bound to a warm pod |
/// | `kill` | SIGTERM and SIGKILL by the runner; unknown: a tombstone there | stop with a time-out; unknown: a created, never started container | delete with a grace period; unknown: a created pod that may not be scheduled |
/// | outcome | collected from the layers of the sandbox | copied out of the stopped container | uploaded by the agent, read from its status |
/// | `acknowledge` | the runner forgets it, its directory is removed | remove the container | remove the finalizer |
/// | `disown` | others do not wait for the paths that it may have | nothing: it shares no paths | nothing |
/// | `prepare` | a virtual environment in the home | a volume with one | an image layer or a volume with one |
pub trait Executor: Send + Sync {
    /// Starts the attempt, or re-attaches to it. `epoch`: the worker's life in which it was placed; in another one the attempt
    /// is lost, unless the worker knows it. `waits`: it has no place yet, and starts when an attempt of its run ends, or with
    /// `start`; if the worker goes before, it is forgotten and launched again.
    fn launch(&self, launch: Launch, epoch: &Epoch, waits: bool);
    /// An attempt that waits has a place now.
    fn start(&self, key: &AttemptKey);
    /// SIGTERM, and SIGKILL after `grace_s` seconds. The outcome's exit is then `why`. An unknown key: a later launch dies.
    fn kill(&self, key: &AttemptKey, grace_s: u32, why: Exit);
    /// The outcome was appended: it can be forgotten, and what the attempt left behind removed.
    fn acknowledge(&self, key: &AttemptKey);
    /// The run of an attempt that `Connected` named cannot be read: nobody will say what it is, nor acknowledge it. It goes on, its
    /// outcome is kept, and what is launched waits for nothing of it. A later `launch` takes this back.
    fn disown(&self, _key: &AttemptKey) {}
    /// Nothing more will be asked for a while: what was asked goes now.
    fn flush(&self) {}
    /// Makes an environment ready for a run in the background; the same requirements are made once. The error names the package that
    /// failed, or the remedy.
    fn prepare(&self, run: &RunId, requirements: &[String], done: Prepared, progress: Progress);
}
