//! Runs a checked expression: a walk over the tree within a budget of steps, bytes and depth.
//! It must never know a clock, randomness, or anything outside of its environment and context.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::ast::{Binary, Id, Node, Tree, Unary};
use super::environment::Environment;
use super::{builtins, calls, operators};
use crate::context::{Budget, ELEMENTS_MAX, MEMORY};
use crate::goregex;
use crate::value::{SliceKind, Value};

/// Why a walk stops.
pub(super) enum Stop {
    /// A `?.` on nil: the chain around it is nil.
    Short,
    Fault {
        message: String,
        at: Id,
    },
}

pub(super) type Out = Result<Value, Stop>;

/// The element a predicate looks at.
pub(super) struct Scope {
    pub element: Value,
    pub index: i64,
    pub accumulator: Value,
}

pub(super) struct Machine<'a> {
    pub tree: &'a Tree,
    pub environment: &'a Environment,
    pub budget: &'a Budget<'a>,
    pub scopes: Vec<Scope>,
    variables: Vec<(Arc<str>, Value)>,
}

impl<'a> Machine<'a> {
    pub fn new(tree: &'a Tree, environment: &'a Environment, budget: &'a Budget<'a>) -> Self {
        Machine { tree, environment, budget, scopes: Vec::new(), variables: Vec::new() }
    }

    /// Attaches the place to a message.
    pub fn at<T>(&self, id: Id, result: Result<T, String>) -> Result<T, Stop> {
        result.map_err(|message| Stop::Fault { message, at: id })
    }

    /// Checks the size and depth of something new.
    pub fn admit(&self, id: Id, value: Value) -> Out {
        self.at(id, self.budget.admit(&value))?;
        Ok(value)
    }

    pub fn eval(&mut self, id: Id) -> Out {
        self.at(id, self.budget.step(1))?;
        match self.tree.node(id) {
            Node::Nil => Ok(Value::Null),
            Node::Bool(b) => Ok(Value::Bool(*b)),
            Node::Int(n) => Ok(Value::Int(*n)),
            Node::Float(f) => Ok(Value::Float(*f)),
            Node::Str(s) => Ok(Value::Str(s.clone())),
            Node::Bytes(bytes) => Ok(Value::Bytes(bytes.clone())),
            Node::Ident(name) => Ok(self.variable(name)),
            Node::Pointer(name) => Ok(self.pointer(name)),
            Node::Unary(op, _, inner) => self.unary(id, *op, *inner),
            Node::Binary(..) => self.spine(id),
            Node::Chain(inner) => match self.eval(*inner) {
                Err(Stop::Short) => Ok(Value::Null),
                other => other,
            },
            Node::Member { node, property, optional, .. } => self.member(id, *node, *property, *optional),
            Node::Slice { node, from, to } => self.slice(id, *node, *from, *to),
            Node::Call { callee, args } => calls::call(self, id, *callee, args),
            Node::Builtin { name, args } => builtins::call(self, id, name, args),
            Node::Predicate(inner) => self.eval(*inner),
            Node::Let { name, value, body } => {
                let value = self.eval(*value)?;
                self.variables.push((name.clone(), value));
                let result = self.eval(*body);
                self.variables.pop();
                result
            }
            Node::Sequence(nodes) => {
                let mut last = Value::Null;
                for node in nodes {
                    last = self.eval(*node)?;
                }
                Ok(last)
            }
            Node::Conditional { cond, yes, no } => {
                let chosen = self.eval(*cond)?;
                let chosen = self.at(*cond, operators::to_bool(&chosen))?;
                self.eval(if chosen { *yes } else { *no })
            }
            Node::Array(nodes) => self.array(id, nodes),
            Node::Map(pairs) => self.map(id, pairs),
        }
    }

    fn variable(&self, name: &Arc<str>) -> Value {
        if let Some((_, value)) = self.variables.iter().rev().find(|(known, _)| known == name) {
            return value.clone();
        }
        if &**name == "$env" {
            return Value::Map(self.environment.all().clone());
        }
        self.environment.all().get(name).cloned().unwrap_or(Value::Null)
    }

    fn pointer(&self, name: &str) -> Value {
        let Some(scope) = self.scopes.last() else { return Value::Null };
        match name {
            "index" => Value::Int(scope.index),
            "acc" => scope.accumulator.clone(),
            _ => scope.element.clone(),
        }
    }

    fn unary(&mut self, id: Id, op: Unary, inner: Id) -> Out {
        let value = self.eval(inner)?;
        match op {
            Unary::Not => self.at(id, operators::to_bool(&value)).map(|b| Value::Bool(!b)),
            Unary::Plus => Ok(value),
            Unary::Minus => self.at(id, operators::negate(&value)),
        }
    }

