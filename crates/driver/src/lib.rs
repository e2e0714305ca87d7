//! The driver: the one loop around the engine. `pump` is the loop as a pure machine; the shell beside it does what it says.
//! It must never hold a workflow rule, know a front end, HTTP or clap.
#![warn(clippy::print_stderr)]

pub mod client;
pub mod clock;
pub mod encode;
pub mod holder;
pub mod home;
pub mod identity;
pub mod protocol;
pub mod pump;
pub mod soundness;
pub mod steady;

mod connection;
mod full;
mod reload;
mod rows_again;
mod watch;

pub use client::{Client, ClientError};
pub use home::Home;
