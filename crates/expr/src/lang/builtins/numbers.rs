//! Builtins on numbers.
//! It must never know types known before the run.

use super::super::operators::{less, negate, to_int, truncate};
use super::missing;
use crate::gofmt;
use crate::value::Value;

pub(super) fn compute(name: &str, args: &[Value]) -> Result<Value, String> {
    match name {
        "max" | "min" => extreme(name, args),
        "mean" => {
            let mut all = Vec::new();
            numbers(name, args, &mut all)?;
            Ok(Value::Float(if all.is_empty() { 0.0 } else { all.iter().sum::<f64>() / all.len() as f64 }))
        }
        "median" => {
            let mut all = Vec::new();
            numbers(name, args, &mut all)?;
            all.sort_by(f64::total_cmp);
            let middle = all.len() / 2;
            Ok(Value::Float(match all.len() {
                0 => 0.0,
                count if count % 2 == 1 => all[middle],
                _ => (all[middle - 1] + all[middle]) / 2.0,
            }))
        }
        "abs" => absolute(missing(args, 0)?),
        "ceil" => round(name, missing(args, 0)?, f64::ceil),
        "floor" => round(name, missing(args, 0)?, f64::floor),
        "round" => round(name, missing(args, 0)?, f64::round),
        "int" => int(missing(args, 0)?),
        "float" => float(missing(args, 0)?),
        "bitnot" => Ok(Value::Int(!bits(name, missing(args, 0)?)?)),
        _ => bitwise(name, bits(name, missing(args, 0)?)?, bits(name, missing(args, 1)?)?),
    }
}

/// `int(value)`: numbers are cut, strings must be decimal integers.
pub(crate) fn int(value: &Value) -> Result<Value, String> {
    match value {
        Value::Str(text) => {
            let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
            let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
            match text.parse::<i64>() {
                Ok(number) if plain => Ok(Value::Int(number)),
                _ => Err(format!("invalid operation: int({text})")),
            }
        }
        Value::Float(f) => Ok(Value::Int(truncate(*f))),
        Value::Duration(n) | Value::Sized(_, n) => Ok(Value::Int(*n)),
        other => to_int(other).map(Value::Int),
    }
}

/// `float(value)`: numbers, and strings as `strconv.ParseFloat` reads them.
pub(crate) fn float(value: &Value) -> Result<Value, String> {
    match value {
        Value::Float(f) => Ok(Value::Float(*f)),
        Value::Str(text) => match parse_float(text) {
            Some(f) => Ok(Value::Float(f)),
            None => Err(format!("invalid operation: float({text})")),
        },
        other => match other.integer() {
            Some(n) => Ok(Value::Float(n as f64)),
            None => Err(format!("invalid operation: float({})", other.printed_type())),
        },
    }
}

/// `strconv.ParseFloat(text, 64)` without its error text.
pub(crate) fn parse_float(text: &str) -> Option<f64> {
    let (sign, digits) = match text.strip_prefix(['+', '-']) {
        Some(rest) => (if text.starts_with('-') { -1.0 } else { 1.0 }, rest),
        None => (1.0, text),
    };
    match digits.to_ascii_lowercase().as_str() {
        "inf" | "infinity" => return Some(sign * f64::INFINITY),
        // Go has no signed NaN.
        "nan" => return (digits.len() == text.len()).then_some(f64::NAN),
        _ => {}
    }
    if let Some(hex) = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        return parse_hex_float(hex).map(|f| sign * f);
    }
    // Underscores may stand between digits.
    let plain;
    let digits = if digits.contains('_') {
        let bytes = digits.as_bytes();
        let between = |at: usize| {
            let digit = |at: Option<&u8>| at.is_some_and(u8::is_ascii_digit);
            at > 0 && digit(bytes.get(at - 1)) && digit(bytes.get(at + 1))
        };
        if !digits.match_indices('_').all(|(at, _)| between(at)) {
            return None;
        }
        plain = digits.replace('_', "");
        plain.as_str()
    } else {
        digits
    };
    let valid = digits.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'e' | b'E' | b'+' | b'-'));
    if !valid || digits.starts_with(['+', '-']) {
        return None;
    }
    digits.parse::<f64>().ok().filter(|f| f.is_finite()).map(|f| sign * f)
}

