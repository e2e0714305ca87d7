//! The values that expressions compute with: what Go's `interface{}` can hold in Argo's environment.
//! It must never know syntax, scopes of a workflow, or where a value came from.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::gofmt;
use crate::json;
use crate::time::{Instant, Zone};

/// The integer types of Go that occur besides `int`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IntKind {
    Int32,
    Int64,
    Uint8,
    Uint32,
    Uint64,
    Month,
    Weekday,
}

impl IntKind {
    /// Go's `%T`.
    pub fn name(self) -> &'static str {
        match self {
            IntKind::Int32 => "int32",
            IntKind::Int64 => "int64",
            IntKind::Uint8 => "uint8",
            IntKind::Uint32 => "uint32",
            IntKind::Uint64 => "uint64",
            IntKind::Month => "time.Month",
            IntKind::Weekday => "time.Weekday",
        }
    }

    /// True for the types that have a name of their own, which arithmetic refuses.
    pub fn is_named(self) -> bool {
        matches!(self, IntKind::Month | IntKind::Weekday)
    }
}

/// The slice types of Go that occur besides `[]interface {}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SliceKind {
    Int,
    Str,
    Float,
    Lists,
    Pairs,
}

impl SliceKind {
    /// Go's `%T`.
    pub fn name(self) -> &'static str {
        match self {
            SliceKind::Int => "[]int",
            SliceKind::Str => "[]string",
            SliceKind::Float => "[]float64",
            SliceKind::Lists => "[][]interface {}",
            SliceKind::Pairs => "[][2]interface {}",
        }
    }
}

/// The map types of Go whose keys are `interface{}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnyMapKind {
    /// `map[interface {}]interface {}`
    Any,
    /// `map[interface {}][]interface {}`, which `groupBy` makes.
    Groups,
}

/// A map with string keys; sorted, so that nothing depends on an accidental order.
pub type Dict = BTreeMap<Arc<str>, Value>;

/// A value. Containers are shared; cloning is cheap.
#[derive(Clone)]
pub enum Value {
    /// Go's nil; in a scope, an absent optional output.
    Null,
    Bool(bool),
    /// Go's `int`.
    Int(i64),
    /// Another Go integer type; unsigned ones keep their bits.
    Sized(IntKind, i64),
    Float(f64),
    Str(Arc<str>),
    /// A Go string that is not valid UTF-8.
    Raw(Arc<[u8]>),
    /// `[]uint8`
    Bytes(Arc<[u8]>),
    /// `[]interface {}`
    List(Arc<Vec<Value>>),
    /// A slice of one element type.
    Slice(SliceKind, Arc<Vec<Value>>),
    /// `map[string]interface {}`
    Map(Arc<Dict>),
    /// `map[string]string`
    StrMap(Arc<Dict>),
    /// A map whose keys are `interface{}`, sorted by the text of the key.
    AnyMap(AnyMapKind, Arc<Vec<(Value, Value)>>),
    Time(Instant),
    /// Nanoseconds.
    Duration(i64),
    /// `*time.Location`
    Location(Zone),
    Func(Func),
    /// `*semver.Version`
    Version(Arc<crate::sprig::semver::Version>),
}

