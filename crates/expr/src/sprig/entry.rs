//! One function of `sprig` and how it is called: the checks of Go's `reflect.Call`.
//! It must never know what a function computes.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use super::table;
use crate::context::Budget;
use crate::value::{Func, Value};

/// How a function computes its result. It gets its own name, so that families share one body.
pub(super) type Run = fn(&str, &[Value], &Budget<'_>) -> Result<Value, String>;

/// One function of `sprig`.
pub struct Entry {
    pub(super) name: &'static str,
    /// One letter a parameter: s string, i int, u uint32, f float64, b bool, a anything, m map, t time; `*` before
    /// the last one makes it variadic. After `>` the result, with l for int64, S for []string and others.
    pub(super) spec: &'static str,
    pub(super) run: Run,
}

impl Entry {
    fn params(&self) -> (&'static str, bool) {
        let params = self.spec.split('>').next().unwrap_or_default();
        (params, params.contains('*'))
    }

    /// Go's `%T` of the function.
    pub(crate) fn go_type(&self) -> &'static str {
        static TYPES: OnceLock<BTreeMap<&'static str, String>> = OnceLock::new();
        let types = TYPES.get_or_init(|| table::ENTRIES.iter().map(|entry| (entry.spec, entry.signature())).collect());
        types.get(self.spec).map_or("func()", String::as_str)
    }

    fn signature(&self) -> String {
        let (params, out) = self.spec.split_once('>').unwrap_or((self.spec, ""));
        let mut texts = Vec::new();
        let mut variadic = false;
        for letter in params.chars() {
            if letter == '*' {
                variadic = true;
                continue;
            }
            let dots = if variadic { "..." } else { "" };
            texts.push(format!("{dots}{}", letter_type(letter)));
        }
        let results: Vec<&str> = out.chars().map(letter_type).collect();
        match results.as_slice() {
            [] => format!("func({})", texts.join(", ")),
            [one] => format!("func({}) {one}", texts.join(", ")),
            many => format!("func({}) ({})", texts.join(", "), many.join(", ")),
        }
    }
}

fn letter_type(letter: char) -> &'static str {
    match letter {
        's' => "string",
        'i' => "int",
        'l' => "int64",
        'u' => "uint32",
        'f' => "float64",
        'b' => "bool",
        'm' => "map[string]interface {}",
        't' => "time.Time",
        'S' => "[]string",
        'L' => "[]interface {}",
        'I' => "[]int",
        'M' => "map[string]string",
        'C' => "[][]interface {}",
        'V' => "*semver.Version",
        'e' => "error",
        _ => "interface {}",
    }
}

/// The map that `sprig` stands for.
pub(crate) fn map() -> Value {
    static MAP: OnceLock<Value> = OnceLock::new();
    MAP.get_or_init(|| {
        let functions = table::ENTRIES.iter().map(|entry| (Arc::from(entry.name), Value::Func(Func::Sprig(entry))));
        Value::map(functions.collect())
    })
    .clone()
}

/// Calls a function after the checks of `reflect.Call`; nil becomes the zero value of the parameter.
pub(crate) fn call(entry: &Entry, args: &[Value], budget: &Budget<'_>) -> Result<Value, String> {
    let (params, variadic) = entry.params();
    let letters: Vec<char> = params.chars().filter(|letter| *letter != '*').collect();
    let fixed = letters.len() - usize::from(variadic);
    if variadic && args.len() < fixed {
        return Err(format!("invalid number of arguments: expected at least {fixed}, got {}", args.len()));
    }
    if !variadic && args.len() != fixed {
        return Err(format!("invalid number of arguments: expected {fixed}, got {}", args.len()));
    }
    let mut converted = Vec::with_capacity(args.len());
    for (index, arg) in args.iter().enumerate() {
        let letter = letters.get(index).or(letters.last()).copied().unwrap_or('a');
        converted.push(fit(arg, letter, index >= fixed)?);
        budget.step(1)?;
        budget.bytes(arg.string_bytes().map_or(0, <[u8]>::len))?;
        if arg.items().is_some() || arg.entries().is_some() {
            budget.admit(arg)?;
        }
    }
    (entry.run)(entry.name, &converted, budget)
}

fn fit(arg: &Value, letter: char, in_rest: bool) -> Result<Value, String> {
    let fits = match letter {
        'a' => true,
        's' => matches!(arg, Value::Str(_) | Value::Raw(_)),
        'i' => matches!(arg, Value::Int(_)),
        'f' => matches!(arg, Value::Float(_)),
        'b' => matches!(arg, Value::Bool(_)),
        'm' => matches!(arg, Value::Map(_)),
        't' => matches!(arg, Value::Time(_)),
        _ => false,
    };
    if fits {
        return Ok(arg.clone());
    }
    if matches!(arg, Value::Null) {
        return Ok(match letter {
            's' => "".into(),
            'i' => Value::Int(0),
            'f' => Value::Float(0.0),
            'b' => Value::Bool(false),
            't' => Value::Time(crate::time::Instant::from_unix(-62_135_596_800, 0, crate::time::Zone::Utc)),
            // A nil map.
            _ => Value::Null,
        });
    }
    let (given, wanted) = (arg.go_type(), letter_type(letter));
    Err(if in_rest {
        format!("reflect: cannot use {given} as type {wanted} in Call")
    } else {
        format!("reflect: Call using {given} as type {wanted}")
    })
}
