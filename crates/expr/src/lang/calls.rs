//! Calls of function values: Argo's own functions, members of `sprig`, methods.
//! It must never know how an expression is written.

use super::ast::Id;
use super::builtins::{numbers, strings};
use super::eval::{Machine, Out};
use super::methods;
use super::signature::P;
use super::ty::Ty;
use crate::sprig;
use crate::value::{Func, Value};

pub(super) fn call(machine: &mut Machine<'_>, id: Id, callee: Id, args: &[Id]) -> Out {
    let function = machine.eval(callee)?;
    let mut values = Vec::with_capacity(args.len());
    for arg in args {
        values.push(machine.eval(*arg)?);
    }
    let result = invoke(machine, &function, &values);
    let value = machine.at(id, result)?;
    machine.admit(id, value)
}

fn invoke(machine: &Machine<'_>, function: &Value, args: &[Value]) -> Result<Value, String> {
    match function {
        Value::Func(Func::Sprig(entry)) => sprig::call(entry, args, machine.budget),
        Value::Func(Func::Env(name)) => environment(machine, name, args),
        Value::Func(Func::Method(receiver, name)) => {
            let Some((_, sig)) = methods::find(&Ty::of(receiver), name) else {
                return Err(format!("type {} has no method {name}", receiver.go_type()));
            };
            count(args, sig.params.len())?;
            for (arg, param) in args.iter().zip(sig.params) {
                fits(arg, *param)?;
            }
            machine.budget.bytes(256)?;
            methods::call(receiver, name, args)
        }
        Value::Null => Err("invalid operation: cannot call nil".to_owned()),
        other => Err(format!("invalid operation: cannot call non-function of type {}", other.go_type())),
    }
}

fn count(args: &[Value], expected: usize) -> Result<(), String> {
    if args.len() == expected {
        Ok(())
    } else {
        Err(format!("invalid number of arguments: expected {expected}, got {}", args.len()))
    }
}

/// `reflect.Call` refuses what is not assignable.
fn fits(arg: &Value, param: P) -> Result<(), String> {
    let wanted = param.ty();
    if param == P::Any || Ty::of(arg).assignable_to(&wanted) || (param == P::Int && arg.integer().is_some()) {
        return Ok(());
    }
    if matches!(arg, Value::Null) {
        return Err("reflect: Call using zero Value argument".to_owned());
    }
    Err(format!("reflect: Call using {} as type {wanted}", arg.go_type()))
}

fn environment(machine: &Machine<'_>, name: &str, args: &[Value]) -> Result<Value, String> {
    count(args, if name == "jsonpath" { 2 } else { 1 })?;
    match name {
        "asInt" if matches!(args[0], Value::Null) => {
            Err("reflect: call of reflect.Value.Type on zero Value".to_owned())
        }
        "asInt" => numbers::int(&args[0]),
        "asFloat" => numbers::float(&args[0]),
        "toJson" => {
            let text = crate::json::encode(&args[0])?;
            machine.budget.bytes(text.len())?;
            Ok(text.into())
        }
        _ => {
            let text = strings::text(&args[0])?;
            let path = strings::text(&args[1])?;
            machine.budget.step(text.len() / 8)?;
            machine.budget.bytes(text.len())?;
            let json = crate::json::decode(text, crate::json::Numbers::Float)?;
            crate::jsonpath::query_within(&json, path, machine.budget)
        }
    }
}
