//! The arguments of a function of `sprig`, once `entry` has checked them.
//! It must never know which function asks.

use std::borrow::Cow;
use std::sync::Arc;

use crate::value::{IntKind, SliceKind, Value};

/// The string argument at an index; the table has checked it.
pub(super) fn text(args: &[Value], index: usize) -> Cow<'_, str> {
    args.get(index).and_then(Value::string_bytes).map_or(Cow::Borrowed(""), String::from_utf8_lossy)
}

/// The bytes of the string argument at an index.
pub(super) fn bytes(args: &[Value], index: usize) -> &[u8] {
    args.get(index).and_then(Value::string_bytes).unwrap_or_default()
}

/// The `int` argument at an index; the table has checked it.
pub(super) fn int(args: &[Value], index: usize) -> i64 {
    args.get(index).and_then(Value::integer).unwrap_or(0)
}

pub(super) fn ints(numbers: Vec<i64>) -> Value {
    Value::Slice(SliceKind::Int, Arc::new(numbers.into_iter().map(Value::Int).collect()))
}

pub(super) fn int64(number: i64) -> Value {
    Value::Sized(IntKind::Int64, number)
}

/// The panic of a nil pointer.
pub(super) const NIL: &str = "runtime error: invalid memory address or nil pointer dereference";
