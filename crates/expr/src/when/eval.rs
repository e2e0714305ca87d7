//! Evaluates the stages of a condition, with govaluate's checks of types.
//! It must never know tokens.

use std::sync::Arc;

use super::plan::{Id, Level, Plan, Stage};
use crate::gofmt;
use crate::goregex;
use crate::lang::operators::{power, truncate};
use crate::value::Value;

/// A value or a compiled pattern.
#[derive(Clone)]
enum Operand {
    Value(Value),
    Pattern(regex::Regex),
}

impl Operand {
    fn shown(&self) -> String {
        match self {
            Operand::Value(value) => gofmt::value(value),
            Operand::Pattern(pattern) => pattern.as_str().to_owned(),
        }
    }

    fn value(&self) -> Value {
        match self {
            Operand::Value(value) => value.clone(),
            Operand::Pattern(pattern) => pattern.as_str().into(),
        }
    }
}

type Out = Result<Operand, String>;

const NIL: Operand = Operand::Value(Value::Null);

pub(super) fn evaluate(plan: &Plan) -> Result<Value, String> {
    operand(plan, plan.root).map(|operand| operand.value())
}

/// Recursion is as deep as the plan, which the planner has bounded.
fn operand(plan: &Plan, id: Option<Id>) -> Out {
    let Some(stage) = id.and_then(|id| plan.stages.get(id)) else { return Ok(NIL) };
    match stage {
        Stage::Literal(value) => Ok(Operand::Value(value.clone())),
        Stage::Pattern(pattern) => Ok(Operand::Pattern(pattern.clone())),
        Stage::Group(inner) => operand(plan, *inner),
        Stage::Accessor { name, args } => {
            operand(plan, *args)?;
            Err(format!("No parameter '{name}' found."))
        }
        Stage::Prefix(symbol, inner) => {
            let value = operand(plan, *inner)?;
            prefix(symbol, &value)
        }
        Stage::Chain { first, rest } => {
            let mut left = operand(plan, *first)?;
            // `(1, 2, 3)` grows one list.
            let mut list: Option<Vec<Value>> = None;
            for (level, symbol, right) in rest {
                if *level == Level::Separator {
                    let right = operand(plan, *right)?.value();
                    match &mut list {
                        Some(items) => items.push(right),
                        None => {
                            let mut items = match &left {
                                Operand::Value(Value::List(items)) => items.to_vec(),
                                other => vec![other.value()],
                            };
                            items.push(right);
                            list = Some(items);
                        }
                    }
                    continue;
                }
                left = step(plan, *level, symbol, left, *right)?;
            }
            Ok(list.map_or(left, |items| Operand::Value(Value::list(items))))
        }
    }
}

fn unfit(left: &Operand, what: &str, symbol: &str, tail: &str) -> String {
    format!("Value '{}' cannot be used with the {what} '{symbol}'{tail}", left.shown())
}

fn number(operand: &Operand) -> Option<f64> {
    match operand {
        Operand::Value(Value::Float(f)) => Some(*f),
        _ => None,
    }
}

fn text(operand: &Operand) -> Option<&str> {
    match operand {
        Operand::Value(Value::Str(text)) => Some(text),
        _ => None,
    }
}

fn boolean(operand: &Operand) -> Option<bool> {
    match operand {
        Operand::Value(Value::Bool(b)) => Some(*b),
        _ => None,
    }
}

fn is_nil(operand: &Operand) -> bool {
    matches!(operand, Operand::Value(Value::Null))
}

fn float(f: f64) -> Operand {
    Operand::Value(Value::Float(f))
}

fn truth(b: bool) -> Operand {
    Operand::Value(Value::Bool(b))
}

fn prefix(symbol: &str, value: &Operand) -> Out {
    let result = match symbol {
        "!" => boolean(value).map(|b| truth(!b)),
        "-" => number(value).map(|f| float(-f)),
        _ => number(value).map(|f| float(!truncate(f) as f64)),
    };
    result.ok_or_else(|| unfit(value, "prefix", symbol, ""))
}

fn step(plan: &Plan, level: Level, symbol: &Arc<str>, left: Operand, right: Option<Id>) -> Out {
    let symbol = &**symbol;
    match level {
        Level::And | Level::Or => {
            let decided = boolean(&left) == Some(level == Level::Or);
            if decided {
                return Ok(left);
            }
            let right = operand(plan, right)?;
            for side in [&left, &right] {
                if boolean(side).is_none() {
                    return Err(unfit(side, "logical operator", symbol, ", it is not a bool"));
                }
            }
            Ok(right)
        }
        Level::Ternary => ternary(plan, symbol, left, right),
        Level::Comparator => {
            let right = operand(plan, right)?;
            comparator(symbol, &left, &right)
        }
        _ => {
            let right = operand(plan, right)?;
            modifier(symbol, &left, &right)
        }
    }
}