/// `0x1.8p3`; the exponent is required.
fn parse_hex_float(text: &str) -> Option<f64> {
    let (mantissa, exponent) = text.split_once(['p', 'P'])?;
    let exponent: i32 = exponent.parse().ok()?;
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let mut number = 0.0f64;
    for c in whole.chars().chain(fraction.chars()) {
        number = number * 16.0 + f64::from(c.to_digit(16)?);
    }
    let scaled = number * 2f64.powi(exponent.saturating_sub(4 * fraction.len().min(1000) as i32));
    scaled.is_finite().then_some(scaled)
}

fn absolute(value: &Value) -> Result<Value, String> {
    let negative = match value {
        Value::Float(f) => *f < 0.0,
        Value::Int(n) | Value::Sized(_, n) => *n < 0,
        Value::Duration(n) => return Ok(Value::Duration(n.saturating_abs())),
        other => return Err(format!("invalid argument for abs (type {})", other.printed_type())),
    };
    match value {
        Value::Sized(kind, n) if negative => Ok(Value::Sized(*kind, n.wrapping_neg())),
        other if negative => negate(other),
        other => Ok(other.clone()),
    }
}

fn round(name: &str, value: &Value, by: fn(f64) -> f64) -> Result<Value, String> {
    match value {
        Value::Float(f) => Ok(Value::Float(by(*f))),
        other => match other.integer() {
            Some(n) => Ok(Value::Float(n as f64)),
            None => Err(format!("invalid argument for {name} (type {})", other.printed_type())),
        },
    }
}

fn extreme(name: &str, args: &[Value]) -> Result<Value, String> {
    let mut best: Option<Value> = None;
    for arg in args {
        let candidate = match arg.items() {
            Some(items) => match extreme(name, items)? {
                Value::Null => continue,
                found => found,
            },
            None if arg.integer().is_some() || matches!(arg, Value::Float(_) | Value::Duration(_)) => arg.clone(),
            None => return Err(format!("invalid argument for {name} (type {})", arg.printed_type())),
        };
        let better = match &best {
            None => true,
            Some(best) if name == "max" => less(best, &candidate)?,
            Some(best) => less(&candidate, best)?,
        };
        if better {
            best = Some(candidate);
        }
    }
    Ok(best.unwrap_or(Value::Null))
}

fn numbers(name: &str, args: &[Value], out: &mut Vec<f64>) -> Result<(), String> {
    for arg in args {
        match arg {
            Value::Float(f) => out.push(*f),
            Value::Duration(n) => out.push(*n as f64),
            other => match (other.items(), other.integer()) {
                (Some(items), _) => numbers(name, items, out)?,
                (None, Some(n)) => out.push(n as f64),
                _ => return Err(format!("invalid argument for {name} (type {})", other.printed_type())),
            },
        }
    }
    Ok(())
}

fn bits(name: &str, value: &Value) -> Result<i64, String> {
    value.integer().ok_or_else(|| format!("cannot use {} as argument (type int) to call {name}", gofmt::value(value)))
}

fn bitwise(name: &str, x: i64, y: i64) -> Result<Value, String> {
    let shift = u32::try_from(y).ok().filter(|shift| *shift < 64);
    if y < 0 && matches!(name, "bitshl" | "bitshr" | "bitushr") {
        return Err(format!("invalid operation: negative shift count {y} (type int)"));
    }
    Ok(Value::Int(match name {
        "bitand" => x & y,
        "bitor" => x | y,
        "bitxor" => x ^ y,
        "bitnand" => x & !y,
        "bitshl" => shift.map_or(0, |shift| x << shift),
        "bitshr" => x >> shift.unwrap_or(63),
        _ => shift.map_or(0, |shift| ((x as u64) >> shift) as i64),
    }))
}
