//! JSON values as Argo's Go types read them: AnyString, IntOrString, Item, Amount, Time.
//! It must never know which field of a document it reads.

use crate::yaml::resolve::{Resolved, resolve};
use crate::yaml::{Node, Style, Value, float_json, float_plain};

/// What a value cannot be read as, in Go's words: "cannot unmarshal number 1.5 into a value of type int32".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TypeError(pub String);

impl std::fmt::Display for TypeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for TypeError {}

fn wrong(node: &Node, wanted: &str) -> TypeError {
    let kind = match &node.value {
        Value::Sequence(_) => "array".to_owned(),
        Value::Mapping(_) | Value::Alias(_) => "object".to_owned(),
        Value::Scalar(scalar) => match resolve(scalar) {
            Ok(Resolved::Bool(_)) => "bool".to_owned(),
            Ok(Resolved::Null) => "null".to_owned(),
            Ok(Resolved::String(_)) if scalar.style != Style::Plain => "string".to_owned(),
            _ => format!("number {}", scalar.text),
        },
    };
    TypeError(format!("cannot unmarshal {kind} into a value of type {wanted}"))
}

/// A number as it is written: plain, beginning with a digit or a sign.
fn is_number_text(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_digit() || c == '-')
}

/// `AnyString`: numbers go through a float and lose their spelling (`1.50` is "1.5"), collections become "".
/// `None` for null.
pub fn any_string(node: &Node) -> Result<Option<String>, TypeError> {
    let Value::Scalar(scalar) = &node.value else { return Ok(Some(String::new())) };
    Ok(match resolve(scalar).map_err(TypeError)? {
        Resolved::Null => None,
        Resolved::Bool(value) => Some(value.to_string()),
        Resolved::Int(value) => Some(float_plain(value as f64)),
        Resolved::Uint(value) => Some(float_plain(value as f64)),
        Resolved::Float(value) => Some(float_plain(value)),
        Resolved::String(text) => Some(text),
    })
}

/// `AnyString` of JSON text, where a number too large for a float is an error.
pub fn any_string_of_json(node: &Node) -> Result<Option<String>, TypeError> {
    if let Value::Scalar(scalar) = &node.value
        && scalar.style == Style::Plain
        && is_number_text(&scalar.text)
        && matches!(resolve(scalar), Ok(Resolved::String(_)))
    {
        return Err(wrong(node, "float64"));
    }
    any_string(node)
}

/// `intstr.IntOrString`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IntOrString {
    Int(i32),
    String(String),
}

impl IntOrString {
    pub fn read(node: &Node) -> Result<Self, TypeError> {
        let Value::Scalar(scalar) = &node.value else { return Err(wrong(node, "int32")) };
        match resolve(scalar).map_err(TypeError)? {
            Resolved::Null => Ok(Self::Int(0)),
            // The JSON number must be an integer as it is spelled.
            Resolved::Int(value) => i32::try_from(value).map(Self::Int).map_err(|_| wrong(node, "int32")),
            Resolved::String(text) if scalar.style != Style::Plain || !is_number_text(&text) => Ok(Self::String(text)),
            _ => Err(wrong(node, "int32")),
        }
    }

    pub fn text(&self) -> String {
        match self {
            Self::Int(value) => value.to_string(),
            Self::String(text) => text.clone(),
        }
    }

    /// Argo's `intstr.Int`: text counts if it is a decimal integer.
    pub fn int(&self) -> Option<i64> {
        match self {
            Self::Int(value) => Some(i64::from(*value)),
            Self::String(text) => text.parse().ok(),
        }
    }

    /// Argo's `IsValidIntOrArgoVariable`: an integer, or text that is one tag.
    pub fn is_int_or_variable(&self) -> bool {
        self.int().is_some() || matches!(self, Self::String(text) if text.starts_with("{{") && text.ends_with("}}"))
    }

    pub fn json(&self) -> String {
        match self {
            Self::Int(value) => value.to_string(),
            Self::String(text) => quoted(text),
        }
    }
}

