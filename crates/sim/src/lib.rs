//! The seeded simulator: one thread, one seed, virtual time; it drives the real pump, the real engine and the real runner's machine
//! through crashes, full disks, broken connections and clocks that jump, and checks the histories.
//! It must never be a copy of a machine that it drives, and never let anything but the seed decide.

pub mod checker;
pub mod handwritten;
pub mod options;
pub mod plans;
pub mod rng;

mod build;
mod clients;
mod disk;
mod happening;
mod holder;
mod local;
mod runner;
mod task;
mod watch;
mod world;

pub use happening::Trace;
pub use world::{Report, play, play_with};
