//! Tags, expr-lang with sprig, `when` conditions and JSONPath, each within budgets.
//! It must never know I/O, a clock, randomness, or recurse without bound.

pub mod base64;
mod context;
pub mod gofmt;
mod goregex;
mod json;
pub mod jsonpath;
pub mod lang;
mod sprig;
pub mod template;
mod time;
mod value;
pub mod when;

pub use context::Context;
pub use json::write_string;
pub use lang::{EvalError, Stage};
pub use time::{Civil, Instant, Zone};
pub use value::{AnyMapKind, Dict, Func, IntKind, Scope, SliceKind, Value};
