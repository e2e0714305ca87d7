//! The compile-time checks of expr-lang v1.17.8: types of operators, members and predicates.
//! It must never know values; of the environment it knows the types of its variables.

use std::sync::Arc;

use super::ast::{Binary, Id, Node, Tree, Unary};
use super::environment::Environment;
use super::lexer::Fault;
use super::ty::{Ty, TyKind};
use super::{methods, signature};
use crate::goregex;
use crate::value::AnyMapKind;

pub(super) type Checked = Result<Ty, Fault>;

/// The collection that a predicate runs over.
struct Scope {
    collection: Ty,
    index: bool,
    accumulator: bool,
}

pub(super) struct Checker<'a> {
    pub tree: &'a Tree,
    environment: &'a Environment,
    scopes: Vec<Scope>,
    variables: Vec<(Arc<str>, Ty)>,
}

/// Checks a whole expression.
pub(super) fn check(tree: &Tree, environment: &Environment) -> Checked {
    let mut checker = Checker { tree, environment, scopes: Vec::new(), variables: Vec::new() };
    checker.visit(tree.root)
}

impl Checker<'_> {
    pub fn fault<T>(&self, at: Id, message: impl Into<String>) -> Result<T, Fault> {
        Err((message.into(), self.tree.offset(at)))
    }

    pub fn visit(&mut self, id: Id) -> Checked {
        match self.tree.node(id) {
            Node::Nil => Ok(Ty::Nil),
            Node::Bool(_) => Ok(Ty::Bool),
            Node::Int(_) => Ok(Ty::Int),
            Node::Float(_) => Ok(Ty::Float),
            Node::Str(_) => Ok(Ty::Str),
            Node::Bytes(_) => Ok(Ty::Bytes),
            Node::Ident(name) => self.identifier(id, name),
            Node::Pointer(name) => self.pointer(id, name),
            Node::Unary(op, text, inner) => self.unary(id, *op, text, *inner),
            Node::Binary(..) => self.spine(id),
            Node::Chain(inner) => self.visit(*inner),
            Node::Member { node, property, optional, method } => self.member(id, *node, *property, *optional, *method),
            Node::Slice { node, from, to } => self.slice(id, *node, *from, *to),
            Node::Call { callee, args } => self.call(id, *callee, args),
            Node::Builtin { name, args } => self.builtin(id, name, args),
            // A predicate is visited by the builtin it belongs to.
            Node::Predicate(inner) => self.visit(*inner),
            Node::Let { name, value, body } => self.declaration(id, name, *value, *body),
            Node::Sequence(nodes) => {
                let mut last = Ty::Nil;
                for node in nodes {
                    last = self.visit(*node)?;
                }
                Ok(last)
            }
            Node::Conditional { cond, yes, no } => self.conditional(*cond, *yes, *no),
            Node::Array(nodes) => self.array(nodes),
            Node::Map(pairs) => {
                for (key, value) in pairs {
                    self.visit(*key)?;
                    self.visit(*value)?;
                }
                Ok(Ty::Map)
            }
        }
    }

    fn array(&mut self, nodes: &[Id]) -> Checked {
        let mut previous = Ty::Unknown;
        let mut same = true;
        for (index, node) in nodes.iter().enumerate() {
            let current = self.visit(*node)?;
            same &= index == 0 || current.kind() == previous.kind();
            previous = current;
        }
        Ok(if same { Ty::array(previous) } else { Ty::list() })
    }

    fn identifier(&self, id: Id, name: &Arc<str>) -> Checked {
        if let Some((_, ty)) = self.variables.iter().rev().find(|(known, _)| known == name) {
            return Ok(ty.clone());
        }
        if &**name == "$env" {
            return Ok(Ty::Unknown);
        }
        if let Some(ty) = self.environment.type_of(name) {
            return Ok(ty);
        }
        match signature::builtin(name) {
            Some(builtin) => Ok(Ty::Builtin(builtin)),
            None => self.fault(id, format!("unknown name {name}")),
        }
    }

    fn pointer(&self, id: Id, name: &str) -> Checked {
        let Some(scope) = self.scopes.last() else {
            return self.fault(id, "cannot use pointer accessor outside predicate");
        };
        match name {
            "" if scope.collection.is_unknown() => Ok(Ty::Unknown),
            "" => Ok(scope.collection.element()),
            "index" if scope.index => Ok(Ty::Int),
            "acc" if scope.accumulator => Ok(Ty::Unknown),
            _ => self.fault(id, format!("unknown pointer #{name}")),
        }
    }

    fn unary(&mut self, id: Id, op: Unary, text: &str, inner: Id) -> Checked {
        let ty = self.visit(inner)?;
        match op {
            Unary::Not if matches!(ty, Ty::Bool) || ty.is_unknown() => Ok(Ty::Bool),
            Unary::Plus | Unary::Minus if ty.is_number() => Ok(ty),
            Unary::Plus | Unary::Minus if ty.is_unknown() => Ok(Ty::Unknown),
            _ => self.fault(id, format!("invalid operation: {text} (mismatched type {ty})")),
        }
    }

    /// Goes up the left spine in a loop: `a + b + …` may be long.
    fn spine(&mut self, id: Id) -> Checked {
        let (first, nodes) = self.tree.spine(id);
        let mut left = self.visit(first)?;
        for node in nodes {
            if let Node::Binary(op, text, _, right) = self.tree.node(node) {
                let right_type = self.visit(*right)?;
                left = self.binary(node, *op, text, left, right_type, *right)?;
            }
        }
        Ok(left)
    }

    fn binary(&self, id: Id, op: Binary, text: &str, l: Ty, r: Ty, right: Id) -> Checked {
        if op == Binary::Matches
            && let Node::Str(pattern) = self.tree.node(right)
            && let Err(message) = goregex::compile(pattern)
        {
            return self.fault(id, message);
        }
        if op == Binary::In
            && let Some(message) = membership_fault(&l, &r)
        {
            return self.fault(id, message);
        }
        match binary_type(op, &l, &r) {
            Some(ty) => Ok(ty),
            None => self.fault(id, format!("invalid operation: {text} (mismatched types {l} and {r})")),
        }
    }

    fn conditional(&mut self, cond: Id, yes: Id, no: Id) -> Checked {
        let ty = self.visit(cond)?;
        if !matches!(ty, Ty::Bool) && !ty.is_unknown() {
            return self.fault(cond, format!("non-bool expression (type {ty}) used as condition"));
        }
        let (a, b) = (self.visit(yes)?, self.visit(no)?);
        Ok(match (a.is_nil(), b.is_nil()) {
            (true, true) => Ty::Nil,
            (true, false) => b,
            (false, true) => a,
            _ if a.assignable_to(&b) => a,
            _ => Ty::Unknown,
        })
    }

    fn member(&mut self, id: Id, node: Id, property: Id, optional: bool, method: bool) -> Checked {
        let name = match self.tree.node(property) {
            Node::Str(name) => Some(name.clone()),
            _ => None,
        };
        if matches!(self.tree.node(node), Node::Ident(ident) if &**ident == "$env") {
            let Some(name) = name else { return Ok(Ty::Unknown) };
            return match self.environment.type_of(&name) {
                Some(ty) => Ok(ty),
                None if optional => Ok(Ty::Unknown),
                None => self.fault(id, format!("unknown name {name}")),
            };
        }
        let base = self.visit(node)?;
        let prop = self.visit(property)?;
        if base.is_unknown() {
            return Ok(Ty::Unknown);
        }
        if let Some(name) = &name {
            if base.is_nil() {
                return self.fault(id, format!("type nil has no field {name}"));
            }
            if let Some((_, sig)) = methods::find(&base, name) {
                return Ok(Ty::Func(sig));
            }
        }
        match base.kind() {
            TyKind::Map => {
                let any_key = matches!(base, Ty::AnyMap(_));
                if !any_key && !matches!(prop, Ty::Str) && !prop.is_unknown() {
                    return self.fault(property, format!("cannot use {prop} to get an element from {base}"));
                }
                Ok(base.element())
            }
            TyKind::Slice => {
                if !prop.is_integer() && !prop.is_unknown() {
                    let message = format!("array elements can only be selected using an integer (got {prop})");
                    return self.fault(property, message);
                }
                Ok(base.element())
            }
            _ => match name {
                Some(name) if method => self.fault(id, format!("type {base} has no method {name}")),
                Some(name) => self.fault(id, format!("type {base} has no field {name}")),
                None => self.fault(id, format!("type {base}[{prop}] is undefined")),
            },
        }
    }

    fn slice(&mut self, id: Id, node: Id, from: Option<Id>, to: Option<Id>) -> Checked {
        let ty = self.visit(node)?;
        if ty.is_unknown() {
            return Ok(Ty::Unknown);
        }
        if !matches!(ty.kind(), TyKind::Str | TyKind::Slice) {
            return self.fault(id, format!("cannot slice {ty}"));
        }
        for bound in [from, to].into_iter().flatten() {
            let bound_type = self.visit(bound)?;
            if !bound_type.is_integer() && !bound_type.is_unknown() {
                return self.fault(bound, format!("non-integer slice index {bound_type}"));
            }
        }
        Ok(ty)
    }

    fn declaration(&mut self, id: Id, name: &Arc<str>, value: Id, body: Id) -> Checked {
        if self.environment.type_of(name).is_some() {
            return self.fault(id, format!("cannot redeclare {name}"));
        }
        if signature::builtin(name).is_some() {
            return self.fault(id, format!("cannot redeclare builtin {name}"));
        }
        if self.variables.iter().any(|(known, _)| known == name) {
            return self.fault(id, format!("cannot redeclare variable {name}"));
        }
        let ty = self.visit(value)?;
        self.variables.push((name.clone(), ty));
        let result = self.visit(body);
        self.variables.pop();
        result
    }

    /// Visits a predicate and gives the type of its result.
    pub fn predicate(&mut self, id: Id, collection: Ty, index: bool, accumulator: bool) -> Checked {
        self.scopes.push(Scope { collection, index, accumulator });
        let result = self.visit(id);
        self.scopes.pop();
        result
    }

    /// The type of a variable of the environment.
    pub fn environment_type(&self, name: &str) -> Option<Ty> {
        self.environment.type_of(name)
    }
}

