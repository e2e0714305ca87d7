//! The run machine: `decide`, `evolve`, `outstanding`, `explain`. Pure and deterministic: the same inputs give the same events.
//! It must never know a front end, a clock, randomness, I/O or async; time and ids come in as data.
#![no_std]

extern crate alloc;

pub mod admission;
pub mod aggregate;
mod arguments;
mod calls;
mod check;
mod commands;
mod dag;
mod decide;
pub mod depends;
mod draft;
mod evolve;
pub mod explain;
mod failures;
pub mod globals;
mod graph;
mod hooks;
mod invoke;
mod json;
mod kept;
mod leaf;
pub mod locks;
pub mod loops;
mod outputs;
pub mod probe;
pub mod quantity;
mod reopen;
mod reopened;
mod reports;
mod results;
mod retries;
pub mod retry;
mod scope;
mod sites;
mod state;
mod steps;
mod stop;
mod submit;
mod suspend;
mod targets;
mod wants;

pub use commands::{next_wake, outstanding};
pub use decide::decide;
pub use draft::{Decided, Draft, Held};
pub use evolve::{evolve, fold};
pub use explain::{Reason, explain, placed};
pub use kept::Kept;
pub use reopen::missing_outputs;
pub use state::{Attempt, Body, Node, State};
pub use suspend::waiting;
pub use wants::held as held_locks;
