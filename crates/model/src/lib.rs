//! The nouns of Towpath: ids, plan, input, event, command, attempt, row. Plain data that every other crate speaks.
//! It must never know I/O, a clock, randomness or a runtime: `no_std`, so that none of them even resolves here.
#![no_std]

extern crate alloc;

pub mod artifact;
pub mod attempt;
pub mod command;
pub mod event;
pub mod ids;
pub mod input;
pub mod limits;
pub mod node;
pub mod plan;
pub mod planted;
pub mod record;
pub mod row;
pub mod runner;
pub mod text;
pub mod time;

pub use artifact::{ArtifactRef, Content, Digest};
pub use attempt::{Exit, Launch, Outcome, Usage};
pub use command::Command;
pub use event::Event;
pub use ids::{AttemptKey, NodeId, RunId, TemplateId};
pub use input::{Input, Refusal};
pub use node::{NodeKind, Outputs, Phase, RunPhase};
pub use plan::Plan;
pub use record::RunRecord;
pub use text::Text;
pub use time::Time;
