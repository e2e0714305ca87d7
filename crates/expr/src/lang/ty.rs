//! Go types as far as expr-lang's checker tells them apart.
//! It must never know syntax.

use std::fmt;

use super::signature::Sig;
use crate::value::{AnyMapKind, IntKind, SliceKind, Value};

/// A static type. `Unknown` is upstream's untyped nature, `Any` the type `interface {}`; both accept everything,
/// but messages tell them apart.
#[derive(Debug, Clone)]
pub(crate) enum Ty {
    Unknown,
    Nil,
    Any,
    Bool,
    Int,
    Sized(IntKind),
    Float,
    Str,
    Bytes,
    /// `[]interface {}` whose elements are known to be of some type.
    Array(Box<Ty>),
    Slice(SliceKind),
    Map,
    StrMap,
    AnyMap(AnyMapKind),
    Time,
    Duration,
    Location,
    Version,
    Func(Sig),
    /// A builtin named without being called.
    Builtin(&'static str),
}

/// `reflect.Kind`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TyKind {
    Invalid,
    Interface,
    Bool,
    Int,
    Int32,
    Int64,
    Uint8,
    Uint32,
    Uint64,
    Float,
    Str,
    Slice,
    Map,
    Struct,
    Pointer,
    Func,
}

impl Ty {
    pub fn array(element: Ty) -> Ty {
        Ty::Array(Box::new(element))
    }

    /// `[]interface {}` of anything.
    pub fn list() -> Ty {
        Ty::array(Ty::Any)
    }

    pub fn of(value: &Value) -> Ty {
        match value {
            Value::Null => Ty::Nil,
            Value::Bool(_) => Ty::Bool,
            Value::Int(_) => Ty::Int,
            Value::Sized(kind, _) => Ty::Sized(*kind),
            Value::Float(_) => Ty::Float,
            Value::Str(_) | Value::Raw(_) => Ty::Str,
            Value::Bytes(_) => Ty::Bytes,
            Value::List(_) => Ty::list(),
            Value::Slice(kind, _) => Ty::Slice(*kind),
            Value::Map(_) => Ty::Map,
            Value::StrMap(_) => Ty::StrMap,
            Value::AnyMap(kind, _) => Ty::AnyMap(*kind),
            Value::Time(_) => Ty::Time,
            Value::Duration(_) => Ty::Duration,
            Value::Location(_) => Ty::Location,
            Value::Func(_) => Ty::Any,
            Value::Version(_) => Ty::Version,
        }
    }

    pub fn kind(&self) -> TyKind {
        match self {
            Ty::Unknown | Ty::Nil => TyKind::Invalid,
            Ty::Any => TyKind::Interface,
            Ty::Bool => TyKind::Bool,
            Ty::Int | Ty::Sized(IntKind::Month | IntKind::Weekday) => TyKind::Int,
            Ty::Sized(IntKind::Int32) => TyKind::Int32,
            Ty::Sized(IntKind::Int64) | Ty::Duration => TyKind::Int64,
            Ty::Sized(IntKind::Uint8) => TyKind::Uint8,
            Ty::Sized(IntKind::Uint32) => TyKind::Uint32,
            Ty::Sized(IntKind::Uint64) => TyKind::Uint64,
            Ty::Float => TyKind::Float,
            Ty::Str => TyKind::Str,
            Ty::Bytes | Ty::Array(_) | Ty::Slice(_) => TyKind::Slice,
            Ty::Map | Ty::StrMap | Ty::AnyMap(_) => TyKind::Map,
            Ty::Time => TyKind::Struct,
            Ty::Location | Ty::Version => TyKind::Pointer,
            Ty::Func(_) | Ty::Builtin(_) => TyKind::Func,
        }
    }

    /// Accepts everything at compile time.
    pub fn is_unknown(&self) -> bool {
        matches!(self, Ty::Unknown | Ty::Any)
    }

    pub fn is_nil(&self) -> bool {
        matches!(self, Ty::Nil)
    }

    /// An integer type without a name of its own.
    pub fn is_integer(&self) -> bool {
        match self {
            Ty::Int => true,
            Ty::Sized(kind) => !kind.is_named(),
            _ => false,
        }
    }

