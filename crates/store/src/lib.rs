//! The durable store of a home: logs with fencing, rows of views, leases; SQLite with one writer thread.
//! It must never know the engine, what an entry of a log says, or what a row means.
//!
//! **One holder.** On a local home the fence against a second writer is the lock that the holder takes on the home
//! (DESIGN §3). `Append::expect` is the second line: whoever writes with a stale picture of a log is refused. Leases are
//! there for stores that several control planes share.
//!
//! **Durability.** An answer comes after COMMIT. Under `Full` that survives a power cut; under `Normal` it survives the
//! death of the process, and a power cut loses at most the last `SYNC_INTERVAL`.

mod check;
mod error;
mod log;
mod memory;
mod place;
mod reader;
mod reserve;
mod rows;
mod schema;
mod transaction;
mod worker;
mod writer;

pub use error::StoreError;
pub use log::{Append, LogId, LogKind, LogSummary};
pub use memory::Memory;
pub use place::refuse_network_file_system;
pub use reader::Reader;
pub use rows::Filter;
pub use schema::SCHEMA_VERSION;
pub use worker::SYNC_INTERVAL;
pub use writer::{Done, Durability, StoreOpened, Writer, open};
