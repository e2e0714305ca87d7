//! Functions on numbers.
//! It must never know values other than its arguments.

use super::arguments::{int, int64, ints, text};
use super::convert::{to_float, to_int};
use super::decimal::{self, Decimal};
use crate::context::{Budget, ELEMENTS_MAX, MEMORY};
use crate::gofmt;
use crate::value::Value;

pub(super) fn run(name: &str, args: &[Value], budget: &Budget<'_>) -> Result<Value, String> {
    match name {
        "atoi" => Ok(Value::Int(atoi(&text(args, 0)))),
        "int64" => Ok(int64(to_int(&args[0]))),
        "int" => Ok(Value::Int(to_int(&args[0]))),
        "float64" => Ok(Value::Float(to_float(&args[0]))),
        "toDecimal" => Ok(int64(i64::from_str_radix(&gofmt::value(&args[0]), 8).unwrap_or(0))),
        "seq" => {
            let texts: Vec<String> = sequence(args, budget)?.iter().map(i64::to_string).collect();
            Ok(texts.join(" ").into())
        }
        "until" => {
            let count = int(args, 0);
            until_step(0, count, if count < 0 { -1 } else { 1 }, budget).map(ints)
        }
        "untilStep" => until_step(int(args, 0), int(args, 1), int(args, 2), budget).map(ints),
        "ceil" => Ok(Value::Float(to_float(&args[0]).ceil())),
        "floor" => Ok(Value::Float(to_float(&args[0]).floor())),
        "round" => Ok(Value::Float(round(args))),
        "maxf" => Ok(Value::Float(args.iter().map(to_float).fold(to_float(&args[0]), f64::max))),
        "minf" => Ok(Value::Float(args.iter().map(to_float).fold(to_float(&args[0]), f64::min))),
        "addf" | "add1f" | "subf" | "mulf" | "divf" => floats(name, args),
        _ => integers(name, args),
    }
}

/// `strconv.Atoi` without its error: 0 for no number, the limit for one that is too large.
fn atoi(text: &str) -> i64 {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return 0;
    }
    text.parse().unwrap_or(if text.starts_with('-') { i64::MIN } else { i64::MAX })
}

fn integers(name: &str, args: &[Value]) -> Result<Value, String> {
    let numbers: Vec<i64> = args.iter().map(to_int).collect();
    let second = numbers.get(1).copied().unwrap_or(0);
    let first = numbers.first().copied().unwrap_or(0);
    let result = match name {
        "add1" => first.wrapping_add(1),
        "add" => numbers.iter().fold(0i64, |sum, n| sum.wrapping_add(*n)),
        "sub" => first.wrapping_sub(second),
        "mul" => numbers[1..].iter().fold(first, |product, n| product.wrapping_mul(*n)),
        "div" | "mod" if second == 0 => return Err("runtime error: integer divide by zero".to_owned()),
        "div" => first.wrapping_div(second),
        "mod" => first.wrapping_rem(second),
        "min" => numbers.iter().copied().min().unwrap_or(0),
        _ => numbers.iter().copied().max().unwrap_or(0),
    };
    Ok(int64(result))
}

fn floats(name: &str, args: &[Value]) -> Result<Value, String> {
    let decimals = args.iter().map(|arg| Decimal::from_float(to_float(arg))).collect::<Result<Vec<_>, _>>()?;
    let (start, rest) = match name {
        "addf" => (Decimal::ZERO, decimals.as_slice()),
        _ => (decimals[0], &decimals[1..]),
    };
    let mut total = start;
    for number in rest {
        total = match name {
            "addf" => decimal::add(total, *number),
            "subf" => decimal::subtract(total, *number),
            "mulf" => decimal::multiply(total, *number),
            _ => decimal::divide(total, *number)?,
        };
    }
    if name == "add1f" {
        total = decimal::add(total, Decimal::from_float(1.0)?);
    }
    Ok(Value::Float(total.to_float()))
}

/// Rounds half up at `.5` (or the third argument), towards the floor below that.
fn round(args: &[Value]) -> f64 {
    let on = args.get(2).map_or(0.5, to_float);
    let factor = 10f64.powi(i32::try_from(int(args, 1)).unwrap_or(0));
    let digit = factor * to_float(&args[0]);
    let rounded = if digit.fract() >= on { digit.ceil() } else { digit.floor() };
    rounded / factor
}

fn until_step(start: i64, stop: i64, step: i64, budget: &Budget<'_>) -> Result<Vec<i64>, String> {
    let mut numbers = Vec::new();
    let down = stop < start;
    if (down && step >= 0) || (!down && step <= 0) {
        return Ok(numbers);
    }
    let distance = i128::from(stop) - i128::from(start);
    let count = distance.unsigned_abs().div_ceil(i128::from(step).unsigned_abs());
    if count > ELEMENTS_MAX as u128 {
        return Err(MEMORY.to_owned());
    }
    budget.step(count as usize)?;
    budget.bytes(count as usize * size_of::<Value>())?;
    let mut at = start;
    for _ in 0..count {
        numbers.push(at);
        at = at.wrapping_add(step);
    }
    Ok(numbers)
}

fn sequence(args: &[Value], budget: &Budget<'_>) -> Result<Vec<i64>, String> {
    let number = |index| int(args, index);
    match args.len() {
        1 => {
            let step = if number(0) < 1 { -1 } else { 1 };
            until_step(1, number(0).saturating_add(step), step, budget)
        }
        2 => {
            let step = if number(1) < number(0) { -1 } else { 1 };
            until_step(number(0), number(1).saturating_add(step), step, budget)
        }
        3 => {
            let (start, step, end) = (number(0), number(1), number(2));
            let edge = if end < start { -1 } else { 1 };
            if edge < 0 && step > 0 {
                return Ok(Vec::new());
            }
            until_step(start, end.saturating_add(edge), step, budget)
        }
        _ => Ok(Vec::new()),
    }
}