fn membership_fault(l: &Ty, r: &Ty) -> Option<String> {
    if r.is_map() {
        let any_key = matches!(r, Ty::AnyMap(AnyMapKind::Any | AnyMapKind::Groups));
        let fits = l.is_unknown() || any_key || matches!(l, Ty::Str);
        return (!fits).then(|| format!("cannot use {l} as type string in map key"));
    }
    if r.is_array() && !l.comparable_with(&r.element()) {
        return Some(format!("cannot use {l} as type {} in array", r.element()));
    }
    None
}

/// True if a side that is unknown may turn out to fit the other one.
fn either(l: &Ty, r: &Ty, fits: impl Fn(&Ty) -> bool) -> bool {
    match (l.is_unknown(), r.is_unknown()) {
        (true, true) => true,
        (true, false) => fits(r),
        (false, true) => fits(l),
        (false, false) => false,
    }
}

fn combined(l: &Ty, r: &Ty) -> Ty {
    if matches!(l, Ty::Float) || matches!(r, Ty::Float) { Ty::Float } else { Ty::Int }
}

/// The type of an operation; `None` if the operands do not fit.
fn binary_type(op: Binary, l: &Ty, r: &Ty) -> Option<Ty> {
    let numbers = l.is_number() && r.is_number();
    let is_time = |ty: &Ty| matches!(ty, Ty::Time);
    let is_duration = |ty: &Ty| matches!(ty, Ty::Duration);
    let is_string = |ty: &Ty| matches!(ty, Ty::Str);
    let both = |fits: &dyn Fn(&Ty) -> bool| fits(l) && fits(r);
    match op {
        Binary::Equal | Binary::NotEqual => l.comparable_with(r).then_some(Ty::Bool),
        Binary::Or | Binary::And => {
            let is_bool = |ty: &Ty| matches!(ty, Ty::Bool);
            (both(&is_bool) || either(l, r, is_bool)).then_some(Ty::Bool)
        }
        Binary::Less | Binary::LessEqual | Binary::Greater | Binary::GreaterEqual => {
            let known = numbers || both(&is_string) || both(&is_time) || both(&is_duration);
            let fits = |ty: &Ty| ty.is_number() || is_string(ty) || is_time(ty) || is_duration(ty);
            (known || either(l, r, fits)).then_some(Ty::Bool)
        }
        Binary::Matches | Binary::Contains | Binary::StartsWith | Binary::EndsWith => {
            (both(&is_string) || either(l, r, is_string)).then_some(Ty::Bool)
        }
        Binary::In => {
            if r.is_map() || r.is_array() {
                return Some(Ty::Bool);
            }
            let time_field = (is_string(l) || l.is_unknown()) && is_time(r);
            let fits = time_field || r.is_unknown() || (l.is_unknown() && is_string(r));
            fits.then_some(Ty::Bool)
        }
        Binary::Range => {
            let integers = l.is_integer() && r.is_integer();
            (integers || either(l, r, Ty::is_integer)).then(|| Ty::array(Ty::Int))
        }
        Binary::Coalesce => Some(match (l.is_nil(), r.is_nil()) {
            (true, true) => Ty::Nil,
            (true, false) => r.clone(),
            (false, true) => l.clone(),
            _ if r.assignable_to(l) => l.clone(),
            _ => Ty::Unknown,
        }),
        Binary::Divide | Binary::Power => (numbers || either(l, r, Ty::is_number)).then_some(Ty::Float),
        Binary::Modulo if l.is_integer() && r.is_integer() => Some(Ty::Int),
        Binary::Modulo => either(l, r, Ty::is_integer).then_some(Ty::Unknown),
        Binary::Add | Binary::Subtract | Binary::Multiply => arithmetic_type(op, l, r),
    }
}

