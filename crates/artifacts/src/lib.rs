//! The artifact store of a home: content-addressed blobs and trees on local disk, archives in and out, and the log
//! segments of attempts.
//! It must never know the engine, the event store, or what an artifact means to a workflow.

pub mod archive;
pub mod log;

mod boot;
mod copy;
mod error;
mod hash;
mod leftovers;
mod manifest;
mod store;
mod tree;

pub use copy::sync_file_system;
pub use error::ArtifactError;
pub use store::{Removal, Store, Stored};