/// `a ? b` is b or nil, `x : c` is x or, if that is nil, c.
fn ternary(plan: &Plan, symbol: &str, left: Operand, right: Option<Id>) -> Out {
    if symbol == "?" {
        return match boolean(&left) {
            Some(true) => operand(plan, right),
            Some(false) => Ok(NIL),
            None => {
                operand(plan, right)?;
                Err(unfit(&left, "ternary operator", symbol, ", it is not a bool"))
            }
        };
    }
    if is_nil(&left) { operand(plan, right) } else { Ok(left) }
}

fn comparator(symbol: &str, left: &Operand, right: &Operand) -> Out {
    let refuse = |side: &Operand| Err(unfit(side, "comparator", symbol, ", it is not a number"));
    let result = match symbol {
        "==" => equal(left, right),
        "!=" => !equal(left, right),
        "=~" | "!~" => {
            let Some(subject) = text(left) else { return refuse(left) };
            let matched = match right {
                Operand::Pattern(pattern) => pattern.is_match(subject),
                other => match text(other) {
                    Some(pattern) => goregex::compile(pattern)?.is_match(subject),
                    None => return refuse(right),
                },
            };
            matched == (symbol == "=~")
        }
        "in" => match right {
            Operand::Value(Value::List(items)) => {
                if let Operand::Value(Value::List(_)) = left {
                    let listed = items.iter().any(|item| matches!(item, Value::List(_)));
                    if listed {
                        return Err("runtime error: comparing uncomparable type []interface {}".to_owned());
                    }
                }
                items.contains(&left.value())
            }
            _ => return refuse(right),
        },
        _ => match (number(left), number(right), text(left), text(right)) {
            (Some(x), Some(y), ..) => ordered(symbol, x.partial_cmp(&y)),
            (.., Some(x), Some(y)) => ordered(symbol, Some(x.cmp(y))),
            _ => return refuse(left),
        },
    };
    Ok(truth(result))
}

fn ordered(symbol: &str, ordering: Option<std::cmp::Ordering>) -> bool {
    use std::cmp::Ordering::{Equal, Greater, Less};
    matches!(
        (symbol, ordering),
        ("<", Some(Less)) | (">", Some(Greater)) | ("<=", Some(Less | Equal)) | (">=", Some(Greater | Equal))
    )
}

fn equal(left: &Operand, right: &Operand) -> bool {
    match (left, right) {
        (Operand::Value(x), Operand::Value(y)) => x == y,
        (Operand::Pattern(x), Operand::Pattern(y)) => x.as_str() == y.as_str(),
        _ => false,
    }
}

fn modifier(symbol: &str, left: &Operand, right: &Operand) -> Out {
    if symbol == "+" && (text(left).is_some() || text(right).is_some()) {
        let joined = format!("{}{}", left.shown(), right.shown());
        if joined.len() > 1 << 20 {
            return Err(crate::context::MEMORY.to_owned());
        }
        return Ok(Operand::Value(joined.into()));
    }
    let refuse = |side: &Operand| unfit(side, "modifier", symbol, ", it is not a number");
    let (x, y) = match (number(left), number(right)) {
        (Some(x), Some(y)) => (x, y),
        // Both sides together decide about `+`; the left one is shown.
        (Some(_), None) if symbol != "+" => return Err(refuse(right)),
        _ => return Err(refuse(left)),
    };
    let shift = |by: f64| u32::try_from(truncate(by)).ok().filter(|by| *by < 64);
    Ok(float(match symbol {
        "+" => x + y,
        "-" => x - y,
        "*" => x * y,
        "/" => x / y,
        "%" => x % y,
        "**" => power(x, y),
        "&" => (truncate(x) & truncate(y)) as f64,
        "|" => (truncate(x) | truncate(y)) as f64,
        "^" => (truncate(x) ^ truncate(y)) as f64,
        "<<" => shift(y).map_or(0.0, |by| ((truncate(x) as u64) << by) as f64),
        _ => shift(y).map_or(0.0, |by| ((truncate(x) as u64) >> by) as f64),
    }))
}
