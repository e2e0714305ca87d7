//! What the builtins and the functions of Argo's environment take and give.
//! It must never know how they are computed.

use super::ty::Ty;
use crate::value::SliceKind;

/// The type of a parameter or a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum P {
    Any,
    Bool,
    Int,
    Int64,
    Uint64,
    Float,
    Str,
    List,
    Strings,
    Ints,
    Floats,
    Time,
    Duration,
    Location,
    Month,
    Weekday,
    Version,
}

impl P {
    pub fn ty(self) -> Ty {
        use crate::value::IntKind;
        match self {
            P::Any => Ty::Any,
            P::Bool => Ty::Bool,
            P::Int => Ty::Int,
            P::Int64 => Ty::Sized(IntKind::Int64),
            P::Uint64 => Ty::Sized(IntKind::Uint64),
            P::Float => Ty::Float,
            P::Str => Ty::Str,
            P::List => Ty::list(),
            P::Strings => Ty::Slice(SliceKind::Str),
            P::Ints => Ty::Slice(SliceKind::Int),
            P::Floats => Ty::Slice(SliceKind::Float),
            P::Time => Ty::Time,
            P::Duration => Ty::Duration,
            P::Location => Ty::Location,
            P::Month => Ty::Sized(IntKind::Month),
            P::Weekday => Ty::Sized(IntKind::Weekday),
            P::Version => Ty::Version,
        }
    }
}

/// A function type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sig {
    pub params: &'static [P],
    pub out: P,
}

impl Sig {
    /// Go's `%T`.
    pub fn go_type(&self) -> String {
        let params: Vec<String> = self.params.iter().map(|param| param.ty().to_string()).collect();
        format!("func({}) {}", params.join(", "), self.out.ty())
    }
}

const fn sig(params: &'static [P], out: P) -> Sig {
    Sig { params, out }
}

/// Every builtin, under a name that lives for ever.
const BUILTINS: [&str; 71] = [
    "all",
    "none",
    "any",
    "one",
    "filter",
    "map",
    "find",
    "findIndex",
    "findLast",
    "findLastIndex",
    "count",
    "sum",
    "groupBy",
    "sortBy",
    "reduce",
    "len",
    "type",
    "abs",
    "ceil",
    "floor",
    "round",
    "int",
    "float",
    "string",
    "trim",
    "trimPrefix",
    "trimSuffix",
    "upper",
    "lower",
    "split",
    "splitAfter",
    "replace",
    "repeat",
    "join",
    "indexOf",
    "lastIndexOf",
    "hasPrefix",
    "hasSuffix",
    "max",
    "min",
    "mean",
    "median",
    "toJSON",
    "fromJSON",
    "toBase64",
    "fromBase64",
    "now",
    "duration",
    "date",
    "timezone",
    "first",
    "last",
    "get",
    "take",
    "keys",
    "values",
    "toPairs",
    "fromPairs",
    "reverse",
    "uniq",
    "concat",
    "flatten",
    "sort",
    "bitand",
    "bitor",
    "bitxor",
    "bitnand",
    "bitshl",
    "bitshr",
    "bitushr",
    "bitnot",
];

/// The builtin of this name.
pub(crate) fn builtin(name: &str) -> Option<&'static str> {
    BUILTINS.iter().find(|known| **known == name).copied()
}

/// The overloads of a builtin, in the order in which they are tried; the fault of the last one is reported.
pub(crate) fn overloads(name: &str) -> Option<&'static [Sig]> {
    use P::{Any, Duration, Floats, Int, Ints, List, Location, Str, Strings};
    const ONE_STRING: &[Sig] = &[sig(&[Str], Str)];
    const BITS: &[Sig] = &[sig(&[Int, Int], Int)];
    Some(match name {
        "type" | "string" | "toJSON" => const { &[sig(&[Any], Str)] },
        "trim" => const { &[sig(&[Str], Str), sig(&[Str, Str], Str)] },
        "trimPrefix" | "trimSuffix" => const { &[sig(&[Str, Str], Str), sig(&[Str], Str)] },
        "upper" | "lower" | "toBase64" | "fromBase64" => ONE_STRING,
        "split" | "splitAfter" => const { &[sig(&[Str, Str], Strings), sig(&[Str, Str, Int], Strings)] },
        "replace" => const { &[sig(&[Str, Str, Str, Int], Str), sig(&[Str, Str, Str], Str)] },
        "repeat" => const { &[sig(&[Str, Int], Str)] },
        "join" => {
            const {
                &[
                    sig(&[Strings, Str], Str),
                    sig(&[List, Str], Str),
                    sig(&[List], Str),
                    sig(&[Strings, Str], Str),
                    sig(&[Strings], Str),
                ]
            }
        }
        "indexOf" | "lastIndexOf" => const { &[sig(&[Str, Str], Int)] },
        "hasPrefix" | "hasSuffix" => const { &[sig(&[Str, Str], P::Bool)] },
        "fromJSON" => const { &[sig(&[Str], Any)] },
        "duration" => const { &[sig(&[Str], Duration)] },
        "timezone" => const { &[sig(&[Str], Location)] },
        "sort" => {
            const {
                &[
                    sig(&[List, Str], List),
                    sig(&[Ints, Str], List),
                    sig(&[Floats, Str], List),
                    sig(&[Strings, Str], List),
                    sig(&[List], List),
                    sig(&[Floats], List),
                    sig(&[Strings], List),
                    sig(&[Ints], List),
                ]
            }
        }
        "bitand" | "bitor" | "bitxor" | "bitnand" | "bitshl" | "bitshr" | "bitushr" => BITS,
        "bitnot" => const { &[sig(&[Int], Int)] },
        _ => return None,
    })
}

/// The functions that Argo adds to the environment.
pub(crate) fn environment(name: &str) -> Option<(&'static str, Sig)> {
    Some(match name {
        "asInt" => ("asInt", sig(&[P::Any], P::Any)),
        "asFloat" => ("asFloat", sig(&[P::Any], P::Any)),
        "toJson" => ("toJson", sig(&[P::Any], P::Str)),
        "jsonpath" => ("jsonpath", sig(&[P::Str, P::Str], P::Any)),
        _ => return None,
    })
}
