//! Drives the real binary, end to end: every test has a home of its own.
//! It must never link the product: what it knows of it is the command line.

mod asleep;
mod calls;
mod collecting;
mod contents;
mod damage;
mod durability;
mod environment;
mod faults;
mod harness;
mod isolation;
mod kept;
mod kills;
mod large;
mod looking;
mod points;
#[cfg(feature = "portable")]
mod portable;
mod pressure;
mod pythons;
mod resources;
mod running;
mod sandboxless;
mod stopping;
mod supervisor;
mod workflows;
