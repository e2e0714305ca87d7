//! Semantic versions and constraints as Masterminds/semver v3 reads them.
//! It must never know values other than its arguments.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use super::arguments::text;
use crate::context::Budget;
use crate::gofmt;
use crate::value::{IntKind, Value};

/// A version; parts that were left out are 0.
#[derive(Debug, Clone)]
pub struct Version {
    major: u64,
    minor: u64,
    patch: u64,
    pre: String,
    metadata: String,
    original: String,
}

pub(super) fn run(name: &str, args: &[Value], _budget: &Budget<'_>) -> Result<Value, String> {
    if name == "semver" {
        return Ok(Value::Version(Arc::new(Version::parse(&text(args, 0))?)));
    }
    let constraint = Constraints::parse(&text(args, 0))?;
    let version = Version::parse(&text(args, 1))?;
    Ok(constraint.allow(&version).into())
}

/// Numbers that were written, then pre-release and metadata.
struct Parts<'t> {
    numbers: Vec<&'t str>,
    pre: &'t str,
    metadata: &'t str,
}

fn take_apart(text: &str) -> Option<Parts<'_>> {
    let rest = text.strip_prefix('v').unwrap_or(text);
    let (rest, metadata) = match rest.split_once('+') {
        Some((rest, metadata)) if is_identifiers(metadata) => (rest, metadata),
        Some(_) => return None,
        None => (rest, ""),
    };
    let (core, pre) = match rest.split_once('-') {
        Some((core, pre)) if is_identifiers(pre) => (core, pre),
        Some(_) => return None,
        None => (rest, ""),
    };
    Some(Parts { numbers: core.split('.').collect(), pre, metadata })
}

fn is_identifiers(text: &str) -> bool {
    text.split('.').all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'))
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

impl Version {
    fn parse(text: &str) -> Result<Version, String> {
        let invalid = || "invalid semantic version".to_owned();
        let parts = take_apart(text).ok_or_else(invalid)?;
        if parts.numbers.len() > 3 || !parts.numbers.iter().all(|number| is_number(number)) {
            return Err(invalid());
        }
        let number = |index: usize| parts.numbers.get(index).map_or(Ok(0), |text| text.parse()).map_err(|_| invalid());
        Ok(Version {
            major: number(0)?,
            minor: number(1)?,
            patch: number(2)?,
            pre: parts.pre.to_owned(),
            metadata: parts.metadata.to_owned(),
            original: text.to_owned(),
        })
    }

    fn compare(&self, other: &Version) -> Ordering {
        (self.major, self.minor, self.patch)
            .cmp(&(other.major, other.minor, other.patch))
            .then_with(|| compare_pre(&self.pre, &other.pre))
    }

    pub(crate) fn method(&self, name: &str, args: &[Value]) -> Result<Value, String> {
        let number = |n: u64| Value::Sized(IntKind::Uint64, n as i64);
        let ordering = match args {
            [Value::Version(other)] => self.compare(other),
            _ => Ordering::Equal,
        };
        Ok(match name {
            "Major" => number(self.major),
            "Minor" => number(self.minor),
            "Patch" => number(self.patch),
            "Prerelease" => self.pre.as_str().into(),
            "Metadata" => self.metadata.as_str().into(),
            "Original" => self.original.as_str().into(),
            "String" => self.to_string().into(),
            "Compare" => (ordering as i64).into(),
            "Equal" => (ordering == Ordering::Equal).into(),
            "LessThan" => (ordering == Ordering::Less).into(),
            "LessThanEqual" => (ordering != Ordering::Greater).into(),
            "GreaterThan" => (ordering == Ordering::Greater).into(),
            "GreaterThanEqual" => (ordering != Ordering::Less).into(),
            _ => return Err(format!("type *semver.Version has no method {name}")),
        })
    }
}

impl PartialEq for Version {
    fn eq(&self, other: &Self) -> bool {
        self.compare(other) == Ordering::Equal && self.metadata == other.metadata && self.original == other.original
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)?;
        if !self.pre.is_empty() {
            write!(f, "-{}", self.pre)?;
        }
        if !self.metadata.is_empty() {
            write!(f, "+{}", self.metadata)?;
        }
        Ok(())
    }
}

