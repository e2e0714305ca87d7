//! The compile-time checks of calls: functions, methods and builtins.
//! It must never know values.

use super::ast::{Id, Node};
use super::check::{Checked, Checker};
use super::lexer::Fault;
use super::signature::{self, P, Sig};
use super::ty::{Ty, TyKind};
use crate::value::AnyMapKind;

impl Checker<'_> {
    pub(super) fn call(&mut self, id: Id, callee: Id, args: &[Id]) -> Checked {
        let callee_type = self.visit(callee)?;
        let name = match self.tree.node(callee) {
            Node::Ident(name) => name.to_string(),
            Node::Member { property, .. } => match self.tree.node(*property) {
                Node::Str(name) => name.to_string(),
                _ => "function".to_owned(),
            },
            _ => "function".to_owned(),
        };
        match callee_type {
            // What is called is known at run time only, and so are its arguments: upstream does not look at them.
            Ty::Unknown | Ty::Any => Ok(Ty::Unknown),
            Ty::Nil => self.fault(id, format!("{name} is nil; cannot call nil as function")),
            Ty::Func(sig) => self.arguments(id, &name, &sig, args),
            Ty::Builtin(builtin) => self.builtin(id, builtin, args),
            other => self.fault(id, format!("{other} is not callable")),
        }
    }

    fn arguments(&mut self, id: Id, name: &str, sig: &Sig, args: &[Id]) -> Checked {
        if args.len() > sig.params.len() {
            return self.fault(id, format!("too many arguments to call {name}"));
        }
        if args.len() < sig.params.len() {
            return self.fault(id, format!("not enough arguments to call {name}"));
        }
        for (arg, param) in args.iter().zip(sig.params) {
            let ty = self.visit(*arg)?;
            let wanted = param.ty();
            if ty.is_nil() {
                if !matches!(param, P::Any | P::Location) {
                    return self.fault(*arg, format!("cannot use nil as argument (type {wanted}) to call {name}"));
                }
                continue;
            }
            let number = ty.is_integer() && matches!(param, P::Float | P::Int64 | P::Uint64);
            let integer = *param == P::Int && ty.is_integer();
            if !ty.assignable_to(&wanted) && !ty.is_unknown() && !number && !integer {
                let message = format!("cannot use {ty} as argument (type {wanted}) to call {name} ");
                return self.fault(*arg, message);
            }
        }
        Ok(sig.out.ty())
    }

    pub(super) fn builtin(&mut self, id: Id, name: &'static str, args: &[Id]) -> Checked {
        match name {
            "all" | "none" | "any" | "one" | "filter" | "map" | "count" | "sum" | "find" | "findIndex" | "findLast"
            | "findLastIndex" | "groupBy" | "sortBy" | "reduce"
                if !args.is_empty() =>
            {
                self.over_collection(name, args)
            }
            "get" => self.get(id, args),
            _ => match signature::overloads(name) {
                Some(overloads) => self.overloaded(id, name, overloads, args),
                None => {
                    let mut types = Vec::with_capacity(args.len());
                    for arg in args {
                        types.push(self.visit(*arg)?);
                    }
                    validate(name, &types).or_else(|message| self.fault(id, message))
                }
            },
        }
    }

    fn overloaded(&mut self, id: Id, name: &str, overloads: &[Sig], args: &[Id]) -> Checked {
        let mut last = None;
        for sig in overloads {
            match self.arguments(id, name, sig, args) {
                Ok(ty) => return Ok(ty),
                Err(fault) => last = Some(self.inner_fault(args).unwrap_or(fault)),
            }
        }
        match last {
            Some(fault) => Err(fault),
            None => self.fault(id, format!("no matching overload for {name}")),
        }
    }

    /// A fault inside an argument comes first, whatever the overload.
    fn inner_fault(&mut self, args: &[Id]) -> Option<Fault> {
        args.iter().find_map(|arg| self.visit(*arg).err())
    }

    fn over_collection(&mut self, name: &str, args: &[Id]) -> Checked {
        let collection = self.visit(args[0])?;
        if !collection.is_array() && !collection.is_unknown() {
            return self.fault(args[0], format!("builtin {name} takes only array (got {collection})"));
        }
        let element = || if collection.is_unknown() { Ty::Unknown } else { collection.element() };
        let array = || if collection.is_unknown() { Ty::list() } else { Ty::array(collection.element()) };
        let Some(&predicate) = args.get(1) else {
            return Ok(if name == "sum" { element() } else { Ty::Int });
        };
        let indexed = matches!(name, "map" | "reduce");
        let out = self.predicate(predicate, collection.clone(), indexed, name == "reduce")?;
        if let Some(&third) = args.get(2) {
            self.visit(third)?;
        }
        if out.is_nil() && !matches!(name, "sum") {
            let message = if name == "reduce" {
                "predicate should has two input and one output param"
            } else {
                "predicate should has one input and one output param"
            };
            return self.fault(predicate, message);
        }
        let yields_bool = !matches!(name, "map" | "sum" | "groupBy" | "sortBy" | "reduce");
        if yields_bool && !matches!(out, Ty::Bool) && !out.is_unknown() {
            return self.fault(predicate, format!("predicate should return boolean (got {out})"));
        }
        Ok(match name {
            "all" | "none" | "any" | "one" => Ty::Bool,
            "filter" | "sortBy" => array(),
            "map" => Ty::array(out),
            "count" | "findIndex" | "findLastIndex" => Ty::Int,
            "find" | "findLast" => element(),
            "groupBy" => Ty::AnyMap(AnyMapKind::Groups),
            _ => out,
        })
    }

    fn get(&mut self, id: Id, args: &[Id]) -> Checked {
        let [value, property] = args else {
            return self.fault(id, format!("invalid number of arguments (expected 2, got {})", args.len()));
        };
        if matches!(self.tree.node(*value), Node::Ident(name) if &**name == "$env") {
            return Ok(match self.tree.node(*property) {
                Node::Str(name) => self.environment_type(name).unwrap_or(Ty::Unknown),
                _ => Ty::Unknown,
            });
        }
        let ty = self.visit(*value)?;
        if ty.is_unknown() {
            return Ok(Ty::Unknown);
        }
        match ty.kind() {
            TyKind::Slice => {
                let index = self.visit(*property)?;
                if !index.is_integer() && !index.is_unknown() {
                    return self.fault(*property, format!("non-integer slice index {index}"));
                }
                Ok(ty.element())
            }
            TyKind::Map => {
                let key = self.visit(*property)?;
                let fits = matches!(ty, Ty::AnyMap(_)) || matches!(key, Ty::Str) || key.is_unknown();
                if !fits {
                    return self.fault(*property, format!("cannot use {key} to get an element from {ty}"));
                }
                Ok(ty.element())
            }
            _ => self.fault(*value, format!("type {ty} does not support indexing")),
        }
    }
}