    pub fn is_number(&self) -> bool {
        self.is_integer() || matches!(self, Ty::Float)
    }

    /// `reflect.Kind` of a number, named types included.
    pub fn is_numeric_kind(&self) -> bool {
        matches!(self, Ty::Int | Ty::Sized(_) | Ty::Float | Ty::Duration)
    }

    pub fn is_array(&self) -> bool {
        self.kind() == TyKind::Slice
    }

    pub fn is_map(&self) -> bool {
        self.kind() == TyKind::Map
    }

    /// The type of the elements of a slice or a map.
    pub fn element(&self) -> Ty {
        match self {
            Ty::Array(element) => (**element).clone(),
            Ty::Bytes => Ty::Sized(IntKind::Uint8),
            Ty::Slice(SliceKind::Int) => Ty::Int,
            Ty::Slice(SliceKind::Str) | Ty::StrMap => Ty::Str,
            Ty::Slice(SliceKind::Float) => Ty::Float,
            Ty::Slice(SliceKind::Lists | SliceKind::Pairs) | Ty::AnyMap(AnyMapKind::Groups) => Ty::list(),
            Ty::Map | Ty::AnyMap(AnyMapKind::Any) => Ty::Any,
            _ => Ty::Unknown,
        }
    }

    /// Go's assignability between these types.
    pub fn assignable_to(&self, target: &Ty) -> bool {
        if matches!(target, Ty::Any) {
            return !matches!(self, Ty::Unknown);
        }
        match (self, target) {
            (Ty::Unknown | Ty::Nil, _) | (_, Ty::Unknown | Ty::Nil) => false,
            (Ty::Array(_), Ty::Array(_))
            | (Ty::Bool, Ty::Bool)
            | (Ty::Int, Ty::Int)
            | (Ty::Float, Ty::Float)
            | (Ty::Str, Ty::Str)
            | (Ty::Bytes, Ty::Bytes)
            | (Ty::Map, Ty::Map)
            | (Ty::StrMap, Ty::StrMap)
            | (Ty::Time, Ty::Time)
            | (Ty::Duration, Ty::Duration)
            | (Ty::Location, Ty::Location)
            | (Ty::Version, Ty::Version) => true,
            (Ty::Sized(a), Ty::Sized(b)) => a == b,
            (Ty::Slice(a), Ty::Slice(b)) => a == b,
            (Ty::AnyMap(a), Ty::AnyMap(b)) => a == b,
            _ => false,
        }
    }

    /// Whether `==` makes sense.
    pub fn comparable_with(&self, other: &Ty) -> bool {
        self.is_unknown()
            || other.is_unknown()
            || self.is_nil()
            || other.is_nil()
            || (self.is_number() && other.is_number())
            || (self.is_array() && other.is_array())
            || self.assignable_to(other)
    }

    /// As `%s` prints a `reflect.Type` that may be nil.
    pub fn reflected(&self) -> String {
        match self {
            Ty::Nil => "%!s(<nil>)".to_owned(),
            Ty::Unknown => "interface {}".to_owned(),
            other => other.to_string(),
        }
    }
}

impl fmt::Display for Ty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Ty::Unknown | Ty::Nil => "unknown",
            Ty::Any => "interface {}",
            Ty::Bool => "bool",
            Ty::Int => "int",
            Ty::Sized(kind) => kind.name(),
            Ty::Float => "float64",
            Ty::Str => "string",
            Ty::Bytes => "[]uint8",
            Ty::Array(_) => "[]interface {}",
            Ty::Slice(kind) => kind.name(),
            Ty::Map => "map[string]interface {}",
            Ty::StrMap => "map[string]string",
            Ty::AnyMap(AnyMapKind::Any) => "map[interface {}]interface {}",
            Ty::AnyMap(AnyMapKind::Groups) => "map[interface {}][]interface {}",
            Ty::Time => "time.Time",
            Ty::Duration => "time.Duration",
            Ty::Location => "*time.Location",
            Ty::Version => "*semver.Version",
            Ty::Func(sig) => return write!(f, "{}", sig.go_type()),
            Ty::Builtin(_) => "func(...interface {}) (interface {}, error)",
        })
    }
}