/// No pre-release is later than any.
fn compare_pre(a: &str, b: &str) -> Ordering {
    match (a.is_empty(), b.is_empty()) {
        (true, true) => return Ordering::Equal,
        (true, false) => return Ordering::Greater,
        (false, true) => return Ordering::Less,
        (false, false) => {}
    }
    let (mut left, mut right) = (a.split('.'), b.split('.'));
    loop {
        let ordering = match (left.next(), right.next()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => Ordering::Less,
            (Some(_), None) => Ordering::Greater,
            (Some(x), Some(y)) => match (x.parse::<u64>(), y.parse::<u64>()) {
                (Ok(x), Ok(y)) => x.cmp(&y),
                (Ok(_), Err(_)) => Ordering::Less,
                (Err(_), Ok(_)) => Ordering::Greater,
                (Err(_), Err(_)) => x.cmp(y),
            },
        };
        if ordering != Ordering::Equal {
            return ordering;
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Operator {
    Equal,
    NotEqual,
    Greater,
    Less,
    GreaterEqual,
    LessEqual,
    Tilde,
    Caret,
}

struct Constraint {
    operator: Operator,
    version: Version,
    /// Which part is the first that is free (`x`, `*` or left out): 0 major, 1 minor, 2 patch, 3 none.
    free: u8,
}

/// Alternatives of constraints that hold together.
struct Constraints(Vec<Vec<Constraint>>);

impl Constraints {
    fn parse(text: &str) -> Result<Self, String> {
        let improper = || format!("improper constraint: {}", gofmt::quote(text));
        let rewritten = rewrite_ranges(text);
        let mut alternatives = Vec::new();
        for alternative in rewritten.split("||") {
            let mut all = Vec::new();
            let mut rest = alternative.trim();
            if rest.is_empty() {
                return Err(improper());
            }
            while !rest.is_empty() {
                let (constraint, after) = Constraint::read(rest).ok_or_else(improper)?;
                all.push(constraint);
                rest = after.trim_start_matches([' ', ',', '\t']);
            }
            alternatives.push(all);
        }
        Ok(Constraints(alternatives))
    }

    fn allow(&self, version: &Version) -> bool {
        // A pre-release is considered only where a constraint of the same alternative names one.
        self.0.iter().any(|all| {
            let named = all.iter().any(|constraint| !constraint.version.pre.is_empty());
            (version.pre.is_empty() || named) && all.iter().all(|constraint| constraint.allows(version))
        })
    }
}

/// `1.2 - 1.4` is `>=1.2 <=1.4`.
fn rewrite_ranges(text: &str) -> String {
    let mut out = text.to_owned();
    while let Some(at) = out.find(" - ") {
        let start = out[..at].rfind([' ', ',', '|']).map_or(0, |found| found + 1);
        let after = at + 3;
        let end = out[after..].find([' ', ',', '|']).map_or(out.len(), |found| after + found);
        let range = format!(">= {}, <= {}", &out[start..at], &out[after..end]);
        out = format!("{}{range}{}", &out[..start], &out[end..]);
    }
    out
}

impl Constraint {
    fn read(text: &str) -> Option<(Constraint, &str)> {
        const SYMBOLS: [(&str, Operator); 12] = [
            (">=", Operator::GreaterEqual),
            ("=>", Operator::GreaterEqual),
            ("<=", Operator::LessEqual),
            ("=<", Operator::LessEqual),
            ("!=", Operator::NotEqual),
            ("~>", Operator::Tilde),
            ("=", Operator::Equal),
            (">", Operator::Greater),
            ("<", Operator::Less),
            ("~", Operator::Tilde),
            ("^", Operator::Caret),
            ("", Operator::Equal),
        ];
        let (symbol, operator) = SYMBOLS.iter().find(|(symbol, _)| text.starts_with(symbol))?;
        let rest = text[symbol.len()..].trim_start();
        let end = rest.find([' ', ',', '\t']).unwrap_or(rest.len());
        let parts = take_apart(&rest[..end])?;
        let is_free = |part: &str| matches!(part, "x" | "X" | "*");
        if parts.numbers.len() > 3 || !parts.numbers.iter().all(|part| is_free(part) || is_number(part)) {
            return None;
        }
        let free = parts.numbers.iter().position(|part| is_free(part)).unwrap_or(parts.numbers.len());
        let number = |index: usize| match parts.numbers.get(index) {
            Some(part) if index < free => part.parse().ok(),
            _ => Some(0),
        };
        let version = Version {
            major: number(0)?,
            minor: number(1)?,
            patch: number(2)?,
            pre: parts.pre.to_owned(),
            metadata: parts.metadata.to_owned(),
            original: String::new(),
        };
        // A bare version with free parts is a tilde range.
        let operator = if *operator == Operator::Equal && free < 3 { Operator::Tilde } else { *operator };
        Some((Constraint { operator, version, free: free as u8 }, &rest[end..]))
    }

    fn allows(&self, v: &Version) -> bool {
        let c = &self.version;
        let ordering = v.compare(c);
        let (same_major, same_minor) = (v.major == c.major, v.major == c.major && v.minor == c.minor);
        match self.operator {
            Operator::Equal => ordering == Ordering::Equal,
            Operator::NotEqual => match self.free {
                0 => false,
                1 => !same_major,
                2 => !same_minor,
                _ => ordering != Ordering::Equal,
            },
            Operator::Greater => match self.free {
                0 => false,
                1 => v.major > c.major,
                2 => (v.major, v.minor) > (c.major, c.minor),
                _ => ordering == Ordering::Greater,
            },
            Operator::Less => ordering == Ordering::Less,
            Operator::GreaterEqual => ordering != Ordering::Less,
            Operator::LessEqual => match self.free {
                0 => true,
                1 => v.major <= c.major,
                2 => (v.major, v.minor) <= (c.major, c.minor),
                _ => ordering != Ordering::Greater,
            },
            Operator::Tilde => match self.free {
                0 => true,
                _ if ordering == Ordering::Less => false,
                1 => same_major,
                _ => same_minor,
            },
            Operator::Caret => {
                if self.free == 0 {
                    return true;
                }
                if ordering == Ordering::Less || !same_major {
                    return false;
                }
                if c.major > 0 || self.free == 1 {
                    return true;
                }
                if v.minor != c.minor {
                    return false;
                }
                c.minor > 0 || self.free == 2 || v.patch == c.patch
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(constraint: &str, version: &str) -> bool {
        Constraints::parse(constraint).unwrap().allow(&Version::parse(version).unwrap())
    }

    #[test]
    fn compares() {
        assert!(allowed("^1.2.0", "1.3.0") && !allowed("^1.2.0", "2.0.0"));
        assert!(allowed("~1.2", "1.2.9") && !allowed("~1.2", "1.3.0"));
        assert!(allowed("1.2 - 1.4", "1.4.5") && !allowed("1.2 - 1.4", "1.5.0"));
        assert!(!allowed(">=1.0.0", "1.2.4-alpha") && allowed(">1.2.3-0", "1.2.4-alpha"));
        assert!(Constraints::parse("bad").is_err() && Constraints::parse("").is_err());
    }
}
