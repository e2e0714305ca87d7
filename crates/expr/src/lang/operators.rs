//! Operators on values at run time, with the messages of expr-lang's `runtime` package.
//! It must never know syntax or types known before the run.

use super::ast::Binary;
use crate::gofmt;
use crate::time::Instant;
use crate::value::Value;

type Out = Result<Value, String>;

/// A number as the arithmetic sees it.
enum Number {
    Int(i64),
    Float(f64),
}

fn number(value: &Value) -> Option<Number> {
    match value {
        Value::Float(f) => Some(Number::Float(*f)),
        other => other.integer().map(Number::Int),
    }
}

fn invalid(a: &Value, op: &str, b: &Value) -> String {
    format!("invalid operation: {} {op} {}", a.printed_type(), b.printed_type())
}

/// Float to integer as amd64 does it: what does not fit is the smallest integer.
pub(crate) fn truncate(f: f64) -> i64 {
    if f.is_finite() && (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&f) {
        f as i64
    } else {
        i64::MIN
    }
}

fn numeric(a: &Value, b: &Value, ints: fn(i64, i64) -> i64, floats: fn(f64, f64) -> f64) -> Option<Value> {
    Some(match (number(a)?, number(b)?) {
        (Number::Int(x), Number::Int(y)) => Value::Int(ints(x, y)),
        (Number::Int(x), Number::Float(y)) => Value::Float(floats(x as f64, y)),
        (Number::Float(x), Number::Int(y)) => Value::Float(floats(x, y as f64)),
        (Number::Float(x), Number::Float(y)) => Value::Float(floats(x, y)),
    })
}

pub(crate) fn add(a: &Value, b: &Value) -> Out {
    if let Some(sum) = numeric(a, b, i64::wrapping_add, |x, y| x + y) {
        return Ok(sum);
    }
    match (a, b) {
        (Value::Str(x), Value::Str(y)) => Ok(Value::str(format!("{x}{y}"))),
        (Value::Time(t), Value::Duration(d)) | (Value::Duration(d), Value::Time(t)) => Ok(Value::Time(t.add(*d))),
        (Value::Duration(x), Value::Duration(y)) => Ok(Value::Duration(x.wrapping_add(*y))),
        _ => match (a.string_bytes(), b.string_bytes()) {
            (Some(x), Some(y)) => Ok(Value::from_bytes([x, y].concat())),
            _ => Err(invalid(a, "+", b)),
        },
    }
}

fn subtract(a: &Value, b: &Value) -> Out {
    if let Some(difference) = numeric(a, b, i64::wrapping_sub, |x, y| x - y) {
        return Ok(difference);
    }
    match (a, b) {
        (Value::Time(x), Value::Time(y)) => Ok(Value::Duration(x.since(y))),
        (Value::Time(t), Value::Duration(d)) => Ok(Value::Time(t.add(d.wrapping_neg()))),
        (Value::Duration(x), Value::Duration(y)) => Ok(Value::Duration(x.wrapping_sub(*y))),
        _ => Err(invalid(a, "-", b)),
    }
}

fn multiply(a: &Value, b: &Value) -> Out {
    if let Some(product) = numeric(a, b, i64::wrapping_mul, |x, y| x * y) {
        return Ok(product);
    }
    match (a, b) {
        (Value::Duration(x), Value::Duration(y)) => Ok(Value::Duration(x.wrapping_mul(*y))),
        (Value::Duration(d), n) | (n, Value::Duration(d)) => match number(n) {
            Some(Number::Int(n)) => Ok(Value::Duration(d.wrapping_mul(n))),
            Some(Number::Float(f)) => Ok(Value::Float(*d as f64 * f)),
            None => Err(invalid(a, "*", b)),
        },
        _ => Err(invalid(a, "*", b)),
    }
}

fn divide(a: &Value, b: &Value) -> Out {
    match (number(a), number(b)) {
        (Some(x), Some(y)) => Ok(Value::Float(widen(x) / widen(y))),
        _ => Err(invalid(a, "/", b)),
    }
}

fn widen(n: Number) -> f64 {
    match n {
        Number::Int(n) => n as f64,
        Number::Float(f) => f,
    }
}

fn modulo(a: &Value, b: &Value) -> Out {
    match (a.integer(), b.integer()) {
        (Some(_), Some(0)) => Err("runtime error: integer divide by zero".to_owned()),
        (Some(x), Some(y)) => Ok(Value::Int(x.wrapping_rem(y))),
        _ => Err(invalid(a, "%", b)),
    }
}

/// `runtime.ToFloat64`.
pub(crate) fn to_float(value: &Value) -> Result<f64, String> {
    number(value).map(widen).ok_or_else(|| format!("invalid operation: float({})", value.printed_type()))
}

