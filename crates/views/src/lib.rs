//! Views: folds of a run's events into what people and programs look at. Pure; each can be thrown away and made again.
//! It must never know the engine or a store: what people must see is an event.
#![no_std]

extern crate alloc;

pub mod argo;
pub mod edges;
pub mod history;
pub mod names;
pub mod progress;
pub mod rows;
pub mod stamp;

pub use argo::workflow;
pub use history::{History, NodeView, RunState};
pub use names::Names;
