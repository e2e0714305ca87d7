//! The small expressions inside filters and scripts (`@.age > 42 && @.name == 'x'`).
//! It must never know more of a document than the current value and the root.

use super::apply::{Out, Walk};
use super::token;
use crate::goregex;
use crate::value::Value;

/// Operators from the loosest to the tightest; the first that stands outside of quotes and brackets splits.
const OPERATORS: [&str; 17] =
    ["||", "&&", "==", "!=", "<=", ">=", "<", ">", "=~", "!", " not in ", " in ", "+", "-", "**", "*", "/"];

/// Splits of one expression inside another.
const DEPTH_MAX: usize = 40;

/// Evaluates an expression for the current value.
pub(super) fn evaluate(walk: &Walk<'_>, current: &Value, expression: &str) -> Out {
    value(walk, current, expression, 0)
}

fn value(walk: &Walk<'_>, current: &Value, expression: &str, depth: usize) -> Out {
    let text = stripped(expression);
    walk.budget.step(text.len())?;
    if depth > DEPTH_MAX {
        return Err("invalid expression. nested too deeply".to_owned());
    }
    for operator in OPERATORS.into_iter().chain(["%"]) {
        let Some(at) = find(text, operator) else { continue };
        let (left, right) = (text[..at].trim(), text[at + operator.len()..].trim());
        if right.is_empty() || (left.is_empty() != (operator == "!")) {
            continue;
        }
        return operate(walk, current, operator, left, right, depth + 1);
    }
    operand(walk, current, text)
}

/// Without spaces and the brackets around all of it.
fn stripped(text: &str) -> &str {
    let mut text = text.trim();
    while let Some(inner) = text.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')) {
        let mut level = 0i32;
        if inner.chars().any(|c| {
            level += i32::from(c == '(') - i32::from(c == ')');
            level < 0
        }) {
            break;
        }
        text = inner.trim();
    }
    text
}

fn find(text: &str, operator: &str) -> Option<usize> {
    let (mut quote, mut depth) = (None, 0i32);
    for (at, c) in text.char_indices() {
        match (c, quote) {
            ('\'' | '"', None) => quote = Some(c),
            (c, Some(open)) if c == open => quote = None,
            ('(' | '[', None) => depth += 1,
            (')' | ']', None) => depth -= 1,
            _ => {}
        }
        if quote.is_none() && depth == 0 && text[at..].starts_with(operator) && stands(text, at, operator) {
            return Some(at);
        }
    }
    None
}

/// `<` is not the beginning of `<=`, `!` not of `!=`, `*` not of `**` or a wildcard, `-` not a sign.
fn stands(text: &str, at: usize, operator: &str) -> bool {
    let after = text[at + operator.len()..].chars().next();
    let before = text[..at].chars().next_back();
    match operator {
        "<" | ">" | "!" => after != Some('='),
        "*" => after != Some('*') && !matches!(before, Some('.' | '*')) && before.is_some(),
        "-" | "+" => before.is_some() && !text[..at].trim_end().ends_with(['(', ',', '*', '/', '+', '-', '%']),
        _ => true,
    }
}

fn operate(walk: &Walk<'_>, current: &Value, operator: &str, left: &str, right: &str, depth: usize) -> Out {
    let of = |text: &str| value(walk, current, text, depth);
    let truthy = |value: Value| match value {
        Value::Bool(b) => b,
        Value::Null => false,
        Value::Str(text) => !text.is_empty(),
        _ => true,
    };
    let test = |text: &str| of(text).is_ok_and(truthy);
    Ok(match operator {
        "||" => (test(left) || test(right)).into(),
        "&&" => (test(left) && test(right)).into(),
        "!" => (!test(right)).into(),
        "==" => equal(&of(left)?, &of(right)?).into(),
        "!=" => (!equal(&of(left)?, &of(right)?)).into(),
        "<" | ">" | "<=" | ">=" => ordered(operator, &of(left)?, &of(right)?)?.into(),
        "=~" => {
            let (subject, pattern) = (of(left)?, of(right)?);
            let (Some(subject), Some(pattern)) = (subject.as_str(), pattern.as_str()) else {
                return Err("invalid argument. expected string".to_owned());
            };
            let pattern = pattern.strip_prefix('/').map_or(pattern, |rest| rest.split('/').next().unwrap_or(rest));
            walk.budget.step(subject.len() + pattern.len() * 8)?;
            goregex::compile(pattern).map_err(|_| "invalid argument. expected a valid regexp")?.is_match(subject).into()
        }
        " in " | " not in " => {
            let (needle, list) = (of(left)?, of(right)?);
            let Some(items) = list.items() else { return Err("invalid argument. expected array".to_owned()) };
            walk.budget.step(items.len())?;
            (items.iter().any(|item| equal(item, &needle)) == (operator == " in ")).into()
        }
        _ => {
            let (x, y) = (number(&of(left)?)?, number(&of(right)?)?);
            Value::Float(match operator {
                "+" => x + y,
                "-" => x - y,
                "*" => x * y,
                "/" => x / y,
                "%" => x % y,
                _ => x.powf(y),
            })
        }
    })
}

fn number(value: &Value) -> Result<f64, String> {
    let found = match value {
        Value::Float(f) => Some(*f),
        Value::Int(n) => Some(*n as f64),
        Value::Str(text) => text.parse().ok(),
        _ => None,
    };
    found.ok_or_else(|| "invalid argument. expected number".to_owned())
}

fn equal(a: &Value, b: &Value) -> bool {
    crate::lang::operators::equal(a, b)
}

fn ordered(operator: &str, a: &Value, b: &Value) -> Result<bool, String> {
    let ordering = match (number(a), number(b)) {
        (Ok(x), Ok(y)) => x.partial_cmp(&y),
        _ => match (a.as_str(), b.as_str()) {
            (Some(x), Some(y)) => Some(x.cmp(y)),
            _ => return Err("invalid argument. expected number".to_owned()),
        },
    };
    use std::cmp::Ordering::{Equal, Greater, Less};
    Ok(matches!(
        (operator, ordering),
        ("<", Some(Less)) | (">", Some(Greater)) | ("<=", Some(Less | Equal)) | (">=", Some(Greater | Equal))
    ))
}

fn operand(walk: &Walk<'_>, current: &Value, text: &str) -> Out {
    if text.starts_with(['@', '$']) {
        let tokens = token::parse(text)?;
        return walk.start(current, &tokens);
    }
    for quote in ['\'', '"'] {
        if let Some(inner) = text.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote)) {
            return Ok(inner.into());
        }
    }
    match text {
        "true" => return Ok(true.into()),
        "false" => return Ok(false.into()),
        "null" | "nil" => return Ok(Value::Null),
        _ => {}
    }
    if let Ok(number) = text.parse::<f64>() {
        return Ok(Value::Float(number));
    }
    if text.starts_with(['[', '{']) {
        let json = text.replace('\'', "\"");
        if let Ok(value) = crate::json::decode(&json, crate::json::Numbers::Float) {
            return Ok(value);
        }
    }
    Ok(text.into())
}