/// `runtime.ToInt`.
pub(crate) fn to_int(value: &Value) -> Result<i64, String> {
    match number(value) {
        Some(Number::Int(n)) => Ok(n),
        Some(Number::Float(f)) => Ok(truncate(f)),
        None => Err(format!("invalid operation: int({})", value.printed_type())),
    }
}

/// `runtime.ToBool`, a Go type assertion.
pub(crate) fn to_bool(value: &Value) -> Result<bool, String> {
    match value {
        Value::Bool(b) => Ok(*b),
        other => Err(conversion(other, "bool")),
    }
}

/// The panic of a failed type assertion.
pub(crate) fn conversion(value: &Value, wanted: &str) -> String {
    format!("interface conversion: interface {{}} is {}, not {wanted}", value.go_type())
}

/// `-value`
pub(crate) fn negate(value: &Value) -> Out {
    match number(value) {
        Some(Number::Int(n)) => Ok(Value::Int(n.wrapping_neg())),
        Some(Number::Float(f)) => Ok(Value::Float(-f)),
        None => Err(format!("invalid operation: - {}", value.printed_type())),
    }
}

/// Equality as `==` has it: numbers by value, lists element by element, the rest as `reflect.DeepEqual`.
pub(crate) fn equal(a: &Value, b: &Value) -> bool {
    match (number(a), number(b)) {
        (Some(Number::Int(x)), Some(Number::Int(y))) => return x == y,
        (Some(x), Some(y)) => return widen(x) == widen(y),
        _ => {}
    }
    match (a.items(), b.items()) {
        (Some(x), Some(y)) => x.len() == y.len() && x.iter().zip(y.iter()).all(|(a, b)| equal(a, b)),
        _ => a == b,
    }
}

/// `a < b`
pub(crate) fn less(a: &Value, b: &Value) -> Result<bool, String> {
    compare(Binary::Less, "<", a, b)
}

/// An ordering of two values of one sort.
pub(crate) fn compare(op: Binary, text: &str, a: &Value, b: &Value) -> Result<bool, String> {
    use std::cmp::Ordering;
    let ordering = match (a, b) {
        (Value::Time(x), Value::Time(y)) => Some(moment(x).cmp(&moment(y))),
        (Value::Duration(x), Value::Duration(y)) => Some(x.cmp(y)),
        _ => match (number(a), number(b)) {
            (Some(Number::Int(x)), Some(Number::Int(y))) => Some(x.cmp(&y)),
            // Not-a-number is neither less nor greater.
            (Some(x), Some(y)) => match widen(x).partial_cmp(&widen(y)) {
                None => return Ok(false),
                some => some,
            },
            _ => match (a.string_bytes(), b.string_bytes()) {
                (Some(x), Some(y)) => Some(x.cmp(y)),
                _ => None,
            },
        },
    };
    let Some(ordering) = ordering else { return Err(invalid(a, text, b)) };
    Ok(match op {
        Binary::Less => ordering == Ordering::Less,
        Binary::LessEqual => ordering != Ordering::Greater,
        Binary::Greater => ordering == Ordering::Greater,
        _ => ordering != Ordering::Less,
    })
}

fn moment(time: &Instant) -> i128 {
    time.unix_nanos()
}

/// The operators whose operands are both values.
pub(crate) fn apply(op: Binary, text: &str, a: &Value, b: &Value) -> Out {
    match op {
        Binary::Add => add(a, b),
        Binary::Subtract => subtract(a, b),
        Binary::Multiply => multiply(a, b),
        Binary::Divide => divide(a, b),
        Binary::Modulo => modulo(a, b),
        Binary::Power => Ok(Value::Float(power(to_float(a)?, to_float(b)?))),
        Binary::Equal => Ok(Value::Bool(equal(a, b))),
        Binary::NotEqual => Ok(Value::Bool(!equal(a, b))),
        Binary::Less | Binary::LessEqual | Binary::Greater | Binary::GreaterEqual => {
            compare(op, text, a, b).map(Value::Bool)
        }
        Binary::In => contains(a, b).map(Value::Bool),
        Binary::Contains | Binary::StartsWith | Binary::EndsWith => text_test(op, a, b).map(Value::Bool),
        _ => Err(invalid(a, text, b)),
    }
}

/// `math.Pow`.
pub(crate) fn power(x: f64, y: f64) -> f64 {
    x.powf(y)
}

fn text_test(op: Binary, a: &Value, b: &Value) -> Result<bool, String> {
    if matches!(a, Value::Null) || matches!(b, Value::Null) {
        return Ok(false);
    }
    let x = a.string_bytes().ok_or_else(|| conversion(a, "string"))?;
    let y = b.string_bytes().ok_or_else(|| conversion(b, "string"))?;
    Ok(match op {
        Binary::StartsWith => x.starts_with(y),
        Binary::EndsWith => x.ends_with(y),
        _ => match (a.as_str(), b.as_str()) {
            (Some(x), Some(y)) => x.contains(y),
            _ => y.is_empty() || x.windows(y.len()).any(|window| window == y),
        },
    })
}

