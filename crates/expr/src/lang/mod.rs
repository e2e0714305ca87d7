//! The expression language: expr-lang v1.17.8 with the environment of Argo Workflows.
//! It must never know templates, tags or workflows.

mod ast;
mod builtins;
mod calls;
mod check;
mod check_calls;
mod environment;
mod eval;
mod grammar;
mod lexer;
pub(crate) mod methods;
pub(crate) mod operators;
mod parser;
mod paths;
mod program;
mod signature;
mod ty;

pub use environment::Environment;
pub use program::{EvalError, Program, Stage, compile, evaluate, identifiers, missing};

pub(crate) use builtins::numbers::parse_float;
pub(crate) use builtins::strings::{lower_char, replace, split, to_lower, to_upper, upper_char};
