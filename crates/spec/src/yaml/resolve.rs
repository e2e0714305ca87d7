//! What a scalar is: the resolver table of goyaml.v2 (YAML 1.1 booleans, `0777` octal, `1_000`, dates stay text).
//! It must never know JSON or what a document means.

use super::node::{Scalar, Style};
use super::number::{parse_float, parse_int, parse_uint};

#[derive(Clone, Debug, PartialEq)]
pub enum Resolved {
    Null,
    Bool(bool),
    Int(i64),
    /// Above the largest `i64`.
    Uint(u64),
    Float(f64),
    String(String),
}

impl Resolved {
    fn tag(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "bool",
            Self::Int(_) | Self::Uint(_) => "int",
            Self::Float(_) => "float",
            Self::String(_) => "str",
        }
    }
}

/// Resolves a scalar; the error is the fault of an explicit tag, in goyaml's words.
pub fn resolve(scalar: &Scalar) -> Result<Resolved, String> {
    let text = &*scalar.text;
    match scalar.tag.as_deref() {
        None if scalar.style == Style::Plain => Ok(resolve_plain(text)),
        None | Some("str" | "!") => Ok(Resolved::String(text.into())),
        Some("binary") => match expr::base64::decode(text.as_bytes()) {
            Ok(bytes) => Ok(Resolved::String(String::from_utf8_lossy(&bytes).into_owned())),
            Err(_) => Err("!!binary value contains invalid base64 data".into()),
        },
        Some(tag @ ("bool" | "int" | "float" | "null")) => {
            let resolved = resolve_plain(text);
            match (tag, &resolved) {
                ("float", Resolved::Int(n)) => Ok(Resolved::Float(*n as f64)),
                ("float", Resolved::Uint(n)) => Ok(Resolved::Float(*n as f64)),
                _ if tag == resolved.tag() => Ok(resolved),
                _ => Err(format!("cannot decode !!{} `{text}` as a !!{tag}", resolved.tag())),
            }
        }
        Some("timestamp") if !is_timestamp(text) => {
            Err(format!("cannot decode !!{} `{text}` as a !!timestamp", resolve_plain(text).tag()))
        }
        // Unknown tags do not change the text.
        Some(_) => Ok(Resolved::String(text.into())),
    }
}

fn resolve_plain(text: &str) -> Resolved {
    if let Some(found) = look_up(text) {
        return found;
    }
    match text.as_bytes().first() {
        Some(b'.') => parse_float(text)
            .filter(|_| is_go_float(text))
            .map_or_else(|| Resolved::String(text.into()), Resolved::Float),
        Some(b'+' | b'-' | b'0'..=b'9') if !is_timestamp(text) => resolve_number(text),
        _ => Resolved::String(text.into()),
    }
}

fn look_up(text: &str) -> Option<Resolved> {
    Some(match text {
        "" | "~" | "null" | "Null" | "NULL" => Resolved::Null,
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => Resolved::Bool(true),
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => Resolved::Bool(false),
        ".nan" | ".NaN" | ".NAN" => Resolved::Float(f64::NAN),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => Resolved::Float(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => Resolved::Float(f64::NEG_INFINITY),
        _ => return None,
    })
}

fn resolve_number(text: &str) -> Resolved {
    let plain = text.replace('_', "");
    if let Some(value) = parse_int(&plain) {
        return Resolved::Int(value);
    }
    if let Some(value) = parse_uint(&plain) {
        return Resolved::Uint(value);
    }
    if is_style_float(&plain)
        && let Some(value) = parse_float(&plain)
    {
        return Resolved::Float(value);
    }
    Resolved::String(text.into())
}

/// `^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$`
fn is_style_float(text: &str) -> bool {
    let rest = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (mantissa, exponent) = match rest.find(['e', 'E']) {
        Some(at) => (&rest[..at], Some(&rest[at + 1..])),
        None => (rest, None),
    };
    let digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
    let mantissa_ok = match mantissa.split_once('.') {
        Some(("", fraction)) => digits(fraction),
        Some((whole, fraction)) => digits(whole) && (fraction.is_empty() || digits(fraction)),
        None => digits(mantissa),
    };
    mantissa_ok && exponent.is_none_or(|e| digits(e.strip_prefix(['-', '+']).unwrap_or(e)))
}

/// What `strconv.ParseFloat` reads and Rust reads differently: words such as `.infinity` are no numbers here.
fn is_go_float(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'+' | b'-'))
}

/// The shapes that goyaml.v2 takes for a time (and then leaves as text): `2006-1-2`, optionally with a clock.
fn is_timestamp(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() >= 8 && bytes[..4].iter().all(u8::is_ascii_digit) && bytes[4] == b'-'
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(text: &str) -> Resolved {
        resolve_plain(text)
    }

    #[test]
    fn the_table_is_yaml_1_1() {
        assert_eq!(plain("y"), Resolved::Bool(true));
        assert_eq!(plain("off"), Resolved::Bool(false));
        assert_eq!(plain("nULL"), Resolved::String("nULL".into()));
        assert_eq!(plain("0777"), Resolved::Int(511));
        assert_eq!(plain("1_000"), Resolved::Int(1000));
        assert_eq!(plain("12:30"), Resolved::String("12:30".into()));
        assert_eq!(plain("2024-01-02"), Resolved::String("2024-01-02".into()));
        assert_eq!(plain("1e400"), Resolved::String("1e400".into()));
    }

    #[test]
    fn an_explicit_tag_converts_or_fails() {
        let scalar = |text: &str, tag: &str| Scalar { text: text.into(), style: Style::Quoted, tag: Some(tag.into()) };
        assert_eq!(resolve(&scalar("5", "int")), Ok(Resolved::Int(5)));
        assert_eq!(resolve(&scalar("1", "float")), Ok(Resolved::Float(1.0)));
        assert!(resolve(&scalar("1.0", "int")).is_err());
        assert_eq!(resolve(&scalar("aGVsbG8=", "binary")), Ok(Resolved::String("hello".into())));
    }
}