/// What is left of a type when upstream goes by `reflect.Type`: not what the elements of a list are.
fn reflected(ty: &Ty) -> Ty {
    match ty {
        Ty::Array(_) => Ty::list(),
        other => other.clone(),
    }
}

fn exactly(args: &[Ty], count: usize) -> Result<(), String> {
    if args.len() == count {
        Ok(())
    } else {
        Err(format!("invalid number of arguments (expected {count}, got {})", args.len()))
    }
}

/// Checks the builtins that upstream validates by code of their own.
fn validate(name: &str, args: &[Ty]) -> Result<Ty, String> {
    let is_list = |ty: &Ty| ty.is_unknown() || ty.is_array();
    match name {
        "len" => {
            exactly(args, 1)?;
            let fits = is_list(&args[0]) || matches!(args[0].kind(), TyKind::Map | TyKind::Str);
            if fits { Ok(Ty::Int) } else { Err(format!("invalid argument for len (type {})", args[0].reflected())) }
        }
        "abs" | "ceil" | "floor" | "round" | "int" | "float" => {
            exactly(args, 1)?;
            let text = matches!(name, "int" | "float") && matches!(args[0], Ty::Str);
            if !args[0].is_unknown() && !args[0].is_numeric_kind() && !text {
                return Err(format!("invalid argument for {name} (type {})", args[0].reflected()));
            }
            Ok(match name {
                "abs" if matches!(args[0], Ty::Unknown) => Ty::Any,
                "abs" => args[0].clone(),
                "int" => Ty::Int,
                _ => Ty::Float,
            })
        }
        "max" | "min" | "mean" | "median" => aggregate(name, args),
        "now" => match args {
            [] | [Ty::Location] => Ok(Ty::Time),
            _ => Err(format!("invalid number of arguments (expected 0, got {})", args.len())),
        },
        "date" => match args {
            [] => Err("invalid number of arguments (expected at least 1, got 0)".to_owned()),
            _ => {
                let rest = if matches!(args[0], Ty::Location) { &args[1..] } else { args };
                if rest.len() > 3 {
                    return Err(format!("invalid number of arguments (expected at most 3, got {})", rest.len()));
                }
                Ok(Ty::Time)
            }
        },
        "first" | "last" => {
            exactly(args, 1)?;
            if args[0].is_unknown() {
                return Ok(Ty::Any);
            }
            if args[0].is_array() {
                return Ok(reflected(&args[0]).element());
            }
            Err(format!("cannot get {name} element from {}", args[0].reflected()))
        }
        "take" => {
            exactly(args, 2)?;
            if !is_list(&args[0]) {
                return Err(format!("cannot take from {}", args[0].reflected()));
            }
            let signed = matches!(args[1].kind(), TyKind::Int | TyKind::Int32 | TyKind::Int64);
            if !args[1].is_unknown() && !signed {
                return Err(format!("cannot take {} elements", args[1].reflected()));
            }
            Ok(reflected(&args[0]))
        }
        _ => validate_collection(name, args),
    }
}