fn arithmetic_type(op: Binary, l: &Ty, r: &Ty) -> Option<Ty> {
    if l.is_number() && r.is_number() {
        return Some(combined(l, r));
    }
    let known = match (op, l, r) {
        (Binary::Add, Ty::Str, Ty::Str) => Some(Ty::Str),
        (Binary::Add, Ty::Time, Ty::Duration) | (Binary::Add, Ty::Duration, Ty::Time) => Some(Ty::Time),
        (Binary::Subtract, Ty::Time, Ty::Duration) => Some(Ty::Time),
        (Binary::Subtract, Ty::Time, Ty::Time) => Some(Ty::Duration),
        (_, Ty::Duration, Ty::Duration) => Some(Ty::Duration),
        (Binary::Multiply, Ty::Duration, other) | (Binary::Multiply, other, Ty::Duration) if other.is_number() => {
            Some(Ty::Duration)
        }
        _ => None,
    };
    let fits = |ty: &Ty| match op {
        Binary::Add => ty.is_number() || matches!(ty, Ty::Str | Ty::Time | Ty::Duration),
        Binary::Subtract => ty.is_number() || matches!(ty, Ty::Time | Ty::Duration),
        _ => ty.is_number() || matches!(ty, Ty::Duration),
    };
    known.or_else(|| either(l, r, fits).then_some(Ty::Unknown))
}
