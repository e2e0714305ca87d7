//! Commands: what the state owes the world. Redoing one under the same key is harmless.
//! It must never be stored: after a restart the state owes the same commands again.

use crate::attempt::{Amounts, Launch};
use crate::ids::{AttemptKey, NodeId};
use crate::input::Epoch;
use crate::time::Time;
use alloc::boxed::Box;
use alloc::string::String;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Command {
    /// Find a place for this attempt and report `Placed`. (Its environment is made ready before.)
    Place(Place),
    /// Launch in this epoch. A known key re-attaches; another epoch means that the attempt is lost.
    Launch { launch: Box<Launch>, epoch: Epoch },
    /// End this attempt: SIGTERM, and SIGKILL after the grace time. An unknown key leaves a tombstone.
    Kill { key: AttemptKey, why: KillReason },
    /// Send `Woke` at this time (not earlier).
    WakeAt(Time),
    /// Tell a waiting call that its child has ended.
    Return { parent: NodeId, n: u32, name: String, counter: u32, child: NodeId },
    /// The node, or the whole run, wants these locks: all of them at once, or none. Answered by `Input::Locked`.
    Acquire { node: Option<NodeId>, wants: alloc::vec::Vec<LockWant>, priority: i32, created_at: Time },
    /// It neither has nor wants its locks any more.
    Release { node: Option<NodeId> },
    /// The run is over: nothing more is owed.
    Ended,
}

/// A lock by its name in the home, and how many may have it at once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockWant {
    pub name: String,
    pub limit: u32,
}

/// A wish for a place.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Place {
    pub key: AttemptKey,
    pub requests: Amounts,
    pub priority: i32,
    /// What has to be ready first; empty for nothing.
    pub python_requirements: alloc::vec::Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum KillReason {
    Stopped,
    Terminated,
    Deadline,
    TimedOut,
}
