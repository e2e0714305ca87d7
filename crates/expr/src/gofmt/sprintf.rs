//! `fmt.Sprintf` for the verbs that workflows use (`withSequence.format`).
//! It must never know where a format comes from.

use super::{exponent, float, integer, quote_bytes, value};
use crate::value::Value;

#[derive(Default)]
struct Flags {
    minus: bool,
    plus: bool,
    sharp: bool,
    space: bool,
    zero: bool,
    width: Option<usize>,
    precision: Option<usize>,
}

/// Widths beyond this are ignored, as in Go.
const WIDTH_MAX: usize = 1_000_000;

/// `fmt.Sprintf(format, args...)`; a wrong verb prints `%!d(string=x)` as Go does.
pub fn sprintf(format: &str, args: &[Value]) -> String {
    let mut out = String::new();
    let mut rest = format;
    let mut next = 0;
    while let Some(at) = rest.find('%') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let (flags, after) = read_flags(rest);
        let Some(verb) = after.chars().next() else {
            out.push_str("%!(NOVERB)");
            rest = "";
            break;
        };
        rest = &after[verb.len_utf8()..];
        if verb == '%' {
            out.push('%');
            continue;
        }
        match args.get(next) {
            Some(arg) => out.push_str(&pad(&flags, format_one(verb, &flags, arg), arg)),
            None => out.push_str(&format!("%!{verb}(MISSING)")),
        }
        next += 1;
    }
    out.push_str(rest);
    if next < args.len() {
        let extra: Vec<String> =
            args[next..].iter().map(|arg| format!("{}={}", arg.printed_type(), value(arg))).collect();
        out.push_str(&format!("%!(EXTRA {})", extra.join(", ")));
    }
    out
}

fn read_flags(text: &str) -> (Flags, &str) {
    let mut flags = Flags::default();
    let mut rest = text;
    loop {
        match rest.bytes().next() {
            Some(b'-') => flags.minus = true,
            Some(b'+') => flags.plus = true,
            Some(b'#') => flags.sharp = true,
            Some(b' ') => flags.space = true,
            Some(b'0') => flags.zero = true,
            _ => break,
        }
        rest = &rest[1..];
    }
    (flags.width, rest) = read_number(rest);
    if let Some(after) = rest.strip_prefix('.') {
        let (precision, after) = read_number(after);
        flags.precision = Some(precision.unwrap_or(0));
        rest = after;
    }
    (flags, rest)
}

fn read_number(text: &str) -> (Option<usize>, &str) {
    let length = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let number = text[..length].parse().ok().filter(|&number| number <= WIDTH_MAX);
    (number, &text[length..])
}

fn format_one(verb: char, flags: &Flags, arg: &Value) -> String {
    if let Some(number) = arg.integer().or(match arg {
        Value::Duration(n) if verb != 'v' && verb != 's' => Some(*n),
        _ => None,
    }) && let Some(text) = format_integer(verb, flags, number, arg)
    {
        return text;
    }
    match (verb, arg) {
        ('v' | 's', Value::Str(_) | Value::Raw(_)) => truncate(value(arg), flags.precision),
        ('v', _) => value(arg),
        ('s', Value::Duration(_) | Value::Time(_) | Value::List(_) | Value::Slice(..)) => value(arg),
        ('T', _) => arg.printed_type().to_owned(),
        ('t', Value::Bool(_)) => value(arg),
        ('q', Value::Str(_) | Value::Raw(_)) => quote_bytes(arg.string_bytes().unwrap_or_default()),
        ('x', Value::Str(_) | Value::Raw(_)) => hex(arg.string_bytes().unwrap_or_default()),
        ('X', Value::Str(_) | Value::Raw(_)) => hex(arg.string_bytes().unwrap_or_default()).to_uppercase(),
        ('f' | 'F', Value::Float(f)) => signed(flags, *f, format!("{:.*}", flags.precision.unwrap_or(6), f)),
        ('e', Value::Float(f)) => {
            let text = format!("{:.*e}", flags.precision.unwrap_or(6), f);
            signed(flags, *f, fix_exponent(&text))
        }
        ('g', Value::Float(f)) => signed(flags, *f, float(*f)),
        _ => format!("%!{verb}({}={})", arg.printed_type(), value(arg)),
    }
}