fn validate_collection(name: &str, args: &[Ty]) -> Result<Ty, String> {
    let is_list = |ty: &Ty| ty.is_unknown() || ty.is_array();
    if name == "concat" {
        if args.is_empty() {
            return Err("invalid number of arguments (expected at least 1, got 0)".to_owned());
        }
        return match args.iter().find(|arg| !is_list(arg)) {
            Some(wrong) => Err(format!("cannot concat {}", wrong.reflected())),
            None => Ok(Ty::list()),
        };
    }
    exactly(args, 1)?;
    let shown = args[0].reflected();
    let is_map = args[0].is_unknown() || args[0].is_map();
    match name {
        "keys" | "values" if is_map => Ok(Ty::list()),
        "keys" | "values" => Err(format!("cannot get {name} from {shown}")),
        "toPairs" if is_map => Ok(Ty::list()),
        "toPairs" => Err(format!("cannot transform {shown} to pairs")),
        "fromPairs" if is_list(&args[0]) => Ok(Ty::AnyMap(AnyMapKind::Any)),
        "fromPairs" => Err(format!("cannot transform {shown} from pairs")),
        _ if is_list(&args[0]) => Ok(Ty::list()),
        _ => Err(format!("cannot {name} {shown}")),
    }
}

fn aggregate(name: &str, args: &[Ty]) -> Result<Ty, String> {
    if args.is_empty() {
        return Err(format!("not enough arguments to call {name}"));
    }
    for arg in args {
        if arg.is_unknown() || arg.is_array() {
            return Ok(Ty::Any);
        }
        if !arg.is_numeric_kind() {
            return Err(format!("invalid argument for {name} (type {})", arg.reflected()));
        }
    }
    Ok(args[0].clone())
}