/// A function value.
#[derive(Clone)]
pub enum Func {
    /// A member of `sprig`.
    Sprig(&'static crate::sprig::Entry),
    /// A function of Argo's environment: `asInt`, `asFloat`, `toJson`, `jsonpath`.
    Env(&'static str),
    /// A method bound to its receiver.
    Method(Arc<Value>, &'static str),
}

impl Value {
    /// A string.
    pub fn str(s: impl Into<Arc<str>>) -> Self {
        Value::Str(s.into())
    }

    /// The string, if it is one (and valid UTF-8).
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::Str(s) => Some(s),
            _ => None,
        }
    }

    /// A list of anything.
    pub fn list(items: Vec<Value>) -> Self {
        Value::List(Arc::new(items))
    }

    /// A `[]string`.
    pub fn strings<S: Into<Arc<str>>>(items: impl IntoIterator<Item = S>) -> Self {
        Value::Slice(SliceKind::Str, Arc::new(items.into_iter().map(Value::str).collect()))
    }

    /// A map with string keys.
    pub fn map(entries: Dict) -> Self {
        Value::Map(Arc::new(entries))
    }

    /// A string from bytes that may be no UTF-8.
    pub fn from_bytes(bytes: Vec<u8>) -> Self {
        match String::from_utf8(bytes) {
            Ok(text) => Value::str(text),
            Err(error) => Value::Raw(error.into_bytes().into()),
        }
    }

    /// The bytes of a Go string.
    pub fn string_bytes(&self) -> Option<&[u8]> {
        match self {
            Value::Str(s) => Some(s.as_bytes()),
            Value::Raw(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The elements of any slice type.
    pub fn items(&self) -> Option<&Arc<Vec<Value>>> {
        match self {
            Value::List(items) | Value::Slice(_, items) => Some(items),
            _ => None,
        }
    }

    /// The entries of a map with string keys.
    pub fn entries(&self) -> Option<&Arc<Dict>> {
        match self {
            Value::Map(entries) | Value::StrMap(entries) => Some(entries),
            _ => None,
        }
    }

    /// Parses JSON. An integer that fits 64 bits is `Int`, every other number `Float`.
    ///
    /// # Errors
    /// The text of Go's `encoding/json` error.
    pub fn from_json(text: &str) -> Result<Self, String> {
        json::decode(text, json::Numbers::Exact)
    }

    /// Compact JSON as Go's `json.Marshal` writes it, `<`, `>` and `&` escaped. What JSON cannot say becomes `null`.
    pub fn to_json(&self) -> String {
        json::encode(self).unwrap_or_else(|_| "null".to_owned())
    }

    /// What a tag splices: a string as it is, everything else as JSON.
    pub fn to_text(&self) -> String {
        match self {
            Value::Str(s) => s.to_string(),
            Value::Raw(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            other => other.to_json(),
        }
    }

    /// Go's `%T`, `nil` for nil.
    pub fn go_type(&self) -> &'static str {
        match self {
            Value::Null => "nil",
            Value::Bool(_) => "bool",
            Value::Int(_) => "int",
            Value::Sized(kind, _) => kind.name(),
            Value::Float(_) => "float64",
            Value::Str(_) | Value::Raw(_) => "string",
            Value::Bytes(_) => "[]uint8",
            Value::List(_) => "[]interface {}",
            Value::Slice(kind, _) => kind.name(),
            Value::Map(_) => "map[string]interface {}",
            Value::StrMap(_) => "map[string]string",
            Value::AnyMap(AnyMapKind::Any, _) => "map[interface {}]interface {}",
            Value::AnyMap(AnyMapKind::Groups, _) => "map[interface {}][]interface {}",
            Value::Time(_) => "time.Time",
            Value::Duration(_) => "time.Duration",
            Value::Location(_) => "*time.Location",
            Value::Func(func) => func.go_type(),
            Value::Version(_) => "*semver.Version",
        }
    }

    /// Go's `%T` as `fmt` prints it inside messages (`<nil>` for nil).
    pub fn printed_type(&self) -> &'static str {
        match self {
            Value::Null => "<nil>",
            other => other.go_type(),
        }
    }

    /// Go's `reflect.Kind` by name.
    pub fn kind(&self) -> &'static str {
        match self {
            Value::Null => "invalid",
            Value::Bool(_) => "bool",
            Value::Int(_) | Value::Sized(IntKind::Month | IntKind::Weekday, _) => "int",
            Value::Sized(kind, _) => kind.name(),
            Value::Duration(_) => "int64",
            Value::Float(_) => "float64",
            Value::Str(_) | Value::Raw(_) => "string",
            Value::Bytes(_) | Value::List(_) | Value::Slice(..) => "slice",
            Value::Map(_) | Value::StrMap(_) | Value::AnyMap(..) => "map",
            Value::Time(_) => "struct",
            Value::Location(_) | Value::Version(_) => "ptr",
            Value::Func(_) => "func",
        }
    }

    /// True for any Go integer that arithmetic takes.
    pub fn integer(&self) -> Option<i64> {
        match self {
            Value::Int(n) => Some(*n),
            Value::Sized(kind, n) if !kind.is_named() => Some(*n),
            _ => None,
        }
    }
}

impl Func {
    fn go_type(&self) -> &'static str {
        match self {
            Func::Sprig(entry) => entry.go_type(),
            Func::Env("toJson") => "func(interface {}) string",
            Func::Env("jsonpath") => "func(string, string) interface {}",
            Func::Env(_) => "func(interface {}) interface {}",
            Func::Method(receiver, name) => crate::lang::methods::go_type(receiver, name),
        }
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({})", self.go_type(), gofmt::value(self))
    }
}

/// Structural equality of equal Go types, as `reflect.DeepEqual` has it (functions are never equal).
impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Value::Null, Value::Null) => true,
            (Value::Bool(a), Value::Bool(b)) => a == b,
            (Value::Int(a), Value::Int(b)) | (Value::Duration(a), Value::Duration(b)) => a == b,
            (Value::Sized(k, a), Value::Sized(l, b)) => k == l && a == b,
            (Value::Float(a), Value::Float(b)) => a == b,
            (Value::Str(a), Value::Str(b)) => a == b,
            (Value::Raw(a), Value::Raw(b)) | (Value::Bytes(a), Value::Bytes(b)) => a == b,
            (Value::List(a), Value::List(b)) => a == b,
            (Value::Slice(k, a), Value::Slice(l, b)) => k == l && a == b,
            (Value::Map(a), Value::Map(b)) | (Value::StrMap(a), Value::StrMap(b)) => a == b,
            (Value::AnyMap(k, a), Value::AnyMap(l, b)) => k == l && a == b,
            (Value::Time(a), Value::Time(b)) => a.same_moment(b),
            (Value::Location(a), Value::Location(b)) => a == b,
            (Value::Version(a), Value::Version(b)) => a == b,
            _ => false,
        }
    }
}

impl From<bool> for Value {
    fn from(b: bool) -> Self {
        Value::Bool(b)
    }
}

impl From<i64> for Value {
    fn from(n: i64) -> Self {
        Value::Int(n)
    }
}

impl From<f64> for Value {
    fn from(f: f64) -> Self {
        Value::Float(f)
    }
}

impl From<&str> for Value {
    fn from(s: &str) -> Self {
        Value::str(s)
    }
}

impl From<String> for Value {
    fn from(s: String) -> Self {
        Value::str(s)
    }
}

/// The variables that a text may use.
pub trait Scope {
    /// The value of a flat dotted name (`inputs.parameters.x`); `Some(Null)` is an absent optional output.
    fn get(&self, key: &str) -> Option<Value>;
    /// Every variable; asked for `{{=…}}` tags only.
    fn all(&self) -> Vec<(String, Value)>;
}

impl Scope for BTreeMap<String, Value> {
    fn get(&self, key: &str) -> Option<Value> {
        BTreeMap::get(self, key).cloned()
    }

    fn all(&self) -> Vec<(String, Value)> {
        self.iter().map(|(key, value)| (key.clone(), value.clone())).collect()
    }
}