/// The kind of a loop's item (`Item.GetType`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ItemKind {
    String,
    Number,
    Bool,
    Map,
    List,
}

impl ItemKind {
    /// `None` for null, which has no kind of its own.
    pub fn of(node: &Node) -> Option<Self> {
        Some(match &node.value {
            Value::Sequence(_) => Self::List,
            Value::Mapping(_) | Value::Alias(_) => Self::Map,
            Value::Scalar(scalar) => match resolve(scalar).ok()? {
                Resolved::Null => return None,
                Resolved::Bool(_) => Self::Bool,
                Resolved::Int(_) | Resolved::Uint(_) | Resolved::Float(_) => Self::Number,
                Resolved::String(_) => Self::String,
            },
        })
    }

    pub fn words(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Number => "number",
            Self::Bool => "bool",
            Self::Map => "map",
            Self::List => "list",
        }
    }
}

/// An item or amount as JSON with its numbers as they are written, keys in their order, safe for HTML as Go prints it.
pub fn raw_json(node: &Node) -> String {
    let mut out = String::new();
    write_raw(node, &mut out);
    out
}

fn write_raw(node: &Node, out: &mut String) {
    match &node.value {
        Value::Scalar(scalar) if scalar.style != Style::Plain => expr::write_string(&scalar.text, true, out),
        Value::Scalar(scalar) => out.push_str(&scalar.text),
        Value::Sequence(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                out.push_str(if i > 0 { "," } else { "" });
                write_raw(item, out);
            }
            out.push(']');
        }
        Value::Mapping(entries) => {
            out.push('{');
            for (i, entry) in entries.iter().enumerate() {
                out.push_str(if i > 0 { "," } else { "" });
                expr::write_string(entry.key.key_text().unwrap_or_default(), true, out);
                out.push(':');
                write_raw(&entry.value, out);
            }
            out.push('}');
        }
        Value::Alias(target) => write_raw(target, out),
    }
}

/// `Item.String`: the JSON text as it is given, without the quotes of a string.
pub fn item_text(json: &str) -> String {
    let inner = json.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    inner.unwrap_or(json).to_owned()
}

/// `Amount`: the float that its text is.
pub fn amount(node: &Node) -> Option<f64> {
    let scalar = node.scalar()?;
    if scalar.style != Style::Plain {
        return None;
    }
    match resolve(scalar).ok()? {
        Resolved::Int(value) => Some(value as f64),
        Resolved::Uint(value) => Some(value as f64),
        Resolved::Float(value) => Some(value),
        _ => None,
    }
}

/// A JSON number as Go prints an integer or float again.
pub fn number_json(node: &Node) -> Option<String> {
    match resolve(node.scalar()?).ok()? {
        Resolved::Int(value) => Some(value.to_string()),
        Resolved::Uint(value) => Some(value.to_string()),
        Resolved::Float(value) => Some(float_json(value)),
        _ => None,
    }
}

pub fn quoted(text: &str) -> String {
    let mut out = String::new();
    expr::write_string(text, true, &mut out);
    out
}

