//! `sprig.*`: Masterminds/sprig v3.3.0 as Argo exposes it (without `env` and `expandenv`).
//! It must never know syntax, a clock, randomness or the host: those come from the budget's context or not at all.

mod arguments;
mod convert;
mod dates;
mod decimal;
mod defaults;
mod dicts;
mod encoding;
mod entry;
mod lists;
mod numbers;
mod paths;
mod random;
mod regexes;
pub(crate) mod semver;
mod strings;
mod table;
mod urls;
mod words;

pub use entry::Entry;
pub(crate) use entry::{call, map};
