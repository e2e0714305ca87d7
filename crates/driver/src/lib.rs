//! The driver: the one loop around the engine. `pump` is the loop as a pure machine; the shell beside it does what it says.
//! It must never hold a workflow rule, know a front end, HTTP or clap.

pub mod pump;