fn fix_exponent(text: &str) -> String {
    let Some(at) = text.rfind('e') else { return text.to_owned() };
    let power: i32 = text[at + 1..].parse().unwrap_or(0);
    let sign = if power < 0 { '-' } else { '+' };
    format!("{}e{sign}{:02}", &text[..at], power.abs())
}

fn signed(flags: &Flags, f: f64, text: String) -> String {
    if !f.is_finite() {
        return exponentless(f);
    }
    if flags.plus && !text.starts_with('-') { format!("+{text}") } else { text }
}

fn exponentless(f: f64) -> String {
    if f.is_nan() || f.is_infinite() { float(f) } else { exponent(f) }
}

fn format_integer(verb: char, flags: &Flags, number: i64, arg: &Value) -> Option<String> {
    let size = number.unsigned_abs();
    let body = match verb {
        'd' | 'v' => match arg {
            Value::Sized(..) => return Some(integer(arg)),
            _ => size.to_string(),
        },
        'x' => format!("{}{size:x}", if flags.sharp { "0x" } else { "" }),
        'X' => format!("{}{size:X}", if flags.sharp { "0X" } else { "" }),
        'o' => format!("{}{size:o}", if flags.sharp { "0" } else { "" }),
        'b' => format!("{size:b}"),
        'c' => return Some(u32::try_from(number).ok().and_then(char::from_u32).unwrap_or('\u{fffd}').to_string()),
        'q' => {
            let c = u32::try_from(number).ok().and_then(char::from_u32).unwrap_or('\u{fffd}');
            return Some(format!("'{c}'"));
        }
        'U' => return Some(format!("U+{size:04X}")),
        _ => return None,
    };
    let mut digits = body;
    if let Some(precision) = flags.precision {
        digits = format!("{digits:0>precision$}");
    } else if flags.zero && !flags.minus {
        let sign = usize::from(number < 0 || flags.plus || flags.space);
        if let Some(width) = flags.width {
            let width = width.saturating_sub(sign);
            digits = format!("{digits:0>width$}");
        }
    }
    let sign = if number < 0 {
        "-"
    } else if flags.plus {
        "+"
    } else if flags.space {
        " "
    } else {
        ""
    };
    Some(format!("{sign}{digits}"))
}

fn truncate(text: String, precision: Option<usize>) -> String {
    match precision {
        Some(count) => text.chars().take(count).collect(),
        None => text,
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn pad(flags: &Flags, text: String, arg: &Value) -> String {
    let Some(width) = flags.width else { return text };
    let length = text.chars().count();
    if length >= width {
        return text;
    }
    let missing = width - length;
    if flags.minus {
        return format!("{text}{}", " ".repeat(missing));
    }
    if flags.zero {
        let numeric = matches!(arg, Value::Float(_) | Value::Int(_) | Value::Sized(..) | Value::Duration(_));
        return match text.strip_prefix(['-', '+']) {
            Some(rest) if numeric => format!("{}{}{rest}", &text[..1], "0".repeat(missing)),
            _ => format!("{}{text}", "0".repeat(missing)),
        };
    }
    format!("{}{text}", " ".repeat(missing))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_numbers() {
        let int = |format, n| sprintf(format, &[Value::Int(n)]);
        assert_eq!(int("%02X", 10), "0A");
        assert_eq!(int("testuser%02X", 255), "testuserFF");
        assert_eq!(int("%05d", -42), "-0042");
        assert_eq!(int("%-5d|", 7), "7    |");
        assert_eq!(int("%s", 7), "%!s(int=7)");
        assert_eq!(int("x", 7), "x%!(EXTRA int=7)");
        assert_eq!(sprintf("%.2f%%", &[Value::Float(1.005)]), "1.00%");
        assert_eq!(sprintf("%d", &[]), "%!d(MISSING)");
        assert_eq!(sprintf("%", &[]), "%!(NOVERB)");
    }
}
