//! Tokens of a condition into stages, by govaluate's levels of precedence.
//! It must never know values.

use std::sync::Arc;

use super::lexer::{Kind, Token};
use crate::value::Value;

/// Index of a stage.
pub(super) type Id = usize;

#[derive(Debug, Clone)]
pub(super) enum Stage {
    Literal(Value),
    Pattern(regex::Regex),
    /// A member of a parameter; there are none.
    Accessor {
        name: Arc<str>,
        args: Option<Id>,
    },
    Prefix(Arc<str>, Option<Id>),
    /// Operands of one level, left to right. An operand is missing where only a bracket closes.
    Chain {
        first: Option<Id>,
        rest: Vec<(Level, Arc<str>, Option<Id>)>,
    },
    /// A clause in brackets.
    Group(Option<Id>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    Separator,
    Ternary,
    Or,
    And,
    Comparator,
    Bitwise,
    Shift,
    Additive,
    Multiplicative,
    Exponential,
}

const LEVELS: [Level; 10] = [
    Level::Separator,
    Level::Ternary,
    Level::Or,
    Level::And,
    Level::Comparator,
    Level::Bitwise,
    Level::Shift,
    Level::Additive,
    Level::Multiplicative,
    Level::Exponential,
];

impl Level {
    fn has(self, token: &Token) -> bool {
        let symbol = &*token.text;
        match self {
            Level::Separator => token.kind == Kind::Separator,
            Level::Ternary => token.kind == Kind::Ternary,
            Level::Or => token.kind == Kind::LogicalOp && symbol == "||",
            Level::And => token.kind == Kind::LogicalOp && symbol == "&&",
            Level::Comparator => token.kind == Kind::Comparator,
            _ if token.kind != Kind::Modifier => false,
            Level::Bitwise => matches!(symbol, "&" | "|" | "^"),
            Level::Shift => matches!(symbol, "<<" | ">>"),
            Level::Additive => matches!(symbol, "+" | "-"),
            Level::Multiplicative => matches!(symbol, "*" | "/" | "%"),
            Level::Exponential => symbol == "**",
        }
    }
}

/// The stages of a condition; the last one is the root.
pub(super) struct Plan {
    pub stages: Vec<Stage>,
    pub root: Option<Id>,
}

/// Brackets and prefixes inside each other.
const DEPTH_MAX: usize = 40;

pub(super) fn plan(tokens: &[Token]) -> Result<Plan, String> {
    let mut planner = Planner { tokens, at: 0, stages: Vec::new(), depth: 0 };
    let root = planner.level(0)?;
    Ok(Plan { stages: planner.stages, root })
}

struct Planner<'t> {
    tokens: &'t [Token],
    at: usize,
    stages: Vec<Stage>,
    depth: usize,
}

type Planned = Result<Option<Id>, String>;

impl Planner<'_> {
    fn push(&mut self, stage: Stage) -> Id {
        self.stages.push(stage);
        self.stages.len() - 1
    }

    /// Same-level operators are collected in a loop and evaluated from the left, which is what upstream's
    /// reordering of its right-leaning stages comes to.
    fn level(&mut self, index: usize) -> Planned {
        let Some(&level) = LEVELS.get(index) else { return self.value() };
        let first = self.level(index + 1)?;
        let mut rest = Vec::new();
        while let Some(token) = self.tokens.get(self.at).filter(|token| level.has(token)) {
            self.at += 1;
            let symbol = token.text.clone();
            rest.push((level, symbol, self.level(index + 1)?));
        }
        if rest.is_empty() { Ok(first) } else { Ok(Some(self.push(Stage::Chain { first, rest }))) }
    }

    fn deeper(&mut self, index: usize) -> Planned {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err("expression is nested too deeply".to_owned());
        }
        let planned = if self.at < self.tokens.len() { self.level(index) } else { Ok(None) };
        self.depth -= 1;
        planned
    }

    fn value(&mut self) -> Planned {
        let Some(token) = self.tokens.get(self.at).cloned() else { return Ok(None) };
        self.at += 1;
        let stage = match token.kind {
            Kind::Clause => {
                let inner = self.deeper(0)?;
                // The closing bracket; upstream does not look either.
                self.at += 1;
                Stage::Group(inner)
            }
            Kind::ClauseClose => {
                self.at -= 1;
                return Ok(None);
            }
            Kind::Numeric | Kind::Time => Stage::Literal(Value::Float(token.number)),
            Kind::String | Kind::Variable => Stage::Literal(Value::Str(token.text)),
            Kind::Boolean => Stage::Literal(Value::Bool(&*token.text == "true")),
            Kind::Pattern => match token.pattern {
                Some(pattern) => Stage::Pattern(pattern),
                None => Stage::Literal(Value::Str(token.text)),
            },
            Kind::Prefix => {
                let inner = self.deeper(LEVELS.len())?;
                Stage::Prefix(token.text, inner)
            }
            Kind::Accessor => {
                let called = self.tokens.get(self.at).is_some_and(|token| token.kind == Kind::Clause);
                let args = if called { self.deeper(0)? } else { None };
                let name = token.text.split('.').next().unwrap_or_default().into();
                Stage::Accessor { name, args }
            }
            _ => {
                return Err(format!("Unable to plan token kind: '{:?}', value: '{}'", token.kind, token.text));
            }
        };
        Ok(Some(self.push(stage)))
    }
}