/// `metav1.Time`: RFC 3339 as Go reads it, in UTC. The date and clock, and the fraction as it is written.
pub fn time(text: &str) -> Result<(String, String), TypeError> {
    let fault = || TypeError(format!("parsing time {text:?}: it is not RFC 3339"));
    let number = |range: std::ops::Range<usize>| -> Result<i64, TypeError> {
        let digits = text.get(range).ok_or_else(fault)?;
        if digits.bytes().all(|b| b.is_ascii_digit()) { digits.parse().map_err(|_| fault()) } else { Err(fault()) }
    };
    let at = |index: usize| text.as_bytes().get(index).copied();
    let shape = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')];
    if !shape.iter().all(|(index, byte)| at(*index) == Some(*byte)) {
        return Err(fault());
    }
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    let (hour, minute, second) = (number(11..13)?, number(14..16)?, number(17..19)?);
    let mut rest = &text[19..];
    let mut fraction = "";
    if let Some(digits) = rest.strip_prefix(['.', ',']) {
        let length = digits.bytes().take_while(u8::is_ascii_digit).count();
        (fraction, rest) = digits.split_at(length);
        if length == 0 {
            return Err(fault());
        }
    }
    let offset = match rest.as_bytes() {
        [b'Z'] => 0,
        [sign @ (b'+' | b'-'), a, b, b':', c, d] if [a, b, c, d].iter().all(|b| b.is_ascii_digit()) => {
            let digit = |byte: &u8| i64::from(byte - b'0');
            let (hours, minutes) = (digit(a) * 10 + digit(b), digit(c) * 10 + digit(d));
            if hours > 24 || minutes > 60 {
                return Err(fault());
            }
            (hours * 60 + minutes) * if *sign == b'-' { -1 } else { 1 }
        }
        _ => return Err(fault()),
    };
    if !(1..=12).contains(&month) || day < 1 || day > days_in(year, month) || hour > 23 || minute > 59 || second > 59 {
        return Err(fault());
    }
    let minutes = days_before(year, month, day) * 1440 + hour * 60 + minute - offset;
    Ok((clock(minutes, second), fraction.trim_end_matches('0').to_owned()))
}

fn clock(minutes: i64, second: i64) -> String {
    let (year, month, day) = date(minutes.div_euclid(1440));
    let of_day = minutes.rem_euclid(1440);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{second:02}", of_day / 60, of_day % 60)
}

fn is_leap(year: i64) -> bool {
    (year % 4 == 0 && year % 100 != 0) || year % 400 == 0
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 => 28 + i64::from(is_leap(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 0000-01-01 to this day.
fn days_before(year: i64, month: i64, day: i64) -> i64 {
    let past = year - 1;
    let years = if year == 0 { 0 } else { year * 365 + past / 4 - past / 100 + past / 400 + 1 };
    years + (1..month).map(|m| days_in(year, m)).sum::<i64>() + day - 1
}

fn date(mut days: i64) -> (i64, i64, i64) {
    let mut year = (days / 366).max(0);
    while days_before(year + 1, 1, 1) <= days {
        year += 1;
    }
    days -= days_before(year, 1, 1);
    let mut month = 1;
    while days >= days_in(year, month) {
        days -= days_in(year, month);
        month += 1;
    }
    (year, month, days + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml::load_json;

    #[test]
    fn any_string_prints_numbers_as_floats_do() {
        let text = |json: &str| any_string(&load_json(json).expect("JSON")).expect("text");
        assert_eq!(text("1.50"), Some("1.5".into()));
        assert_eq!(text("1e3"), Some("1000".into()));
        assert_eq!(text("9007199254740993"), Some("9007199254740992".into()));
        assert_eq!(text("true"), Some("true".into()));
        assert_eq!(text("null"), None);
        assert_eq!(text("[1]"), Some(String::new()));
    }

    #[test]
    fn int_or_string_keeps_which_it_is() {
        let read = |json: &str| IntOrString::read(&load_json(json).expect("JSON"));
        assert_eq!(read("5"), Ok(IntOrString::Int(5)));
        assert_eq!(read("\"5\"").map(|v| v.int()), Ok(Some(5)));
        assert!(read("1.0").is_err());
        assert!(read("2147483648").is_err());
        assert_eq!(read("\"{{x}}\"").map(|v| v.is_int_or_variable()), Ok(true));
    }

    #[test]
    fn times_are_in_utc() {
        assert_eq!(time("2024-03-01T00:30:00+01:00").map(|t| t.0), Ok("2024-02-29T23:30:00".into()));
        assert_eq!(time("2024-01-02T03:04:05.670Z"), Ok(("2024-01-02T03:04:05".into(), "67".into())));
        assert!(time("2024-01-02t03:04:05z").is_err());
        assert!(time("2024-02-30T00:00:00Z").is_err());
        assert!(time("2024-01-02T24:00:00Z").is_err());
        assert_eq!(time("0001-01-01T00:00:00Z").map(|t| t.0), Ok("0001-01-01T00:00:00".into()));
    }
}