/// `runtime.In`.
pub(crate) fn contains(needle: &Value, haystack: &Value) -> Result<bool, String> {
    match haystack {
        Value::Null => Ok(false),
        Value::Map(entries) | Value::StrMap(entries) => match needle {
            Value::Str(key) => Ok(entries.contains_key(key)),
            Value::Null | Value::Raw(_) => Ok(false),
            other => Err(format!(
                "reflect.Value.MapIndex: value of type {} is not assignable to type string",
                other.go_type()
            )),
        },
        Value::AnyMap(_, pairs) => Ok(pairs.iter().any(|(key, _)| key == needle)),
        Value::Bytes(bytes) => Ok(bytes.iter().any(|byte| needle.integer() == Some(i64::from(*byte)))),
        other => match other.items() {
            Some(items) => Ok(items.iter().any(|item| equal(item, needle))),
            None => Err(format!("operator \"in\" not defined on {}", other.go_type())),
        },
    }
}

/// `runtime.Fetch`: a member of a value.
pub(crate) fn fetch(from: &Value, key: &Value) -> Out {
    if let (Value::Str(name), Some((method, _))) =
        (key, key.as_str().and_then(|name| super::methods::find(&super::ty::Ty::of(from), name)))
    {
        debug_assert_eq!(&**name, method);
        return Ok(Value::Func(crate::value::Func::Method(std::sync::Arc::new(from.clone()), method)));
    }
    match from {
        Value::Map(entries) => match key {
            Value::Str(name) => Ok(entries.get(name).cloned().unwrap_or(Value::Null)),
            Value::Null => Ok(Value::Null),
            other => Err(map_key(other)),
        },
        Value::StrMap(entries) => match key {
            Value::Str(name) => Ok(entries.get(name).cloned().unwrap_or_else(|| "".into())),
            other => Err(map_key(other)),
        },
        Value::AnyMap(kind, pairs) => {
            let missing = match kind {
                crate::value::AnyMapKind::Any => Value::Null,
                crate::value::AnyMapKind::Groups => Value::list(Vec::new()),
            };
            Ok(pairs.iter().find(|(known, _)| known == key).map_or(missing, |(_, value)| value.clone()))
        }
        Value::List(items) | Value::Slice(_, items) => {
            let at = index(key, items.len())?;
            Ok(items[at].clone())
        }
        Value::Bytes(bytes) => Ok(byte(bytes[index(key, bytes.len())?])),
        Value::Str(_) | Value::Raw(_) => {
            let bytes = from.string_bytes().unwrap_or_default();
            Ok(byte(bytes[index(key, bytes.len())?]))
        }
        _ => Err(format!("cannot fetch {} from {}", gofmt::value(key), from.printed_type())),
    }
}

fn byte(b: u8) -> Value {
    Value::Sized(crate::value::IntKind::Uint8, i64::from(b))
}

fn map_key(key: &Value) -> String {
    format!("reflect.Value.MapIndex: value of type {} is not assignable to type string", key.go_type())
}

fn index(key: &Value, length: usize) -> Result<usize, String> {
    let wanted = to_int(key)?;
    let size = length as i64;
    let at = if wanted < 0 { wanted.saturating_add(size) } else { wanted };
    if (0..size).contains(&at) {
        return Ok(at as usize);
    }
    Err(format!("index out of range: {at} (array length is {length})"))
}

/// `runtime.Slice`: bounds may be negative and are cut to what there is; strings are cut by bytes.
pub(crate) fn slice(value: &Value, from: Option<&Value>, to: Option<&Value>) -> Out {
    let length = match value {
        Value::Bytes(bytes) => bytes.len(),
        Value::List(items) | Value::Slice(_, items) => items.len(),
        _ => match value.string_bytes() {
            Some(bytes) => bytes.len(),
            None => return Err(format!("cannot slice {}", gofmt::value(value))),
        },
    };
    let bound = |value: Option<&Value>, missing: usize| -> Result<usize, String> {
        let Some(value) = value else { return Ok(missing) };
        let wanted = to_int(value)?;
        let size = length as i64;
        Ok((if wanted < 0 { wanted.saturating_add(size).max(0) } else { wanted.min(size) }) as usize)
    };
    let end = bound(to, length)?;
    let start = bound(from, 0)?.min(end);
    Ok(match value {
        Value::List(items) => Value::list(items[start..end].to_vec()),
        Value::Slice(kind, items) => Value::Slice(*kind, std::sync::Arc::new(items[start..end].to_vec())),
        Value::Bytes(bytes) => Value::Bytes(bytes[start..end].into()),
        _ => Value::from_bytes(value.string_bytes().unwrap_or_default()[start..end].to_vec()),
    })
}
