//! The builtins of expr-lang.
//! It must never know types known before the run.

mod collections;
mod dispatch;
pub(super) mod numbers;
pub(super) mod strings;
mod time;

pub(super) use dispatch::call;
use dispatch::missing;