    /// Goes up the left spine in a loop; a short-circuit skips only the operand on its right.
    fn spine(&mut self, id: Id) -> Out {
        let (first, nodes) = self.tree.spine(id);
        let mut left = self.eval(first)?;
        for node in nodes {
            let Node::Binary(op, text, _, right) = self.tree.node(node) else { continue };
            let (op, text, right) = (*op, *text, *right);
            self.at(node, self.budget.step(1))?;
            left = match op {
                Binary::And | Binary::Or => {
                    if self.at(node, operators::to_bool(&left))? == (op == Binary::Or) {
                        left
                    } else {
                        // Nobody looks whether this one is a bool.
                        self.eval(right)?
                    }
                }
                Binary::Coalesce => match left {
                    Value::Null => self.eval(right)?,
                    present => present,
                },
                _ => {
                    let value = self.eval(right)?;
                    self.operate(node, op, text, &left, &value)?
                }
            };
        }
        Ok(left)
    }

    fn operate(&mut self, id: Id, op: Binary, text: &str, a: &Value, b: &Value) -> Out {
        let result = match op {
            Binary::Range => self.range(a, b),
            Binary::Matches => self.matches(a, b),
            Binary::Equal | Binary::NotEqual | Binary::In => {
                self.charge(a).and_then(|()| self.charge(b)).and_then(|()| operators::apply(op, text, a, b))
            }
            Binary::Add => {
                let size = a.string_bytes().map_or(0, <[u8]>::len) + b.string_bytes().map_or(0, <[u8]>::len);
                self.budget.bytes(size).and_then(|()| operators::add(a, b))
            }
            _ => operators::apply(op, text, a, b),
        };
        self.at(id, result)
    }

    /// Counts the work of looking at a whole value.
    pub fn charge(&self, value: &Value) -> Result<(), String> {
        match value {
            Value::Str(s) => self.budget.step(s.len() / 64),
            Value::List(_) | Value::Slice(..) | Value::Map(_) | Value::StrMap(_) | Value::AnyMap(..) => {
                self.budget.admit(value)
            }
            _ => Ok(()),
        }
    }

    fn range(&self, a: &Value, b: &Value) -> Result<Value, String> {
        let (from, to) = (operators::to_int(a)?, operators::to_int(b)?);
        if from > to {
            return Ok(Value::Slice(SliceKind::Int, Arc::new(Vec::new())));
        }
        let count = to.saturating_sub(from).saturating_add(1);
        if count > ELEMENTS_MAX {
            return Err(MEMORY.to_owned());
        }
        self.budget.elements(count as usize)?;
        self.budget.step(count as usize)?;
        Ok(Value::Slice(SliceKind::Int, Arc::new((from..=to).map(Value::Int).collect())))
    }

    fn matches(&self, a: &Value, b: &Value) -> Result<Value, String> {
        if matches!(a, Value::Null) || matches!(b, Value::Null) {
            return Ok(Value::Bool(false));
        }
        let pattern = b.as_str().ok_or_else(|| operators::conversion(b, "string"))?;
        let text = a.as_str().ok_or_else(|| operators::conversion(a, "string"))?;
        self.budget.step(text.len() / 8 + pattern.len() * 8)?;
        Ok(Value::Bool(goregex::compile(pattern)?.is_match(text)))
    }

    fn member(&mut self, id: Id, node: Id, property: Id, optional: bool) -> Out {
        let base = self.eval(node)?;
        if optional && matches!(base, Value::Null) {
            return Err(Stop::Short);
        }
        let key = self.eval(property)?;
        self.at(id, operators::fetch(&base, &key))
    }

    fn slice(&mut self, id: Id, node: Id, from: Option<Id>, to: Option<Id>) -> Out {
        let value = self.eval(node)?;
        let to = to.map(|to| self.eval(to)).transpose()?;
        let from = from.map(|from| self.eval(from)).transpose()?;
        self.at(id, self.charge(&value))?;
        self.at(id, operators::slice(&value, from.as_ref(), to.as_ref()))
    }

    fn array(&mut self, id: Id, nodes: &[Id]) -> Out {
        self.at(id, self.budget.elements(nodes.len()))?;
        let mut items = Vec::with_capacity(nodes.len());
        for node in nodes {
            items.push(self.eval(*node)?);
        }
        self.admit(id, Value::list(items))
    }

    fn map(&mut self, id: Id, pairs: &[(Id, Id)]) -> Out {
        self.at(id, self.budget.elements(pairs.len()))?;
        let mut entries = BTreeMap::new();
        for (key, value) in pairs {
            let key = self.eval(*key)?;
            let value = self.eval(*value)?;
            match key {
                // Upstream fills the map from the end: of equal keys the first counts.
                Value::Str(name) => {
                    entries.entry(name).or_insert(value);
                }
                other => return self.at(id, Err(operators::conversion(&other, "string"))),
            }
        }
        self.admit(id, Value::map(entries))
    }
}
