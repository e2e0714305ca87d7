//! The tables of the grammar: operators with their precedence, and builtins that take a predicate.
//! It must never know tokens or trees.

use super::ast::Binary;

/// What one argument of a builtin with a predicate is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Arg {
    Expr,
    Predicate,
    OptionalExpr,
    OptionalPredicate,
}

pub(super) fn predicate_args(name: &str) -> Option<(&'static str, &'static [Arg])> {
    use Arg::{Expr, OptionalExpr, OptionalPredicate, Predicate};
    const TABLE: [(&str, &[Arg]); 15] = [
        ("all", &[Expr, Predicate]),
        ("none", &[Expr, Predicate]),
        ("any", &[Expr, Predicate]),
        ("one", &[Expr, Predicate]),
        ("filter", &[Expr, Predicate]),
        ("map", &[Expr, Predicate]),
        ("count", &[Expr, OptionalPredicate]),
        ("sum", &[Expr, OptionalPredicate]),
        ("find", &[Expr, Predicate]),
        ("findIndex", &[Expr, Predicate]),
        ("findLast", &[Expr, Predicate]),
        ("findLastIndex", &[Expr, Predicate]),
        ("groupBy", &[Expr, Predicate]),
        ("sortBy", &[Expr, Predicate, OptionalExpr]),
        ("reduce", &[Expr, Predicate, OptionalExpr]),
    ];
    TABLE.iter().find(|(known, _)| *known == name).copied()
}

/// Operator, precedence, right associative.
pub(super) fn binary(text: &str) -> Option<(Binary, &'static str, u32)> {
    let found = match text {
        "or" => (Binary::Or, "or", 10),
        "||" => (Binary::Or, "||", 10),
        "and" => (Binary::And, "and", 15),
        "&&" => (Binary::And, "&&", 15),
        "==" => (Binary::Equal, "==", 20),
        "!=" => (Binary::NotEqual, "!=", 20),
        "<" => (Binary::Less, "<", 20),
        ">" => (Binary::Greater, ">", 20),
        ">=" => (Binary::GreaterEqual, ">=", 20),
        "<=" => (Binary::LessEqual, "<=", 20),
        "in" => (Binary::In, "in", 20),
        "matches" => (Binary::Matches, "matches", 20),
        "contains" => (Binary::Contains, "contains", 20),
        "startsWith" => (Binary::StartsWith, "startsWith", 20),
        "endsWith" => (Binary::EndsWith, "endsWith", 20),
        ".." => (Binary::Range, "..", 25),
        "+" => (Binary::Add, "+", 30),
        "-" => (Binary::Subtract, "-", 30),
        "*" => (Binary::Multiply, "*", 60),
        "/" => (Binary::Divide, "/", 60),
        "%" => (Binary::Modulo, "%", 60),
        "**" => (Binary::Power, "**", 100),
        "^" => (Binary::Power, "^", 100),
        "??" => (Binary::Coalesce, "??", 500),
        _ => return None,
    };
    Some(found)
}

pub(super) fn is_comparison(op: Binary) -> bool {
    use Binary::{Greater, GreaterEqual, Less, LessEqual};
    matches!(op, Less | Greater | GreaterEqual | LessEqual)
}

/// Operators that `not` may stand before.
pub(super) fn can_negate(text: &str) -> bool {
    matches!(text, "contains" | "matches" | "startsWith" | "endsWith" | "in")
}
